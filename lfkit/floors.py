"""Plain classifiers trained on the seeds alone: what labels from votes must beat."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold

from lfkit.analysis import checked_labels
from lfkit.classifiers import Classifier, ShrinkageLDA, SoftLogisticRegression, one_hot
from lfkit.features.feature import Feature
from lfkit.fingerprint import fingerprint
from lfkit.images import ImageSource
from lfkit.labeling.matrix import originals
from lfkit.labels import scored_images
from lfkit.store import Block, RunStore, block_size
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
    unreadable: Collection[int] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Floor]:
    """Score plain classifiers trained on the seeds alone; kept in the store.

    A feature that failed on a seed is not used; without features in the store, only
    pixels are.

    Parameters
    ----------
    truth : (n,) for scoring, -1 where unknown.
    features : feature → its key in the store. Those that learned from the seeds are
        left out: a classifier trained on them would be trained twice on one label.
    unreadable : rows that are not scored, as `given_images` takes them.
    """
    rows, labels = votes.seed_rows, votes.seed_labels
    if rows is None or labels is None or len(np.unique(labels)) < 2:
        return []
    usable = {key for node, key in features.items() if not node.learns_from_labels}
    scored = scored_images(source, votes, truth, unreadable)
    task = (source.decoding, source.keys, rows, labels, votes.n_classes, scored)
    absent = sorted(map(int, unreadable))  # seeds among them may be back the next time
    code = (score_floors, _shrunk, _small, _batches, _FeatureTable)

    def cache_key() -> str:
        return fingerprint((sorted(usable), task, absent, random_state, code))

    cached = store.load("fitted", cache_key(), "floors")
    if cached is not None:
        return _unpack(cached)
    blocks = store.layout(source.keys, block_size(source.shape))
    if not all(store.has("features", key, b.id) for key in usable for b in blocks):
        usable = set()  # deleted to save disk space
        cached = store.load("fitted", cache_key(), "floors")
        if cached is not None:
            return _unpack(cached)
    pixels, lost = _shrunk(source, rows)
    readable = np.setdiff1d(np.arange(len(rows)), lost)
    copied = originals(source.keys)[rows[readable]]  # blocks hold the first of copies
    table = _FeatureTable(store, blocks, sorted(usable), copied)
    found = score_floors(
        pixels[readable],
        table.seeds if table.widths else None,
        labels[readable],
        votes.n_classes,
        _batches(source, blocks, table, scored, progress),
        blocks=list(table.widths.values()) or None,
        random_state=random_state,
    )
    store.save("fitted", cache_key(), "floors", _pack(found))
    return found


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

    Returns none where fewer than two classes have a seed.

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
    if len(np.unique(labels)) < 2:
        return []
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
    """Stored features that are whole on the seeds, as rows of one matrix.

    Attributes
    ----------
    widths : feature key → how many numbers it has.
    seeds : (s, d) the seeds' features.
    """

    def __init__(
        self,
        store: RunStore,
        blocks: Sequence[Block],
        keys: Sequence[str],
        seed_rows: NDArray[np.int64],
    ) -> None:
        self._store = store
        self.widths: dict[str, int] = {}
        inside = [(b, np.flatnonzero(np.isin(b.rows, seed_rows))) for b in blocks]
        inside = [(block, places) for block, places in inside if len(places)]
        found = [row for block, places in inside for row in block.rows[places].tolist()]
        position = {row: i for i, row in enumerate(found)}
        order = [position[row] for row in seed_rows.tolist()]
        columns = [np.zeros((len(order), 0), np.float32)]
        for key in keys:
            parts = [self._values(key, block)[places] for block, places in inside]
            # A feature without any value in a block is stored without its width.
            widths = {part.shape[1] for part in parts} - {0}
            if len(widths) == 1 and all(np.isfinite(part).all() for part in parts):
                self.widths[key] = parts[0].shape[1]
                columns.append(np.concatenate(parts)[order])
        self.seeds = np.concatenate(columns, axis=1)

    def block(self, block: Block) -> NDArray[np.float32]:
        """Give a block's (b, d) features, the seeds' mean where one failed."""
        parts = [np.zeros((len(block.rows), 0), np.float32)]
        for key, width in self.widths.items():
            part = self._values(key, block)
            if part.shape[1] != width:
                part = np.full((len(block.rows), width), np.nan, np.float32)
            parts.append(part)
        values = np.concatenate(parts, axis=1)
        middle = self.seeds.mean(axis=0, dtype=np.float64).astype(np.float32)
        return np.where(np.isfinite(values), values, middle)

    def _values(self, key: str, block: Block) -> NDArray[np.float32]:
        arrays = self._store.load("features", key, block.id)
        assert arrays is not None, "find_floors has looked"
        return arrays["values"].reshape(len(block.rows), -1).astype(np.float32)


def _batches(
    source: ImageSource,
    blocks: Sequence[Block],
    table: _FeatureTable,
    scored: NDArray[np.int64],
    progress: Callable[[str, int, int], None] | None,
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]]:
    """Yield pixels, features and truth of the images to score, copies among them."""
    original = originals(source.keys)
    block_of, position_of = np.zeros((2, len(source)), np.int64)
    for number, block in enumerate(blocks):
        block_of[block.rows] = number
        position_of[block.rows] = np.arange(len(block.rows))
    images = np.flatnonzero(scored >= 0)
    images = images[np.argsort(block_of[original[images]], kind="stable")]
    starts = np.searchsorted(block_of[original[images]], np.arange(len(blocks) + 1))
    done, total = 0, sum(len(block.rows) for block in blocks)
    for number, block in enumerate(blocks):
        done += len(block.rows)
        members = images[starts[number] : starts[number + 1]]
        if not len(members):
            continue
        read, place = np.unique(position_of[original[members]], return_inverse=True)
        pixels, lost = _shrunk(source, block.rows[read])
        features = table.block(block)[read]
        kept = np.flatnonzero(~np.isin(place, lost))
        for start in range(0, len(kept), len(block.rows)):
            part = kept[start : start + len(block.rows)]
            yield pixels[place[part]], features[place[part]], scored[members[part]]
        if progress:
            progress("scoring plain classifiers", done, total)


def _shrunk(
    source: ImageSource, rows: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], list[int]]:
    """Read images, made small, a block's worth at a time; and which have no pixels."""
    size = block_size(source.shape)
    lost: list[int] = []
    parts = []
    for start in range(0, len(rows), size):
        read = source.read(rows[start : start + size])
        parts.append(_small(read.pixels))
        lost += [start + position for position in read.problems]
    return np.concatenate(parts), lost


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average large images down to at most 32 pixels a side: (n, h', w', c)."""
    n, h, w, c = pixels.shape
    down, across = -(-h // _LARGEST_SIDE), -(-w // _LARGEST_SIDE)
    if down == across == 1:
        return pixels
    cut = pixels[:, : h // down * down, : w // across * across]
    tiles = cut.reshape(n, h // down, down, w // across, across, c)
    return tiles.mean(axis=(2, 4)).astype(np.uint8)


def _pack(floors: Sequence[Floor]) -> dict[str, NDArray[Any]]:
    numbers = [
        [np.nan if value is None else value for value in list(vars(floor).values())[1:]]
        for floor in floors
    ]
    names = np.asarray([floor.name for floor in floors], np.str_)
    return {"names": names, "numbers": np.asarray(numbers, np.float64)}


def _unpack(arrays: Mapping[str, NDArray[Any]]) -> list[Floor]:
    names, numbers = arrays["names"].tolist(), arrays["numbers"].tolist()
    return [
        Floor(name, _or_none(on_seeds), _or_none(accuracy), int(n))
        for name, (on_seeds, accuracy, n) in zip(names, numbers, strict=True)
    ]


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value


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
