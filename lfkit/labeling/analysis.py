"""Tables about labeling functions: coverage, overlaps, conflicts, accuracy, errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.data.labels import checked_labels
from lfkit.data.votes import ABSTAIN, Votes
from lfkit.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


class LFAnalysis:
    """What the labeling functions cover and where they disagree, as in Snorkel.

    A soft vote counts as its most probable class, or as the set of those tied for it.
    A vote for a set of classes ("car or truck") covers, is right where the set holds
    the label, and conflicts where no class satisfies every vote on the image.

    Parameters
    ----------
    votes : Votes, or Snorkel's label matrix: (n, m) whole numbers, -1 = abstain.
    lfs : the m names, or labeling functions; None takes the names from Votes.

    >>> matrix = np.array([[-1, 0, 0], [-1, -1, -1], [1, 0, -1], [-1, 0, -1]])
    >>> LFAnalysis(matrix).lf_summary()
      Polarity  Coverage  Overlaps  Conflicts
    0      [1]      0.25      0.25       0.25
    1      [0]      0.75      0.50       0.25
    2      [0]      0.25      0.25       0.00
    """

    def __init__(
        self, votes: Votes | ArrayLike, lfs: Sequence[Any] | None = None
    ) -> None:
        names = None if lfs is None else [str(getattr(lf, "name", lf)) for lf in lfs]
        if isinstance(votes, Votes):
            names = list(votes.names) if names is None else names
            self.votes = replace(votes.as_sets(), names=tuple(names))
        else:
            matrix = np.asarray(votes)
            columns = range(matrix.shape[1] if matrix.ndim == 2 else 0)
            self.votes = Votes(
                matrix,
                names=tuple(map(str, columns)) if names is None else tuple(names),
                n_classes=max(1, int(matrix.max(initial=0)) + 1),
            )
        self._names = names
        self._n_votes = self.votes.voted.sum(axis=1)  # (n,)
        self._conflicted = conflicted_images(self.votes)  # (n,)

    def label_coverage(self) -> float:
        """Return the share of images with at least one vote."""
        return self.votes.coverage

    def label_overlap(self) -> float:
        """Return the share of images with at least two votes."""
        return _mean(self._n_votes > 1)

    def label_conflict(self) -> float:
        """Return the share of images with votes that contradict one another."""
        return _mean(self._conflicted)

    def lf_polarities(self) -> list[list[int]]:
        """Return the classes that each function votes for, sorted."""
        named = np.zeros((self.votes.n_functions, self.votes.n_classes), dtype=bool)
        for j, column in enumerate(self.votes.hard.T):
            named[j, np.unique(column[column != ABSTAIN])] = True
        if self.votes.allowed is not None:
            named |= self.votes.allowed.any(axis=0)
        return [np.flatnonzero(row).tolist() for row in named]

    def lf_coverages(self) -> NDArray[np.float64]:
        """Return the share of images on which each function votes, (m,)."""
        return self._shares(np.ones(len(self.votes), dtype=bool))

    def lf_overlaps(self, normalize_by_coverage: bool = False) -> NDArray[np.float64]:
        """Return the share of images on which a function and another one vote, (m,).

        Parameters
        ----------
        normalize_by_coverage : as a share of the images on which the function votes.
        """
        overlaps = self._shares(self._n_votes > 1)
        return (
            _ratio(overlaps, self.lf_coverages()) if normalize_by_coverage else overlaps
        )

    def lf_conflicts(self, normalize_by_overlaps: bool = False) -> NDArray[np.float64]:
        """Return the share of images with conflicting votes, its own among them, (m,).

        Parameters
        ----------
        normalize_by_overlaps : as a share of the function's overlaps.
        """
        conflicts = self._shares(self._conflicted)
        return (
            _ratio(conflicts, self.lf_overlaps())
            if normalize_by_overlaps
            else conflicts
        )

    def lf_empirical_accuracies(self, Y: ArrayLike) -> NDArray[np.float64]:
        """Return the share of right votes of each function, (m,).

        NaN where it never votes on a labeled image (Snorkel: 0).

        Parameters
        ----------
        Y : (n,) true labels, -1 = unknown: not counted.
        """
        correct, incorrect = self._right_and_wrong(Y)
        n_scored = correct + incorrect
        return np.where(n_scored > 0, correct / np.maximum(n_scored, 1), np.nan)

    def lf_empirical_probs(self, Y: ArrayLike, k: int) -> NDArray[np.float64]:
        """Return P(vote | true class) of each function, (m, k + 1, k).

        The first row is abstain, which a vote for a set of classes counts as; NaN for
        a class without images.
        """
        labels = self._checked_labels(Y)
        highest = max(int(labels.max(initial=0)), int(self.votes.hard.max(initial=0)))
        if highest >= k:
            raise InputError(
                f"k is {k}, but the votes or labels name class {highest}; k must be "
                f"at least {highest + 1}."
            )
        known = labels >= 0
        counts = np.empty((self.votes.n_functions, k + 1, k))
        for j, column in enumerate(self.votes.hard.T):
            cells = (column[known] + 1).astype(np.int64) * k + labels[known]
            counts[j] = np.bincount(cells, minlength=(k + 1) * k).reshape(k + 1, k)
        n_images = np.bincount(labels[known], minlength=k)
        return np.where(n_images > 0, counts / np.maximum(n_images, 1), np.nan)

    def lf_summary(
        self, Y: ArrayLike | None = None, est_weights: ArrayLike | None = None
    ) -> pd.DataFrame:
        """Return one row of statistics per function, columns as in Snorkel.

        Parameters
        ----------
        Y : (n,) true labels, -1 = unknown; adds Correct, Incorrect and Emp. Acc.
        est_weights : (m,) adds Learned Weight.
        """
        import pandas as pd

        m = self.votes.n_functions
        columns: dict[str, Any] = {} if self._names is None else {"j": np.arange(m)}
        columns |= {
            "Polarity": self.lf_polarities(),
            "Coverage": self.lf_coverages(),
            "Overlaps": self.lf_overlaps(),
            "Conflicts": self.lf_conflicts(),
        }
        if Y is not None:
            columns["Correct"], columns["Incorrect"] = self._right_and_wrong(Y)
            columns["Emp. Acc."] = self.lf_empirical_accuracies(Y)
        if est_weights is not None:
            weights = np.asarray(est_weights, dtype=np.float64)
            if weights.shape != (m,):
                raise InputError(
                    f"est_weights has shape {weights.shape}, expected one weight for "
                    f"each of the {m} functions."
                )
            columns["Learned Weight"] = weights
        return pd.DataFrame(
            columns, index=range(m) if self._names is None else self._names
        )

    def _shares(self, images: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the share of all images that are among these and voted on, (m,)."""
        n_voted = np.array([np.count_nonzero(v & images) for v in self.votes.voted.T])
        return n_voted / len(images) if len(images) else np.full(len(n_voted), np.nan)

    def _right_and_wrong(
        self, Y: ArrayLike
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        labels = self._checked_labels(Y)
        rows = np.flatnonzero(labels >= 0)
        votes, truth = self.votes.rows(rows), labels[rows]
        right = votes.right(truth).sum(axis=0)
        return right, votes.voted.sum(axis=0) - right

    def _checked_labels(self, Y: ArrayLike) -> NDArray[np.int64]:
        return checked_labels(Y, len(self.votes), "Y")


def error_buckets(
    labels: ArrayLike, predicted: ArrayLike
) -> dict[tuple[int, int], NDArray[np.int64]]:
    """Group images by (true class, predicted class); -1 is a bucket of its own.

    >>> error_buckets([0, 0, 1, 1], [0, 1, 1, 1])[0, 1]
    array([1])
    """
    truth = checked_labels(labels, None, "labels")
    answers = checked_labels(predicted, len(truth), "predicted")
    order = np.lexsort((answers, truth))
    pairs = np.column_stack([truth, answers])[order]
    starts = np.flatnonzero((pairs[1:] != pairs[:-1]).any(axis=1)) + 1
    groups = np.split(order, starts) if len(order) else []
    return {(int(truth[rows[0]]), int(answers[rows[0]])): rows for rows in groups}


def conflicted_images(votes: Votes) -> NDArray[np.bool_]:
    """Tell where no class satisfies every vote, (n,).

    A soft vote counts as its most probable class.

    >>> conflicted_images(Votes([[0, 1], [1, -1]], ("a", "b"), 2)).tolist()
    [True, False]
    """
    if votes.allowed is None:
        # Lowest and highest class differ; column by column, to hold no (n, m) copy.
        lowest = np.full(len(votes), votes.n_classes, dtype=np.int16)
        highest = np.full(len(votes), ABSTAIN, dtype=np.int16)
        for column in votes.hard.T:
            np.minimum(lowest, column, out=lowest, where=column != ABSTAIN)
            np.maximum(highest, column, out=highest)
        return (highest != ABSTAIN) & (lowest != highest)
    satisfied = np.ones((len(votes), votes.n_classes), dtype=bool)
    for j, column in enumerate(votes.hard.T):
        single = column[:, None] == np.arange(votes.n_classes)
        several = votes.allowed[:, j] & (column == ABSTAIN)[:, None]
        satisfied &= single | several | ~votes.voted[:, [j]]
    return np.logical_not(satisfied.any(axis=1))


def _mean(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if len(mask) else float("nan")


def _ratio(
    part: NDArray[np.float64], whole: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
