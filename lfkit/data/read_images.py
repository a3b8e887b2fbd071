"""Read many images into memory, made smaller on the way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_source import ImageSource

_AT_ONCE = 1024
_BYTES_AT_ONCE = 2**26


def read_images(
    source: ImageSource,
    rows: NDArray[np.int64] | None = None,
    *,
    shrink: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read images a few at a time.

    Parameters
    ----------
    rows : (b,) of the source; None: all.
    shrink : (b, h, w, c) → (b, h', w', c), applied before the next are read.
    progress : called with the images read and all to be read.

    Returns
    -------
    (b, h', w', c) pixels, zero where an image could not be read, and (b,) True where it
    could.
    """
    if rows is None:
        rows = np.arange(len(source))
    shape = source.shape
    if shrink is not None:
        shape = shrink(np.zeros((1, *shape), np.uint8)).shape[1:]
    pixels = np.zeros((len(rows), *shape), np.uint8)
    readable = np.ones(len(rows), bool)
    if progress is not None:
        progress(0, len(rows))
    size = max(1, min(_AT_ONCE, _BYTES_AT_ONCE // max(1, int(np.prod(source.shape)))))
    for start in range(0, len(rows), size):
        read = source.read(rows[start : start + size])
        end = start + len(read.pixels)
        pixels[start:end] = read.pixels if shrink is None else shrink(read.pixels)
        readable[[start + position for position in read.problems]] = False
        if progress is not None:
            progress(end, len(rows))
    return pixels, readable


def box_means(pixels: NDArray[np.uint8], down: int, across: int) -> NDArray[np.float64]:
    """Average boxes of pixels: (n, h, w, c) → (n, h // down, w // across, c).

    What is left over at the right and at the bottom is cut off.

    >>> box_means(np.arange(12, dtype=np.uint8).reshape(1, 2, 6, 1), 2, 2).ravel()
    array([3.5, 5.5, 7.5])
    """
    n, h, w, c = pixels.shape
    high, wide = h // down, w // across
    cut = pixels[:, : high * down, : wide * across]
    boxes = cut.reshape(n, high, down, wide, across, c)
    means: NDArray[np.float64] = boxes.mean(axis=(2, 4))
    return means
