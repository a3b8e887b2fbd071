"""A map of images: those that look alike, or have one label, lie together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.manifold import TSNE

from lfkit.errors import InputError

_SAMPLE = 4000  # images that directions are learned from
_DIRECTIONS = 50
_LANDMARKS = 2000  # images that are embedded; the others are placed among them
_NEAREST = 6
_CHUNK_ROWS = 4096
_LEAST_LABELED = 5  # images of a class that is to have a direction of its own
_MOST_PER_CLASS = 2000
_SPREAD = 0.35  # of what labels do not explain, beside what they do


def map_layout(
    features: NDArray[np.floating],
    labels: NDArray[np.int64] | None = None,
    *,
    random_state: int = 0,
) -> NDArray[np.float32]:
    """Place images in a plane.

    Features are turned to 50 main directions and, where at least two classes have
    labels, to those that separate the labeled classes (linear discriminants) beside
    them. t-SNE (van der Maaten & Hinton 2008) places 2,000 images, and every other
    image is placed among the landmarks nearest to it: a minute's work becomes seconds,
    whatever n is. The same arguments give the same map.

    Parameters
    ----------
    features : (n, d); a value that is not finite counts as the mean.
    labels : (n,) classes, -1 where there is none.

    Returns
    -------
    (n, 2) float32 in [0, 1].
    """
    features = np.asarray(features)
    if features.ndim != 2 or (labels is not None and len(labels) != len(features)):
        raise InputError(
            f"features have shape {features.shape} and there are "
            f"{0 if labels is None else len(labels)} labels; give (n, d) features and "
            "one label per image, -1 where there is none."
        )
    n = len(features)
    if n < 3 or features.shape[1] == 0:
        line = np.linspace(0, 1, n, dtype=np.float32)
        return np.stack([line, np.full(n, 0.5, np.float32)], axis=1)
    rows = _separated(_main_directions(features, random_state), labels)
    rng = np.random.default_rng(random_state)
    landmarks = np.sort(rng.permutation(n)[:_LANDMARKS])
    placed = _embedded(rows[landmarks], random_state)
    if n > len(landmarks):
        placed = _among(rows, rows[landmarks], placed)
    low, high = placed.min(axis=0), placed.max(axis=0)
    return ((placed - low) / np.maximum(high - low, 1e-12)).astype(np.float32)


def _main_directions(
    features: NDArray[np.floating], random_state: int
) -> NDArray[np.float32]:
    """Standardise and turn to the main directions of a sample: (n, 50) at most."""
    every = max(1, len(features) // _SAMPLE)
    sample = np.asarray(features[::every], np.float64)
    known = np.isfinite(sample)
    count = np.maximum(known.sum(axis=0), 1)
    center = np.where(known, sample, 0).sum(axis=0) / count
    sample = np.where(known, sample - center, 0)
    deviation = np.sqrt((sample**2).sum(axis=0) / count)
    scale = np.where(deviation > 1e-9, 1 / np.where(deviation > 0, deviation, 1), 0)
    n_kept = min(_DIRECTIONS, *sample.shape)
    pca = PCA(n_kept, svd_solver="randomized", random_state=random_state)
    pca.fit(np.clip(sample * scale, -5, 5))
    basis = pca.components_.T.astype(np.float32)
    center, scale = center.astype(np.float32), scale.astype(np.float32)
    turned = np.empty((len(features), n_kept), np.float32)
    for start in range(0, len(features), _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        values = (features[part].astype(np.float32) - center) * scale
        values = np.where(np.isfinite(values), values, 0)
        turned[part] = np.clip(values, -5, 5) @ basis
    turned /= max(float(turned.std()), 1e-12)
    return turned


def _separated(
    rows: NDArray[np.float32], labels: NDArray[np.int64] | None
) -> NDArray[np.float32]:
    """Put what separates the labeled classes before the directions, if there is any."""
    if labels is None:
        return rows
    classes, counts = np.unique(labels[labels >= 0], return_counts=True)
    classes = classes[counts >= _LEAST_LABELED]
    if len(classes) < 2:
        return rows
    chosen = np.concatenate(
        [_spread_rows(np.flatnonzero(labels == label)) for label in classes]
    )
    lda = LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.1)
    lda.fit(rows[chosen].astype(np.float64), labels[chosen])
    found = lda.transform(rows).astype(np.float32)  # (n, classes - 1 at most)
    found /= max(float(np.sqrt((found.var(axis=0)).sum())), 1e-12)
    others = rows / max(float(np.sqrt(rows.var(axis=0).sum())), 1e-12)
    return np.concatenate([found, _SPREAD * others], axis=1)


def _spread_rows(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows[:: max(1, -(-len(rows) // _MOST_PER_CLASS))]


def _embedded(rows: NDArray[np.float32], random_state: int) -> NDArray[np.float32]:
    """Place a few thousand rows in a plane by t-SNE: (l, 2)."""
    tsne = TSNE(
        perplexity=min(30.0, (len(rows) - 1) / 3),
        init="pca" if rows.shape[1] > 1 else "random",
        learning_rate="auto",
        max_iter=500,
        random_state=random_state,
        n_jobs=1,
    )
    return np.asarray(tsne.fit_transform(rows), np.float32)


def _among(
    rows: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    placed: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Place each row at the weighted mean of the landmarks nearest to it: (n, 2)."""
    squares = (landmarks**2).sum(axis=1)
    found = np.empty((len(rows), 2), np.float32)
    size = min(_NEAREST, len(landmarks))
    for start in range(0, len(rows), _CHUNK_ROWS):
        part = rows[start : start + _CHUNK_ROWS]
        gaps = squares - 2 * (part @ landmarks.T) + (part**2).sum(axis=1)[:, None]
        near = np.argpartition(gaps, size - 1, axis=1)[:, :size]
        gap = np.maximum(np.take_along_axis(gaps, near, axis=1), 0)
        # Half the distance to the nearest is the width: a landmark stays at its place.
        width = np.maximum(gap.min(axis=1, keepdims=True), 1e-9)
        weight = np.exp(-(gap / width - 1))
        weight /= weight.sum(axis=1, keepdims=True)
        found[start : start + len(part)] = (placed[near] * weight[..., None]).sum(1)
    return found
