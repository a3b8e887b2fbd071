"""Pairs of functions that agree more than their agreement with all others allows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LEAST_COMMON = 20.0  # images on which both vote
# A pair that agrees by chance so often says nothing: both name one class, mostly.
_MOST_CHANCE = 0.95
_ENOUGH_COMMON = 200.0  # more do not count more: a pair is one equation
_LEAST_FUNCTIONS = 4  # two beside the pair
_TURNS, _LEAST_CHANGE = 50, 1e-4
_NOISE = 0.05  # by which pairs may differ from the factor, beside chance
_ERRORS = 4.0
_MOST_LOADING = 0.99


def excess_agreement(
    hard: NDArray[np.int16],
    counts: NDArray[np.float64],
    n_classes: int,
    n_images: float,
) -> NDArray[np.float64]:
    """Give how much of what two functions could agree more, they do: (m, m).

    Of functions that are right independently of each other, the agreement beyond chance
    (Cohen's kappa) is a product, k_ij = b_i b_j: who is right more often agrees more
    with everybody. The b are fitted to all pairs, those that agree more than that
    counting less (Huber's weights). What is left of a pair is
    (k_ij - b_i b_j) / (1 - b_i b_j): 1 for copies, 0 where in doubt, by four standard
    errors. Two models that make the same mistakes are seen here even if they vote on
    every image and people on few: then any estimate of the class is what the two say.

    Parameters
    ----------
    hard : (u, m) votes, -1 = abstain; counts: (u,) images of each row.
    n_images : as how many images the rows count, if some stand for others.
    """
    m = hard.shape[1]
    found = np.zeros((m, m))
    if m < _LEAST_FUNCTIONS:
        return found
    voted = (hard >= 0).astype(np.float64)
    both = (voted * counts[:, None]).T @ voted
    agreed, shares = np.zeros((m, m)), np.zeros((m, n_classes))
    for label in range(n_classes):
        says = (hard == label).astype(np.float64)
        agreed += (says * counts[:, None]).T @ says
        shares[:, label] = counts @ says
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
    chance = shares @ shares.T
    common = both * (n_images / max(counts.sum(), 1e-300))
    used = (common >= _LEAST_COMMON) & (chance < _MOST_CHANCE)
    np.fill_diagonal(used, False)
    agreed = np.divide(agreed, both, out=np.zeros((m, m)), where=used)
    kappa = np.where(used, (agreed - chance) / np.maximum(1 - chance, 1e-3), 0)
    weight = np.where(used, np.minimum(common / _ENOUGH_COMMON, 1), 0)
    allowed = 2 * (np.sqrt(1 / np.maximum(common, 1)) + _NOISE)
    loadings, robust = np.full(m, 0.7), weight
    for _ in range(_TURNS):
        squares = robust @ loadings**2
        best = np.divide(
            (robust * kappa) @ loadings, squares, out=np.zeros(m), where=squares > 0
        )
        moved = (best.clip(0, _MOST_LOADING) - loadings) / 2
        loadings = loadings + moved
        left = kappa - np.outer(loadings, loadings)
        too_much = allowed / np.maximum(left, 1e-9)
        robust = weight * np.where(left > allowed, too_much, 1) ** 2
        if np.abs(moved).max() < _LEAST_CHANGE:
            break
    explained = np.outer(loadings, loadings)
    left = kappa - explained
    error = np.sqrt((1 - kappa.clip(0, _MOST_LOADING) ** 2) / np.maximum(common, 1))
    certain = used & (left > _ERRORS * np.maximum(error, 1e-3))
    return np.where(certain, (left / (1 - explained)).clip(0, 1), 0)
