"""Class means in a whitened space, and what they say of a seed they have not seen."""

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
        covariance that have not seen it.
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
    means = np.zeros((len(classes), points.shape[1]))
    left_out = np.zeros_like(points)  # each class mean without the seed itself
    # Around plain means: only of those does a downdate remove all trace of a seed
    # (around trimmed ones, temperatures came out at 0.1 where refitting gives 24).
    residuals = np.zeros_like(points)
    for position in np.flatnonzero(present):
        rows = np.flatnonzero(own == position)
        means[position] = trimmed_mean(points[rows], trim)
        residuals[rows] = points[rows] - points[rows].mean(axis=0)
        for row in rows:
            others = rows[rows != row]
            left_out[row] = trimmed_mean(points[others], trim) if len(others) else 0.0
    scores = _leave_one_out(points, own, means, left_out, residuals, shrink)
    scores[:, ~present] = -np.inf
    whitened = _apply_precision(means, residuals, shrink)  # (classes, d)
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


def _leave_one_out(
    points: NDArray[np.float64],
    own: NDArray[np.int64],
    means: NDArray[np.float64],
    left_out: NDArray[np.float64],
    residuals: NDArray[np.float64],
    shrink: float,
) -> NDArray[np.float64]:
    """Score each seed by means and covariance that have not seen it: (s, classes).

    The covariance without seed i is a rank-one downdate, so one whitening serves
    all seeds (Sherman-Morrison). Scores are minus half the squared distances.
    """
    s, k = len(points), len(means)
    sizes = np.bincount(own, minlength=k)[own].astype(np.float64)
    stacked = np.concatenate([points, means, left_out, residuals])
    precise = _apply_precision(stacked, residuals, shrink)
    p_points, p_means, p_left, p_res = np.split(precise, [s, s + k, 2 * s + k])
    # The squared length of x_i - mean_c, and how far it leans on residual i.
    length = (
        (points * p_points).sum(1)[:, None]
        - 2 * points @ p_means.T
        + (means * p_means).sum(1)
    )
    lean = (residuals * p_points).sum(1)[:, None] - residuals @ p_means.T
    rows = np.arange(s)
    gap = points - left_out
    length[rows, own] = (gap * (p_points - p_left)).sum(1)
    lean[rows, own] = (gap * p_res).sum(1)
    share = (1 - shrink) / s * sizes / np.maximum(sizes - 1, 1)
    room = 1 - share * (residuals * p_res).sum(1)
    correction = share / np.maximum(room, 1e-6)
    return -0.5 * (length + correction[:, None] * lean**2)


def _apply_precision(
    vectors: NDArray[np.float64], residuals: NDArray[np.float64], shrink: float
) -> NDArray[np.float64]:
    """Multiply (r, d) vectors by the inverse of the shrunk within-class covariance.

    shrink * mean variance * I + (1 - shrink) * residuals'residuals / s. With more
    coordinates than seeds the s x s form (Woodbury) is the cheap one.
    """
    s, d = residuals.shape
    ridge = shrink * max(float((residuals**2).sum()) / (s * d), 1e-12)
    share = (1 - shrink) / s
    if d <= s:
        covariance = ridge * np.eye(d) + share * residuals.T @ residuals
        return np.linalg.solve(covariance, vectors.T).T
    if share == 0:
        return vectors / ridge
    gram = residuals @ residuals.T + ridge / share * np.eye(s)
    inner = np.linalg.solve(gram, residuals @ vectors.T)  # (s, r)
    return (vectors - inner.T @ residuals) / ridge


def best_temperature(scores: NDArray[np.float64], own: NDArray[np.int64]) -> float:
    """Find the temperature with the least leave-one-out negative log likelihood."""
    from scipy.optimize import minimize_scalar

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
