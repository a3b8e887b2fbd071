"""Has the votes of all blocks: from the store, or computed now and stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_source import ImageSource
from lfkit.features.feature import Feature, ancestors, image
from lfkit.labeling.engine.batched import Failure
from lfkit.labeling.engine.evaluator import Evaluated, Evaluator, result_key
from lfkit.labeling.engine.failures import pack, unpack
from lfkit.labeling.engine.file_reads import WatchedStore, names_behind
from lfkit.labeling.engine.worker import NOT_LOADED
from lfkit.labeling.engine.worker_pool import KILLED, MOST_KILLS
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.runs.store import Block, join_blocks

_GIVEN_UP = "given-up"
# Two blocks at a time: one is decoded and written while the other is computed.
_BLOCKS_AT_ONCE = 2
# Python sees a Ctrl-C that comes as a wait begins only when that wait ends.
_LONGEST_WAIT_S = 0.2


@dataclass
class Column:
    """One function's votes on some blocks.

    Attributes
    ----------
    votes : (r,) classes or (r, classes) weights, in the blocks' order.
    failures : its failures, by position in that order.
    """

    votes: NDArray[Any]
    failures: list[Failure]


@dataclass
class BlockResult:
    """What a block gave.

    Attributes
    ----------
    columns : function name → its votes.
    faults : feature name → failures noted now.
    problems : position in the block → why the image could not be read.
    """

    block: Block
    columns: dict[str, Column] = field(default_factory=dict)
    faults: dict[str, list[Failure]] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)
    n_calls: int = 0
    n_feature_values: int = 0


class BlockRunner:
    """Evaluates functions block by block, through the store.

    Beside the blocks' files, a function whose blocks are all done has its whole column
    in one file: an unchanged run reads those.

    Attributes
    ----------
    lf_keys, feature_keys : function name → key, feature → key, in the store.
    not_loaded : function name → why a worker could not load it, or what it reads;
        nothing of it is kept: what it lacks may be there the next time.
    """

    def __init__(
        self,
        source: ImageSource,
        evaluator: Evaluator,
        store: WatchedStore,
        lfs: Sequence[LabelingFunction],
        blocks: Sequence[Block],
        n_classes: int,
    ) -> None:
        self._source, self._evaluator, self._store = source, evaluator, store
        self._blocks = blocks
        self._whole = join_blocks(blocks)
        self._has_passing = False
        self.not_loaded: dict[str, str] = {}
        self._passing_problems: dict[int, str] = {}
        self._timeout_s = np.asarray(evaluator.timeout_s or np.inf)
        self._problems_key = result_key(source, "problems")
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
        for lf in lfs:
            store.begin("votes", self.lf_keys[lf.name], names_behind(lf))
        for node, key in self.feature_keys.items():
            store.begin("features", key, _names(node))

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows of the source in the order of columns, (r,)."""
        return self._whole.rows

    def columns(
        self,
        lfs: Sequence[LabelingFunction],
        watch: Callable[[BlockResult], None],
    ) -> dict[str, Column]:
        """Give functions' whole columns, but of those that were given up.

        Parameters
        ----------
        watch : sees each block that was computed.
        """
        columns = {lf.name: self._stored(lf) for lf in lfs}
        missing = [lf for lf in lfs if columns[lf.name] is None]
        if missing:
            self._count_kills(missing)
            missing = [lf for lf in missing if not self.disabled_by(lf)]
        parts: dict[str, list[Column]] = {lf.name: [] for lf in missing}
        for result in self._run(missing) if missing else ():
            watch(result)
            for name, column in result.columns.items():
                parts[name].append(column)
        for lf in missing:
            column = self._joined(parts[lf.name])
            self._keep(lf, column)
            columns[lf.name] = column
        self._remember_given_up(lfs)
        return {name: column for name, column in columns.items() if column is not None}

    def disabled_by(self, lf: LabelingFunction) -> str | None:
        """Name the function that was given up, itself or a feature it is built on."""
        names = [lf.name, *(node.name for node in ancestors(lf.features))]
        return next((n for n in names if n in self._evaluator.disabled), None)

    def _joined(self, parts: Sequence[Column]) -> Column:
        failures: list[Failure] = []
        start = 0
        for part in parts:
            failures += [failure.moved(start) for failure in part.failures]
            start += len(part.votes)
        return Column(np.concatenate([part.votes for part in parts]), failures)

    def _stored(self, lf: LabelingFunction) -> Column | None:
        """Give a function's whole column, if it was stored."""
        arrays = self._load_votes(lf, self._whole)
        return None if arrays is None else Column(arrays["votes"], unpack(arrays))

    def _keep(self, lf: LabelingFunction, column: Column) -> None:
        """Store a function's whole column."""
        if lf.name in self.not_loaded:
            return
        if len(self._blocks) > 1 and not self._has_passing and not self.disabled_by(lf):
            arrays = {
                "votes": column.votes,
                "timeout_s": self._timeout_s,
                **pack(column.failures),
            }
            self._store.save("votes", self.lf_keys[lf.name], self._whole.id, arrays)

    def _run(self, lfs: Sequence[LabelingFunction]) -> Iterator[BlockResult]:
        """Yield the blocks' results in order, a few blocks computed at a time."""
        # Two blocks of Python loops in one process would only wait for each other.
        here = self._evaluator.has_no_workers and any(map(is_per_image, lfs))
        at_once = 1 if here else _BLOCKS_AT_ONCE
        with ThreadPoolExecutor(at_once, "lfkit-block") as threads:
            waiting: deque[Future[BlockResult]] = deque()
            try:
                for block in self._blocks:
                    waiting.append(threads.submit(self._result, block, lfs))
                    if len(waiting) > _BLOCKS_AT_ONCE:
                        yield _awaited(waiting.popleft())
                while waiting:
                    yield _awaited(waiting.popleft())
            except BaseException:  # Ctrl-C too: nobody waits for blocks under way
                self._evaluator.stop()
                for future in waiting:
                    future.cancel()
                raise

    def _load_votes(
        self, lf: LabelingFunction, block: Block
    ) -> dict[str, NDArray[Any]] | None:
        """Give stored votes, unless calls were killed that now have more time."""
        arrays = self._store.load("votes", self.lf_keys[lf.name], block.id)
        if arrays is None or float(arrays["timeout_s"]) >= float(self._timeout_s):
            return arrays
        return None if _n_kills(unpack(arrays)) else arrays

    def _count_kills(self, lfs: Sequence[LabelingFunction]) -> None:
        """Count the kills of earlier runs: giving up is about the whole column.

        So it makes no difference whether a run was interrupted, and a function that
        was given up is not called again before it has more time.
        """
        for lf in filter(is_per_image, lfs):
            key = self.lf_keys[lf.name]
            marker = self._store.load("votes", key, _GIVEN_UP)
            if marker is not None and float(marker["timeout_s"]) >= self._timeout_s:
                self._evaluator.add_kills(str(marker["name"]), MOST_KILLS)
                continue
            for block in self._blocks:
                arrays = self._load_votes(lf, block)
                if arrays is not None:
                    self._evaluator.add_kills(lf.name, _n_kills(unpack(arrays)))
        for name, failures in self.feature_faults().items():
            self._evaluator.add_kills(name, _n_kills(failures))

    def _remember_given_up(self, lfs: Sequence[LabelingFunction]) -> None:
        for lf in lfs:
            name = self.disabled_by(lf)
            if name is not None:
                arrays = {"name": np.asarray(name), "timeout_s": self._timeout_s}
                self._store.save("votes", self.lf_keys[lf.name], _GIVEN_UP, arrays)

    def problems(self) -> dict[int, str]:
        """Give what is known of unreadable images, by row of the source."""
        found: dict[int, str] = dict(self._passing_problems)
        for block in self._blocks:
            arrays = self._store.load("images", self._problems_key, block.id)
            if arrays is not None:
                rows = block.rows[arrays["rows"]].tolist()
                found.update(zip(rows, arrays["problems"].tolist(), strict=True))
        return found

    def feature_faults(self) -> dict[str, list[Failure]]:
        """Give the features' failures, by position in `rows`."""
        found: dict[str, list[Failure]] = {}
        for node, key in self.feature_keys.items():
            start, names = 0, self._store.names("features", key)
            for block in self._blocks:
                arrays = None
                if _faults_of(block) in names:
                    arrays = self._store.load("features", key, _faults_of(block))
                if arrays is not None:
                    moved = [failure.moved(start) for failure in unpack(arrays)]
                    found.setdefault(node.name, []).extend(moved)
                start += len(block.rows)
        return found

    def _result(self, block: Block, lfs: Sequence[LabelingFunction]) -> BlockResult:
        result = BlockResult(block)
        missing = []
        for lf in lfs:
            arrays = self._load_votes(lf, block)
            if arrays is None:
                missing.append(lf)
            else:
                result.columns[lf.name] = Column(arrays["votes"], unpack(arrays))
        known, absent = self._features(block, missing)
        if not missing and not absent:
            return result
        done = self._evaluator.evaluate(
            self._source, block.rows, absent, missing, known
        )
        self._save(block, absent, missing, done)
        for lf in missing:
            result.columns[lf.name] = Column(done.votes[lf], done.faults[lf.name])
        result.faults = {node.name: done.faults[node.name] for node in absent}
        result.problems = done.problems
        result.n_calls = len(missing) * len(block.rows)
        result.n_feature_values = len(done.raw) * len(block.rows)
        return result

    def _features(
        self, block: Block, lfs: Sequence[LabelingFunction]
    ) -> tuple[dict[Feature, NDArray[Any]], list[Feature]]:
        """Give the features that functions need and the store has, and the absent."""
        needed = {node for lf in lfs for node in lf.features}
        known: dict[Feature, NDArray[Any]] = {}
        absent: list[Feature] = []
        for node, key in self.feature_keys.items():
            if node in needed:
                arrays = self._store.load("features", key, block.id)
                if arrays is not None:
                    known[node] = arrays["values"]
                    continue
            elif not self._store.keeps_features or self._store.has(
                "features", key, block.id
            ):
                continue
            absent.append(node)
        return known, absent

    def _save(
        self,
        block: Block,
        features: Sequence[Feature],
        lfs: Sequence[LabelingFunction],
        done: Evaluated,
    ) -> None:
        """Store what a block gave; a feature's faults first, then its values."""
        store = self._store
        if done.is_passing:
            self._has_passing = True  # the next run may read what this one could not
            for position, problem in done.problems.items():
                self._passing_problems[int(block.rows[position])] = problem
            return
        disabled = self._evaluator.disabled
        for node in features:
            if any(part.name in disabled for part in ancestors([node])):
                continue
            if any(f.kind == NOT_LOADED for f in done.faults[node.name]):
                continue
            key, name = self.feature_keys[node], _faults_of(block)
            store.save_reads("features", key, _names(node))
            faults = pack(done.faults[node.name])
            if faults or store.has("features", key, name):
                store.save("features", key, name, faults or {"none": np.zeros(0)})
            if store.keeps_features:
                store.save("features", key, block.id, {"values": done.stored[node]})
        if done.problems:
            rows = sorted(done.problems)
            texts = np.asarray([done.problems[row] for row in rows], np.str_)
            arrays = {"rows": np.asarray(rows, np.int32), "problems": texts}
            store.save("images", self._problems_key, block.id, arrays)
        for lf in lfs:
            behind = [f for name in names_behind(lf) for f in done.faults[name]]
            for failure in behind:
                if failure.kind == NOT_LOADED:
                    self.not_loaded[lf.name] = failure.message
            if not self.disabled_by(lf) and lf.name not in self.not_loaded:
                store.save_reads("votes", self.lf_keys[lf.name], names_behind(lf))
                arrays = {
                    "votes": done.votes[lf],
                    "timeout_s": self._timeout_s,
                    **pack(done.faults[lf.name]),
                }
                store.save("votes", self.lf_keys[lf.name], block.id, arrays)


def is_per_image(lf: LabelingFunction) -> bool:
    """Tell whether a function, or a feature it is built on, takes one image a call."""
    return not lf.batched or any(not node.batched for node in ancestors(lf.features))


def _awaited(future: Future[BlockResult]) -> BlockResult:
    while not future.done():
        wait([future], timeout=_LONGEST_WAIT_S)
    return future.result()


def _n_kills(failures: Sequence[Failure]) -> int:
    return sum(failure.kind in KILLED for failure in failures)


def _names(node: Feature) -> list[str]:
    return [part.name for part in ancestors([node])]


def _faults_of(block: Block) -> str:
    return f"{block.id}-faults"
