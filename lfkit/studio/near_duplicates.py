"""Images that are nearly the same: shown together, labeled together."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD

from lfkit.errors import InputError

SMALL_SIDE = 16
_MOST_DIRECTIONS = 64
_SAMPLE = 5000  # images that the directions are learned from
_BLOCK_CELLS = 2**23  # similarities held at once: 32 MB as float32


def small_grays(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink images to 16x16 gray by averaging areas: (b, h, w, c) → (b, 256) uint8."""
    size = (SMALL_SIDE, SMALL_SIDE)
    small = np.empty((len(pixels), SMALL_SIDE**2), np.uint8)
    for place, image in enumerate(pixels):
        shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        gray = shrunk.reshape(*size, -1).mean(axis=2)
        small[place] = np.rint(gray).astype(np.uint8).ravel()
    return small


def near_duplicates(
    features: NDArray[np.floating],
    grays: NDArray[np.uint8],
    *,
    least_similarity: float = 0.9,
    least_correlation: float = 0.95,
    random_state: int = 0,
) -> NDArray[np.int64]:
    """Group images that are nearly the same.

    A group is one image and all that resemble it: in every feature (cosine of
    standardised rows) and as small pictures (correlation, so a change of brightness
    does not count). No member is far from its group's first image, as it could be if
    pairs were chained. Every pair is compared whose main direction is close enough;
    memory stays below 200 MB beside the arguments.

    Parameters
    ----------
    features : (n, d) finite where known; a row with NaN is like no other.
    grays : (n, q) uint8, of `small_grays`.
    least_similarity, least_correlation : up to 1; what is below is another image.

    Returns
    -------
    (n,) int64: the lowest row of each image's group; its own where it is alone.

    >>> rows = np.eye(4)[[0, 1, 0, 3]]
    >>> near_duplicates(rows, np.asarray(rows * 200, np.uint8))
    array([0, 1, 0, 3])
    """
    n = len(features)
    if features.ndim != 2 or grays.ndim != 2 or len(grays) != n:
        raise InputError(
            f"features of shape {features.shape} and small pictures of shape "
            f"{grays.shape} must both be two-dimensional with one row per image."
        )
    if not 0 < least_similarity <= 1 or not 0 < least_correlation <= 1:
        raise InputError(
            f"least_similarity is {least_similarity} and least_correlation "
            f"{least_correlation}; both are above 0 and at most 1."
        )
    group = np.arange(n)
    known = np.flatnonzero(np.isfinite(features).all(axis=1))
    if len(known) < 2:
        return group
    unit = _standardised(features, known)
    pictures = grays[known].astype(np.float32)
    found = _groups(
        unit,
        _unit_rows(pictures - pictures.mean(axis=1, keepdims=True)),
        grays[known],
        _directions(unit, random_state),
        least_similarity,
        least_correlation,
    )
    lowest = np.full(len(known), n)
    np.minimum.at(lowest, found, known)
    group[known] = lowest[found]
    return group


def _standardised(
    features: NDArray[np.floating], known: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Give rows of length 1, each feature with mean 0 and deviation 1 before."""
    values = features[known].astype(np.float32)
    values -= values.mean(axis=0)
    deviation = values.std(axis=0)
    values /= np.where(deviation > 0, deviation, 1)
    return _unit_rows(values)


def _unit_rows(values: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, np.where(length > 0, length, 1), dtype=np.float32)


def _directions(unit: NDArray[np.float32], random_state: int) -> NDArray[np.float32]:
    """Turn rows to their main directions, the first with the largest spread: (n, q).

    Distances only shrink, so none that is small is lost.
    """
    if unit.shape[1] < 2:
        return unit
    n_kept = min(_MOST_DIRECTIONS, unit.shape[1] - 1)
    every = max(1, len(unit) // _SAMPLE)
    svd = TruncatedSVD(n_kept, n_iter=3, random_state=random_state)
    svd.fit(unit[::every].astype(np.float64))
    turned = unit @ svd.components_.T.astype(np.float32)
    return np.ascontiguousarray(turned[:, np.argsort(-turned.var(axis=0))])


def _groups(
    unit: NDArray[np.float32],
    pictures: NDArray[np.float32],
    grays: NDArray[np.uint8],
    turned: NDArray[np.float32],
    least_similarity: float,
    least_correlation: float,
) -> NDArray[np.int64]:
    """Give each row the row whose group it joins, (n,), along the first direction."""
    n = len(unit)
    radius = float(np.sqrt(2 - 2 * least_similarity)) + 1e-4
    along = np.argsort(turned[:, 0], kind="stable")
    ranked = turned[along]
    ends = np.searchsorted(ranked[:, 0], ranked[:, 0] + radius, side="right")
    half = (ranked**2).sum(axis=1) / 2
    leader = np.full(n, -1)
    start = 0
    while start < n:
        wide = int(ends[start]) - start
        stop = min(n, start + max(1, min(512, _BLOCK_CELLS // max(1, wide))))
        end = int(ends[stop - 1])
        # |a - b|² / 2 = |a|² / 2 + |b|² / 2 - ab, compared without another array.
        inner = ranked[start:stop] @ ranked[start:end].T
        inner -= half[start:end]
        close = inner >= (half[start:stop] - radius**2 / 2)[:, None]
        for place in np.flatnonzero(close.sum(axis=1) > 1):
            at = along[start + place]
            if leader[at] >= 0:
                continue
            others = along[start + np.flatnonzero(close[place])]
            others = others[(leader[others] < 0) & (others != at)]
            same = unit[others] @ unit[at] >= least_similarity - 1e-6
            others = others[same]
            alike = pictures[others] @ pictures[at] >= least_correlation
            # Plain pictures correlate with nothing, not even with their equals.
            alike |= (grays[others] == grays[at]).all(axis=1)
            leader[others[alike]] = at
            if alike.any():
                leader[at] = at
        start = stop
    return np.where(leader < 0, np.arange(n), leader)
