"""Gaussian classes with one covariance, from sums that add up over folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, eigh

_CHUNK_ROWS = 8192


@dataclass(frozen=True, eq=False)
class ClassMoments:
    """What a linear discriminant needs of weighted rows; moments of folds add up.

    Attributes
    ----------
    counts : (k,) weight of each class.
    sums : (k, d) weighted sums of the rows.
    squares : (d, d) weighted sum of outer products.
    """

    counts: NDArray[np.float64]
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]

    def __add__(self, other: ClassMoments) -> ClassMoments:
        return ClassMoments(
            self.counts + other.counts,
            self.sums + other.sums,
            self.squares + other.squares,
        )

    def __sub__(self, other: ClassMoments) -> ClassMoments:
        return ClassMoments(
            np.maximum(self.counts - other.counts, 0),
            self.sums - other.sums,
            self.squares - other.squares,
        )

    @property
    def means(self) -> NDArray[np.float64]:
        """(k, d) class means; the mean of all where a class has no weight."""
        known = self.counts > 1e-9
        everyone = self.sums.sum(axis=0) / max(self.counts.sum(), 1e-12)
        found = self.sums / np.where(known, self.counts, 1)[:, None]
        return np.where(known[:, None], found, everyone)

    @property
    def within(self) -> NDArray[np.float64]:
        """(d, d) covariance about the class means."""
        known = self.counts > 1e-9
        roots = np.sqrt(np.where(known, self.counts, 1))[:, None]
        between = np.where(known[:, None], self.sums / roots, 0)
        scatter = self.squares - between.T @ between
        return scatter / max(self.counts.sum(), 1e-12)


def moments(rows: NDArray[np.floating], weights: NDArray[np.float64]) -> ClassMoments:
    """Sum up (n, d) rows that belong to classes by (n, k) weights."""
    d, k = rows.shape[1], weights.shape[1]
    sums, squares = np.zeros((k, d)), np.zeros((d, d))
    for start in range(0, len(rows), _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        values = rows[part].astype(np.float32)
        share = weights[part].astype(np.float32)
        sums += share.T @ values
        rooted = values * np.sqrt(share.sum(axis=1))[:, None]
        squares += rooted.T @ rooted
    return ClassMoments(weights.sum(axis=0), sums, squares)


@dataclass(frozen=True, eq=False)
class Discriminant:
    """Linear class scores: log likelihoods up to a number per row.

    Attributes
    ----------
    weights, bias : (d, k) and (k,)
    unknown : (k,) True for classes without examples: they get the others' mean score.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    unknown: NDArray[np.bool_]

    def __call__(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        """Score (n, d) rows: (n, k)."""
        found = np.empty((len(rows), len(self.bias)))
        for start in range(0, len(rows), _CHUNK_ROWS):
            part = slice(start, start + _CHUNK_ROWS)
            found[part] = rows[part].astype(np.float64) @ self.weights + self.bias
        if self.unknown.any() and not self.unknown.all():
            others = found[:, ~self.unknown].mean(axis=1, keepdims=True)
            found = np.where(self.unknown, others, found)
        return found - found.max(axis=1, keepdims=True, initial=-np.inf)


def discriminant(known: ClassMoments, shrinkage: float) -> Discriminant:
    """Fit a discriminant, its covariance shrunk towards a sphere; no class prior."""
    means = known.means  # (k, d)
    factor = cho_factor(_shrunk(known.within, shrinkage), lower=True)
    directions = cho_solve(factor, means.T)  # (d, k)
    bias = -0.5 * (means.T * directions).sum(axis=0)
    return Discriminant(directions, bias, known.counts <= 1e-9)


def metric(
    within: NDArray[np.float64],
    total: NDArray[np.float64],
    *,
    shrinkage: float,
    n_directions: int = 60,
) -> NDArray[np.float64]:
    """Give the main directions after whitening the covariance within classes, (d, g).

    The eigenvectors of total v = e within v, as whitening and then principal
    components give them.
    """
    d = len(within)
    kept = min(n_directions, d)
    _, vectors = eigh(
        total, _shrunk(within, shrinkage), subset_by_index=(d - kept, d - 1)
    )
    return np.asarray(vectors)


def _shrunk(covariance: NDArray[np.float64], shrinkage: float) -> NDArray[np.float64]:
    d = len(covariance)
    # The baseline keeps directions without any residual finite.
    variance = max(float(np.trace(covariance)) / max(d, 1), 1e-9)
    return (1 - shrinkage) * covariance + (shrinkage + 1e-6) * variance * np.eye(d)
