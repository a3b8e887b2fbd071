"""What every classifier has in common: checks, rows from images, soft labels."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from lfkit.errors import InputError

# Rows predicted at once.
CHUNK_ROWS = 8192


class Classifier(BaseEstimator, ABC):
    """Learns classes from rows of features, or images, with soft labels.

    A member writes `_fit` and `_predict_proba`; both see float32 rows. A class without
    examples gets probability 0.

    Attributes
    ----------
    n_classes_ : k.
    n_features_in_ : d; for images h * w * c.
    """

    def fit(
        self,
        x: NDArray[Any],
        proba: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from labeled rows.

        Parameters
        ----------
        x : (n, d) features, or (n, h, w) or (n, h, w, c) uint8 images, read as pixels
            from 0 to 1.
        proba : (n, k) label distributions; a row of zeros is an image without a label
            and is ignored. `one_hot` makes them from labels.
        sample_weight : (n,) how much each row counts; None counts each once.
        """
        rows, one = _as_rows(x)
        weights = _label_weights(proba, sample_weight, len(rows))
        used = weights.any(axis=1)
        if not used.any():
            raise InputError(
                f"{type(self).__name__} needs at least one labeled row to fit, got "
                f"{len(rows)} rows, none with a label."
            )
        if not used.all():
            rows, weights = rows[used], weights[used]
        values = _as_float(rows, one)
        self.n_classes_ = weights.shape[1]
        self.n_features_in_ = rows.shape[1]
        self._fit(values, weights)
        return self

    def predict_proba(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Return the distribution over classes of each row, (n, k)."""
        check_is_fitted(self)
        rows, one = _as_rows(x)
        if rows.shape[1] != self.n_features_in_:
            raise InputError(
                f"{type(self).__name__} was fitted on rows of {self.n_features_in_} "
                f"numbers; these have {rows.shape[1]}."
            )
        proba = np.empty((len(rows), self.n_classes_))
        for start in range(0, len(rows), CHUNK_ROWS):
            chunk = slice(start, start + CHUNK_ROWS)
            proba[chunk] = self._predict_proba(_as_float(rows[chunk], one))
        return proba

    def predict(self, x: NDArray[Any]) -> NDArray[np.int64]:
        """Return the most probable class of each row, (n,)."""
        return self.predict_proba(x).argmax(axis=1)

    @abstractmethod
    def _fit(self, rows: NDArray[np.float32], weights: NDArray[np.float64]) -> None: ...

    @abstractmethod
    def _predict_proba(self, rows: NDArray[np.float32]) -> NDArray[np.float64]: ...


def one_hot(labels: ArrayLike, n_classes: int) -> NDArray[np.float64]:
    """Return labels as distributions, (n, k); -1 (unknown) becomes a row of zeros.

    >>> one_hot([1, -1], n_classes=2)
    array([[0., 1.],
           [0., 0.]])
    """
    classes = np.asarray(labels, dtype=np.int64)
    wrong = (classes < -1) | (classes >= n_classes)
    if wrong.any():
        raise InputError(
            f"label {classes[wrong][0]} of row {int(wrong.argmax())} is outside "
            f"0..{n_classes - 1} (-1 = unknown)."
        )
    proba = np.zeros((len(classes), n_classes))
    known = np.flatnonzero(classes >= 0)
    proba[known, classes[known]] = 1
    return proba


def _as_rows(x: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """Return rows, (n, d), and the number that stands for 1 in them."""
    x = np.asarray(x)
    if x.ndim == 2 and x.dtype.kind in "fiub":
        return x, 1
    if x.ndim in (3, 4) and x.dtype == np.uint8:
        return x.reshape(len(x), math.prod(x.shape[1:])), 255
    raise InputError(
        f"x is {x.dtype} of shape {x.shape}; expected (n, d) feature rows or uint8 "
        "images (n, h, w) or (n, h, w, c)."
    )


def _as_float(rows: NDArray[Any], one: float) -> NDArray[np.float32]:
    values = rows.astype(np.float32)
    if one != 1:
        values /= one
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        raise InputError(
            f"row {int(finite.argmin())} of x (counted among the {len(rows)} read "
            "together) holds NaN or infinity; replace it before."
        )
    return values


def _label_weights(
    proba: ArrayLike, sample_weight: ArrayLike | None, n_rows: int
) -> NDArray[np.float64]:
    """Return the weight of each row for each class, (n, k)."""
    weights = np.array(proba, dtype=np.float64)
    if weights.ndim != 2 or len(weights) != n_rows or weights.shape[1] == 0:
        raise InputError(
            f"proba has shape {weights.shape}, expected ({n_rows}, classes); "
            "one_hot(labels, n_classes) makes it from labels."
        )
    total = weights.sum(axis=1)
    # Written so that NaN fails too; float16 posteriors sum to 1 within 1 %.
    fine = (weights >= 0).all(axis=1) & ((np.abs(total - 1) < 0.01) | (total == 0))
    if not fine.all():
        row = int(fine.argmin())
        raise InputError(
            f"proba of row {row} is {weights[row].tolist()}; expected shares that sum "
            "to 1, or zeros for no label."
        )
    weights /= np.where(total > 0, total, 1)[:, None]
    if sample_weight is None:
        return weights
    factor = np.asarray(sample_weight, dtype=np.float64)
    if factor.shape != (n_rows,) or not (np.isfinite(factor) & (factor >= 0)).all():
        raise InputError(
            f"sample_weight has shape {factor.shape}; expected {n_rows} finite "
            "numbers, none negative."
        )
    return weights * factor[:, None]
