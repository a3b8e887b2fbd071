"""Images with labels, generated or real, as metrics read them: a chunk at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lfkit.data.datasets import ArraySource
from lfkit.data.image_source import ImageSource
from lfkit.errors import InputError

_CHUNK_ROWS = 1024


class ImageSet:
    """Images and what is said of their classes.

    Parameters
    ----------
    images : a source, or (n, h, w) or (n, h, w, c) uint8.
    proba : (n, k) label distributions; a row of zeros has no label. None: no labels.
    name : what a report calls it, with the split: "fashion-mnist:test".
    """

    def __init__(
        self,
        images: ImageSource | NDArray[np.uint8],
        proba: NDArray[np.floating] | None = None,
        *,
        name: str,
    ) -> None:
        if isinstance(images, ImageSource):
            self.source = images
        else:
            array = np.asarray(images)
            if array.dtype != np.uint8 or array.ndim not in (3, 4):
                raise InputError(
                    f"the images of {name} are {array.dtype} of shape {array.shape}; "
                    "expected (n, h, w) or (n, h, w, c) uint8."
                )
            self.source = ArraySource(array)
        self.name = name
        self.proba = None if proba is None else np.asarray(proba, np.float64)
        if self.proba is not None and (
            self.proba.ndim != 2 or len(self.proba) != len(self.source)
        ):
            raise InputError(
                f"{name} has {len(self.source)} images and labels of shape "
                f"{self.proba.shape}; expected (images, classes)."
            )

    def __len__(self) -> int:
        return len(self.source)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, c) of every image."""
        return self.source.shape

    @property
    def n_classes(self) -> int:
        """The number of classes, k; 0 without labels."""
        return 0 if self.proba is None else self.proba.shape[1]

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) the most probable classes; -1 without a label."""
        if self.proba is None:
            return np.full(len(self), -1)
        return np.where(self.proba.any(axis=1), self.proba.argmax(axis=1), -1)

    def chunks(
        self, rows: NDArray[np.int64] | None = None, size: int = _CHUNK_ROWS
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """Yield rows and their (b, h, w, c) pixels; unreadable images are left out.

        Parameters
        ----------
        rows : which images, in this order; None: all.
        """
        wanted = np.arange(len(self)) if rows is None else np.asarray(rows)
        for start in range(0, len(wanted), size):
            part = wanted[start : start + size]
            read = self.source.read(part)
            if not read.problems:
                yield part, read.pixels
                continue
            good = np.setdiff1d(np.arange(len(part)), [*read.problems])
            yield part[good], read.pixels[good]

    def pixels(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Read some images, (b, h, w, c); unreadable ones are left out."""
        parts = [pixels for _, pixels in self.chunks(rows)]
        return np.concatenate([np.zeros((0, *self.shape), np.uint8), *parts])

    def draw(self, n: int, random_state: int) -> NDArray[np.int64]:
        """Draw rows without replacement, ascending: all of them if there are fewer."""
        rng = np.random.default_rng([random_state, len(self)])
        return np.sort(rng.permutation(len(self))[:n])
