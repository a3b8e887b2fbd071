"""`LFApplier`: labeling functions and images in, votes out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import DataError, DeclarationError, FaultError
from lfkit.features.feature import Feature, image
from lfkit.images import ImageSource
from lfkit.labeling.evaluation import Evaluated, Evaluator, cpu_count, result_key
from lfkit.labeling.faults import Report, first_failure, pack, unpack
from lfkit.labeling.fitting import Fitter, Seeds, is_fixed
from lfkit.labeling.labeling_function import (
    LabelingFunction,
    from_snorkel,
    is_snorkel,
)
from lfkit.labeling.pool import MOST_KILLS
from lfkit.store import Block, MemoryStore, Store, block_size
from lfkit.votes import ABSTAIN, Votes

# Two blocks at a time: one is decoded and written while the other is computed.
_BLOCKS_IN_FLIGHT = 2
_FEW_IMAGES = 512

Progress = Callable[[str, int, int], None]


class LFApplier:
    """Applies labeling functions to images: `LFApplier(lfs).apply(images)`.

    Parameters
    ----------
    lfs : labeling functions, Snorkel's among them.
    n_classes : k; one more than the largest declared class if not given.
    n_workers : processes for per-image functions; None: one per core, none for a few
        images; 0: call them in this process, where nothing can stop one that hangs.
    device : for batched functions; None: a GPU if there is one.
    lf_timeout : seconds after which one call of a per-image function is killed.
    strict : raise FaultError at the first image or function that fails.

    Attributes
    ----------
    lfs_ : the functions that ran, in order, fitted.
    lf_keys_, feature_keys_, out_of_fold_keys_, seed_block_ : where their values lie in
        the store: function name → key, feature → key, and the block of the seeds.
    report_ : faults, unreadable images, functions left out, what was computed now.

    >>> from lfkit import ABSTAIN, LFApplier, labeling_function
    >>> @labeling_function(classes=[0])
    ... def dark_is_zero(image):
    ...     return 0 if image.mean() < 50 else ABSTAIN
    >>> images = np.zeros((2, 8, 8, 1), np.uint8)
    >>> images[1] = 255
    >>> np.asarray(LFApplier([dark_is_zero], n_classes=2).apply(images))
    array([[ 0],
           [-1]], dtype=int16)
    """

    def __init__(
        self,
        lfs: Sequence[Any],
        n_classes: int | None = None,
        *,
        n_workers: int | None = None,
        device: str | None = None,
        lf_timeout: float | None = None,
        strict: bool = False,
    ) -> None:
        self.lfs = [_as_labeling_function(lf) for lf in lfs]
        self.n_classes = _checked_n_classes(self.lfs, n_classes)
        self.n_workers = n_workers
        self.device = device
        self.lf_timeout = lf_timeout
        self.strict = strict

    def apply(
        self,
        images: NDArray[np.uint8] | ImageSource,
        *,
        seed_rows: Sequence[int] | NDArray[np.int64] | None = None,
        seed_labels: Sequence[int] | NDArray[np.int64] | None = None,
        random_state: int = 0,
        store: Store | None = None,
        progress: Progress | None = None,
    ) -> Votes:
        """Vote on every image.

        Parameters
        ----------
        images : (n, h, w, c) or (n, h, w) uint8, or an image source.
        seed_rows, seed_labels : (s,) rows whose class is known, and their classes:
            thresholds and features are fitted on them.
        random_state : for everything that is fitted.
        store : keeps votes and features, and gives back what it has; memory by default.
        progress : called with (stage, images done, images in all).
        """
        source = _as_source(images)
        seeds = _checked_seeds(seed_rows, seed_labels, len(source), self.n_classes)
        store = store or MemoryStore()
        self.report_ = Report()
        self.out_of_fold_keys_: dict[str, str] = {}
        self.seed_block_: str | None = None
        with Evaluator(
            self.n_classes,
            device=self.device or _best_device(self.lfs),
            n_workers=self._workers(len(source)),
            timeout_s=self.lf_timeout,
        ) as evaluator:
            fitter = None
            if seeds is not None:
                if progress:
                    progress("fitting on the seeds", 0, len(seeds.rows))
                fitter = Fitter(
                    source,
                    seeds,
                    evaluator,
                    store,
                    n_classes=self.n_classes,
                    random_state=random_state,
                )
            self.lfs_ = self._runnable(fitter)
            votes = self._apply(source, evaluator, store, progress)
            votes = self._without_given_up(votes, evaluator.given_up)
            if seeds is None or fitter is None:
                return votes
            if progress:
                progress("voting on the seeds out of fold", 0, len(seeds.rows))
            return self._with_seeds(votes, seeds, fitter)

    def _workers(self, n: int) -> int:
        per_image = [
            lf for lf in self.lfs if not lf.batched or _reads_per_image(lf.features)
        ]
        if not per_image:
            return 0
        if self.n_workers is not None:
            return self.n_workers
        if n <= _FEW_IMAGES and self.lf_timeout is None:
            return 0
        return cpu_count()

    def _runnable(self, fitter: Fitter | None) -> list[LabelingFunction]:
        """Fit what needs fitting; note what cannot run."""
        if fitter is None:
            ready = [lf for lf in self.lfs if not lf.needs_seeds]
            for lf in self.lfs:
                if lf.needs_seeds:
                    self.report_.left_out[lf.name] = "needs seed labels"
        else:
            fitted = fitter.fit(self.lfs)
            ready = fitted.lfs
            self.report_.left_out.update(fitted.left_out)
            self.report_.tracebacks.update(fitted.tracebacks)
            if self.strict and fitted.left_out:
                name, reason = next(iter(fitted.left_out.items()))
                raise FaultError(
                    f"labeling function {name!r} {reason}\n{fitted.tracebacks[name]}"
                )
        if not ready:
            name, reason = next(iter(self.report_.left_out.items()))
            raise DeclarationError(
                f"none of the {len(self.lfs)} labeling functions can run; {name!r} "
                f"{reason}."
            )
        return ready

    def _apply(
        self,
        source: ImageSource,
        evaluator: Evaluator,
        store: Store,
        progress: Progress | None,
    ) -> Votes:
        lfs = self.lfs_
        blocks = store.layout(source.keys, block_size(source.shape))
        n, k = len(source), self.n_classes
        hard = np.full((n, len(lfs)), ABSTAIN, np.int16)
        soft = None
        if any(lf.soft for lf in lfs):
            soft = np.zeros((n, len(lfs), k), np.float16)
        task = _BlockTask(source, evaluator, store, lfs, k)
        self.lf_keys_, self.feature_keys_ = task.lf_keys, task.feature_keys
        self._problems: dict[int, str] = {}
        done = 0
        for result in _in_order(task, blocks, evaluator.stop):
            rows = result.block.rows
            for j, lf in enumerate(lfs):
                place_votes(lf, result.votes[lf.name], rows, j, hard, soft)
            self._note(result, source)
            done += len(rows)
            if progress:
                progress("voting", done, sum(len(b.rows) for b in blocks))
        original = originals(source.keys)
        if len(np.unique(original)) < n:  # copies were computed once
            hard = hard[original]
            soft = None if soft is None else soft[original]
        self._spread_problems(source, original)
        return Votes(hard, tuple(lf.name for lf in lfs), k, soft=soft)

    def _note(self, result: _BlockResult, source: ImageSource) -> None:
        self.report_.n_calls += result.n_calls
        self.report_.n_feature_values += result.n_feature_values
        if not result.problems and not any(result.failures.values()):
            return
        ids = [source.ids[row] for row in result.block.rows]
        if self.strict:
            for position, reason in sorted(result.problems.items()):
                raise FaultError(f"image {ids[position]!r} cannot be read: {reason}")
            first = first_failure(result.failures)
            if first is not None:
                name, failure = first
                trace = f"\n{failure.traceback}" if failure.traceback else ""
                raise FaultError(
                    f"{name!r} failed on image {ids[failure.row]!r}: {failure.message}"
                    f"{trace}"
                )
        for position, reason in result.problems.items():
            self._problems[int(result.block.rows[position])] = reason
        for name, failures in result.failures.items():
            self.report_.add(name, failures, ids)

    def _spread_problems(
        self, source: ImageSource, original: NDArray[np.int64]
    ) -> None:
        """Report unreadable images, copies of one another among them, by id."""
        found = np.isin(original, list(self._problems))
        for position in np.flatnonzero(found).tolist():
            reason = self._problems[int(original[position])]
            self.report_.problems[source.ids[position]] = reason
        for row, reason in source.known_problems.items():
            self.report_.problems[source.ids[row]] = reason

    def _without_given_up(self, votes: Votes, given_up: set[str]) -> Votes:
        """Leave out functions that had to be killed too often."""
        if not given_up:
            return votes
        reason = f"had to be killed {MOST_KILLS} times and was given up"
        for name in sorted(given_up):
            self.report_.left_out[name] = reason
        kept = [j for j, lf in enumerate(self.lfs_) if lf.name not in given_up]
        if not kept:
            raise DeclarationError(
                f"no labeling function is left: {votes.names[0]!r} {reason}; look for "
                "an endless loop, or raise --lf-timeout."
            )
        self.lfs_ = [self.lfs_[j] for j in kept]
        return votes.select(kept)

    def _with_seeds(self, votes: Votes, seeds: Seeds, fitter: Fitter) -> Votes:
        """Add the votes on the seeds by functions that have not seen them."""
        unfitted = {lf.name: lf for lf in self.lfs}
        learning = [
            unfitted[lf.name] for lf in self.lfs_ if not is_fixed(unfitted[lf.name])
        ]
        votes = replace(votes, seed_rows=seeds.rows, seed_labels=seeds.labels)
        found = fitter.votes_out_of_fold(learning)
        self.report_.n_calls += fitter.n_calls
        self.out_of_fold_keys_ = fitter.out_of_fold_keys(learning)
        self.seed_block_ = None if found is None else fitter.block_id
        if found is None:
            return votes
        return replace(votes, seed_out_of_fold=out_of_fold(votes, self.lfs_, found))


@dataclass
class _BlockResult:
    block: Block
    votes: dict[str, NDArray[Any]]
    failures: dict[str, list[Any]]
    problems: dict[int, str]
    n_calls: int
    n_feature_values: int


class _BlockTask:
    """Has the votes of a block: from the store, or computed now and stored."""

    def __init__(
        self,
        source: ImageSource,
        evaluator: Evaluator,
        store: Store,
        lfs: Sequence[LabelingFunction],
        n_classes: int,
    ) -> None:
        self._source, self._evaluator, self._store = source, evaluator, store
        self._lfs = lfs
        self.images_key = result_key(source, "problems")
        self.lf_keys = {
            lf.name: result_key(source, lf, n_classes if lf.classes is None else 0)
            for lf in lfs
        }
        self.feature_keys = {
            node: result_key(source, node)
            for lf in lfs
            for node in lf.features
            if node is not image
        }

    def __call__(self, block: Block) -> _BlockResult:
        store = self._store
        votes: dict[str, NDArray[Any]] = {}
        failures: dict[str, list[Any]] = {}
        missing = []
        for lf in self._lfs:
            arrays = store.load("votes", self.lf_keys[lf.name], block.id)
            if arrays is None:
                missing.append(lf)
                continue
            votes[lf.name] = arrays["votes"]
            failures[lf.name] = unpack(arrays)
        computed, read = self._compute(block, missing)
        for lf, values in computed.votes.items():
            votes[lf.name] = values
        for name, found in computed.faults.items():
            failures[name] = found
        return _BlockResult(
            block,
            votes,
            failures,
            self._problems(block, computed, read),
            len(missing) * len(block.rows),
            len(computed.raw) * len(block.rows),
        )

    def _compute(
        self, block: Block, lfs: Sequence[LabelingFunction]
    ) -> tuple[Evaluated, bool]:
        """Evaluate and store what the store lacks; tells whether images were read."""
        store = self._store
        known: dict[Feature, NDArray[Any]] = {}
        absent: list[Feature] = []
        needed = {node for lf in lfs for node in lf.features if node is not image}
        stale: dict[str, list[Any]] = {}
        for node, key in self.feature_keys.items():
            arrays = None
            if node in needed:
                arrays = store.load("features", key, block.id)
            elif not store.keeps_features or store.has("features", key, block.id):
                continue
            if arrays is None:
                absent.append(node)
            else:
                known[node] = arrays["values"]
                stale[node.name] = unpack(arrays)
        if not lfs and not absent:
            return Evaluated(), False
        done = self._evaluator.evaluate(self._source, block.rows, absent, lfs, known)
        reads = bool(absent) or any(image in lf.features for lf in lfs)
        if store.keeps_features:
            for node in absent:
                arrays = {"values": done.stored[node], **pack(done.faults[node.name])}
                store.save("features", self.feature_keys[node], block.id, arrays)
        if reads:
            rows = sorted(done.problems)
            arrays = {
                "rows": np.asarray(rows, np.int32),
                "problems": np.asarray([done.problems[row] for row in rows], np.str_),
            }
            store.save("images", self.images_key, block.id, arrays)
        for lf in lfs:
            if lf.name in self._evaluator.given_up:
                continue
            arrays = {"votes": done.votes[lf], **pack(done.faults[lf.name])}
            store.save("votes", self.lf_keys[lf.name], block.id, arrays)
        done.faults.update(stale)
        return done, reads

    def _problems(
        self, block: Block, computed: Evaluated, read: bool
    ) -> dict[int, str]:
        if read:
            return computed.problems
        arrays = self._store.load("images", self.images_key, block.id)
        if arrays is None:
            return {}
        return dict(
            zip(arrays["rows"].tolist(), arrays["problems"].tolist(), strict=True)
        )


def _in_order(
    task: _BlockTask, blocks: Sequence[Block], stop: Callable[[], None]
) -> Iterator[_BlockResult]:
    """Run a few blocks at a time and yield their results in order."""
    with ThreadPoolExecutor(_BLOCKS_IN_FLIGHT, "lfkit-block") as threads:
        waiting: deque[Future[_BlockResult]] = deque()
        try:
            for block in blocks:
                waiting.append(threads.submit(task, block))
                if len(waiting) > _BLOCKS_IN_FLIGHT:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BaseException:  # Ctrl-C too: blocks under way must not be waited for
            stop()
            for future in waiting:
                future.cancel()
            raise


def place_votes(
    lf: Any,
    votes: NDArray[Any],
    rows: NDArray[np.int64],
    column: int,
    hard: NDArray[np.int16],
    soft: NDArray[np.float16] | None,
) -> None:
    """Write one function's votes on some rows into the matrices.

    Parameters
    ----------
    lf : anything with `soft` and `classes`.
    votes : (r,) classes, or (r, classes) weights, as they are stored.
    hard, soft : (n, m) and (n, m, k), written in place.
    """
    if lf.soft:
        assert soft is not None
        classes = np.asarray(lf.classes, np.int64)
        order = np.argsort(classes, kind="stable")
        if (order != np.arange(len(order))).any():
            # The first of equal weights in class order, whatever order was declared.
            classes, votes = classes[order], votes[:, order]
        if len(classes) == soft.shape[2]:
            soft[rows, column] = votes  # twice as fast as naming every class
        else:
            soft[rows[:, None], column, classes] = votes
        silent = ~votes.any(axis=1)
        hard[rows, column] = np.where(silent, ABSTAIN, classes[votes.argmax(axis=1)])
        return
    hard[rows, column] = votes
    if soft is not None:
        spoke = votes != ABSTAIN
        soft[rows[spoke], column, votes[spoke]] = 1


def out_of_fold(
    votes: Votes, lfs: Sequence[Any], found: Mapping[str, NDArray[Any]]
) -> Votes:
    """Give the votes on the seeds with some functions' replaced, as they are stored.

    Parameters
    ----------
    votes : with `seed_rows`.
    lfs : per column, anything with `name`, `soft` and `classes`.
    found : function name → its out-of-fold votes; the others learn nothing.
    """
    assert votes.seed_rows is not None
    on_seeds = votes.rows(votes.seed_rows)
    hard = on_seeds.hard.copy()
    soft = None if on_seeds.soft is None else on_seeds.soft.copy()
    for j, lf in enumerate(lfs):
        if lf.name in found:
            hard[:, j] = ABSTAIN
            if soft is not None:
                soft[:, j] = 0
            place_votes(lf, found[lf.name], np.arange(len(hard)), j, hard, soft)
    return Votes(hard, votes.names, votes.n_classes, soft=soft)


def originals(keys: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Give, per image, the row of the first image with the same content, (n,)."""
    if not len(keys):
        return np.zeros(0, np.int64)
    packed = np.ascontiguousarray(keys).view(f"V{keys.shape[1]}").ravel()
    _, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
    return np.asarray(first[inverse.reshape(-1)], np.int64)


def _as_labeling_function(lf: Any) -> LabelingFunction:
    if isinstance(lf, LabelingFunction):
        return lf
    if is_snorkel(lf):
        return from_snorkel(lf)
    name = getattr(lf, "__name__", repr(lf))
    raise DeclarationError(
        f"{name} is not a labeling function; decorate it with "
        "@labeling_function(classes=[...])."
    )


def _checked_n_classes(lfs: Sequence[LabelingFunction], n_classes: int | None) -> int:
    if not lfs:
        raise DeclarationError("no labeling functions given; LFApplier needs one.")
    names = [lf.name for lf in lfs]
    for name in names:
        if names.count(name) > 1:
            raise DeclarationError(
                f"two labeling functions are named {name!r}; rename one of them."
            )
    features: dict[str, Feature] = {}
    for lf in lfs:
        for node in lf.features:
            if features.setdefault(node.name, node) is not node:
                raise DeclarationError(
                    f"two features are named {node.name!r}; rename one of them."
                )
    declared = [label for lf in lfs for label in lf.classes or ()]
    if n_classes is None:
        if not declared:
            raise DeclarationError(
                "no labeling function declares its classes; pass n_classes."
            )
        return max(declared) + 1
    for lf in lfs:
        if max(lf.classes or (0,)) >= n_classes:
            raise DeclarationError(
                f"labeling function {lf.name!r} declares class {max(lf.classes or ())}"
                f", but there are {n_classes} classes, 0..{n_classes - 1}."
            )
    return n_classes


def _checked_seeds(
    rows: Sequence[int] | NDArray[np.int64] | None,
    labels: Sequence[int] | NDArray[np.int64] | None,
    n: int,
    n_classes: int,
) -> Seeds | None:
    if rows is None and labels is None:
        return None
    if rows is None or labels is None or len(rows) != len(labels):
        raise DataError(
            "seed_rows and seed_labels go together, one label per row; got "
            f"{0 if rows is None else len(rows)} rows and "
            f"{0 if labels is None else len(labels)} labels."
        )
    row_array = np.asarray(rows, np.int64)
    label_array = np.asarray(labels, np.int64)
    if not len(row_array):
        return None
    if row_array.min() < 0 or row_array.max() >= n:
        raise DataError(
            f"seed row {row_array[(row_array < 0) | (row_array >= n)][0]} is outside "
            f"the {n} images."
        )
    if label_array.min() < 0 or label_array.max() >= n_classes:
        wrong = label_array[(label_array < 0) | (label_array >= n_classes)][0]
        raise DataError(f"seed label {wrong} is outside 0..{n_classes - 1}.")
    if len(np.unique(row_array)) != len(row_array):
        raise DataError("seed_rows names an image twice.")
    return Seeds(row_array, label_array)


def _as_source(images: NDArray[np.uint8] | ImageSource) -> ImageSource:
    if isinstance(images, ImageSource):
        return images
    from lfkit.datasets.array import ArraySource

    return ArraySource(np.asarray(images))


def _reads_per_image(features: Sequence[Feature]) -> bool:
    return any(
        node is not image and (not node.batched or _reads_per_image(node.of))
        for node in features
    )


def _best_device(lfs: Sequence[LabelingFunction]) -> str:
    """Choose a GPU if there is one and something would use it; else load no torch."""
    batched = [lf for lf in lfs if lf.batched or _reads_batched(lf.features)]
    if not batched:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _reads_batched(features: Sequence[Feature]) -> bool:
    return any(node.batched or _reads_batched(node.of) for node in features)
