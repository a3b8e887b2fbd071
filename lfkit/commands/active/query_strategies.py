"""Which images to ask about: rules that score a classifier's posteriors, and quotas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import InputError

Rule = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def most_confident(proba: NDArray[np.float64]) -> NDArray[np.float64]:
    """Score by the probability of the likeliest class: (n, k) → (n,)."""
    return proba.max(axis=1)


def large_margin(proba: NDArray[np.float64]) -> NDArray[np.float64]:
    """Score by how far the likeliest class is ahead of the second: (n, k) → (n,)."""
    second, first = np.partition(proba, -2, axis=1)[:, -2:].T
    return first - second


def uncertainty(proba: NDArray[np.float64]) -> NDArray[np.float64]:
    """Score by the entropy: (n, k) → (n,), in nats."""
    return -(proba * np.log(np.where(proba > 0, proba, 1.0))).sum(axis=1)


def least_entropy(proba: NDArray[np.float64]) -> NDArray[np.float64]:
    """Score by the negative entropy: (n, k) → (n,), in nats."""
    return -uncertainty(proba)


# The first three are Xie & Huang's (2019), for class-conditional GANs.
RULES: dict[str, Rule] = {
    "most-confidence": most_confident,
    "large-margin": large_margin,
    "least-entropy": least_entropy,
    "uncertainty": uncertainty,
}
QUERIES = (*RULES, "random")


def scores(
    query: str, proba: NDArray[np.float64], random_state: list[int]
) -> NDArray[np.float64]:
    """Score images, (n, k) → (n,): those with the highest are asked for.

    Parameters
    ----------
    random_state : numbers that `random` draws from.
    """
    if query == "random":
        return np.random.default_rng(random_state).random(len(proba))
    if query not in RULES:
        raise InputError(
            f"there is no query {query!r}; choose from {', '.join(QUERIES)}."
        )
    return RULES[query](proba)


def best(
    score: NDArray[np.float64],
    guesses: NDArray[np.int64],
    size: int,
    n_classes: int | None = None,
) -> NDArray[np.int64]:
    """Choose the images with the best scores, best first.

    Parameters
    ----------
    score : (n,) of equal ones the first comes first.
    guesses : (n,) predicted classes.
    size : how many.
    n_classes : a class gives at most ceil(size / n_classes) while others have some
        left, then one more each; None: no quota.

    >>> best(np.array([.9, .8, .7, .6]), np.array([1, 1, 1, 0]), 2, n_classes=2)
    array([0, 3])
    """
    order = np.argsort(-score, kind="stable")
    if n_classes is None:
        return order[:size]
    quota = -(-size // n_classes)
    above = np.maximum(_place_in_class(guesses[order]) + 1 - quota, 0)
    chosen = order[np.argsort(above, kind="stable")[:size]]
    return chosen[np.argsort(-score[chosen], kind="stable")]


def _place_in_class(guesses: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count, for each image, those of its class before it: (n,)."""
    by_class = np.argsort(guesses, kind="stable")
    _, first, counts = np.unique(
        guesses[by_class], return_index=True, return_counts=True
    )
    place = np.empty(len(guesses), np.int64)
    place[by_class] = np.arange(len(guesses)) - np.repeat(first, counts)
    return place
