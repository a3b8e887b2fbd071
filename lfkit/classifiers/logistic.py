"""Logistic regression on rows: the plainest end model, and a baseline for others."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lfkit.classifiers.classifier import Classifier
from lfkit.errors import InputError

# Below this many numbers, threads wait for one another: 1.7 s became 0.1 s for 200
# images of 28 x 28 pixels on a busy machine.
SMALL_CELLS = 2**21


class SoftLogisticRegression(Classifier):
    """Multinomial logistic regression with an L2 penalty, from soft labels.

    scikit-learn's, with one weighted copy of a row for each class of its label.
    Features are not scaled: standardise those of different units first. Stops after
    `max_iter` steps, converged or not: more steps rarely change a label.

    Parameters
    ----------
    C : inverse strength of the penalty.
    """

    def __init__(self, C: float = 1.0, max_iter: int = 300) -> None:
        self.C = C
        self.max_iter = max_iter

    def _fit(self, rows: NDArray[np.float32], weights: NDArray[np.float64]) -> None:
        if not self.C > 0 or self.max_iter < 1:
            raise InputError(
                "SoftLogisticRegression needs C > 0 and max_iter >= 1, got "
                f"C={self.C} and max_iter={self.max_iter}."
            )
        row, label = np.nonzero(weights)
        self.classes_ = np.unique(label)
        self._model = None
        if len(self.classes_) == 1:
            return
        self._model = LogisticRegression(C=self.C, max_iter=self.max_iter)
        copies = rows if len(row) == len(rows) else rows[row]
        n_threads = 1 if copies.size < SMALL_CELLS else None
        with warnings.catch_warnings(), threadpool_limits(n_threads, "blas"):
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._model.fit(copies, label, sample_weight=weights[row, label])

    def _predict_proba(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        proba = np.zeros((len(rows), self.n_classes_))
        proba[:, self.classes_] = (
            1 if self._model is None else self._model.predict_proba(rows)
        )
        return proba
