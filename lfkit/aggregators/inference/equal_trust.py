"""A plain vote as a model: all functions are right equally often."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from lfkit.aggregators.inference.em import TIE_TOLERANCE
from lfkit.aggregators.inference.vote_likelihood import row_chunks, vote_distributions
from lfkit.aggregators.inference.vote_structure import VoteStructure
from lfkit.data.votes import ABSTAIN, Patterns, Votes

_TURNS, _LEAST_CHANGE = 100, 1e-6
# Where nobody contradicts anybody, votes do not tell how often they are right: then it
# is what ten imaginary ones are, nine times of ten.
_RIGHT, _OF_IMAGINARY = 9.0, 10.0
_MOST_ACCURACY = 0.99
# Of a vote: what silence decides is a tie, never a vote.
_OF_SILENCE = 0.25
# Classes of which the functions speak on so unlike shares of the images are unlike
# frequent; then silence does not tell which of two tied ones it is.
_UNLIKE = 1.5


@dataclass(frozen=True, eq=False)
class EqualTrust:
    """Votes count alike; where they tie, the class whose functions speak wins.

    P(class | votes) is proportional to prior * (a (k - 1) / (1 - a)) ** votes, with one
    accuracy a for all, found by EM. Of functions that name one class each, those that
    stay silent speak against it: of two tied classes, the one that fewer of them are
    silent on is the likelier, unless functions speak so much more often for one of the
    two that it must be the more frequent class.

    Attributes
    ----------
    accuracy : a.
    prior : (k,)
    strengths : (m, m) how strongly functions depend on each other; where several
        copies vote on an image, they share one vote.
    names : (m, k) the classes that functions of one class name, as shares; zeros for
        the others.
    frequency : (k,) the mean share of images that a class's functions speak on.
    """

    accuracy: float
    prior: NDArray[np.float64]
    strengths: NDArray[np.float64]
    names: NDArray[np.float64]
    frequency: NDArray[np.float64]

    def posterior(self, votes: Votes) -> NDArray[np.float64]:
        """Return the distributions over classes, (n, k)."""
        sums = shared_sums(votes, self.strengths)
        log_odds = _log_odds(self.accuracy, len(self.prior))
        scores = log_odds * sums
        with np.errstate(divide="ignore"):
            scores += np.log(self.prior)
        size = self.names.sum(axis=0)  # (k,)
        if size.any():
            silent = size - votes.voted @ self.names  # (n, k)
            tied = sums >= sums.max(axis=1, keepdims=True) - TIE_TOLERANCE
            often = np.where(tied, self.frequency, 0).max(axis=1)
            rarely = np.where(tied, self.frequency, np.inf).min(axis=1)
            told = (often < _UNLIKE * rarely) & (sums.max(axis=1) > 0)
            least = 1 / (1 + self.strengths.sum(axis=1).max(initial=0.0))
            of_a_vote = _OF_SILENCE * least / (1 + size.max())
            scores -= log_odds * of_a_vote * silent * told[:, None]
        return np.asarray(softmax(scores, axis=1))


def fit_equal_trust(
    patterns: Patterns,
    structure: VoteStructure,
    strengths: NDArray[np.float64],
    prior: NDArray[np.float64],
) -> EqualTrust:
    """Find how often all functions are right: (m, m) strengths, (k,) prior."""
    sums = shared_sums(patterns.votes, strengths)
    total = float(patterns.counts @ sums.sum(axis=1))
    accuracy = _RIGHT / _OF_IMAGINARY
    with np.errstate(divide="ignore"):
        log_prior = np.log(prior)
    for _ in range(_TURNS if total else 0):
        proba = softmax(_log_odds(accuracy, len(prior)) * sums + log_prior, axis=1)
        hits = float(patterns.counts @ (proba * sums).sum(axis=1))
        before, accuracy = accuracy, (hits + _RIGHT) / (total + _OF_IMAGINARY)
        accuracy = float(np.clip(accuracy, _least(len(prior)), _MOST_ACCURACY))
        if abs(accuracy - before) < _LEAST_CHANGE:
            break
    named = structure.named * structure.one_class[:, None]
    n_votes = named.sum(axis=1)
    names = np.divide(
        named, n_votes[:, None], out=np.zeros_like(named), where=n_votes[:, None] > 0
    )
    speaks = n_votes / max(patterns.counts.sum(), 1.0)
    size = names.sum(axis=0)
    frequency = np.divide(speaks @ names, size, out=np.zeros_like(size), where=size > 0)
    return EqualTrust(accuracy, prior, strengths, names, frequency)


def shared_sums(
    votes: Votes, strengths: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return what the vote gives each class, (n, k), where copies share one vote.

    A vote of j counts 1 / (1 + sum_l r_jl) over the other functions l that vote on the
    image: its design effect (Kish 1965) there.

    Parameters
    ----------
    strengths : (m, m) r, zeros on the diagonal; None: all functions are independent.
    """
    n, k = len(votes), votes.n_classes
    found = np.zeros((n, k))
    if strengths is not None and not strengths.any():
        strengths = None
    for rows in row_chunks(votes):
        part = votes.rows(rows)
        weights = None if strengths is None else 1 / (1 + part.voted @ strengths)
        if votes.soft is not None or votes.allowed is not None:
            shares = vote_distributions(part)
            found[rows] = (
                shares.sum(axis=1)
                if weights is None
                else np.einsum("nmk,nm->nk", shares, weights)
            )
            continue
        image, function = np.nonzero(part.hard != ABSTAIN)
        cells = image * k + part.hard[image, function]
        each = None if weights is None else weights[image, function]
        summed = np.bincount(cells, each, minlength=len(part) * k)
        found[rows] = summed.reshape(-1, k)
    return found


def _least(k: int) -> float:
    return 1.5 / k if k > 2 else 0.55


def _log_odds(accuracy: float, k: int) -> float:
    """Give what one vote adds to the log odds of its class."""
    return float(np.log(accuracy * max(k - 1, 1) / (1 - accuracy)))
