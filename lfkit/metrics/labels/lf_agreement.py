"""How labeling functions go together: what they agree on, where they err together."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.data.labels import checked_labels
from lfkit.data.votes import ABSTAIN, Votes

_CHUNK_ROWS = 2**14


def agreements(votes: Votes) -> NDArray[np.float64]:
    """Share of equal votes among the images on which either function votes, (m, m).

    1 means that one of them is superfluous. Where only one votes they do not agree;
    two precise functions always agree where both vote, and are not the same for it. A
    soft vote counts as its most probable class, a set of classes as no vote. NaN where
    neither ever votes.

    >>> votes = Votes(np.array([[0, 0], [1, 0], [1, -1]]), ("a", "b"), n_classes=2)
    >>> agreements(votes)[0, 1].round(2)
    np.float64(0.33)
    """
    m = votes.n_functions
    common, equal = np.zeros((2, m, m))
    for start in range(0, len(votes), _CHUNK_ROWS):
        hard = votes.hard[start : start + _CHUNK_ROWS]
        voted = (hard != ABSTAIN).astype(np.float32)
        common += voted.T @ voted
        for label in range(votes.n_classes):
            named = (hard == label).astype(np.float32)
            equal += named.T @ named
    n_votes = np.diagonal(common)
    either = n_votes[:, None] + n_votes - common
    return np.divide(equal, either, out=np.full((m, m), np.nan), where=either > 0)


def error_correlations(
    votes: Votes, labels: ArrayLike, *, least_common: int = 50
) -> NDArray[np.float64]:
    """Correlation of two functions' errors on the images on which both vote, (m, m).

    Pearson's, of "wrong" (1) and "right" (0); a set of classes is right if it holds the
    label. Label models that take functions for independent take it for zero. NaN where
    one of the two is always right or wrong.

    Parameters
    ----------
    labels : (n,) true classes, -1 = unknown: not counted.
    least_common : NaN for pairs with fewer images in common.
    """
    truth = checked_labels(labels, len(votes), "labels")
    m = votes.n_functions
    common, first, both = np.zeros((3, m, m))
    for start in range(0, len(votes), _CHUNK_ROWS):
        rows = slice(start, start + _CHUNK_ROWS)
        part, known = votes.rows(rows), truth[rows]
        is_voted = part.voted & (known >= 0)[:, None]
        voted = is_voted.astype(np.float32)
        wrong = (is_voted & ~part.right(known)).astype(np.float32)
        common += voted.T @ voted
        first += wrong.T @ voted  # errors of the row's function beside the column's
        both += wrong.T @ wrong
    n = np.where(common >= max(least_common, 2), common, np.nan)
    p, q = first / n, first.T / n
    variance = p * (1 - p) * q * (1 - q)
    spread = np.sqrt(np.where(variance > 1e-12, variance, np.nan))
    return np.asarray((both / n - p * q) / spread)


def mean_error_correlation(votes: Votes, labels: ArrayLike) -> float:
    """Average `error_correlations` over all pairs that have one; NaN without any."""
    above = np.triu_indices(votes.n_functions, 1)
    found = error_correlations(votes, labels)[above]
    found = found[np.isfinite(found)]
    return float(found.mean()) if len(found) else float("nan")
