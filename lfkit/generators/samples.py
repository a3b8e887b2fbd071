"""Generated images with their labels, and how a block of them is filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Samples:
    """Generated images.

    Attributes
    ----------
    images : (n, h, w, c) uint8.
    proba : (n, k) posterior over the classes.
    confidence : (n,) how likely the label is right; NaN where nobody can tell.
    """

    images: NDArray[np.uint8]
    proba: NDArray[np.float32]
    confidence: NDArray[np.float32]

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) the likeliest classes."""
        return self.proba.argmax(axis=1)

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, rows: NDArray[Any] | slice) -> Samples:
        """Give some of the images."""
        return Samples(self.images[rows], self.proba[rows], self.confidence[rows])


class Wanted:
    """Fills a block with images that fit.

    Parameters
    ----------
    classes : (size,) the class of each place; None: any.
    min_confidence : of each image; 0 = none is asked for.
    """

    def __init__(
        self, classes: NDArray[np.int64] | None, size: int, min_confidence: float
    ) -> None:
        self.classes, self.size = classes, size
        self.min_confidence = min_confidence
        self.n_seen = 0
        self._filled = np.zeros(size, bool)
        self._rows: list[Samples] = []
        self._places: list[NDArray[np.int64]] = []

    @property
    def is_full(self) -> bool:
        """True when nothing is missing."""
        return bool(self._filled.all())

    @property
    def samples(self) -> Samples:
        """What was found, in the order of the places."""
        order = np.argsort(np.concatenate(self._places), kind="stable")
        return joined(self._rows).rows(order)

    def missing(self) -> tuple[int | None, int, int]:
        """Tell a class that is missing, how many of it were found, of how many."""
        if self.classes is None:
            return None, int(self._filled.sum()), self.size
        label = int(self.classes[~self._filled][0])
        of_label = self.classes == label
        return label, int(self._filled[of_label].sum()), int(of_label.sum())

    def take(self, samples: Samples) -> None:
        """Put images in the places that are still free, in their order."""
        self.n_seen += len(samples)
        fit = np.ones(len(samples), bool)
        if self.min_confidence:
            fit = samples.confidence >= self.min_confidence
        places, rows = [], []
        for label in [None] if self.classes is None else np.unique(self.classes):
            free = ~self._filled
            right = fit
            if self.classes is not None:
                free = free & (self.classes == label)
                right = fit & (samples.labels == label)
            found = np.flatnonzero(right)
            place = np.flatnonzero(free)[: len(found)]
            places.append(place)
            rows.append(found[: len(place)])
        chosen = np.concatenate(places)
        self._filled[chosen] = True
        self._places.append(chosen)
        self._rows.append(samples.rows(np.concatenate(rows)))


def joined(parts: Sequence[Samples]) -> Samples:
    """Put one or more blocks together."""
    return Samples(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.proba for part in parts]),
        np.concatenate([part.confidence for part in parts]),
    )


def none_of(shape: Sequence[int], n_classes: int) -> Samples:
    """Give no images, of a shape (h, w, c)."""
    return Samples(
        np.zeros((0, *shape), np.uint8),
        np.zeros((0, n_classes), np.float32),
        np.zeros(0, np.float32),
    )
