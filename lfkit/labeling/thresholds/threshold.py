"""Thresholds: numbers and rules that labeling functions learn from the seed labels."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import DeclarationError
from lfkit.features.feature import Feature, finite_rows


class Threshold(ABC):
    """Something a labeling function learns from one feature of the seed images.

    A member writes `_learn`, which returns named arrays, and `value`, which makes of
    them what the labeling function receives: a number, or a rule to call.

    Attributes
    ----------
    feature : the feature whose values on the seeds it learns from.
    learned : named arrays; None before fitting.
    """

    def __init__(self, feature: Feature) -> None:
        if not isinstance(feature, Feature):
            raise DeclarationError(
                f"{type(self).__name__} needs a feature, got {feature!r}; pass the "
                "object that @feature made."
            )
        self.feature = feature
        self.learned: Mapping[str, NDArray[Any]] | None = None

    def fit(
        self,
        values: NDArray[np.float32],
        labels: NDArray[np.int64],
        *,
        classes: tuple[int, ...],
        rng: np.random.Generator,
    ) -> Threshold:
        """Learn from the seeds; returns a fitted copy.

        Parameters
        ----------
        values : (s, ...) the feature on the seed images; flattened to (s, d).
        labels : (s,) their classes.
        classes : what the labeling function declares it may vote for.
        """
        rows = finite_rows(values)
        width = int(np.prod(values.shape[1:]))  # -1 would fail without rows
        if width == 0:
            raise DeclarationError(
                f"feature {self.feature.name!r} has no numbers in a row; "
                f"{type(self).__name__} cannot learn from it."
            )
        flat = values[rows].reshape(int(rows.sum()), width).astype(np.float64)
        return self.with_learned(
            self._learn(flat, labels[rows], classes=classes, rng=rng)
        )

    def with_learned(self, learned: Mapping[str, NDArray[Any]]) -> Threshold:
        """Return a copy that has learned these arrays."""
        fitted = copy.copy(self)
        fitted.learned = dict(learned)
        return fitted

    def with_feature(self, feature: Feature) -> Threshold:
        """Return a copy that reads this (fitted) feature."""
        moved = copy.copy(self)
        moved.feature = feature
        return moved

    @property
    @abstractmethod
    def value(self) -> Any:
        """What the labeling function receives."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The settings that, with the seeds, decide what is learned."""
        return {
            key: value
            for key, value in vars(self).items()
            if key not in ("feature", "learned")
        }

    def identity(self) -> tuple[object, ...]:
        """Give what its value depends on."""
        return (type(self), self.parameters, self.feature, self.learned)

    @abstractmethod
    def _learn(
        self,
        values: NDArray[np.float64],
        labels: NDArray[np.int64],
        *,
        classes: tuple[int, ...],
        rng: np.random.Generator,
    ) -> Mapping[str, NDArray[Any]]: ...

    def _learned_scalar(self, name: str) -> float:
        if self.learned is None:
            raise DeclarationError(
                f"{type(self).__name__} of feature {self.feature.name!r} has not been "
                "fitted; it needs seed labels."
            )
        return float(self.learned[name])

    def _check_scalar(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if values.shape[1] != 1:
            raise DeclarationError(
                f"{type(self).__name__} needs a feature with one number per image; "
                f"{self.feature.name!r} has {values.shape[1]}."
            )
        return values[:, 0]


class Quantile(Threshold):
    """The q-quantile of a feature on the seed images.

    Parameters
    ----------
    q : between 0 and 1.
    among : "all" seeds; "declared", those of the function's own classes; or "others",
        those of every other class (q = .95 then bounds false alarms at 5 %).
    """

    def __init__(self, feature: Feature, q: float, *, among: str = "all") -> None:
        super().__init__(feature)
        if not 0 <= q <= 1:
            raise DeclarationError(f"Quantile needs 0 <= q <= 1, got q={q}.")
        if among not in ("all", "declared", "others"):
            raise DeclarationError(
                "Quantile's among must be 'all', 'declared' or 'others', got "
                f"{among!r}."
            )
        self.q = q
        self.among = among

    @property
    def value(self) -> float:
        """The cut."""
        return self._learned_scalar("cut")

    def _learn(
        self,
        values: NDArray[np.float64],
        labels: NDArray[np.int64],
        *,
        classes: tuple[int, ...],
        rng: np.random.Generator,
    ) -> Mapping[str, NDArray[Any]]:
        column = self._check_scalar(values)
        declared = np.isin(labels, classes)
        chosen = {
            "all": column,
            "declared": column[declared],
            "others": column[~declared],
        }[self.among]
        if not len(chosen):
            raise DeclarationError(
                f"Quantile(among={self.among!r}) of feature {self.feature.name!r} "
                f"finds no seed image for classes {classes}; give seed labels of them."
            )
        return {"cut": np.asarray(np.quantile(chosen, self.q))}


class BestPrecision(Threshold):
    """The cut whose side holds the purest sample of the function's classes.

    Purity is the lower end of Wilson's 90 % interval of the precision, so that two
    lucky seeds do not beat twenty good ones.

    Parameters
    ----------
    side : "above" for functions that vote when the value exceeds the cut, or "below".
    min_recall : the least share of the declared classes' seeds that must pass.
    """

    def __init__(
        self, feature: Feature, *, side: str = "above", min_recall: float = 0.2
    ) -> None:
        super().__init__(feature)
        if side not in ("above", "below"):
            raise DeclarationError(
                f"BestPrecision's side must be 'above' or 'below', got {side!r}."
            )
        if not 0 < min_recall <= 1:
            raise DeclarationError(
                f"BestPrecision needs 0 < min_recall <= 1, got {min_recall}."
            )
        self.side = side
        self.min_recall = min_recall

    @property
    def value(self) -> float:
        """The cut."""
        return self._learned_scalar("cut")

    def _learn(
        self,
        values: NDArray[np.float64],
        labels: NDArray[np.int64],
        *,
        classes: tuple[int, ...],
        rng: np.random.Generator,
    ) -> Mapping[str, NDArray[Any]]:
        column = self._check_scalar(values)
        hit = np.isin(labels, classes)
        if not hit.any():
            raise DeclarationError(
                f"BestPrecision of feature {self.feature.name!r} finds no seed image "
                f"for classes {classes}; give seed labels of them."
            )
        sign = 1.0 if self.side == "above" else -1.0
        return {
            "cut": np.asarray(sign * purest_cut(sign * column, hit, self.min_recall))
        }


def purest_cut(
    score: NDArray[np.float64], hit: NDArray[np.bool_], min_recall: float
) -> float:
    """Find the cut above which the purest sample of the hits lies.

    Parameters
    ----------
    score, hit : (s,) of the seeds; at least one is a hit.
    min_recall : the least share of the hits above the cut.
    """
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    passed = np.arange(1, len(ranked) + 1, dtype=np.float64)
    hits = np.cumsum(hit[order]).astype(np.float64)
    # A cut lies between two different values, so only the last of equals may end a
    # prefix; the whole sample is no cut.
    usable = np.append(ranked[:-1] > ranked[1:], False)
    usable &= hits >= min_recall * hit.sum()
    if not usable.any():
        return float(ranked[-1])
    best = int(np.argmax(np.where(usable, _wilson_lower(hits, passed), -np.inf)))
    return float((ranked[best] + ranked[best + 1]) / 2)


def _wilson_lower(
    hits: NDArray[np.float64], n: NDArray[np.float64]
) -> NDArray[np.float64]:
    z = 1.6449  # two-sided 90 %
    p = hits / n
    centre = p + z * z / (2 * n)
    spread = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n)
