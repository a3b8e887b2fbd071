"""Seeds in folds, for models that are evaluated on held-out seeds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FOLDS = 5  # in which seeds judge what others have taught


def deal_folds(
    labels: NDArray[np.int64], n_folds: int, random_state: int
) -> NDArray[np.int64]:
    """Deal the seeds of each class to folds in turn: (s,) fold numbers.

    Each class goes on where the one before stopped, so that classes of a single seed
    do not all lie in one fold.
    """
    rng = np.random.default_rng(random_state)
    folds = np.zeros(len(labels), np.int64)
    dealt = 0
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        folds[rows] = (dealt + np.arange(len(rows))) % n_folds
        dealt += len(rows)
    return folds
