"""Reading labeled images a chunk at a time, and asking the judge about them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import DataError, InputError
from lfkit.metrics.image_set import ImageSet
from lfkit.metrics.metric import MetricContext


def labeled_chunks(
    images: ImageSet, rows: NDArray[np.int64] | None = None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Yield rows and their (b, h, w, c) pixels of labeled images; at least one.

    Parameters
    ----------
    rows : which of them; None: all.
    """
    wanted = np.flatnonzero(images.labels >= 0) if rows is None else rows
    n = 0
    for part, pixels in images.chunks(wanted):
        n += len(part)
        yield part, pixels
    if n == 0:
        raise DataError(
            f"none of the {len(wanted)} labeled images of {images.name} can be read; "
            "check its files, or leave it out."
        )


def judged(
    images: ImageSet, tools: MetricContext
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Yield rows, (b,), and the judge's probabilities, (b, k), of labeled images."""
    assert tools.judge is not None, "why_not has looked"
    total, done = int((images.labels >= 0).sum()), 0
    for rows, pixels in labeled_chunks(images):
        proba = np.asarray(tools.judge(pixels), np.float64)
        if proba.shape != (len(rows), images.n_classes):
            raise InputError(
                f"the judge {tools.judge_name} gives probabilities of shape "
                f"{proba.shape} for {len(rows)} images of {images.name}; expected "
                f"{(len(rows), images.n_classes)}, one column per class. Give a judge "
                "of these classes."
            )
        done += len(rows)
        tools.say(f"judging {images.name}", done, total)
        yield rows, proba


def left_out(images: ImageSet, n_used: int) -> str:
    """Say how many images had no part in a score, or ""."""
    missing = len(images) - n_used
    if not missing:
        return ""
    return (
        f"{missing} of {len(images)} images have no label or cannot be read, and are "
        "left out."
    )


def why_unlabeled(images: ImageSet) -> str | None:
    """Say that not one image has a label, or None."""
    if (images.labels >= 0).any():
        return None
    return f"no image of {images.name} has a label"


def why_unlike(*sets: ImageSet | None) -> str | None:
    """Say why these cannot be trained and tested on together, or None."""
    given = [images for images in sets if images is not None]
    kinds = [(*images.shape, images.n_classes) for images in given]
    for images, kind in zip(given, kinds, strict=True):
        missing = why_unlabeled(images)
        if missing:
            return missing
        if kind != kinds[0]:
            return (
                f"{given[0].name} is (height, width, channels, classes) {kinds[0]} and "
                f"{images.name} {kind}; they must be the same"
            )
    return None
