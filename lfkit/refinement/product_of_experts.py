"""Products of posteriors, and how sure they may be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize
from scipy.special import log_softmax

LEAST_LOG = -30.0  # of a probability: what one expert can hold against a class


def logs(proba: NDArray[np.floating]) -> NDArray[np.float64]:
    """Take logarithms, none below `LEAST_LOG`."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(np.asarray(proba, np.float64)), LEAST_LOG)


def product(
    scores: Sequence[NDArray[np.float64]], powers: Sequence[float]
) -> NDArray[np.float64]:
    """Multiply experts, given as (n, k) log scores, each to its power: (n, k)."""
    total = sum(p * s for p, s in zip(powers, scores, strict=True))
    return np.exp(log_softmax(np.asarray(total), axis=1))


def fit_powers(
    scores: Sequence[NDArray[np.float64]], targets: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Find the powers, none negative, of the likeliest product, and its mean loss.

    A log-linear model, so there is one optimum. One imaginary row is of any class:
    where all real ones are right, there would be no bound.

    Parameters
    ----------
    targets : (n, k) distributions; rows of zeros count nothing.
    """
    stack = np.stack(scores)  # (e, n, k)
    # Of about the same size: raw discriminant scores go to the hundreds.
    size = np.maximum(np.abs(stack).mean(axis=(1, 2)), 1e-9)
    stack = stack / size[:, None, None]
    n_rows = max(float(targets.sum()), 1.0)
    imaginary = 1 / (stack.shape[1] * stack.shape[2])
    wanted = targets + imaginary

    def loss(powers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        log = log_softmax(np.tensordot(powers, stack, axes=1), axis=1)
        surplus = np.exp(log) * wanted.sum(axis=1, keepdims=True) - wanted
        slope = np.einsum("enk,nk->e", stack, surplus)
        return -float((wanted * log).sum()) / n_rows, slope / n_rows

    start = np.ones(len(stack))
    found = minimize(loss, start, jac=True, bounds=[(0, None)] * len(stack))
    return np.asarray(found.x) / size, float(found.fun)


def as_sure_as(proba: NDArray[np.float64], confidence: float) -> NDArray[np.float64]:
    """Raise posteriors to one power so that the mean of the largest is `confidence`."""
    found = logs(proba)

    def gap(log_power: float) -> float:
        scaled = np.exp(log_softmax(np.exp(log_power) * found, axis=1))
        return float(scaled.max(axis=1).mean()) - confidence

    low, high = -4.0, 4.0
    if not len(proba) or gap(low) > 0 or gap(high) < 0:
        return proba
    power = float(np.exp(brentq(gap, low, high, xtol=1e-6)))
    return product([found], [power])
