"""Plain classifiers trained on the seeds alone: what labels from votes must beat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold

from lfkit.analysis import checked_labels
from lfkit.classifiers import Classifier, ShrinkageLDA, SoftLogisticRegression, one_hot
from lfkit.features.feature import Feature, ancestors
from lfkit.fingerprint import fingerprint
from lfkit.images import ImageSource
from lfkit.labels import given_images
from lfkit.store import RunStore, block_size
from lfkit.votes import Votes

_LARGEST_SIDE = 32  # of the images that logistic regression sees


@dataclass(frozen=True)
class Floor:
    """What a plain classifier reaches when trained on the seed labels directly.

    Attributes
    ----------
    seed_cv_accuracy : cross-validated on the seeds; None if a class has one seed only.
    accuracy : on the test batches; None without a known label there.
    n_scored : images behind `accuracy`.
    """

    name: str
    seed_cv_accuracy: float | None
    accuracy: float | None
    n_scored: int


def find_floors(
    source: ImageSource,
    votes: Votes,
    truth: NDArray[np.int64],
    store: RunStore,
    features: Mapping[Feature, str],
    *,
    random_state: int,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Floor]:
    """Score plain classifiers trained on the seeds alone; kept in the store.

    Parameters
    ----------
    truth : (n,) for scoring, -1 where unknown.
    features : feature → its key in the store. Those that learned from the seeds are
        left out: a classifier trained on them would be trained twice on one label.
    """
    rows, labels = votes.seed_rows, votes.seed_labels
    if rows is None or labels is None or len(np.unique(labels)) < 2:
        return []
    keys = {
        node.name: key
        for node, key in features.items()
        if all(part.fit is None for part in ancestors([node]))
    }
    given = given_images(source, votes)
    scored = np.where(given, -1, truth)
    identity = (sorted(keys.values()), source.decoding, source.keys, rows, labels)
    cache_key = fingerprint((identity, scored, random_state, score_floors))
    cached = store.load("fitted", cache_key, "floors")
    if cached is None:
        blocks = store.layout(source.keys, block_size(source.shape))
        table = _FeatureTable(store, blocks, list(keys.values()))
        seed_features = table.rows(rows) if keys else None
        usable = np.ones(len(rows), bool)
        if seed_features is not None:
            usable = np.asarray(np.isfinite(seed_features).all(axis=1))
        found = score_floors(
            _small(source.read(rows).pixels)[usable],
            None if seed_features is None else seed_features[usable],
            labels[usable],
            votes.n_classes,
            _batches(source, blocks, table, scored, progress),
            blocks=table.widths if keys else None,
            random_state=random_state,
        )
        cached = {
            "names": np.asarray([floor.name for floor in found]),
            "numbers": np.asarray(
                [
                    [_or_nan(f.seed_cv_accuracy), _or_nan(f.accuracy), f.n_scored]
                    for f in found
                ]
            ),
        }
        store.save("fitted", cache_key, "floors", cached)
    return [
        Floor(name, _or_none(on_seeds), _or_none(accuracy), int(n))
        for name, (on_seeds, accuracy, n) in zip(
            cached["names"].tolist(), cached["numbers"].tolist(), strict=True
        )
    ]


def score_floors(
    seed_pixels: NDArray[np.uint8],
    seed_features: NDArray[np.float32] | None,
    seed_labels: ArrayLike,
    n_classes: int,
    test_batches: Iterable[tuple[NDArray[Any], Any, ArrayLike]] = (),
    *,
    blocks: Sequence[int] | None = None,
    random_state: int = 0,
) -> list[Floor]:
    """Score plain classifiers trained on the seed labels: what lfkit has to beat.

    Parameters
    ----------
    seed_pixels : (s, h, w, c) images.
    seed_features : (s, d), not standardised; None scores the pixels only.
    seed_labels : (s,), -1 = unknown: ignored.
    test_batches : (pixels, features, labels) of other images, a batch at a time.
    blocks : widths of the groups of features, which then count alike; None: every
        feature counts alike.
    random_state : seed of the folds.
    """
    labels = checked_labels(seed_labels, len(seed_pixels), "seed_labels")
    seeds = np.flatnonzero(labels >= 0)
    labels = labels[seeds]
    contenders: dict[str, tuple[Classifier, int]] = {
        "logistic regression on pixels": (SoftLogisticRegression(), 0)
    }
    inputs: list[NDArray[Any]] = [seed_pixels[seeds]]
    if seed_features is not None:
        contenders["shrinkage LDA on features"] = (ShrinkageLDA(blocks=blocks), 1)
        inputs.append(seed_features[seeds])
    for classifier, which in contenders.values():
        classifier.fit(inputs[which], one_hot(labels, n_classes))
    n_correct = dict.fromkeys(contenders, 0)
    n_scored = 0
    for pixels, features, batch_labels in test_batches:
        truth = checked_labels(batch_labels, len(pixels), "labels of a test batch")
        known = np.flatnonzero(truth >= 0)
        n_scored += len(known)
        for name, (classifier, which) in contenders.items():
            predicted = classifier.predict((pixels, features)[which][known])
            n_correct[name] += int(np.count_nonzero(predicted == truth[known]))
    return [
        Floor(
            name,
            _cross_validated(
                classifier, inputs[which], labels, n_classes, random_state
            ),
            n_correct[name] / n_scored if n_scored else None,
            n_scored,
        )
        for name, (classifier, which) in contenders.items()
    ]


class _FeatureTable:
    """Features of stored blocks as rows of one matrix, a block at a time."""

    def __init__(
        self, store: RunStore, blocks: Sequence[Any], keys: Sequence[str]
    ) -> None:
        self._store, self._blocks, self._keys = store, blocks, keys
        self.widths: list[int] = []

    def block(self, block: Any) -> NDArray[np.float32]:
        """Give a block's (b, d) features, NaN where one failed."""
        parts = []
        for key in self._keys:
            arrays = self._store.load("features", key, block.id)
            assert arrays is not None, "the votes of this block were made from it"
            parts.append(arrays["values"].reshape(len(block.rows), -1))
        self.widths = [part.shape[1] for part in parts]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def rows(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Give the features of some rows of the source, in that order."""
        found: dict[int, NDArray[np.float32]] = {}
        for block in self._blocks:
            inside = np.flatnonzero(np.isin(block.rows, rows))
            if len(inside):
                values = self.block(block)
                found.update(
                    zip(block.rows[inside].tolist(), values[inside], strict=True)
                )
        width = max((len(row) for row in found.values()), default=0)
        lost = np.full(width, np.nan, np.float32)
        return np.stack([found.get(int(row), lost) for row in rows])


def _batches(
    source: ImageSource,
    blocks: Sequence[Any],
    table: _FeatureTable,
    scored: NDArray[np.int64],
    progress: Callable[[str, int, int], None] | None,
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]]:
    """Yield pixels, features and truth of the images to score, block by block."""
    done, total = 0, sum(len(block.rows) for block in blocks)
    for block in blocks:
        done += len(block.rows)
        if not (scored[block.rows] >= 0).any():
            continue
        read = source.read(block.rows)
        truth = scored[block.rows].copy()
        truth[list(read.problems)] = -1
        features = table.block(block) if table.widths else np.zeros((len(truth), 0))
        whole = np.asarray(np.isfinite(features).all(axis=1))
        yield (
            _small(read.pixels),
            np.where(whole[:, None], features, 0).astype(np.float32),
            truth,
        )
        if progress:
            progress("scoring plain classifiers", done, total)


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average large images down to at most 32 pixels a side: (n, h', w', c)."""
    n, h, w, c = pixels.shape
    down, across = -(-h // _LARGEST_SIDE), -(-w // _LARGEST_SIDE)
    if down == across == 1:
        return pixels
    cut = pixels[:, : h // down * down, : w // across * across]
    tiles = cut.reshape(n, h // down, down, w // across, across, c)
    return tiles.mean(axis=(2, 4)).astype(np.uint8)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _or_none(value: Any) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def _cross_validated(
    classifier: Classifier,
    x: NDArray[Any],
    labels: NDArray[np.int64],
    n_classes: int,
    random_state: int,
) -> float | None:
    smallest = int(min(count for count in np.bincount(labels) if count))
    if smallest < 2:
        return None
    folds = StratifiedKFold(min(5, smallest), shuffle=True, random_state=random_state)
    right = np.zeros(len(labels), dtype=bool)
    for train, test in folds.split(x, labels):
        fitted = clone(classifier).fit(x[train], one_hot(labels[train], n_classes))
        right[test] = fitted.predict(x[test]) == labels[test]
    return float(right.mean())
