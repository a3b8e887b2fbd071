"""Gaussian classes with one covariance, from sums that add up over folds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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

    @cached_property
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
    equal_lengths : rows are first made equally long.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    unknown: NDArray[np.bool_]
    equal_lengths: bool = False

    def __call__(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        """Score (n, d) rows: (n, k)."""
        found = np.empty((len(rows), len(self.bias)))
        for start in range(0, len(rows), _CHUNK_ROWS):
            part = slice(start, start + _CHUNK_ROWS)
            values = equally_long(rows[part]) if self.equal_lengths else rows[part]
            found[part] = values.astype(np.float64) @ self.weights + self.bias
        if self.unknown.any() and not self.unknown.all():
            others = found[:, ~self.unknown].mean(axis=1, keepdims=True)
            found = np.where(self.unknown, others, found)
        return found - found.max(axis=1, keepdims=True, initial=-np.inf)


def equally_long(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Divide rows, (n, d), by their lengths; rows of zeros stay.

    How long a row is says how unusual an image is, more than of which class: with two
    seeds a class the lengths of the seeds decide (Wang et al. 2019, SimpleShot,
    https://arxiv.org/abs/1911.04623).
    """
    found = rows.astype(np.float32)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / np.where(lengths > 0, lengths, 1), np.float32)


class SharedCovariance:
    """Classes that are Gaussians of one covariance, shrunk towards a sphere."""

    def __init__(self, known: ClassMoments, shrinkage: float) -> None:
        self._counts, self._means = known.counts, known.means
        self._factor = cho_factor(_shrunk(known.within, shrinkage), lower=True)
        self._directions = cho_solve(self._factor, self._means.T)  # (d, k)
        self._lengths = (self._means.T * self._directions).sum(axis=0)  # (k,) squared

    def spread(self, rows: NDArray[np.floating], weights: NDArray[np.float64]) -> float:
        """Measure how far rows lie from the means of their classes, squared.

        In units of the covariance. In many dimensions the rows that it was learned from
        cannot tell.

        Parameters
        ----------
        rows, weights : (n, d) and (n, k), that it has not learned from.
        """
        weights = np.where(self._counts > 1e-9, weights, 0)
        if not weights.any():
            return 0.0
        values = rows.astype(np.float64)
        own = (values.T * cho_solve(self._factor, values.T)).sum(axis=0)
        squared = own[:, None] - 2 * values @ self._directions + self._lengths
        squared /= 1 + 1 / np.maximum(self._counts, 1)  # the means are off, too
        return float((weights * squared).sum() / weights.sum())

    def discriminant(self, spread: float = 0.0) -> Discriminant:
        """Give the discriminant; no class prior.

        The mean of few rows is longer than that of many, by chance alone: a class of
        three rows would be denied images that one of four gets, and in many dimensions
        by far (Chan & Hall 2009, https://doi.org/10.1093/biomet/asp007).

        Parameters
        ----------
        spread : takes that out; 0: means are taken for exact.
        """
        bias = 0.5 * (spread / np.maximum(self._counts, 1) - self._lengths)
        return Discriminant(self._directions, bias, self._counts <= 1e-9)


def discriminant(known: ClassMoments, shrinkage: float) -> Discriminant:
    """Fit a discriminant whose means are taken for exact."""
    return SharedCovariance(known, shrinkage).discriminant()


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
