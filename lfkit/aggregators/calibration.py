"""Posteriors as sure as they are right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.isotonic import IsotonicRegression

from lfkit.data.folds import FOLDS, deal_folds
from lfkit.data.labels import Calibration

LEAST_LOG = -690.0  # of a probability: 1e-300
_N_BINS = 15
_BEHIND = 0.999
_LARGEST_ZERO = 0.02
# Fewer seeds would give an isotonic regression a few wide steps.
_ENOUGH_FOR_ISOTONIC = 1000
# One imaginary seed of any class: where all real ones are right there is no bound.
_IMAGINARY = 1.0


def log_losses(
    proba: NDArray[np.float64], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return - log of what each label was given, (n,)."""
    given = proba[np.arange(len(labels)), labels]
    return -np.log(np.maximum(given, np.exp(LEAST_LOG)))


def best_temperature(
    proba: NDArray[np.float64], labels: NDArray[np.int64], zero: float = 1e-300
) -> float:
    """Find T for which proba^(1/T), renormalised, is likeliest; above 1 is less sure.

    Guo et al. (2017), https://arxiv.org/abs/1706.04599, eq. 9. 1 where the posteriors
    say nothing.

    Parameters
    ----------
    zero : what a probability of 0 is taken for.
    """
    logs = np.log(np.where(proba > 0, proba, zero))
    if not len(labels) or np.ptp(logs, axis=1).max(initial=0) == 0:
        return 1.0

    def loss(log_power: float) -> float:
        normal = np.maximum(log_softmax(np.exp(log_power) * logs, axis=1), LEAST_LOG)
        own = normal[np.arange(len(labels)), labels]
        return -float(own.sum() + _IMAGINARY * normal.mean())

    found = minimize_scalar(loss, bounds=(-6, 3), method="bounded")
    return float(np.exp(-found.x))


def tempered(
    proba: NDArray[np.float64], temperature: float, zero: float = 1e-300
) -> NDArray[np.float64]:
    """Return proba^(1/temperature), renormalised, (n, k)."""
    logs = np.log(np.where(proba > 0, proba, zero))
    return np.asarray(softmax(logs / temperature, axis=1))


def _zero_among(proba: NDArray[np.float64]) -> float:
    """Say what a probability of 0 means: half of the least that is given.

    Nine votes for a class leave nothing to the others, and are not certain.
    """
    return 0.5 * float(proba[proba > 0].min(initial=_LARGEST_ZERO))


@dataclass(frozen=True, eq=False)
class Calibrator:
    """What makes posteriors as sure as they are right on seeds.

    Attributes
    ----------
    temperature : every posterior p becomes p^(1 / temperature), renormalised.
    zero : what a probability of 0 is taken for.
    confidences, accuracies : (b,) the steps of an isotonic regression of "right" on the
        confidence of the most probable class; None below 1,000 seeds.
    """

    temperature: float = 1.0
    zero: float = 1e-300
    confidences: NDArray[np.float64] | None = None
    accuracies: NDArray[np.float64] | None = None

    def __call__(self, proba: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return calibrated posteriors, (n, k); the most probable class stays it."""
        found = tempered(proba, self.temperature, self.zero)
        if self.confidences is None or self.accuracies is None or not len(found):
            return found
        rows, top = np.arange(len(found)), found.argmax(axis=1)
        before = found[rows, top]
        after = np.interp(before, self.confidences, self.accuracies)
        rest = np.where(before < 1, (1 - after) / np.maximum(1 - before, 1e-12), 0)
        others = found * rest[:, None]
        others[rows, top] = 0
        # No other class may overtake it: the regression only says how sure it is.
        most = np.maximum(others.max(axis=1, initial=0.0), 1e-300)
        others *= np.minimum(1, _BEHIND * after / most)[:, None]
        others[rows, top] = after
        return np.asarray(others / others.sum(axis=1, keepdims=True))


def fit_calibrator(proba: NDArray[np.float64], labels: NDArray[np.int64]) -> Calibrator:
    """Fit a calibration of held-out posteriors, (s, k), to the true classes."""
    zero = _zero_among(proba)
    temperature = best_temperature(proba, labels, zero)
    if len(labels) < _ENOUGH_FOR_ISOTONIC:
        return Calibrator(temperature, zero)
    found = tempered(proba, temperature, zero)
    isotonic = IsotonicRegression(y_min=1 / proba.shape[1], y_max=1 - 1 / len(labels))
    isotonic.fit(found.max(axis=1), found.argmax(axis=1) == labels)
    return Calibrator(
        temperature,
        zero,
        np.asarray(isotonic.X_thresholds_, np.float64),
        np.asarray(isotonic.y_thresholds_, np.float64),
    )


def cross_calibrated(
    proba: NDArray[np.float64], labels: NDArray[np.int64], random_state: int = 0
) -> NDArray[np.float64]:
    """Calibrate each row by what the other folds' rows teach, (n, k)."""
    found = proba.copy()
    folds = deal_folds(labels, FOLDS, random_state)
    for fold in np.unique(folds):
        test = folds == fold
        if not test.all():
            found[test] = fit_calibrator(proba[~test], labels[~test])(proba[test])
    return found


def measure(
    proba: NDArray[np.float64], labels: NDArray[np.int64]
) -> Calibration | None:
    """Compare posteriors, (n, k), with true classes, (n,); None without any."""
    n = len(labels)
    if not n:
        return None
    confidence = proba.max(axis=1)
    right = proba.argmax(axis=1) == labels
    # Equal confidences may lie in two bins: each then has their mean share of right
    # ones, or the order of the images would decide.
    _, group = np.unique(confidence, return_inverse=True)
    shares = np.bincount(group, right) / np.bincount(group)
    order = np.argsort(confidence, kind="stable")
    gaps = [
        abs(float((confidence[part] - shares[group[part]]).sum()))
        for part in np.array_split(order, min(_N_BINS, max(1, n // 20)))
    ]
    missed = proba.copy()
    missed[np.arange(n), labels] -= 1
    return Calibration(
        ece=sum(gaps) / n,
        brier=float((missed**2).sum(axis=1).mean()),
        confidence=float(confidence.mean()),
        accuracy=float(right.mean()),
        n=n,
    )


def bootstrap_intervals(
    proba: NDArray[np.float64],
    labels: NDArray[np.int64],
    n_draws: int,
    random_state: int = 0,
) -> dict[str, tuple[float, float]]:
    """Give 95 % intervals of accuracy, ECE and Brier score, by redrawing the images."""
    rng = np.random.default_rng(random_state)
    drawn = []
    for _ in range(n_draws):
        rows = rng.integers(0, len(labels), len(labels))
        found = measure(proba[rows], labels[rows])
        assert found is not None, "there are images"
        drawn.append((found.accuracy, found.ece, found.brier))
    low, high = np.quantile(np.asarray(drawn), (0.025, 0.975), axis=0)
    return {
        name: (float(low[i]), float(high[i]))
        for i, name in enumerate(("accuracy", "ece", "brier"))
    }


def precise_enough(confidence: NDArray[np.float64], target: float) -> NDArray[np.bool_]:
    """Choose the most labels whose mean confidence reaches a target, (n,)."""
    order = np.argsort(-confidence, kind="stable")
    means = np.cumsum(confidence[order]) / np.arange(1, len(order) + 1)
    reached = np.flatnonzero(means >= target)
    kept = np.zeros(len(confidence), bool)
    if len(reached):
        # Labels of equal confidence stay or go together.
        cut = confidence[order[reached[-1]]]
        kept = confidence >= cut
        if confidence[kept].mean() < target:
            kept = confidence > cut
    return kept
