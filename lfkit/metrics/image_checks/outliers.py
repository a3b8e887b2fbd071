"""Images that look like no other: of no class, or damaged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lfkit.metrics.image_checks.looks import ImageLooks
from lfkit.refinement.neighbors import nearest_neighbors

_N_NEIGHBORS = 10
_LEAST = 30  # different images that tell what is usual


def find_outliers(
    looks: ImageLooks,
    groups: NDArray[np.int64],
    *,
    least_deviations: float = 3.0,
    random_state: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find images far from their nearest neighbours, the farthest first.

    Two distances are added as at a right angle: the mean one to the ten nearest
    neighbours, and that from what the leading directions of all images can tell. The
    logarithm of the sum is compared with that of all images: with their median, in
    deviations by their quartiles, which a few strange images do not move.
    Near-duplicates are one image: many copies would make all others look far.

    Parameters
    ----------
    looks : an image with NaN is unreadable, and no outlier.
    groups : (n,) equal for near-duplicates.
    least_deviations : above the median, from which an image is an outlier.

    Returns
    -------
    (o,) rows, of near-duplicates the first; none where there are fewer than 30
    different images. And (n,) the deviations of all images, 0 where unreadable.
    """
    deviations = np.zeros(len(looks.values))
    known = np.flatnonzero(np.isfinite(looks.values).all(axis=1))
    _, first, group = np.unique(groups[known], return_index=True, return_inverse=True)
    if len(first) < _LEAST:
        return np.zeros(0, np.int64), deviations
    points, rest = looks.values[known[first]], looks.rest[known[first]]
    near = nearest_neighbors(points, _N_NEIGHBORS, random_state=random_state).index
    distance = np.zeros(len(points))
    for column in near.T:
        distance += np.sqrt(((points - points[column]) ** 2).sum(axis=1))
    distance = np.hypot(distance / near.shape[1], rest)
    far = np.log(np.maximum(distance, 1e-6))
    low, middle, high = np.quantile(far, [0.25, 0.5, 0.75])
    deviations[known] = ((far - middle) / max((high - low) / 1.349, 1e-6))[group]
    rows = known[first]
    rows = rows[deviations[rows] > least_deviations]
    return rows[np.argsort(-deviations[rows], kind="stable")], deviations
