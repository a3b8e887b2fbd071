"""How often labels made from the votes alone can be right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators import MajorityVote
from lfkit.aggregators.inference.em import TIE_TOLERANCE
from lfkit.aggregators.inference.vote_likelihood import VoteLikelihood
from lfkit.data.votes import Votes
from lfkit.errors import InputError

_MOST_LEARNED = 10_000  # labeled images per half behind `Ceiling.naive_bayes`


@dataclass(frozen=True)
class Ceiling:
    """How often a label made from the votes alone can be right.

    Attributes
    ----------
    n_known : images with a known label.
    majority_vote : its accuracy, a tie counted as a random choice.
    cross_fitted : accuracy of the best label of each vote pattern, learned on one half
        of these images and scored on the other; the majority vote where a pattern is
        new. What a supervised rule on the votes reaches: the ceiling is not far below.
    in_sample : the same, learned and scored on all of them: above the ceiling.
    naive_bayes : accuracy of tables P(vote | class) counted on one half and scored on
        the other: a supervised rule that does not need to have seen the combination.
    """

    n_known: int
    majority_vote: float
    cross_fitted: float
    in_sample: float
    naive_bayes: float

    @property
    def supervised(self) -> float:
        """The better of the two rules learned from labels."""
        return max(self.cross_fitted, self.naive_bayes)


def find_ceiling(votes: Votes, truth: NDArray[np.int64], random_state: int) -> Ceiling:
    """Score the majority vote and rules learned from labels on the same votes.

    Parameters
    ----------
    truth : (n,) known classes, -1 = unknown.
    random_state : seed of the split into halves.
    """
    k = votes.n_classes
    known = np.flatnonzero(truth >= 0)
    truth, votes = truth[known], votes.rows(known)
    if truth.max() >= k:
        raise InputError(
            f"labels name class {truth.max()}; the votes have {k} classes."
        )
    # The degrees of soft votes would make every pattern unique.
    classes_only = Votes(votes.hard, votes.names, k, allowed=votes.allowed)
    pattern = classes_only.patterns().inverse
    proba = MajorityVote().fit_predict_proba(votes)
    best = proba >= proba.max(axis=1, keepdims=True) - TIE_TOLERANCE
    vote_score = np.take_along_axis(best, truth[:, None], axis=1)[:, 0] / best.sum(
        axis=1
    )

    def score(learn: NDArray[np.bool_], rows: NDArray[np.bool_]) -> float:
        cells = pattern[learn] * k + truth[learn]
        table = np.bincount(cells, minlength=(pattern.max() + 1) * k).reshape(-1, k)
        right = table.argmax(axis=1)[pattern] == truth
        seen = table.sum(axis=1)[pattern] > 0
        return float(np.where(seen, right, vote_score) @ rows)

    everyone = np.ones(len(truth), dtype=bool)
    shuffled = np.random.default_rng(random_state).permutation(len(truth))
    one_half = shuffled < len(truth) // 2
    other_half = np.logical_not(one_half)
    return Ceiling(
        n_known=len(truth),
        majority_vote=float(vote_score.mean()),
        cross_fitted=(score(one_half, other_half) + score(other_half, one_half))
        / len(truth),
        in_sample=score(everyone, everyone) / len(truth),
        naive_bayes=_naive_bayes(classes_only, truth, one_half),
    )


def _naive_bayes(
    votes: Votes, truth: NDArray[np.int64], one_half: NDArray[np.bool_]
) -> float:
    """Score tables counted on one half of the images on the other half, and back."""
    k, n_right, n_scored = votes.n_classes, 0, 0
    halves = [np.flatnonzero(rows)[:_MOST_LEARNED] for rows in (one_half, ~one_half)]
    for learn, test in (halves, halves[::-1]):
        evidence = VoteLikelihood(votes.rows(learn))
        tables = np.full((votes.n_functions, k, k + 1), 1 / (k + 1))
        tables += evidence.expected_votes(np.eye(k)[truth[learn]], tables)
        tables /= tables.sum(axis=2, keepdims=True)
        prior = (np.bincount(truth[learn], minlength=k) + 1) / (len(learn) + k)
        scores = VoteLikelihood(votes.rows(test)).log_likelihoods(tables) + np.log(
            prior
        )
        n_right += int(np.count_nonzero(scores.argmax(axis=1) == truth[test]))
        n_scored += len(test)
    return n_right / n_scored
