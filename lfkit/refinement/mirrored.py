"""Whether images keep their class in the mirror."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.data.folds import deal_folds
from lfkit.refinement.lda_model import discriminant, moments
from lfkit.refinement.problem import RefinementProblem

_SIDE = 14
_SHRINKAGE = 0.3
_MARGIN = 0.1  # share of what it knows beyond chance that mirrors may cost
_LEAST, _MOST = 100, 4000  # labels that tell, where there are no seeds


def is_flip_invariant(
    problem: RefinementProblem, proba: NDArray[np.float64] | None = None
) -> bool:
    """Tell whether mirrored images are of the same class.

    A discriminant on gray pixels must know held-out seeds in the mirror as well as it
    knows them otherwise, and clearly better than by guessing.

    Parameters
    ----------
    proba : (n, k) labels so far; where no seeds tell, some of these do.
    """
    if problem.has_seeds:
        shown, labels = problem.seed_rows, problem.seed_labels
    elif proba is not None and problem.told.sum() >= _LEAST:
        told = np.flatnonzero(problem.told)
        shown = told[:: -(-len(told) // _MOST)]
        labels = proba[shown].argmax(axis=1)
    else:
        return False
    gray = _thumbnails(problem.pixels[shown])
    if not np.ptp(gray, axis=0).any():
        return False  # all images are the same
    mirrored = gray[:, :, ::-1].reshape(len(gray), -1)
    rows = gray.reshape(len(gray), -1)
    folds = deal_folds(labels, 5, problem.random_state)
    right = np.zeros((2, len(rows)), bool)
    for fold in np.unique(folds):
        test, train_rows = folds == fold, folds != fold
        targets = np.eye(problem.n_classes)[labels[train_rows]]
        found = discriminant(moments(rows[train_rows], targets), _SHRINKAGE)
        for which, view in enumerate((rows, mirrored)):
            right[which, test] = found(view[test]).argmax(1) == labels[test]
    plain, flipped = right.mean(axis=1)
    chance = np.bincount(labels).max() / len(rows)
    doubt = float(np.sqrt(0.25 / len(rows)))
    margin = max(doubt / 2, _MARGIN * (plain - chance))
    return bool(plain > chance + 3 * doubt and flipped >= plain - margin)


def _thumbnails(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    from torch.nn.functional import adaptive_avg_pool2d

    gray = torch.from_numpy(pixels.mean(axis=3, dtype=np.float32) / 255)
    h, w = (min(side, _SIDE) for side in gray.shape[1:])
    return adaptive_avg_pool2d(gray[:, None], (h, w))[:, 0].numpy()
