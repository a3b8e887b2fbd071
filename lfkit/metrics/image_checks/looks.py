"""How images look, as a few numbers each: what sorting, grouping and the map go by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_source import ImageSource
from lfkit.data.progress import Progress
from lfkit.errors import LfkitError
from lfkit.metrics.image_checks.near_duplicates import SMALL_SIDE, small_grays
from lfkit.runs.store import RunStore

WIDTH = 32  # numbers per image
_CELLS = 8  # color means per side
_GRID, _BINS = 4, 8  # cells per side, and directions, of edges
_AT_ONCE = 512
_FIT_ON = 20_000  # images that the projection is fitted on
_LEAST_WIDTH = 64  # of a stored feature that tells more than pixels do


class ImageLooks(NamedTuple):
    """What images look like.

    Attributes
    ----------
    values : (n, WIDTH) leading directions, of unit scale; NaN where it is unreadable.
    rest : (n,) how far an image is from what these directions can tell, in their scale;
        NaN where it is unreadable.
    grays : (n, 576) gray values of a small picture.
    """

    values: NDArray[np.float32]
    rest: NDArray[np.float32]
    grays: NDArray[np.uint8]


def network_features(names: Iterable[str]) -> list[str]:
    """Choose from the names of features those of trained networks.

    Only what a trained network sees is better than pixels for all images.
    """
    return [n for n in names if n.startswith(("encoded", "imagenet", "features of"))]


def looks_of(
    images: ImageSource,
    run: Path,
    networks: Mapping[str, str],
    progress: Progress | None = None,
) -> ImageLooks:
    """Describe every image by a few numbers, and as a small picture.

    The numbers are the leading directions (PCA) of what a trained network sees, if a
    function reads one, or of colors and edges of the pixels.

    Parameters
    ----------
    networks : the networks' features that functions read: name → key in the store.
    """
    table, grays = _pixel_table(images, progress)
    seen = _stored(images, run, networks)
    if seen is not None:
        seen[np.isnan(table).any(axis=1)] = np.nan
    return described(table if seen is None else seen, grays)


def looks_of_pixels(
    sources: Sequence[ImageSource], progress: Progress | None = None
) -> ImageLooks:
    """Describe the images of all sources together by the colors and edges of pixels."""
    tables, grays = zip(*(_pixel_table(s, progress) for s in sources), strict=True)
    return described(np.concatenate(tables), np.concatenate(grays))


def _stored(
    images: ImageSource, run: Path, networks: Mapping[str, str]
) -> NDArray[np.float32] | None:
    """Read the widest embedding of the run's store; None without one."""
    store = RunStore(run)
    try:
        blocks = store.stored_layout(images.keys)
    except LfkitError:
        return None
    if blocks is None:
        return None
    best: NDArray[np.float32] | None = None
    for key in networks.values():
        parts = [store.load("features", key, block.id) for block in blocks]
        if any(part is None or part["values"].ndim != 2 for part in parts):
            continue
        wide = parts[0]["values"].shape[1] if parts and parts[0] is not None else 0
        if wide < _LEAST_WIDTH or (best is not None and wide <= best.shape[1]):
            continue
        best = np.zeros((len(images), wide), np.float32)
        for block, part in zip(blocks, parts, strict=True):
            best[block.rows] = np.nan_to_num(part["values"] if part else 0.0)
    return best


def _pixel_table(
    images: ImageSource, progress: Progress | None
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Describe the pixels, (n, d), NaN where they are unreadable; small pictures."""
    n = len(images)
    table: NDArray[np.float32] | None = None
    grays = np.zeros((n, SMALL_SIDE**2), np.uint8)
    if progress:
        progress("looking at the images", 0, n)
    for start in range(0, n, _AT_ONCE):
        rows = np.arange(start, min(n, start + _AT_ONCE))
        read = images.read(rows)
        found = pixel_looks(read.pixels)
        found[list(read.problems)] = np.nan
        grays[rows] = small_grays(read.pixels)
        if table is None:
            table = np.zeros((n, found.shape[1]), np.float32)
        table[rows] = found
        if progress:
            progress("looking at the images", int(rows[-1]) + 1, n)
    assert table is not None, "a source holds images"
    return table, grays


def pixel_looks(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Describe images by mean colors of 8 x 8 cells and by edges in 4 x 4 cells.

    Parameters
    ----------
    pixels : (b, h, w, c).

    Returns
    -------
    (b, 64 c + 128); colors in [0, 1], edges of unit length per image.
    """
    values = pixels.astype(np.float32) / 255
    colors = _means(values, _CELLS).reshape(len(values), -1)
    gray = values.mean(axis=3)
    down, across = (
        np.gradient(gray, axis=(1, 2))
        if min(gray.shape[1:]) > 1
        else (
            np.zeros_like(gray),
            np.zeros_like(gray),
        )
    )
    strength = np.hypot(down, across)
    turn = np.mod(np.arctan2(down, across), np.pi) * (_BINS / np.pi)
    direction = np.minimum(turn.astype(np.int64), _BINS - 1)
    planes = [
        _means(np.where(direction == each, strength, 0)[..., None], _GRID)
        for each in range(_BINS)
    ]
    edges = np.concatenate(planes, axis=3).reshape(len(values), -1)
    edges /= np.maximum(np.linalg.norm(edges, axis=1, keepdims=True), 1e-6)
    return np.concatenate([colors, edges * 3], axis=1).astype(np.float32)


def _means(values: NDArray[np.floating], side: int) -> NDArray[np.floating]:
    """Average (b, h, w, c) over a grid of side x side cells; small images repeat."""
    for axis in (1, 2):
        length = values.shape[axis]
        if length < side:
            places = np.arange(side) * length // side
            values = values.take(places, axis=axis)
            continue
        edges = (np.arange(side) * length) // side
        sums = np.add.reduceat(values, edges, axis=axis)
        counts = np.diff([*edges.tolist(), length])
        shape = [1, 1, 1, 1]
        shape[axis] = side
        values = sums / counts.reshape(shape)
    return values


def described(table: NDArray[np.float32], grays: NDArray[np.uint8]) -> ImageLooks:
    """Project onto the leading directions, scaled as a whole to unit variance.

    Parameters
    ----------
    table : (n, d) of `pixel_looks`, or of a network; rows with NaN are left out.
    grays : (n, q) of `small_grays`.
    """
    is_known = np.isfinite(table).all(axis=1)
    known = np.flatnonzero(is_known)
    wide = np.zeros((len(table), WIDTH), np.float32)
    wide[~is_known] = np.nan
    if len(known) < 2:
        return ImageLooks(wide, wide[:, 0], grays)
    sample = table[known[:: max(1, len(known) // _FIT_ON)]].astype(np.float64)
    mean = sample.mean(axis=0)
    spread = np.cov(sample - mean, rowvar=False)
    _, directions = np.linalg.eigh(np.atleast_2d(spread))
    kept = directions[:, ::-1][:, :WIDTH]
    # The sign of a direction is arbitrary: its largest part is positive.
    largest = np.abs(kept).argmax(axis=0)
    kept = kept * np.where(kept[largest, np.arange(kept.shape[1])] < 0, -1, 1)
    centered = table - mean.astype(np.float32)
    found = centered @ kept.astype(np.float32)
    beyond = (centered**2).sum(axis=1) - (found**2).sum(axis=1)
    scale = max(float(found[known].std()), 1e-6)
    wide[:, : found.shape[1]] = found / scale
    return ImageLooks(wide, np.sqrt(np.maximum(beyond, 0)) / scale, grays)
