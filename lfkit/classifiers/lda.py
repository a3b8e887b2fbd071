"""Linear discriminant analysis with a shrunk covariance: strong with few labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import softmax

from lfkit.classifiers.classifier import CHUNK_ROWS, Classifier
from lfkit.errors import InputError


class ShrinkageLDA(Classifier):
    """Classes are Gaussians with one common covariance, shrunk towards a sphere.

    The shrinkage is Ledoit & Wolf's (2004), https://doi.org/10.1016/S0047-259X(03)00096-4,
    of the residuals about the class means. Features are standardised first; constant
    ones are ignored. With fewer labeled rows than features the system is solved in the
    space of the rows. Soft labels weight a row's part in each class.

    Parameters
    ----------
    shrinkage : from 0 (none) to 1 (sphere); None estimates it.
    blocks : widths of groups of features that count alike, whatever their widths;
        None: every feature counts alike.
    standardise : False for principal components, whose sizes are to be kept.

    Attributes
    ----------
    means_ : (k, d) class means of the standardised features; 0 without examples.
    class_prior_ : (k,) shares of the labels.
    shrinkage_ : the shrinkage used.
    """

    def __init__(
        self,
        shrinkage: float | None = None,
        blocks: Sequence[int] | None = None,
        standardise: bool = True,
    ) -> None:
        self.shrinkage = shrinkage
        self.blocks = blocks
        self.standardise = standardise

    def _fit(self, rows: NDArray[np.float32], weights: NDArray[np.float64]) -> None:
        self._check_parameters(rows.shape[1])
        class_weight = weights.sum(axis=0)  # (k,)
        self.class_prior_ = class_weight / class_weight.sum()
        self._center, self._scale = _standardisation(rows, weights.sum(axis=1))
        if not self.standardise:
            self._scale = np.ones_like(self._scale)
        if self.blocks is not None:
            self._scale = self._scale / np.sqrt(np.repeat(self.blocks, self.blocks))
        rows = self._standardised(rows)
        self.means_ = (weights.T @ rows) / np.where(class_weight > 0, class_weight, 1)[
            :, None
        ]
        scatter = _Scatter(rows, weights / class_weight.sum(), self.means_)
        self.shrinkage_ = (
            scatter.ledoit_wolf() if self.shrinkage is None else float(self.shrinkage)
        )
        directions = scatter.solve(self.means_.T, self.shrinkage_)  # (d, k)
        self._coefficients = directions.astype(np.float32)
        with np.errstate(divide="ignore"):
            log_prior = np.log(self.class_prior_)  # -inf: no example of the class
        self._intercepts = log_prior - 0.5 * (self.means_.T * directions).sum(axis=0)

    @property
    def linear_(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights of rows, (d, k), and constants, (k,): posteriors are a softmax."""
        weights = self._scale[:, None].astype(np.float64) * self._coefficients
        return weights, self._intercepts - self._center @ weights

    def _predict_proba(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        scores = self._standardised(rows) @ self._coefficients  # (n, k)
        return softmax(scores.astype(np.float64) + self._intercepts, axis=1)

    def _standardised(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return (rows - self._center) * self._scale

    def _check_parameters(self, n_features: int) -> None:
        if self.shrinkage is not None and not 0 <= self.shrinkage <= 1:
            raise InputError(
                f"ShrinkageLDA's shrinkage must be from 0 to 1, got {self.shrinkage}."
            )
        if self.blocks is not None and sum(self.blocks) != n_features:
            raise InputError(
                f"ShrinkageLDA's blocks have {sum(self.blocks)} features in all; the "
                f"rows have {n_features}."
            )


class _Scatter:
    """The within-class covariance S, held in the smaller of two forms.

    As residuals F, (r, d), with S = F'F, one for each label of each row; or, when
    these are more than the features, as S itself, (d, d).
    """

    def __init__(
        self,
        rows: NDArray[np.float32],
        shares: NDArray[np.float64],
        means: NDArray[np.float64],
    ) -> None:
        self.n_features = rows.shape[1]
        row_share = shares.sum(axis=1)
        self.n_effective = 1 / (row_share**2).sum()
        self.fourth_moment = 0.0
        row, label = np.nonzero(shares)
        self.in_rows = len(row) < self.n_features
        size = 0 if self.in_rows else self.n_features
        matrix = np.zeros((size, size))
        chunks = []
        for start in range(0, len(row), CHUNK_ROWS):
            part = slice(start, start + CHUNK_ROWS)
            share = shares[row[part], label[part]]
            residuals = rows[row[part]] - means[label[part]]
            squared = (residuals**2).sum(axis=1)
            self.fourth_moment += float(share @ squared**2)
            residuals *= np.sqrt(share)[:, None]
            if self.in_rows:
                chunks.append(residuals)
            else:
                matrix += residuals.T @ residuals
        self.residuals = np.concatenate(chunks) if self.in_rows else None
        self.gram = (
            matrix if self.residuals is None else self.residuals @ self.residuals.T
        )
        self.trace = float(np.trace(self.gram))

    def ledoit_wolf(self) -> float:
        """Return the shrinkage that minimises the expected squared error."""
        # |S|² and trace(S) are the same for F'F and FF'.
        squared_norm = float((self.gram**2).sum())
        distance = squared_norm - self.trace**2 / self.n_features
        error = (self.fourth_moment - squared_norm) / self.n_effective
        return min(max(error, 0.0), distance) / distance if distance > 0 else 1.0

    def solve(
        self, targets: NDArray[np.float64], shrinkage: float
    ) -> NDArray[np.float64]:
        """Return X with ((1 - s) S + s (trace(S) / d) I) X = targets."""
        mean_variance = self.trace / self.n_features or 1.0
        # The baseline keeps directions without any residual finite.
        diagonal = max(shrinkage, 1e-6) * mean_variance
        kept = 1 - shrinkage
        if kept == 0:
            return targets / diagonal
        inner = kept * self.gram
        inner[np.diag_indices_from(inner)] += diagonal
        factor = cho_factor(inner, lower=True, overwrite_a=True)
        if self.residuals is None:
            return cho_solve(factor, targets)
        # Woodbury: (aI + F'F)^-1 = (I - F'(aI + FF')^-1 F) / a.
        inside = cho_solve(factor, self.residuals @ targets)
        return (targets - kept * self.residuals.T @ inside) / diagonal


def _standardisation(
    rows: NDArray[np.float32], row_weight: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean and 1 / standard deviation of each feature; 0 where constant."""
    share = row_weight / row_weight.sum()
    mean = share @ rows
    variance = np.zeros(rows.shape[1])
    for start in range(0, len(rows), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        variance += share[part] @ (rows[part] - mean) ** 2
    deviation = np.sqrt(variance)
    # float32 rounds a constant feature to about 1e-7 of its size.
    constant = deviation <= 1e-6 * np.abs(mean)
    scale = np.where(constant, 0, 1 / np.where(constant, 1, deviation))
    return mean.astype(np.float32), scale.astype(np.float32)
