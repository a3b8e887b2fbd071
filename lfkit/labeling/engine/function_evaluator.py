"""Evaluates features and labeling functions on a block of images.

Per-image functions run in worker processes, batched ones in threads of this process
(one core each, so that a result does not depend on how many there are) or on the
accelerator. Where one reads the other, evaluation goes level by level.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_source import ImageSource
from lfkit.data.vote_columns import join_votes, silence_of
from lfkit.features.feature import (
    Feature,
    ancestors,
    as_stored,
    batch_size,
    finite_rows,
    image,
)
from lfkit.labeling.engine.batched import BatchedRunner
from lfkit.labeling.engine.failures import Failure
from lfkit.labeling.engine.file_reads import Reads
from lfkit.labeling.engine.program import crossing_features, levels_of, make_program
from lfkit.labeling.engine.worker import Program, StepResult, iterate_program
from lfkit.labeling.engine.worker_pool import IdleWorkers, WorkerPool
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.runs.cache_keys import fingerprint
from lfkit.runs.store import block_size

# Raise it when the same functions give other numbers: another batch size, say.
# 2: before, a function that changed its inputs changed the votes of others.
_RESULTS_VERSION = 2
_CHUNK = 128  # images per message to a worker: the pipe costs < 1 % of a cheap function
_LEAST_CHUNKS = 4  # per block, so that small blocks too keep every worker busy

Values = dict[Feature, NDArray[Any]]


@dataclass
class FunctionResults:
    """What a block gave.

    Attributes
    ----------
    raw : feature → (b, ...) float32, NaN where it failed.
    stored : the same, rounded as the store keeps it; what functions saw.
    metadata : what they saw beside the pixels: → (b,) objects, while evaluated only.
    votes : function → (b,) int16; (b, classes) float16 weights if it is soft, or bool
        where it voted for a set of classes.
    faults : function or feature name → its failures.
    problems : position in the block → why the image could not be read.
    is_transient : a problem may be gone the next time: nothing of this is to be kept.
    """

    raw: Values = field(default_factory=dict)
    stored: Values = field(default_factory=dict)
    metadata: Values = field(default_factory=dict)
    votes: dict[LabelingFunction, NDArray[Any]] = field(default_factory=dict)
    faults: dict[str, list[Failure]] = field(default_factory=lambda: defaultdict(list))
    problems: dict[int, str] = field(default_factory=dict)
    is_transient: bool = False


class FunctionEvaluator:
    """Holds the workers, threads and device that blocks are evaluated on.

    Parameters
    ----------
    n_classes : k, for functions that declare no classes.
    device : "cpu", "cuda", ...
    n_workers : worker processes for per-image functions; 0 calls them right here,
        without protection against functions that hang or crash.
    n_threads : that call batched functions on a CPU.
    timeout_s : for one call of a per-image function.
    idle : keeps worker processes for the next evaluator.
    """

    def __init__(
        self,
        n_classes: int | None,
        *,
        device: str,
        n_workers: int,
        n_threads: int,
        timeout_s: float | None,
        idle: IdleWorkers | None = None,
    ) -> None:
        self.n_classes = n_classes
        self.timeout_s = timeout_s if n_workers else None
        self._pool = WorkerPool(n_workers, timeout_s, idle) if n_workers else None
        self._stop = threading.Event()
        self.reads = Reads()
        self._batched = BatchedRunner(device, self._stop, self.reads)
        n_threads = n_threads if device == "cpu" else 1
        self._threads = ThreadPoolExecutor(n_threads, "lfkit-batch")
        # Per-image functions without workers: one call at a time, in no thread whose
        # exceptions mean anything else.
        self._here = ThreadPoolExecutor(1, "lfkit-here")
        self._programs: dict[Any, tuple[str, Program, list[tuple[Feature, bool]]]] = {}
        self._programs_lock = threading.Lock()

    def __enter__(self) -> FunctionEvaluator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self._pool is not None:
            self._pool.close()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._here.shutdown(wait=True, cancel_futures=True)
        self._batched.close()

    def stop(self) -> None:
        """End all work under way; whoever waits for it gets an exception."""
        self._stop.set()
        if self._pool is not None:
            self._pool.stop()

    @property
    def has_no_workers(self) -> bool:
        """True if per-image functions run in the calling thread."""
        return self._pool is None

    def evaluate(
        self,
        source: ImageSource,
        rows: NDArray[np.int64],
        features: Iterable[Feature],
        lfs: Sequence[LabelingFunction],
        known: Mapping[Feature, NDArray[Any]] | None = None,
    ) -> FunctionResults:
        """Compute features and votes of some rows of a source.

        Parameters
        ----------
        features : to compute and return; those that `lfs` read and `known` lacks must
            be among them.
        known : features of these rows as they were stored, for `lfs` to read.
        """
        size = block_size(source.shape)
        if len(rows) <= size:
            return self._evaluate(source, rows, features, lfs, known or {})
        features = list(features)
        parts = [slice(start, start + size) for start in range(0, len(rows), size)]
        return _joined(
            [
                self._evaluate(
                    source,
                    rows[part],
                    features,
                    lfs,
                    {node: values[part] for node, values in (known or {}).items()},
                )
                for part in parts
            ],
            size,
            self.n_classes or 0,
        )

    def _evaluate(
        self,
        source: ImageSource,
        rows: NDArray[np.int64],
        features: Iterable[Feature],
        lfs: Sequence[LabelingFunction],
        known: Mapping[Feature, NDArray[Any]],
    ) -> FunctionResults:
        wanted = [node for node in dict.fromkeys(features) if not node.is_given]
        order = ancestors(wanted)
        done = FunctionResults(stored=dict(known))
        read_beside = dict.fromkeys(node for lf in lfs for node in lf.features)
        done.metadata = {
            node: source.metadata(node.metadata, rows)
            for node in read_beside
            if node.metadata is not None
        }
        n = len(rows)
        bad = np.zeros(n, bool)
        pixels = np.zeros((n, 0, 0, 0), np.uint8)
        if order or any(image in lf.features for lf in lfs):
            read = source.read(rows)
            pixels, done.problems = read.pixels, read.problems
            done.is_transient = bool(read.transient)
            bad[list(read.problems)] = True
        level = levels_of(order, [lf for lf in lfs if not lf.batched], set(done.stored))
        crossing = crossing_features(order, level, wanted)
        for step in range(max(level.values(), default=-1) + 1):
            nodes = [node for node in order if level[node] == step]
            voters = [lf for lf in lfs if not lf.batched and level[lf] == step]
            collect = self._start_per_image(
                [node for node in nodes if not node.batched],
                voters,
                crossing,
                pixels,
                bad,
                done,
            )
            self._run_batched(
                [node for node in nodes if node.batched], crossing, pixels, bad, done
            )
            collect()
        jobs = [
            self._threads.submit(
                self._batched.vote, lf, done.stored, pixels, bad, self.n_classes
            )
            for lf in lfs
            if lf.batched
        ]
        for lf, job in zip([lf for lf in lfs if lf.batched], jobs, strict=True):
            done.votes[lf], failures = job.result()
            done.faults[lf.name] += failures
        for lf, votes in done.votes.items():
            if votes.dtype != np.bool_:
                done.votes[lf] = votes.astype(np.float16 if lf.soft else np.int16)
        return done

    def _run_batched(
        self,
        nodes: Sequence[Feature],
        crossing: set[Feature],
        pixels: NDArray[np.uint8],
        bad: NDArray[np.bool_],
        done: FunctionResults,
    ) -> None:
        if not nodes:
            return
        size = batch_size(pixels.shape[1:])
        outputs = [node for node in nodes if node in crossing]
        starts = range(0, len(pixels), size)
        jobs = [
            self._threads.submit(
                self._batched.features,
                nodes,
                outputs,
                pixels[start : start + size],
                bad[start : start + size],
                {node: array[start : start + size] for node, array in done.raw.items()},
                size,
            )
            for start in starts
        ]
        parts: dict[Feature, list[NDArray[np.float32]]] = {node: [] for node in outputs}
        for start, job in zip(starts, jobs, strict=True):
            values, failures = job.result()
            for node in outputs:
                parts[node].append(values[node])
            for name, found in failures.items():
                done.faults[name] += [f.moved(start) for f in found]
        for node in outputs:
            self._keep(node, join_rows(parts[node], done.faults[node.name]), done)

    def _start_per_image(
        self,
        nodes: Sequence[Feature],
        voters: Sequence[LabelingFunction],
        crossing: set[Feature],
        pixels: NDArray[np.uint8],
        bad: NDArray[np.bool_],
        done: FunctionResults,
    ) -> Callable[[], None]:
        """Send per-image functions to the workers; the result waits for them."""
        if not nodes and not voters:
            return lambda: None
        name, program, external = self._program(nodes, voters, crossing)
        inputs = {
            slot: done.metadata[node]
            if node.is_given
            else np.asarray((done.stored if rounded else done.raw)[node], np.float32)
            for slot, (node, rounded) in enumerate(external, start=1)
        }
        size = min(_CHUNK, -(-len(pixels) // _LEAST_CHUNKS))
        starts = range(0, len(pixels), size)
        jobs: list[Future[list[StepResult]]] = []
        for start in starts:
            part = slice(start, start + size)
            chunk = {slot: values[part] for slot, values in inputs.items()}
            if self._pool is not None:
                jobs.append(self._pool.submit(name, pixels[part], chunk, bad[part]))
            else:
                jobs.append(
                    self._here.submit(
                        _run_here, program, pixels[part], chunk, bad[part]
                    )
                )

        def collect() -> None:
            results = [job.result() for job in jobs]
            functions: list[Feature | LabelingFunction] = [*nodes, *voters]
            for number, function in enumerate(functions):
                columns = [result[number] for result in results]
                for column in columns:
                    self.reads.note(function.name, column.reads)
                for start, column in zip(starts, columns, strict=True):
                    done.faults[function.name] += [
                        fault.moved(start) for fault in column.faults
                    ]
                parts = [column.values for column in columns]
                if isinstance(function, LabelingFunction):
                    k = self.n_classes or 0
                    done.votes[function] = join_votes(function, parts, k)
                elif function in crossing:
                    values = join_rows(parts, done.faults[function.name])
                    self._keep(function, values, done)
            for lf in voters:
                _silence(lf, done)

        return collect

    def _program(
        self,
        nodes: Sequence[Feature],
        voters: Sequence[LabelingFunction],
        crossing: set[Feature],
    ) -> tuple[str, Program, list[tuple[Feature, bool]]]:
        """Make a program of per-image functions once, and send it to the workers."""
        signature = (tuple(nodes), tuple(voters), frozenset(crossing & set(nodes)))
        with self._programs_lock:
            if signature not in self._programs:
                program, external = make_program(
                    nodes, voters, crossing, self.n_classes
                )
                name = ""
                if self._pool is None:
                    program = program.apart()
                else:
                    name = self._pool.register(program)
                self._programs[signature] = (name, program, external)
            return self._programs[signature]

    def _keep(
        self, node: Feature, values: NDArray[np.float32], done: FunctionResults
    ) -> None:
        """Note a finished feature, and its rows that are not finite."""
        stored = as_stored(values)
        failed = {f.row for f in done.faults[node.name]}
        infinite = np.asarray(np.isinf(stored.reshape(len(values), -1)).any(axis=1))
        finite_before = finite_rows(values)
        for row in np.flatnonzero(infinite):
            if int(row) in failed:
                continue
            message = "is infinite"
            if finite_before[row]:
                message = (
                    "is beyond 65504, the largest number a wide feature is stored "
                    "with; scale it"
                )
            done.faults[node.name].append(Failure(int(row), "not finite", message))
        if infinite.any():
            stored[infinite] = np.nan
        done.raw[node] = values
        done.stored[node] = stored


def _run_here(
    program: Program,
    pixels: NDArray[np.uint8],
    inputs: Mapping[int, NDArray[Any]],
    bad: NDArray[np.bool_],
) -> list[StepResult]:
    columns = iterate_program(program, pixels, inputs, bad, {}, lambda step, i: None)
    return [column for _, column in columns]


def result_key(source: ImageSource, *parts: Any) -> str:
    """Name what a function gives on a source's images, for the store."""
    return fingerprint((_RESULTS_VERSION, source.decoding, *parts))


def cpu_count() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _silence(lf: LabelingFunction, done: FunctionResults) -> None:
    """Take back votes on features that turned out, beside other rows, to be wrong."""
    for source in lf.features:
        if source in done.stored:
            wrong = ~finite_rows(done.stored[source])
            done.votes[lf][wrong] = silence_of(done.votes[lf])


def join_rows(parts: Sequence[NDArray[Any]], failures: list[Failure]) -> NDArray[Any]:
    """Stack parts of a column.

    The first part with a whole row tells the shape. Where every row failed, a part has
    no shape of its own; rows of another shape become failures.
    """
    leading = next((part for part in parts if finite_rows(part).any()), parts[0])
    shape = leading.shape[1:]
    joined, start = [], 0
    for part in parts:
        if part.shape[1:] != shape:
            message = (
                f"returned shape {part.shape[1:]} after {shape} on another image; a "
                "feature has one shape"
            )
            failures += [
                Failure(start + int(row), "returned a wrong shape", message)
                for row in np.flatnonzero(finite_rows(part))
            ]
            part = np.full((len(part), *shape), np.nan, part.dtype)
        joined.append(part)
        start += len(part)
    return np.concatenate(joined)


def _joined(
    parts: Sequence[FunctionResults], size: int, n_classes: int
) -> FunctionResults:
    whole = FunctionResults()
    for node in parts[0].stored:
        whole.stored[node] = join_rows([part.stored[node] for part in parts], [])
    for node in parts[0].raw:
        whole.raw[node] = join_rows([part.raw[node] for part in parts], [])
    for lf in parts[0].votes:
        votes = [part.votes[lf] for part in parts]
        whole.votes[lf] = join_votes(lf, votes, n_classes)
    for number, part in enumerate(parts):
        for name, failures in part.faults.items():
            whole.faults[name] += [f.moved(number * size) for f in failures]
        for row, problem in part.problems.items():
            whole.problems[row + number * size] = problem
        whole.is_transient |= part.is_transient
    return whole
