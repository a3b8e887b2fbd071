"""Plain classifiers trained on the seeds alone: what labels from votes must beat."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from lfkit.classifiers import Classifier, ShrinkageLDA, SoftLogisticRegression, one_hot
from lfkit.data.folds import FOLDS, deal_folds
from lfkit.data.image_source import ImageSource
from lfkit.data.labels import checked_labels, scored_images
from lfkit.data.read_images import box_means, read_images
from lfkit.data.vote_columns import originals
from lfkit.data.votes import Votes
from lfkit.errors import InputError
from lfkit.features.feature import Feature
from lfkit.runs.cache_keys import fingerprint
from lfkit.runs.run_summary import BaselineSummary
from lfkit.runs.store import Block, RunStore, block_size

_LARGEST_SIDE = 32  # of the images that classifiers on pixels see
_WIDE = 16  # numbers that a feature needs to be tried on its own
_MOST_CELLS = 2**23  # of seeds by numbers; beyond it, logistic regression takes minutes
_PIXELS, _FEATURES = "pixels", "features"

# Inputs of classifiers, by name: each one row per image.
Inputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Baseline:
    """What a plain classifier reaches when trained on the seed labels directly.

    Attributes
    ----------
    seed_cv_accuracy : cross-validated on the seeds; None where two classes do not have
        two seeds each.
    accuracy : on the test batches; None without a known label there.
    n_scored : images behind `accuracy`.
    held_out : (s, k) the posteriors behind `seed_cv_accuracy`; None without.
    """

    name: str
    seed_cv_accuracy: float | None
    accuracy: float | None
    n_scored: int
    held_out: NDArray[np.float64] | None = field(
        default=None, repr=False, compare=False
    )

    def summary(self) -> BaselineSummary:
        """Give what the run's summary holds of it."""
        return BaselineSummary(
            self.name, self.seed_cv_accuracy, self.accuracy, self.n_scored
        )


@dataclass(frozen=True, eq=False)
class BaselineLabels:
    """What the baseline says of all images.

    Attributes
    ----------
    name : the classifier's.
    proba : (n, k) posteriors; flat where an image cannot be read.
    seed_rows, seed_labels : (s,) seeds that can be read.
    seed_proba : (s, k) posteriors on them, each by a classifier fitted without it.
    judged_proba : (s, k) likewise, by the classifier that the other folds' seeds
        choose: whoever was chosen by a seed is not judged by it.
    """

    name: str
    proba: NDArray[np.float64]
    seed_rows: NDArray[np.int64]
    seed_labels: NDArray[np.int64]
    seed_proba: NDArray[np.float64]
    judged_proba: NDArray[np.float64]


def best_baseline(baselines: Sequence[Baseline]) -> Baseline:
    """Choose the baseline by cross-validation on the seeds, never by the true classes.

    The first of the best; where nothing could be cross-validated, the first of all.
    """
    return max(baselines, key=lambda baseline: baseline.seed_cv_accuracy or 0.0)


def check_seeds(labels: NDArray[np.int64]) -> None:
    """Refuse to label by a baseline if the readable seeds, (s,), are of one class."""
    if len(np.unique(labels)) < 2:
        raise InputError(
            "--with baseline trains a plain classifier on the seeds, and there are not "
            "two classes with seeds; give them with --seed-labels or "
            "--seeds-per-class."
        )


def find_baselines(
    source: ImageSource,
    votes: Votes,
    truth: NDArray[np.int64],
    store: RunStore,
    features: Mapping[Feature, str],
    *,
    random_state: int,
    unreadable: Collection[int] = (),
    networks: Inputs | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Baseline]:
    """Score plain classifiers trained on the seeds alone; kept in the store.

    The same few classifiers see the pixels, all features together, each feature of 16
    numbers or more, and each frozen network. A feature that failed on a seed is not
    used; without features in the store, only pixels and networks are.

    Parameters
    ----------
    truth : (n,) for scoring, -1 where unknown.
    features : feature → its key in the store. Those that learned from the seeds are
        left out: a classifier trained on them would be trained twice on one label.
    unreadable : rows that are not scored, as `given_images` takes them.
    networks : (n, d) each: main directions of what frozen networks see, by name.
    """
    rows, labels = votes.seed_rows, votes.seed_labels
    if rows is None or labels is None or len(np.unique(labels)) < 2:
        return []
    networks = networks or {}
    usable = {key for node, key in features.items() if not node.learns_from_labels}
    scored = scored_images(source, votes, truth, unreadable)
    task = (source.decoding, source.keys, rows, labels, votes.n_classes, scored)
    absent = sorted(map(int, unreadable))  # seeds among them may be back the next time
    code = (
        score_baselines,
        _pack,
        _contenders,
        read_images,
        box_means,
        _small,
        _batches,
        _FeatureTable,
    )
    seen = [(name, fingerprint(array)) for name, array in networks.items()]

    def cache_key() -> str:
        names = sorted((key, node.name) for node, key in features.items())
        return fingerprint(
            (sorted(usable), names, task, absent, seen, random_state, *code)
        )

    cached = store.load("fitted", cache_key(), "baselines")
    if cached is not None:
        return _unpack(cached)
    if not _is_stored(source, store, usable):
        usable = set()  # deleted to save disk space
        cached = store.load("fitted", cache_key(), "baselines")
        if cached is not None:
            return _unpack(cached)
    given = _Given(source, rows, labels, store, features, usable, networks)
    wanted = np.flatnonzero(scored >= 0)
    found = score_baselines(
        given.seeds,
        given.labels,
        votes.n_classes,
        (
            (inputs, scored[part])
            for part, inputs in _batches(source, given, wanted, progress)
        ),
        blocks=list(given.table.widths.values()),
        networks=networks,
        content=given.content,
        random_state=random_state,
        progress=progress,
    )
    store.save("fitted", cache_key(), "baselines", _pack(found))
    return found


def baseline_labels(
    source: ImageSource,
    votes: Votes,
    store: RunStore,
    features: Mapping[Feature, str],
    baselines: Sequence[Baseline],
    *,
    random_state: int,
    networks: Inputs | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> BaselineLabels:
    """Label all images by the best of the baselines that `find_baselines` gave."""
    baseline = best_baseline(baselines)
    assert votes.seed_rows is not None, "baselines are trained on seeds"
    assert votes.seed_labels is not None, "baselines are trained on seeds"
    usable = {key for node, key in features.items() if not node.learns_from_labels}
    if not _is_stored(source, store, usable):
        usable = set()
    rows, labels, k = votes.seed_rows, votes.seed_labels, votes.n_classes
    given = _Given(source, rows, labels, store, features, usable, networks or {})
    blocks = list(given.table.widths.values())
    contender = _contenders(given.seeds, blocks, given.networks)[baseline.name]
    x = given.seeds[contender.input]
    flat = np.full((len(given.labels), k), 1 / k)
    folds = _dealt(given.labels, given.content, random_state)
    contender.classifier.fit(x, one_hot(given.labels, k))
    proba = np.full((len(source), k), 1 / k)
    for part, inputs in _batches(source, given, np.arange(len(source)), progress):
        proba[part] = contender.classifier.predict_proba(inputs[contender.input])
    return BaselineLabels(
        baseline.name,
        proba,
        given.rows,
        given.labels,
        flat if baseline.held_out is None else baseline.held_out,
        flat if baseline.held_out is None else _chosen(baselines, given.labels, folds),
    )


def _chosen(
    baselines: Sequence[Baseline], labels: NDArray[np.int64], folds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Give each fold's posteriors by the baseline that others choose, (s, k)."""
    held_out = [one.held_out for one in baselines if one.held_out is not None]
    right = np.array([proba.argmax(axis=1) == labels for proba in held_out])
    found = np.zeros_like(held_out[0])
    for fold in np.unique(folds):
        test = folds == fold
        best = int(right[:, ~test].sum(axis=1).argmax())
        found[test] = held_out[best][test]
    return found


def score_baselines(
    seeds: Inputs,
    seed_labels: ArrayLike,
    n_classes: int,
    test_batches: Iterable[tuple[Inputs, ArrayLike]] = (),
    *,
    blocks: Sequence[int] = (),
    networks: Collection[str] = (),
    content: NDArray[np.int64] | None = None,
    random_state: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Baseline]:
    """Score plain classifiers trained on the seed labels: what lfkit has to beat.

    Returns none where fewer than two classes have a seed.

    Parameters
    ----------
    seeds : what classifiers see of the seeds: "pixels", (s, h, w, c); "features",
        (s, d), not standardised; and (s, d) of single features and networks, by name.
    seed_labels : (s,), -1 = unknown: ignored.
    test_batches : inputs and labels of other images, a batch at a time.
    blocks : widths of the groups of "features", which then count alike; none: every
        number counts alike.
    networks : names of inputs that are principal components: larger ones count more.
    content : (s,) the same for seeds that are copies: they are held out together.
    random_state : seed of the folds.
    progress : called with a text, the classifiers tried and all of them.
    """
    labels = checked_labels(seed_labels, len(next(iter(seeds.values()))), "seed_labels")
    known = np.flatnonzero(labels >= 0)
    labels = labels[known]
    if len(np.unique(labels)) < 2:
        return []
    seeds = {name: rows[known] for name, rows in seeds.items()}
    content = np.arange(len(labels)) if content is None else content[known]
    contenders = _contenders(seeds, blocks, networks)
    known_by: dict[str, NDArray[np.float64] | None] = {}
    for done, (name, one) in enumerate(contenders.items()):
        if progress:
            progress("trying plain classifiers", done, len(contenders))
        x = seeds[one.input]
        one.classifier.fit(x, one_hot(labels, n_classes))
        known_by[name] = _held_out(one, x, labels, n_classes, content, random_state)
    if progress:
        progress("trying plain classifiers", len(contenders), len(contenders))
    n_correct = dict.fromkeys(contenders, 0)
    n_scored = 0
    for inputs, batch_labels in test_batches:
        n = len(next(iter(inputs.values())))
        truth = checked_labels(batch_labels, n, "labels of a test batch")
        scored = np.flatnonzero(truth >= 0)
        n_scored += len(scored)
        for name, one in contenders.items():
            predicted = one.classifier.predict(inputs[one.input][scored])
            n_correct[name] += int(np.count_nonzero(predicted == truth[scored]))
    found = []
    for name, held_out in known_by.items():
        right = held_out is not None and held_out.argmax(axis=1) == labels
        found.append(
            Baseline(
                name,
                None if held_out is None else float(np.mean(right)),
                n_correct[name] / n_scored if n_scored else None,
                n_scored,
                held_out,
            )
        )
    return found


@dataclass(frozen=True, eq=False)
class _Contender:
    """A classifier, and the name of the input that it sees."""

    classifier: Classifier
    input: str


def _contenders(
    seeds: Inputs, blocks: Sequence[int], networks: Collection[str]
) -> dict[str, _Contender]:
    """Make classifiers by their names: first what was the strongest most often."""
    names = [name for name in seeds if name not in (_PIXELS, _FEATURES)]
    found = {}
    for name in [name for name in (_FEATURES, *names, _PIXELS) if name in seeds]:
        rows = seeds[name]
        together = blocks if name == _FEATURES and len(blocks) else None
        as_is = name in networks
        found[f"shrinkage LDA on {name}"] = _Contender(
            ShrinkageLDA(blocks=together, standardise=not as_is), name
        )
        if name == _PIXELS or rows.size <= _MOST_CELLS:
            plain = (
                SoftLogisticRegression()
                if name == _PIXELS
                else _ScaledLogistic(standardise=not as_is)
            )
            found[f"logistic regression on {name}"] = _Contender(plain, name)
    return found


class _ScaledLogistic(Classifier):
    """Logistic regression on standardised numbers, in the space of the labeled rows.

    With the penalty, what is best lies in that space: 200 rows of 6,000 numbers are
    200 rows of 200.

    Parameters
    ----------
    standardise : False brings all numbers to one size together.
    """

    def __init__(self, standardise: bool = True) -> None:
        self.standardise = standardise

    def _fit(self, rows: NDArray[np.float32], weights: NDArray[np.float64]) -> None:
        self._center = rows.mean(axis=0)
        deviation = rows.std(axis=0)
        if not self.standardise:
            deviation = np.full_like(deviation, np.sqrt((deviation**2).mean()))
        constant = deviation <= 1e-6 * np.abs(self._center)
        self._scale = np.where(constant, 0, 1 / np.where(constant, 1, deviation))
        scaled = (rows - self._center) * self._scale
        self._basis = None
        if len(rows) < rows.shape[1]:
            _, _, directions = np.linalg.svd(scaled, full_matrices=False)
            self._basis = directions.T
        self._model = SoftLogisticRegression().fit(self._seen(rows), weights)

    def _predict_proba(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        return self._model.predict_proba(self._seen(rows))

    def _seen(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled = ((rows - self._center) * self._scale).astype(np.float32)
        return scaled if self._basis is None else scaled @ self._basis


def _held_out(
    contender: _Contender,
    x: NDArray[Any],
    labels: NDArray[np.int64],
    n_classes: int,
    content: NDArray[np.int64],
    random_state: int,
) -> NDArray[np.float64] | None:
    """Give each seed's held-out posterior, (s, k); None: too few."""
    if (np.bincount(labels) >= 2).sum() < 2:
        return None
    folds = _dealt(labels, content, random_state)
    proba = np.zeros((len(labels), n_classes))
    for fold in np.unique(folds):
        test = folds == fold
        if test.all():
            return None
        fitted = clone(contender.classifier)
        fitted.fit(x[~test], one_hot(labels[~test], n_classes))
        proba[test] = fitted.predict_proba(x[test])
    return proba


def _dealt(
    labels: NDArray[np.int64], content: NDArray[np.int64], random_state: int
) -> NDArray[np.int64]:
    """Deal seeds to folds, copies together, (s,)."""
    _, first, which = np.unique(content, return_index=True, return_inverse=True)
    return deal_folds(labels, FOLDS, random_state)[first[which]]


def _is_stored(source: ImageSource, store: RunStore, keys: Collection[str]) -> bool:
    blocks = _blocks(source, store)
    return all(store.has("features", key, b.id) for key in keys for b in blocks)


@dataclass(eq=False)
class _Given:
    """What classifiers see of the readable seeds, and where the rest of it lies.

    Attributes
    ----------
    rows, labels, content : (s,) readable seeds, their classes, and the first image with
        the content of each.
    seeds : inputs of these.
    table : the stored features.
    """

    source: ImageSource
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    store: RunStore
    features: Mapping[Feature, str]
    usable: Collection[str]
    networks: Inputs
    seeds: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        source = self.source
        pixels, readable = read_images(source, self.rows, shrink=_small)
        self.rows, self.labels = self.rows[readable], self.labels[readable]
        # Blocks hold the first of copies.
        self.content = originals(source.keys)[self.rows]
        self.blocks = _blocks(source, self.store)
        keys = sorted(self.usable)
        self.table = _FeatureTable(self.store, self.blocks, keys, self.content)
        self.names = _names(self.table.widths, self.features)
        self.seeds = self.inputs(pixels[readable], self.table.seeds, self.rows)

    def inputs(
        self,
        pixels: NDArray[np.uint8],
        features: NDArray[np.float32],
        rows: NDArray[np.int64],
    ) -> dict[str, NDArray[Any]]:
        """Give what classifiers see of some images, all features side by side."""
        found: dict[str, NDArray[Any]] = {}
        start = 0
        if self.table.widths:
            found[_FEATURES] = features
        for key, width in self.table.widths.items():
            if key in self.names:
                found[self.names[key]] = features[:, start : start + width]
            start += width
        for name, array in self.networks.items():
            found[name] = array[rows].astype(np.float32)
        return {**found, _PIXELS: pixels}


def _names(
    widths: Mapping[str, int], features: Mapping[Feature, str]
) -> dict[str, str]:
    """Name the features to be tried on their own: key → name."""
    if len(widths) < 2:
        return {}  # it is all features together
    names = {key: node.name for node, key in features.items()}
    return {
        # A user's feature may have any name.
        key: f"feature {names[key]}"
        if names[key] in (_PIXELS, _FEATURES)
        else names[key]
        for key, width in widths.items()
        if width >= _WIDE
    }


def _blocks(source: ImageSource, store: RunStore) -> Sequence[Block]:
    """Give the blocks in which a source's features are stored."""
    return store.layout(source.keys, block_size(source.shape))


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
        assert arrays is not None, "find_baselines has looked"
        return arrays["values"].reshape(len(block.rows), -1).astype(np.float32)


def _batches(
    source: ImageSource,
    given: _Given,
    wanted: NDArray[np.int64],
    progress: Callable[[str, int, int], None] | None,
) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[Any]]]]:
    """Yield rows of the images wanted that can be read, and what classifiers see."""
    blocks, table = given.blocks, given.table
    original = originals(source.keys)
    block_of, position_of = np.zeros((2, len(source)), np.int64)
    for number, block in enumerate(blocks):
        block_of[block.rows] = number
        position_of[block.rows] = np.arange(len(block.rows))
    images = wanted[np.argsort(block_of[original[wanted]], kind="stable")]
    starts = np.searchsorted(block_of[original[images]], np.arange(len(blocks) + 1))
    done, total = 0, sum(len(block.rows) for block in blocks)
    for number, block in enumerate(blocks):
        done += len(block.rows)
        members = images[starts[number] : starts[number + 1]]
        if not len(members):
            continue
        read, place = np.unique(position_of[original[members]], return_inverse=True)
        pixels, readable = read_images(source, block.rows[read], shrink=_small)
        features = table.block(block)[read]
        kept = np.flatnonzero(readable[place])
        for start in range(0, len(kept), len(block.rows)):
            part = kept[start : start + len(block.rows)]
            rows = members[part]
            yield rows, given.inputs(pixels[place[part]], features[place[part]], rows)
        if progress:
            progress("scoring plain classifiers", done, total)


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average large images down to at most 32 pixels a side: (n, h', w', c)."""
    down, across = (-(-side // _LARGEST_SIDE) for side in pixels.shape[1:3])
    if down == across == 1:
        return pixels
    return box_means(pixels, down, across).astype(np.uint8)


def _pack(baselines: Sequence[Baseline]) -> dict[str, NDArray[Any]]:
    numbers = [
        [
            np.nan if value is None else value
            for value in [*vars(baseline.summary()).values()][1:]
        ]
        for baseline in baselines
    ]
    names = np.asarray([baseline.name for baseline in baselines], np.str_)
    packed = {"names": names, "numbers": np.asarray(numbers, np.float64)}
    if any(
        baseline.held_out is not None for baseline in baselines
    ):  # then all have some
        packed["held_out"] = np.asarray([baseline.held_out for baseline in baselines])
    return packed


def _unpack(arrays: Mapping[str, NDArray[Any]]) -> list[Baseline]:
    names, numbers = arrays["names"].tolist(), arrays["numbers"].tolist()
    held_out = arrays.get("held_out", [None] * len(names))
    return [
        Baseline(name, _or_none(on_seeds), _or_none(accuracy), int(n), proba)
        for name, (on_seeds, accuracy, n), proba in zip(
            names, numbers, held_out, strict=True
        )
    ]


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
