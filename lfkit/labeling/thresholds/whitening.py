"""Class means in a whitened space, and how they score held-out seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LARGEST_EXPONENT = 60.0


@dataclass(frozen=True)
class WhitenedMeans:
    """Linear class scores of a feature: minus half a squared distance, less a constant.

    Attributes
    ----------
    weights, bias : (d, classes) and (classes,): scores are row @ weights + bias.
    left_out : (s, classes) scores of the seeds that were kept, each by means and
        covariance fitted without it.
    own : (s,) their classes, as positions.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    left_out: NDArray[np.float64]
    own: NDArray[np.int64]


def whitened_means(
    values: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    classes: tuple[int, ...],
    trim: float,
    shrink: float,
) -> WhitenedMeans:
    """Learn trimmed class means and the shrunk covariance within the classes.

    Parameters
    ----------
    values : (s, d) feature of the seeds; seeds of other classes teach nothing.
    trim : the share trimmed at each end of every coordinate.
    shrink : weight of the mean variance in the covariance, above 0 and up to 1.
    """
    members = [np.flatnonzero(labels == label) for label in classes]
    present = np.array([len(rows) > 0 for rows in members])
    kept = np.concatenate(members)
    own = np.repeat(np.arange(len(classes)), [len(rows) for rows in members])
    origin = values[kept].mean(axis=0)
    points = values[kept] - origin  # (s, d)
    means, centres = np.zeros((2, len(classes), points.shape[1]))
    left_out = np.zeros_like(points)  # each class mean without the seed itself
    for position in np.flatnonzero(present):
        rows = np.flatnonzero(own == position)
        means[position] = trimmed_mean(points[rows], trim)
        centres[position] = points[rows].mean(axis=0)
        left_out[rows] = _trimmed_means_without_each(points[rows], trim)
    # Around plain means: only of those does a downdate remove all trace of a seed
    # (around trimmed ones, temperatures came out at 0.1 where refitting gives 24).
    residuals = points - centres[own]
    precision = _Precision(residuals, shrink, float((points**2).mean()))
    scores = _leave_one_out(residuals, own, centres, means, left_out, precision)
    scores[:, ~present] = -np.inf
    alone = np.bincount(own, minlength=len(classes))[own] == 1
    scores[alone, own[alone]] = -np.inf  # nothing is known of its class without it
    whitened = precision.apply(means)  # (classes, d)
    bias = -(0.5 * (means * whitened).sum(axis=1) + origin @ whitened.T)
    bias[~present] = -np.inf
    return WhitenedMeans(whitened.T, bias, scores, own)


def trimmed_mean(values: NDArray[np.float64], trim: float) -> NDArray[np.float64]:
    """Average rows per coordinate without the `trim` share at each end: (r, d) → (d,).

    >>> trimmed_mean(np.array([[0.0], [1.0], [2.0], [3.0], [100.0]]), 0.2)
    array([2.])
    """
    cut = int(trim * len(values))
    if cut == 0:
        return values.mean(axis=0)
    return np.sort(values, axis=0)[cut : len(values) - cut].mean(axis=0)


def _trimmed_means_without_each(
    values: NDArray[np.float64], trim: float
) -> NDArray[np.float64]:
    """Give `trimmed_mean` of all rows but one, for each row: (r, d); 0 if alone."""
    n = len(values)
    if n < 2:
        return np.zeros_like(values)
    cut = int(trim * (n - 1))
    order = values.argsort(axis=0, kind="stable")
    rank = order.argsort(axis=0, kind="stable")
    ranked = np.take_along_axis(values, order, axis=0)
    ends = np.concatenate([np.zeros_like(ranked[:1]), ranked.cumsum(axis=0)])
    # Of the ranked rows cut … n - cut, less the row itself or the one its loss moves.
    lost = np.take_along_axis(ranked, rank.clip(cut, n - 1 - cut), axis=0)
    return (ends[n - cut] - ends[cut] - lost) / (n - 1 - 2 * cut)


def _leave_one_out(
    residuals: NDArray[np.float64],
    own: NDArray[np.int64],
    centres: NDArray[np.float64],
    means: NDArray[np.float64],
    left_out: NDArray[np.float64],
    precision: _Precision,
) -> NDArray[np.float64]:
    """Score each seed by means and covariance fitted without it: (s, classes).

    The covariance without seed i is a rank-one downdate, so one whitening serves
    all seeds (Sherman-Morrison). Scores are minus half the squared distances; p_… is
    … times the inverse covariance.
    """
    s, k = len(residuals), len(means)
    sizes = np.bincount(own, minlength=k)[own].astype(np.float64)
    points = centres[own] + residuals
    p_means, p_residuals = precision.apply(means), precision.apply(residuals)
    p_points = precision.apply(centres)[own] + p_residuals
    # The squared length of x_i - mean_c, and how far it leans on residual i.
    length = (
        (points * p_points).sum(1)[:, None]
        - 2 * points @ p_means.T
        + (means * p_means).sum(1)
    )
    lean = (residuals * p_points).sum(1)[:, None] - residuals @ p_means.T
    rows = np.arange(s)
    gap = points - left_out
    length[rows, own] = (gap * (p_points - precision.apply(left_out))).sum(1)
    lean[rows, own] = (gap * p_residuals).sum(1)
    share = precision.share * sizes / np.maximum(sizes - 1, 1)
    room = 1 - share * (residuals * p_residuals).sum(1)
    correction = share / np.maximum(room, 1e-6)
    return -0.5 * (length + correction[:, None] * lean**2)


class _Precision:
    """The inverse of the shrunk within-class covariance, of (s, d) residuals.

    shrink * mean variance * I + (1 - shrink) * residuals'residuals / s. With more
    coordinates than seeds the s x s form (Woodbury) is the cheap one. Without any
    residuals, as with one seed per class, the variance of all seeds takes their place.
    """

    def __init__(
        self, residuals: NDArray[np.float64], shrink: float, total_variance: float
    ) -> None:
        s, d = residuals.shape
        variance = float((residuals**2).mean()) or total_variance
        self._ridge = shrink * max(variance, 1e-12)
        self.share = share = (1 - shrink) / s
        self._residuals = residuals if d > s and share > 0 else None
        if self._residuals is None:
            matrix = self._ridge * np.eye(d) + share * residuals.T @ residuals
        else:
            matrix = residuals @ residuals.T + self._ridge / share * np.eye(s)
        from scipy.linalg import cho_factor  # here: loading it takes long

        self._factor = cho_factor(matrix, lower=True, overwrite_a=True)

    def apply(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Multiply each of (r, d) vectors by it."""
        from scipy.linalg import cho_solve

        if self._residuals is None:
            return np.asarray(cho_solve(self._factor, vectors.T).T)
        inner = cho_solve(self._factor, self._residuals @ vectors.T)  # (s, r)
        return np.asarray((vectors - inner.T @ self._residuals) / self._ridge)


def best_temperature(scores: NDArray[np.float64], own: NDArray[np.int64]) -> float:
    """Find the temperature with the least leave-one-out negative log likelihood."""
    from scipy.optimize import minimize_scalar

    # The only seed of the only class has no score without itself.
    scored = np.isfinite(scores).any(axis=1)
    if not scored.any():
        return 1.0
    scores, own = scores[scored], own[scored]
    rows = np.arange(len(scores))

    def loss(log_temperature: float) -> float:
        scaled = scores / np.exp(log_temperature)
        top = scaled.max(axis=1)
        log_sum = np.log(np.exp(scaled - top[:, None]).sum(axis=1)) + top
        return float(np.minimum(log_sum - scaled[rows, own], _LARGEST_EXPONENT).mean())

    found = minimize_scalar(loss, bounds=(-2.0, 8.0), method="bounded")
    return float(np.exp(found.x))


def margin_cut(scores: NDArray[np.float64], abstain: float) -> float:
    """Give the margin between the best two scores that the share `abstain` misses."""
    if abstain == 0 or scores.shape[1] < 2:
        return 0.0
    top = np.sort(scores, axis=1)[:, -2:]
    margins = top[:, 1] - top[:, 0]
    finite = margins[np.isfinite(margins)]
    return float(np.quantile(finite, abstain)) if len(finite) else 0.0
