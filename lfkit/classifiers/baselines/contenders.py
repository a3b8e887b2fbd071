"""The plain classifiers that are tried on each input."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfkit.classifiers.baselines.baseline import Inputs
from lfkit.classifiers.classifier import Classifier
from lfkit.classifiers.lda import ShrinkageLDA
from lfkit.classifiers.logistic import SoftLogisticRegression

PIXELS, FEATURES = "pixels", "features"  # inputs that are no single feature or network
# Of seeds by numbers; beyond it, logistic regression takes minutes.
_MOST_CELLS = 2**23


@dataclass(frozen=True, eq=False)
class Contender:
    """A classifier, and the name of the input that it sees."""

    classifier: Classifier
    input: str


def contenders(
    seeds: Inputs, blocks: Sequence[int], networks: Collection[str]
) -> dict[str, Contender]:
    """Make classifiers by their names: first what was the strongest most often."""
    alone = [name for name in seeds if name not in (PIXELS, FEATURES)]
    found = {}
    for name in [name for name in (FEATURES, *alone, PIXELS) if name in seeds]:
        together = blocks if name == FEATURES and len(blocks) else None
        scaled = name not in networks
        lda = ShrinkageLDA(blocks=together, standardise=scaled)
        found[f"shrinkage LDA on {name}"] = Contender(lda, name)
        logistic: Classifier = _ScaledLogistic(standardise=scaled)
        if name == PIXELS:
            logistic = SoftLogisticRegression()
        if name == PIXELS or seeds[name].size <= _MOST_CELLS:
            found[f"logistic regression on {name}"] = Contender(logistic, name)
    return found


class _ScaledLogistic(Classifier):
    """Logistic regression on standardised numbers, in the space of the labeled rows.

    With the penalty, what is best lies in that space: 200 rows of 6,000 numbers are
    200 rows of 200.

    Parameters
    ----------
    standardise : False brings all numbers to one size together.
    """

    def __init__(self, standardise: bool = True) -> None:
        self.standardise = standardise

    def _fit(self, rows: NDArray[np.float32], weights: NDArray[np.float64]) -> None:
        self._center = rows.mean(axis=0)
        deviation = rows.std(axis=0)
        if not self.standardise:
            deviation = np.full_like(deviation, np.sqrt((deviation**2).mean()))
        constant = deviation <= 1e-6 * np.abs(self._center)
        self._scale = np.where(constant, 0, 1 / np.where(constant, 1, deviation))
        scaled = (rows - self._center) * self._scale
        self._basis = None
        if len(rows) < rows.shape[1]:
            _, _, directions = np.linalg.svd(scaled, full_matrices=False)
            self._basis = directions.T
        self._model = SoftLogisticRegression().fit(self._seen(rows), weights)

    def _predict_proba(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        return self._model.predict_proba(self._seen(rows))

    def _seen(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled = ((rows - self._center) * self._scale).astype(np.float32)
        return scaled if self._basis is None else scaled @ self._basis
