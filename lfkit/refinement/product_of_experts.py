"""Products of posteriors, and how sure they may be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, brentq, minimize
from scipy.special import log_softmax, logsumexp

LEAST_LOG = -30.0  # of a probability: what one expert can hold against a class
# How far from what is expected the powers of posteriors may be. Photographs of clothes,
# two seeds a class, votes: all images together wanted .76 to 1.18 (six draws), seeds
# .61 to .99.
_SPREAD_OF_POWER = 0.3


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
    scores: Sequence[NDArray[np.float64]],
    targets: NDArray[np.float64],
    posteriors: Sequence[NDArray[np.float64]] = (),
    expected: Sequence[float] = (),
    among: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float64], float]:
    """Find the powers, none negative, of the likeliest product, and its mean loss.

    A log-linear model, so there is one optimum. One imaginary row is of any class:
    where all real ones are right, there would be no bound.

    Parameters
    ----------
    scores : each (n, k), up to a number per row and a factor.
    targets : (n, k) distributions; rows of zeros count nothing.
    posteriors : each (n, k) logarithms; more experts, the last. Few rows tell their
        powers badly: these are drawn to those that are expected.
    among : (k,) the classes that there may be: to deny the others is no merit, and no
        fault.
    expected : a power for each posterior. The imaginary row holds a very sure one
        below.
    """
    stack = np.stack([*scores, *posteriors])  # (e, n, k)
    if among is not None:
        stack, targets = stack[:, :, among], targets[:, among]
    # Of about the same size: raw discriminant scores go to the hundreds.
    size = np.maximum(np.abs(stack).mean(axis=(1, 2)), 1e-9)
    stack = stack / size[:, None, None]
    wished, firm = np.ones(len(size)), np.zeros(len(size))
    if len(posteriors):
        own = slice(len(scores), None)
        wished[own] = size[own] * np.asarray(expected)
        firm[own] = (_SPREAD_OF_POWER * size[own]) ** -2
    n_rows = max(float(targets.sum()), 1.0)
    imaginary = 1 / (stack.shape[1] * stack.shape[2])
    wanted = targets + imaginary

    def loss(powers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        log = log_softmax(np.tensordot(powers, stack, axes=1), axis=1)
        surplus = np.exp(log) * wanted.sum(axis=1, keepdims=True) - wanted
        slope = np.einsum("enk,nk->e", stack, surplus)
        off = powers - wished
        held = float((firm * off**2).sum()) / 2
        return (held - float((wanted * log).sum())) / n_rows, (
            slope + firm * off
        ) / n_rows

    found = minimize(loss, wished, jac=True, bounds=[(0, None)] * len(stack))
    return np.asarray(found.x) / size, float(found.fun)


def likeliest_powers(
    scores: Sequence[NDArray[np.float64]], labels: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find the powers under which features make the labels that were said likeliest.

    Label and features are evidence of one class: an image is as likely as the sum over
    the classes of what both give it. One imaginary image is of any class: where both
    never differ, there would be no bound. Also gives the loss of each set alone.

    Parameters
    ----------
    scores : each (n, k) logarithms, up to a number per row.
    labels : (n, k) what was said without these features.
    """
    stack = np.stack(scores)
    size = np.maximum(np.abs(stack).mean(axis=(1, 2)), 1e-9)
    stack, said = stack / size[:, None, None], logs(labels)
    imaginary = 1 / labels.size

    def loss(
        powers: NDArray[np.float64], of: NDArray[np.float64] = stack
    ) -> tuple[float, NDArray[np.float64]]:
        own = log_softmax(np.tensordot(powers, of, axes=1), axis=1)
        both = own + said
        evidence = logsumexp(both, axis=1, keepdims=True)
        wanted = np.exp(both - evidence) + imaginary
        surplus = np.exp(own) * wanted.sum(axis=1, keepdims=True) - wanted
        slope = np.einsum("enk,nk->e", of, surplus) / len(said)
        return -float(evidence.sum() + imaginary * own.sum()) / len(said), slope

    def fitted(of: NDArray[np.float64]) -> OptimizeResult:
        return minimize(
            lambda powers: loss(powers, of),
            np.ones(len(of)),
            jac=True,
            bounds=[(0, None)] * len(of),
        )

    alone = [float(fitted(one[None]).fun) for one in stack]
    return np.asarray(fitted(stack).x) / size, np.asarray(alone)


def as_sure_as(proba: NDArray[np.float64], confidence: float) -> NDArray[np.float64]:
    """Raise posteriors to one power so that the mean of the largest is `confidence`."""
    power = power_of_confidence(proba, confidence)
    return proba if power == 1 else product([logs(proba)], [power])


def power_of_confidence(proba: NDArray[np.float64], confidence: float) -> float:
    """Find the power to which posteriors are as sure on the mean; 1 if none is."""
    found = logs(proba)

    def gap(log_power: float) -> float:
        scaled = np.exp(log_softmax(np.exp(log_power) * found, axis=1))
        return float(scaled.max(axis=1).mean()) - confidence

    low, high = -4.0, 4.0
    if not len(proba) or gap(low) > 0 or gap(high) < 0:
        return 1.0
    return float(np.exp(brentq(gap, low, high, xtol=1e-6)))
