"""Tables of what functions say where they speak: silence is not read."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

TableKind = Literal["one-coin", "biased-coin", "whole"]

_BIAS_TURNS = 20
_LEAST_RATE = 1e-9
_MOST_ACCURACY = 0.99


class TablesOfSpeakers:
    """Tables P(vote | class, the function votes), shrunk towards simpler ones.

    A function is silent on images of all classes alike: a silent function says
    nothing, and only what is said where it speaks is learned. Functions that name
    several classes have

    - "one-coin": an accuracy each; errors go to all other classes alike;
    - "biased-coin": an accuracy each; errors go to classes by shares that all functions
      have in common, (1 - a_j) b_v / (1 - b_y);
    - "whole": a table each, `strength` imaginary votes per row like those of the pooled
      table of all functions, which has `pooled_strength` like those of one coin.

    All accuracies are shrunk to the common one by `strength` votes per class. Functions
    that name one class each have one accuracy together: where they confirm each
    other, it may be since they are right, or since they are alike.

    Parameters
    ----------
    speaks : (m,) the share of images each function votes on.
    names_several : (m,) True for functions that name several classes.
    powers : (m,) how much each counts in what is common.

    Attributes
    ----------
    pooled : (k, k) the pooled table, after an estimate of "whole" tables.
    """

    def __init__(
        self,
        kind: TableKind,
        n_classes: int,
        speaks: NDArray[np.float64],
        names_several: NDArray[np.bool_],
        powers: NDArray[np.float64],
        strength: float,
        pooled_strength: float,
    ) -> None:
        self.kind = kind
        self.speaks = np.clip(speaks, _LEAST_RATE, 1 - _LEAST_RATE)
        self.several = names_several
        self.powers = powers
        self.strength = strength
        self.pooled_strength = pooled_strength
        self._same = np.eye(n_classes, dtype=bool)
        self.pooled = np.full((n_classes, n_classes), 1 / n_classes)
        self._bias = np.full(n_classes, 1 / n_classes)

    def estimate(self, expected: NDArray[np.float64]) -> NDArray[np.float64]:
        """M-step: tables, (m, k, k + 1), given how often [j, y, v] occurred."""
        m, k = expected.shape[:2]
        spoken = np.maximum(expected[:, :, :k], 0)
        hits = np.einsum("jyy->j", spoken)
        n_votes = spoken.sum(axis=(1, 2))
        several = self.several
        weight = self.powers * several
        common = (weight @ hits + 1) / (weight @ n_votes + 2)
        votes_behind = self.strength * k
        accuracy = (hits + votes_behind * common) / (n_votes + votes_behind)
        if not several.all():
            weight = self.powers * ~several
            accuracy[~several] = (weight @ hits + 1) / (weight @ n_votes + 2)
            least = 1.5 / k if k > 2 else 0.55
            accuracy[~several] = accuracy[~several].clip(least, _MOST_ACCURACY)
        shared = (spoken * (self.powers * several)[:, None, None]).sum(axis=0)
        errors = self._alike()
        if self.kind == "biased-coin":
            errors = self._biased(shared)
        tables = np.where(
            self._same,
            accuracy[:, None, None],
            (1 - accuracy)[:, None, None]
            * np.where(several[:, None, None], errors, self._alike()),
        )
        if self.kind == "whole":
            centre = np.where(self._same, common, (1 - common) * self._alike())
            pooled = shared + self.pooled_strength * centre
            self.pooled = pooled / pooled.sum(axis=1, keepdims=True)
            whole = spoken[several] + self.strength * self.pooled
            tables[several] = whole
        tables = np.maximum(tables, _LEAST_RATE)
        tables *= self.speaks[:, None, None] / tables.sum(axis=2, keepdims=True)
        silent = np.broadcast_to((1 - self.speaks)[:, None, None], (m, k, 1))
        return np.concatenate([tables, silent], axis=2)

    def penalty(self, tables: NDArray[np.float64]) -> NDArray[np.float64]:
        """Nothing: what tables are shrunk to is itself learned."""
        return np.zeros(len(tables))

    def _alike(self) -> NDArray[np.float64]:
        """Give the shares of errors that go to all other classes alike, (k, k)."""
        k = len(self._same)
        return np.where(self._same, 0, 1 / max(k - 1, 1))

    def _biased(self, shared: NDArray[np.float64]) -> NDArray[np.float64]:
        """Learn where errors go: [y, v] = b_v / (1 - b_y), (k, k)."""
        k = len(shared)
        if k < 3:
            return self._alike()
        errors = np.where(self._same, 0, shared)
        bias = self._bias
        for _ in range(_BIAS_TURNS):
            exposure = errors.sum(axis=1) / (1 - bias)
            told = errors.sum(axis=0) + self.pooled_strength / k
            bias = told / (exposure.sum() - exposure + self.pooled_strength)
            bias /= bias.sum()
        self._bias = bias
        return np.where(self._same, 0, bias / (1 - bias)[:, None])
