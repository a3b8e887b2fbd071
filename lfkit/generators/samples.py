"""Generated images with their labels."""

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
    images_2 : (n, h, w, c) uint8 of the same labels in a second domain, or None.
    """

    images: NDArray[np.uint8]
    proba: NDArray[np.float32]
    confidence: NDArray[np.float32]
    images_2: NDArray[np.uint8] | None = None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Give what there is, by name."""
        return {name: rows for name, rows in vars(self).items() if rows is not None}

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) the likeliest classes."""
        return self.proba.argmax(axis=1)

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, rows: NDArray[Any] | slice) -> Samples:
        """Give some of the images."""
        return Samples(**{name: each[rows] for name, each in self.arrays().items()})


def joined(parts: Sequence[Samples]) -> Samples:
    """Put one or more blocks together."""
    return Samples(
        **{
            name: np.concatenate([part.arrays()[name] for part in parts])
            for name in parts[0].arrays()
        }
    )


def none_of(
    shape: Sequence[int], n_classes: int, shape_2: Sequence[int] | None = None
) -> Samples:
    """Give no images, of a shape (h, w, c), and of that of a second domain."""
    return Samples(
        np.zeros((0, *shape), np.uint8),
        np.zeros((0, n_classes), np.float32),
        np.zeros(0, np.float32),
        None if shape_2 is None else np.zeros((0, *shape_2), np.uint8),
    )
