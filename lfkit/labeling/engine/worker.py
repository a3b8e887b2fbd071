"""What a worker process runs: per-image functions over chunks of images.

Its own program rather than a fork of the caller, so that scripts and notebooks need no
`if __name__ == "__main__"`. It imports no torch unless the user's functions do.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.votes import ABSTAIN
from lfkit.features.feature import as_stored, finite_rows
from lfkit.features.user_code.calling import (
    Calling,
    be_worker,
    kind_of,
    shortened,
    text_of,
    traceback_of,
)
from lfkit.features.user_code.sealed_inputs import Rows, is_own, sealed_values
from lfkit.labeling.engine.failures import NOT_LOADED, Failure
from lfkit.labeling.one_of import OneOf
from lfkit.labeling.vote_checks import BadResult, check_of, short

# What a worker is busy with, in a file both sides map: function, image, since when.
PROGRESS = struct.Struct("qqd")
IDLE = -1
WHOLE_CHUNK = -1  # an image's number while what a function gave is being sent
_LONGEST_MESSAGE = 2000


@dataclass(frozen=True)
class Step:
    """One function of a program.

    Attributes
    ----------
    name : of the feature or labeling function.
    fn : the function.
    inputs : slots it reads: 0 is the image; others are features, by number.
    slot : the slot it writes, for a feature; None for a labeling function.
    keywords : learned arrays, or threshold values.
    classes : what a labeling function may vote; None = any class below n_classes.
    soft : a labeling function that returns weights.
    """

    name: str
    fn: Callable[..., Any]
    inputs: tuple[int, ...]
    slot: int | None
    keywords: Mapping[str, Any]
    classes: tuple[int, ...] | None = None
    soft: bool = False


@dataclass(frozen=True)
class Program:
    """Per-image functions in the order they run, and the slots whose values go back."""

    steps: tuple[Step, ...]
    wanted: frozenset[int]
    n_classes: int | None

    def apart(self) -> Program:
        """Give each step arrays of its own as keywords, which it cannot change."""
        steps = [replace(s, keywords=sealed_values(s.keywords)) for s in self.steps]
        return replace(self, steps=tuple(steps))


@dataclass
class StepResult:
    """What one step gave for a chunk of images.

    Attributes
    ----------
    values : a feature's (b, ...) float32, NaN where it failed; or votes: (b,) int16,
        (b, classes) float32 if soft, or bool where one of them is a set.
    faults : its failures, by position in the chunk.
    reads : path → digest of the files that its function opened.
    """

    values: NDArray[Any]
    faults: list[Failure] = field(default_factory=list)
    reads: dict[str, str] = field(default_factory=dict)


Inputs = Mapping[int, NDArray[Any]]
Skip = Mapping[tuple[int, int], tuple[str, str]]  # (step, image) → (kind, message)


def run_step(
    step: Step,
    number: int,
    n_rows: int,
    reads: Sequence[Rows],
    n_classes: int | None,
    skip: Skip,
    tick: Callable[[int, int], None],
) -> tuple[list[Any], StepResult]:
    """Run one function on every image of a chunk; a failure abstains and is noted.

    A row that is None, where the image or an input failed, is not called.

    Returns
    -------
    The checked results, None where it failed, and the same as a column.
    """
    is_vote = step.slot is None
    results: list[Any] = []
    faults: list[Failure] = []
    check = check_of(step.soft, step.classes, n_classes) if is_vote else _feature_value
    process = os.getpid()
    with Calling() as call:
        _call_rows(step, number, n_rows, reads, check, skip, tick, results, faults)
    if os.getpid() != process:
        os._exit(0)  # a fork that Python does not report
    changed = {int(i) for rows in reads for i in rows.restore()}
    for i in sorted(changed):
        if results[i] is not None:
            message = "changes what it is given, which others read; work on a copy"
            faults.append(Failure(i, "changed its input", message))
            results[i] = None
    if is_vote:
        column = StepResult(_vote_array(step, results, n_classes), faults)
    else:
        column = StepResult(_feature_array(results, faults), faults)
    if not is_own(step.fn):
        column.reads = call.reads
    return results, column


def _call_rows(
    step: Step,
    number: int,
    n_rows: int,
    reads: Sequence[Rows],
    check: Callable[[Any], Any],
    skip: Skip,
    tick: Callable[[int, int], None],
    results: list[Any],
    faults: list[Failure],
) -> None:
    traced: set[str] = set()
    fn, keywords = step.fn, step.keywords
    for i in range(n_rows):
        inputs = [column.rows[i] for column in reads]
        if any(value is None for value in inputs):
            results.append(None)
            continue
        if (number, i) in skip:
            faults.append(Failure(i, *skip[number, i]))
            results.append(None)
            continue
        tick(number, i)
        try:
            results.append(check(fn(*inputs, **keywords)))
        except BadResult as error:
            message = shortened(str(error), _LONGEST_MESSAGE)
            faults.append(Failure(i, error.kind, message))
            results.append(None)
        except BaseException as error:  # a user's function may raise anything
            kind = kind_of(error)
            trace = "" if kind in traced else traceback_of(error)
            traced.add(kind)
            faults.append(Failure(i, kind, text_of(error), trace))
            results.append(None)


class NotLoaded:
    """Stands for a function that a worker process cannot have.

    Attributes
    ----------
    why : the reason.
    """

    def __init__(self, why: str) -> None:
        self.why = why

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Fail, on every image."""
        raise BadResult(NOT_LOADED, self.why)


def _feature_value(value: Any) -> NDArray[np.float32]:
    if value is None:
        raise BadResult("returned None", "returned None; return a number or an array")
    try:
        given = np.asarray(value)
        if given.dtype.kind not in "biufO":  # text, dates, complex numbers
            raise TypeError
        # A copy: a function may give the same array, with other numbers, once more.
        return np.array(given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise BadResult(
            "returned no number",
            f"returned {short(value)}, which is not a number or an array of them",
        ) from error


def _vote_array(
    step: Step, results: Sequence[Any], n_classes: int | None
) -> NDArray[Any]:
    if step.soft:
        silent = np.zeros(len(step.classes or ()), np.float32)
        rows = [silent if row is None else row for row in results]
        return np.asarray(rows, np.float32).reshape(len(rows), -1)
    if any(isinstance(vote, OneOf) for vote in results):
        classes = np.asarray(step.classes or range(n_classes or 0))
        return np.asarray([np.isin(classes, _named(vote)) for vote in results], bool)
    return np.asarray([ABSTAIN if v is None else v for v in results], np.int16)


def _named(vote: int | OneOf | None) -> Sequence[int]:
    if isinstance(vote, OneOf):
        return vote.classes
    return () if vote is None or vote == ABSTAIN else (vote,)


def _feature_array(results: list[Any], faults: list[Failure]) -> NDArray[np.float32]:
    """Stack a feature's rows; one whose shape differs from the first is a fault."""
    shape = next((row.shape for row in results if row is not None), ())
    stacked = np.full((len(results), *shape), np.nan, np.float32)
    for i, row in enumerate(results):
        if row is None:
            continue
        if row.shape == shape:
            stacked[i] = row
            continue
        message = (
            f"returned shape {row.shape} after {shape} on another image; a feature has "
            "one shape"
        )
        faults.append(Failure(i, "returned a wrong shape", message))
        results[i] = None
    return stacked


def iterate_program(
    program: Program,
    pixels: NDArray[np.uint8],
    inputs: Inputs,
    bad: NDArray[np.bool_],
    skip: Skip,
    tick: Callable[[int, int], None],
    first: int = 0,
) -> Iterator[tuple[int, StepResult]]:
    """Yield (step, result) per step from `first` on; earlier votes are not cast again.

    Parameters
    ----------
    pixels : (b, h, w, c).
    inputs : slot → (b, ...) values computed elsewhere; NaN rows are failed ones. Or
        (b,) objects, metadata; None where there is none.
    bad : (b,) True where the image could not be read.
    skip : cells not to call, with the fault to note for each.
    tick : called with (step, image) before each call.
    """
    fresh = {0: Rows(pixels, ~bad)}
    for slot, values in inputs.items():
        if values.dtype == object:  # metadata, also of images that cannot be read
            is_known = np.asarray([value is not None for value in values], bool)
            fresh[slot] = Rows(values, is_known)
            continue
        values = values.astype(np.float32, copy=False)
        fresh[slot] = Rows(values, finite_rows(values) & ~bad)
    stored = dict(fresh)
    for number, step in enumerate(program.steps):
        if step.slot is None and number < first:
            continue
        slots = fresh if step.slot is not None else stored
        reads = [slots[slot] for slot in step.inputs]
        results, column = run_step(
            step, number, len(pixels), reads, program.n_classes, skip, tick
        )
        if step.slot is not None:
            given = np.asarray([row is not None for row in results], bool)
            fresh[step.slot] = Rows(column.values, given)
            stored[step.slot] = _rounded(column.values, given)
            if step.slot not in program.wanted:
                column.values = np.zeros(0, np.float32)
        if number >= first:
            yield number, column


def _rounded(values: NDArray[np.float32], given: NDArray[np.bool_]) -> Rows:
    """Round a feature as the store would, for functions that vote on it."""
    rounded = as_stored(values)
    return Rows(rounded.astype(np.float32), finite_rows(rounded) & given)


def main() -> None:
    """Serve chunks until the parent goes away."""
    be_worker()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_die_with_parent, args=(os.getppid(),), daemon=True).start()
    connection = Connection(int(sys.argv[1]))
    with open(int(sys.argv[2]), "r+b") as handle:
        board = mmap.mmap(handle.fileno(), PROGRESS.size)

    def tick(step: int, position: int) -> None:
        PROGRESS.pack_into(board, 0, step, position, time.monotonic())

    with contextlib.suppress(EOFError, OSError):  # the parent is gone
        _serve(connection, board, tick)


def _serve(
    connection: Connection, board: mmap.mmap, tick: Callable[[int, int], None]
) -> None:
    import cloudpickle

    programs: dict[str, Program] = {}
    while True:
        request = connection.recv()
        try:
            if request[0] == "program":
                _, name, path, payload = request
                sys.path[:] = path
                with Calling():
                    programs[name] = cloudpickle.loads(payload).apart()
                _limit_threads()
                connection.send(("ready", None, None))
                continue
            _, name, pixels, inputs, bad, skip, first = request
            for number, column in iterate_program(
                programs[name], pixels, inputs, bad, skip, tick, first
            ):
                # What a function did to our files shows when its column is sent.
                PROGRESS.pack_into(board, 0, number, WHOLE_CHUNK, time.monotonic())
                connection.send(("column", number, column))
                PROGRESS.pack_into(board, 0, IDLE, 0, 0.0)
            connection.send(("done", None, None))
        except BrokenPipeError:
            raise
        except BaseException as error:  # user code, when it is unpickled
            connection.send(("broken", None, traceback_of(error)))


def _limit_threads() -> None:
    """One thread per worker: there is a worker per core."""
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(0)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _die_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
