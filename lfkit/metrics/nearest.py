"""How near images lie to others: what the metrics of memory share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.metrics.image_set import ImageSet

_SIDE = 16  # px: noise and the finest texture are no memory of an image
_AT_ONCE = 512  # rows whose distances to all others are held


def why_apart(generated: ImageSet, *others: ImageSet | None) -> str | None:
    """Say why pixels cannot be compared, or None."""
    for images in others:
        if images is not None and images.shape != generated.shape:
            return (
                f"its images are {generated.shape}, and those of {images.name} "
                f"{images.shape}"
            )
    return None


def unseen(images: ImageSet, by: ImageSet) -> NDArray[np.int64]:
    """Give the rows of images that are none of another set, byte by byte."""
    theirs = {key.tobytes() for key in by.source.keys}
    known = [key.tobytes() in theirs for key in images.source.keys]
    return np.flatnonzero(~np.array(known, bool))


def small_pixels(images: ImageSet, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Read images made small, as numbers in [0, 1]: (n, d), unreadable ones left out.

    Pixels, and no network's features: a network trained on one of two sets would find
    that set's images by its own memory of them.
    """
    h, w, c = images.shape
    shape = min(h, _SIDE), min(w, _SIDE)
    parts = [np.zeros((0, shape[0] * shape[1] * c), np.float32)]
    for _, pixels in images.chunks(rows):
        seen = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        small = torch.nn.functional.interpolate(seen, shape, mode="area")
        parts.append(small.flatten(1).numpy())
    return np.concatenate(parts)


def nearest(
    rows: NDArray[np.float32], others: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Find the nearest of (m, d) rows to (n, d): squared distance and place, (n,)."""
    # Around one centre, where distances lose the least to rounding.
    centre = others.mean(axis=0, dtype=np.float64).astype(np.float32)
    ours, theirs = rows - centre, others - centre
    lengths, turned = (theirs**2).sum(axis=1), -2 * theirs.T
    found, places = np.empty(len(rows)), np.empty(len(rows), np.int64)
    for part in _parts(len(rows)):
        squares = ours[part] @ turned
        squares += lengths
        places[part] = squares.argmin(axis=1)
        found[part] = squares.min(axis=1) + (ours[part] ** 2).sum(axis=1)
    return np.maximum(found, 0), places


def _parts(n: int) -> Iterator[slice]:
    for start in range(0, n, _AT_ONCE):
        yield slice(start, start + _AT_ONCE)
