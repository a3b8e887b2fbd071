"""What limits the labels: gaps and copies among the functions, ceilings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.aggregators import MajorityVote
from lfkit.analysis import LFAnalysis, checked_labels
from lfkit.em import TIE_TOLERANCE
from lfkit.errors import InputError
from lfkit.pairs import agreements
from lfkit.votes import ABSTAIN, Votes

MIN_KNOWN_LABELS = 30
MIN_VOTES = 20
COPY_AGREEMENT = 0.98


@dataclass(frozen=True)
class Copies:
    """Two functions that say nearly the same; every aggregator counts them twice.

    Attributes
    ----------
    agreement : share of the images on which either votes where both vote alike.
    n_either : number of these images.
    """

    first: str
    second: str
    agreement: float
    n_either: int


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
    """

    n_known: int
    majority_vote: float
    cross_fitted: float
    in_sample: float


@dataclass(frozen=True)
class Diagnosis:
    """What the votes can and cannot give.

    Attributes
    ----------
    unnamed_classes : the classes that no function names.
    declared : True if that follows from declared classes, False if from the votes.
    n_without_votes : images on which every function abstains.
    copies : pairs of functions that say nearly the same.
    ceiling : None when fewer than 30 labels are known.
    """

    class_names: tuple[str, ...]
    n_images: int
    n_functions: int
    unnamed_classes: tuple[int, ...]
    declared: bool
    n_without_votes: int
    copies: tuple[Copies, ...]
    n_known: int
    ceiling: Ceiling | None

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as plain, JSON-able values."""
        return asdict(self)

    def sentences(self) -> list[str]:
        """Return the findings in plain English."""
        return [
            *self._about_gaps(),
            *(
                f"{pair.first!r} and {pair.second!r} agree on {pair.agreement:.1%} of "
                f"the {pair.n_either} images where either votes: they count twice; "
                "drop one."
                for pair in self.copies
            ),
            self._about_ceiling(),
        ]

    def _about_gaps(self) -> list[str]:
        if not self.n_images:
            return ["There are no images."]
        share = self.n_without_votes / self.n_images
        gaps = [
            f"{self.n_functions} functions; {self.n_without_votes} of {self.n_images} "
            f"images ({share:.1%}) have no vote."
        ]
        if self.unnamed_classes:
            names = ", ".join(repr(self.class_names[c]) for c in self.unnamed_classes)
            verb = "can name" if self.declared else "ever voted for"
            gaps.append(
                f"No function {verb} {names}: votes alone cannot give that label; "
                "write a function for it."
            )
        return gaps

    def _about_ceiling(self) -> str:
        if self.ceiling is None:
            return (
                f"{self.n_known} labels are known, too few to say how far votes alone "
                f"can go; give at least {MIN_KNOWN_LABELS}."
            )
        return (
            f"On {self.ceiling.n_known} labeled images the majority vote is right "
            f"{self.ceiling.majority_vote:.1%} of the time; knowing the best label for "
            f"every combination of votes would give {self.ceiling.cross_fitted:.1%} "
            f"(learned on one half, scored on the other) to "
            f"{self.ceiling.in_sample:.1%} (at most). More than that needs better "
            "functions or the pixels, not another aggregator."
        )


def diagnose(
    votes: Votes,
    *,
    class_names: Sequence[str] | None = None,
    labels: ArrayLike | None = None,
    lf_classes: Sequence[Sequence[int]] | None = None,
    random_state: int = 0,
) -> Diagnosis:
    """Say what limits the labels that these votes can give.

    Parameters
    ----------
    class_names : the k classes' names; None: "class 0", ...
    labels : (n,) true labels as far as known, -1 = unknown.
    lf_classes : the classes each function declares; None: those it voted for.
    random_state : seed of the split into halves behind `Ceiling.cross_fitted`.
    """
    k = votes.n_classes
    names = tuple(class_names or [f"class {c}" for c in range(k)])
    if len(names) != k:
        raise InputError(
            f"class_names has {len(names)} names; the votes have {k} classes."
        )
    if lf_classes is not None and len(lf_classes) != votes.n_functions:
        raise InputError(
            f"lf_classes has {len(lf_classes)} entries; the votes have "
            f"{votes.n_functions} functions."
        )
    polarities = LFAnalysis(votes).lf_polarities() if lf_classes is None else lf_classes
    named = {label for classes in polarities for label in classes}
    truth = np.full(len(votes), -1)
    if labels is not None:
        truth = checked_labels(labels, len(votes), "labels")
    n_known = int(np.count_nonzero(truth >= 0))
    return Diagnosis(
        class_names=names,
        n_images=len(votes),
        n_functions=votes.n_functions,
        unnamed_classes=tuple(sorted(set(range(k)) - named)),
        declared=lf_classes is not None,
        n_without_votes=int(np.count_nonzero(~votes.voted.any(axis=1))),
        copies=_copies(votes),
        n_known=n_known,
        ceiling=_ceiling(votes, truth, random_state)
        if n_known >= MIN_KNOWN_LABELS
        else None,
    )


def _copies(votes: Votes) -> tuple[Copies, ...]:
    """Find the pairs of functions whose single-class votes are nearly the same."""
    found = []
    table = agreements(votes)
    for i, j in np.argwhere(np.triu(table > COPY_AGREEMENT, 1)):
        n_either = int((votes.hard[:, [i, j]] != ABSTAIN).any(axis=1).sum())
        if n_either >= MIN_VOTES:
            names = votes.names[i], votes.names[j]
            found.append(Copies(*names, float(table[i, j]), n_either))
    return tuple(found)


def _ceiling(votes: Votes, truth: NDArray[np.int64], random_state: int) -> Ceiling:
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
    proba = MajorityVote().fit(votes).predict_proba(votes)
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
    )
