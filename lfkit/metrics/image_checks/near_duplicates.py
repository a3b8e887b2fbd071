"""Images that are nearly the same: shown together, labeled together."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lfkit.errors import InputError
from lfkit.refinement.neighbors import nearest_neighbors

SMALL_SIDE = 24
_N_NEIGHBORS = 10
_FEW = 64  # images: each is compared with all others, by pictures alone
_ZOOMS = (0.95, 1.0, 1 / 0.95)
_PAIRS = 1024  # of pictures compared at once: 50 MB


def small_grays(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink images to 24x24 gray by averaging areas: (b, h, w, c) → (b, 576) uint8."""
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
    least_similarity: float = 0.6,
    least_correlation: float = 0.98,
    random_state: int = 0,
) -> NDArray[np.int64]:
    """Group images that are nearly the same.

    A group is one image and all that resemble it: in their features (cosine of
    standardised rows) and as small pictures (correlation, so a change of brightness
    does not count), moved by a pixel and zoomed by 5 % where that makes them more
    alike. No member is far from its group's first image, as it could be if pairs were
    chained. Compared are each image's ten nearest neighbours by features, and theirs;
    beyond 100,000 images these are found approximately, by `nearest_neighbors`. Fewer
    than 64 are all compared, as small pictures alone.

    Parameters
    ----------
    features : (n, d) finite where known; a row with NaN is like no other.
    grays : (n, q) uint8, of `small_grays`: square pictures, row by row.
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
    if len(known) < _FEW:
        # Most of few images' 32 standardised directions are noise: copies differ there.
        least_similarity = -np.inf
    # Equal ones first: ten neighbours are few where there are many copies.
    content = np.concatenate([grays[known], unit.view(np.uint8)], axis=1)
    rows = np.ascontiguousarray(content).view(f"V{content.shape[1]}").ravel()
    _, first, copy_of = np.unique(rows, return_index=True, return_inverse=True)
    del content, rows
    leader = _leaders(
        unit[first],
        grays[known[first]],
        least_similarity,
        least_correlation,
        random_state,
    )
    found = leader[copy_of]
    lowest = np.full(len(first), n)
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


def _leaders(
    unit: NDArray[np.float32],
    grays: NDArray[np.uint8],
    least_similarity: float,
    least_correlation: float,
    random_state: int,
) -> NDArray[np.int64]:
    """Give each row the row whose group it joins, (n,): those with most twins first."""
    n = len(unit)

    def alike(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
        close = (unit[one] * unit[other]).sum(axis=1) >= least_similarity - 1e-6
        pairs = np.flatnonzero(close)
        for start in range(0, len(pairs), _PAIRS):
            part = pairs[start : start + _PAIRS]
            best = _best_correlations(grays[one[part]], grays[other[part]])
            close[part] = best >= least_correlation
        return close

    n_near = n if n < _FEW else _N_NEIGHBORS
    near = nearest_neighbors(unit, n_near, random_state=random_state).index
    one, other = np.repeat(np.arange(n), near.shape[1]), near.ravel().astype(np.int64)
    one, other = np.minimum(one, other), np.maximum(one, other)
    one, other = np.divmod(np.unique(one * n + other), n)
    is_twin = alike(one, other)
    one, other = one[is_twin], other[is_twin]
    pairs = sparse.csr_array((np.ones(len(one), bool), (one, other)), shape=(n, n))
    twins = (pairs + pairs.T).tocsr()
    leader = np.full(n, -1)
    n_twins = np.diff(twins.indptr)
    for at in np.argsort(-n_twins, kind="stable")[: np.count_nonzero(n_twins)]:
        if leader[at] >= 0:
            continue
        leader[at] = at
        own = _row(twins, at)
        others = np.unique(np.concatenate([own, *(_row(twins, i) for i in own)]))
        others = others[leader[others] < 0].astype(np.int64)
        same = alike(np.full(len(others), at), others)
        leader[others[same]] = at
    return np.where(leader < 0, np.arange(n), leader)


def _row(graph: sparse.csr_array, row: int) -> NDArray[np.int32]:
    return np.asarray(graph.indices[graph.indptr[row] : graph.indptr[row + 1]])


def _best_correlations(
    one: NDArray[np.uint8], other: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Correlate pictures, (p, q) each, at the place and zoom where they fit best: (p,).

    Moved by up to a pixel, where they are large enough for that.
    """
    side = int(np.sqrt(one.shape[1]))
    pictures = one.reshape(-1, side, side).astype(np.float32)
    margin = side // 12
    inner = slice(margin, side - margin)
    whole = other.reshape(-1, side, side).astype(np.float32)
    fixed = _centered(whole[:, inner, inner])
    # Plain pictures correlate with nothing, not even with their equals.
    best = (one == other).all(axis=1).astype(np.float32)
    moves = range(-1, 2) if margin else range(1)
    for zoom in _ZOOMS if margin else (1.0,):
        along = _zooming(side, zoom)
        zoomed = pictures if zoom == 1 else along @ pictures @ along.T
        for down in moves:
            rows = slice(margin + down, side - margin + down)
            for right in moves:
                columns = slice(margin + right, side - margin + right)
                moved = _centered(zoomed[:, rows, columns])
                np.maximum(best, (moved * fixed).sum(axis=1), out=best)
    return best


def _centered(pictures: NDArray[np.floating]) -> NDArray[np.float32]:
    flat = pictures.reshape(len(pictures), -1).astype(np.float32, copy=False)
    return _unit_rows(flat - flat.mean(axis=1, keepdims=True))


def _zooming(side: int, zoom: float) -> NDArray[np.float32]:
    """Give what enlarges a line of pixels around its middle, (side, side)."""
    middle = (side - 1) / 2
    place = np.clip(middle + (np.arange(side) - middle) / zoom, 0, side - 1)
    left = np.minimum(place.astype(np.int64), max(0, side - 2))
    found = np.zeros((side, side), np.float32)
    found[np.arange(side), left] = 1 - (place - left)
    found[np.arange(side), np.minimum(left + 1, side - 1)] += place - left
    return found
