"""All that metrics need of the features of a set of images, in one pass over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from lfkit.errors import InputError
from lfkit.metrics.extractors import Extractor
from lfkit.metrics.image_set import ImageSet
from lfkit.metrics.metric import MetricContext

N_SPLITS = 10
_MOST_ROWS = 10_000
_MOST_CLASS_CELLS = 2**26  # of all classes' covariances: half a gigabyte


@dataclass(frozen=True, eq=False)
class Moments:
    """Of n rows: their mean, (d,), and unbiased covariance, (d, d), float64."""

    n: int
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SplitSums:
    """Sums over the images of one part of the set, drawn at random.

    Attributes
    ----------
    n : images of the part.
    proba : (k,) sum of their class probabilities.
    negative_entropy : sum of Σ_y p(y) log p(y).
    """

    n: int
    proba: NDArray[np.float64]
    negative_entropy: float


@dataclass(frozen=True, eq=False)
class Extracted:
    """What one extractor sees in one set.

    Attributes
    ----------
    extractor : its name and checksum.
    moments : of all images that could be read.
    of_class : class → moments of the images so labeled; None if they would take more
        than half a gigabyte, {} without labels.
    rows : (r, d) features of up to 10,000 images, in random order: any first so many
        are a random draw.
    row_labels : (r,) their classes; -1 without a label.
    splits : ten random parts; () if the extractor knows no classes.
    """

    extractor: str
    moments: Moments
    of_class: Mapping[int, Moments] | None
    rows: NDArray[np.float32]
    row_labels: NDArray[np.int64]
    splits: tuple[SplitSums, ...]

    @property
    def n(self) -> int:
        """How many images could be read."""
        return self.moments.n


def extracted(images: ImageSet, tools: MetricContext) -> Extracted:
    """Look at a set with the tools' extractor; each set is looked at only once."""
    if tools.extractor is None:
        raise InputError(f"the features of {images.name} need an extractor; give one.")
    known = _SEEN.setdefault(images, {})
    key = (tools.extractor.title, tools.random_state)
    if key not in known:
        known[key] = _look(images, tools.extractor, tools)
    return known[key]


# By the set itself, so that what is known of it goes when it goes.
_SEEN: WeakKeyDictionary[ImageSet, dict[tuple[str, int], Extracted]]
_SEEN = WeakKeyDictionary()


def _look(images: ImageSet, extractor: Extractor, tools: MetricContext) -> Extracted:
    n, d, k = len(images), extractor.width, images.n_classes
    rng = np.random.default_rng([tools.random_state, n])
    order = rng.permutation(n)
    split = np.empty(n, np.int8)
    split[order] = np.arange(n) * N_SPLITS // max(n, 1)
    place = np.full(n, -1)  # of an image among the rows that are kept
    place[order[:_MOST_ROWS]] = np.arange(min(n, _MOST_ROWS))
    labels = images.labels
    everything = RunningMoments(d)
    with_classes = k * d * d <= _MOST_CLASS_CELLS
    classes = [RunningMoments(d) for _ in range(k if with_classes else 0)]
    parts = _RunningSplits(extractor.n_classes)
    rows = np.zeros((min(n, _MOST_ROWS), d), np.float32)
    filled = np.zeros(len(rows), np.bool_)
    row_labels = np.full(len(rows), -1)
    done = 0
    for chunk, pixels in images.chunks():
        features, proba = extractor(pixels)
        everything.add(features)
        for label, moments in enumerate(classes):
            moments.add(features[labels[chunk] == label])
        if proba is not None:
            parts.add(proba, split[chunk])
        kept = place[chunk] >= 0
        where = place[chunk][kept]
        rows[where], filled[where] = features[kept], True
        row_labels[where] = labels[chunk][kept]
        done += len(chunk)
        tools.say(f"features of {images.name}", done, n)
    return Extracted(
        extractor.title,
        everything.result(),
        {label: each.result() for label, each in enumerate(classes) if each.n}
        if with_classes
        else None,
        rows[filled],
        row_labels[filled],
        parts.result(),
    )


class RunningMoments:
    """Mean and covariance of rows that come in chunks.

    Chan, Golub & LeVeque (1983), https://doi.org/10.1080/00031305.1983.10483115: sums
    of squares about each chunk's own mean, so that nothing cancels.
    """

    def __init__(self, d: int) -> None:
        self.n = 0
        self._mean = np.zeros(d)
        self._scatter = np.zeros((d, d))

    def add(self, rows: NDArray[np.floating]) -> None:
        """Count (b, d) rows in."""
        if not len(rows):
            return
        rows = rows.astype(np.float64)
        mean = rows.mean(axis=0)
        rows -= mean
        total = self.n + len(rows)
        away = mean - self._mean
        self._scatter += rows.T @ rows
        self._scatter += np.outer(away, away * (self.n * len(rows) / total))
        self._mean += away * (len(rows) / total)
        self.n = total

    def result(self) -> Moments:
        """Give the moments; the covariance is NaN below two rows."""
        if self.n < 2:
            return Moments(self.n, self._mean, np.full_like(self._scatter, np.nan))
        return Moments(self.n, self._mean, self._scatter / (self.n - 1))


class _RunningSplits:
    """Sums of class probabilities, for the Inception Score."""

    def __init__(self, n_classes: int) -> None:
        self._n = np.zeros(N_SPLITS, np.int64)
        self._proba = np.zeros((N_SPLITS, n_classes))
        self._negative_entropy = np.zeros(N_SPLITS)

    def add(self, proba: NDArray[np.floating], split: NDArray[np.int8]) -> None:
        """Count (b, k) probabilities into the splits, (b,)."""
        # In float32 a row's sum may miss 1 by 1e-6.
        p = proba / proba.sum(axis=1, keepdims=True, dtype=np.float64)
        belongs = (split == np.arange(N_SPLITS)[:, None]).astype(np.float64)
        self._n += belongs.sum(axis=1).astype(np.int64)
        self._proba += belongs @ p
        self._negative_entropy += belongs @ xlogy(p, p).sum(axis=1)

    def result(self) -> tuple[SplitSums, ...]:
        """Give the splits that have images."""
        sums = zip(self._n, self._proba, self._negative_entropy, strict=True)
        return tuple(
            SplitSums(int(n), proba, float(entropy)) for n, proba, entropy in sums if n
        )
