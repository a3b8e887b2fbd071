"""Posteriors as sure as they are right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from lfkit.folds import deal_folds

_FOLDS = 5
_LEAST_LOG = -690.0  # of a probability: 1e-300
_N_BINS = 15
# One imaginary seed of any class: where all real ones are right there is no bound.
_IMAGINARY = 1.0


def log_losses(
    proba: NDArray[np.float64], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return - log of what each label was given, (n,)."""
    given = proba[np.arange(len(labels)), labels]
    return -np.log(np.maximum(given, np.exp(_LEAST_LOG)))


def best_temperature(proba: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Find T for which proba^(1/T), renormalised, is likeliest; above 1 is less sure.

    Guo et al. (2017), https://arxiv.org/abs/1706.04599, eq. 9. 1 where the posteriors
    say nothing.
    """
    logs = np.log(np.maximum(proba, 1e-300))
    if not len(labels) or np.ptp(logs, axis=1).max(initial=0) == 0:
        return 1.0

    def loss(log_power: float) -> float:
        scores = np.exp(log_power) * logs
        top = scores.max(axis=1, keepdims=True)
        normal = scores - top - np.log(np.exp(scores - top).sum(axis=1, keepdims=True))
        normal = np.maximum(normal, _LEAST_LOG)
        own = normal[np.arange(len(labels)), labels]
        return -float(own.sum() + _IMAGINARY * normal.mean())

    found = minimize_scalar(loss, bounds=(-6, 3), method="bounded")
    return float(np.exp(-found.x))


def tempered(proba: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return proba^(1/temperature), renormalised; zeros stay, (n, k)."""
    if temperature == 1:
        return proba
    with np.errstate(divide="ignore"):
        return np.asarray(softmax(np.log(proba) / temperature, axis=1))


def cross_tempered(
    proba: NDArray[np.float64], labels: NDArray[np.int64], random_state: int = 0
) -> NDArray[np.float64]:
    """Temper each row by the temperature that the other folds' rows give, (n, k)."""
    found = proba.copy()
    folds = deal_folds(labels, _FOLDS, random_state)
    for fold in np.unique(folds):
        test = folds == fold
        if test.all():
            continue
        temperature = best_temperature(proba[~test], labels[~test])
        found[test] = tempered(proba[test], temperature)
    return found


@dataclass(frozen=True)
class Calibration:
    """How far confidence can be believed.

    Attributes
    ----------
    ece : expected calibration error of the most probable class, over bins of equally
        many images (Naeini et al. 2015): the mean distance of confidence and accuracy.
    brier : mean squared distance of the posterior and the true class, 0 to 2 (Brier
        1950).
    confidence, accuracy : their means; a confidence above the accuracy is too sure.
    n : images behind them.
    """

    ece: float
    brier: float
    confidence: float
    accuracy: float
    n: int


def measure(
    proba: NDArray[np.float64], labels: NDArray[np.int64]
) -> Calibration | None:
    """Compare posteriors, (n, k), with true classes, (n,); None without any."""
    n = len(labels)
    if not n:
        return None
    confidence = proba.max(axis=1)
    right = proba.argmax(axis=1) == labels
    order = np.argsort(confidence, kind="stable")
    gaps = [
        abs(float((confidence[part] - right[part]).sum()))
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
