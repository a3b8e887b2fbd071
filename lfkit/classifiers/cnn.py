"""A small convolutional network on images and soft labels."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.classifiers.classifier import Classifier
from lfkit.errors import InputError


class ConvNet(Classifier):
    """A small network, trained with strong augmentation; see `lfkit.nn.TrainingPlan`.

    It learns from images only, not from rows of features. With a GPU, give
    device="cuda": it then computes in bfloat16.

    Parameters
    ----------
    n_steps : updates of the weights.
    width : channels of the first layer.
    flip : whether mirrored images are of the same class.
    """

    def __init__(
        self,
        n_steps: int = 1300,
        width: int = 24,
        flip: bool = False,
        device: str = "cpu",
        random_state: int = 0,
    ) -> None:
        self.n_steps = n_steps
        self.width = width
        self.flip = flip
        self.device = device
        self.random_state = random_state

    def fit(
        self,
        x: NDArray[Any],
        proba: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from images, (n, h, w) or (n, h, w, c) uint8, as every classifier."""
        x = np.asarray(x)
        if x.ndim not in (3, 4) or x.dtype != np.uint8:
            raise InputError(
                f"x is {x.dtype} of shape {x.shape}; ConvNet learns from uint8 images, "
                "(n, h, w) or (n, h, w, c)."
            )
        if self.n_steps < 1 or self.width < 1:
            raise InputError(
                f"ConvNet's n_steps is {self.n_steps} and its width {self.width}; both "
                "must be at least 1."
            )
        h, w, *c = x.shape[1:]
        self._shape = (h, w, c[0] if c else 1)
        return super().fit(x, proba, sample_weight=sample_weight)

    def _fit(self, rows: NDArray[np.float32], weights: NDArray[np.float64]) -> None:
        from lfkit.nn import Augmentation, TrainingPlan, train

        plan = TrainingPlan(
            n_steps=self.n_steps,
            width=self.width,
            augmentation=Augmentation(flip=self.flip),
        )
        # Weights count as they are in the loss; their mean does not change the rate.
        self._seen = weights.any(axis=0)
        self._network = train(
            self._pixels(rows),
            weights * len(weights) / weights.sum(),
            plan=plan,
            random_state=self.random_state,
            device=self.device,
        )

    def _predict_proba(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        from lfkit.nn import look

        parts = [np.exp(log) for _, log, _ in look(self._network, self._pixels(rows))]
        proba = np.concatenate(parts) * self._seen
        return proba / np.maximum(proba.sum(axis=1, keepdims=True), 1e-300)

    def _pixels(self, rows: NDArray[np.float32]) -> NDArray[np.uint8]:
        return np.rint(rows * 255).astype(np.uint8).reshape(len(rows), *self._shape)
