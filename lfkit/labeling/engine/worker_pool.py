"""Worker processes for per-image functions: a hung or crashing one is killed, counted.

Each worker is watched by a thread of the main process. A worker writes which function
it calls on which image, and since when, into a small file that both map; that tells
which call hangs even when the function never returns to Python.

Pools of others time whole tasks: pebble with a task per call takes 93-250 µs a call
(this one: 4-26), with a task per chunk it finds a hang after 128 time-outs, and it
starts workers from the caller's `__main__`; loky has no time-outs, and loses all tasks
under way with a worker.
"""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import DeclarationError, storage_error
from lfkit.labeling.engine.failures import CRASHED, GAVE_UP, TIMED_OUT
from lfkit.labeling.engine.pickled_functions import pickled
from lfkit.labeling.engine.worker import (
    IDLE,
    PROGRESS,
    WHOLE_CHUNK,
    NotLoaded,
    Program,
    Step,
    StepResult,
)

# A function that had to be killed this often is given up: at 30 seconds each, a
# million images would take a year.
MOST_KILLS = 20
_POLL_S = 0.05
# Starting a process takes half a second, in which few images are done by one alone: the
# others start when the first is ready and, so much later, there still is work; or when
# it takes so long to start.
_OTHERS_AFTER_S, _OTHERS_LATEST_S = 0.1, 3.0


@dataclass
class _Job:
    program: str
    pixels: NDArray[np.uint8]
    inputs: Mapping[int, NDArray[Any]]
    bad: NDArray[np.bool_]
    future: Future[list[StepResult]]
    skip: dict[tuple[int, int], tuple[str, str]] = field(default_factory=dict)
    columns: list[StepResult] = field(default_factory=list)


@dataclass
class _Loaded:
    name: str
    program: Program
    payload: bytes


class WorkerPool:
    """Processes that run programs of per-image functions on chunks of images.

    Parameters
    ----------
    n_workers : number of processes. One starts with the first chunk, the others where
        it does not do all there is at once.
    timeout_s : a single call that takes longer is killed; None waits for ever.
    idle : takes the processes at the end, and gives those that an earlier pool left.
    """

    def __init__(
        self,
        n_workers: int,
        timeout_s: float | None,
        idle: IdleWorkers | None = None,
    ) -> None:
        self.timeout_s = timeout_s
        self._idle = idle
        self._kills: Counter[str] = Counter()
        self._programs: dict[str, _Loaded] = {}
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._n_workers = n_workers
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()
        self._first_is_ready = threading.Event()

    def close(self) -> None:
        """End all processes, or leave those that rest to the next pool."""
        self.stop()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def stop(self) -> None:
        """Kill what runs and cancel what waits."""
        self._closing.set()
        self._first_is_ready.set()

    def register(self, program: Program) -> str:
        """Make a program known to the workers; returns the name to submit it by."""
        with self._lock:
            name = str(len(self._programs))
            self._programs[name] = _Loaded(name, *_pickled_program(program))
            return name

    def submit(
        self,
        program: str,
        pixels: NDArray[np.uint8],
        inputs: Mapping[int, NDArray[Any]],
        bad: NDArray[np.bool_],
    ) -> Future[list[StepResult]]:
        """Run a program on a chunk: one StepResult per step."""
        with self._lock:
            while len(self._threads) < self._n_workers:
                is_first = not self._threads
                thread = threading.Thread(
                    target=self._watch, args=[is_first], daemon=True
                )
                thread.start()
                self._threads.append(thread)
        future: Future[list[StepResult]] = Future()
        self._jobs.put(_Job(program, pixels, inputs, bad, future))
        return future

    def _watch(self, is_first: bool) -> None:
        """Feed one worker; start another whenever it dies."""
        worker: _Worker | None = None
        try:
            if not is_first:  # not even a process at rest: the first may need it
                self._first_is_ready.wait(_OTHERS_LATEST_S)
                self._closing.wait(_OTHERS_AFTER_S)
            while True:
                job = self._jobs.get()
                if job is None:
                    return
                deaths_at_rest = 0
                while not job.future.done():
                    if self._closing.is_set():
                        job.future.cancel()
                        break
                    try:
                        worker = worker or self._new_worker()
                        self._run(worker, job)
                    except _WorkerDied as death:
                        worker = None
                        deaths_at_rest += death.step is None
                        self._note(death, job, deaths_at_rest)
                    except Exception as error:
                        job.future.set_exception(error)
                        if worker is not None:  # nobody knows what it still does
                            worker.kill()
                            worker = None
        finally:
            if worker is not None and self._idle is not None:
                self._idle.keep(worker)
            elif worker is not None:
                worker.kill()

    def _new_worker(self) -> _Worker:
        left = None if self._idle is None else self._idle.take()
        return left or _Worker()

    def _run(self, worker: _Worker, job: _Job) -> None:
        loaded = self._programs[job.program]
        if loaded.name not in worker.loaded:
            worker.load(loaded, self._closing)
        self._first_is_ready.set()
        for number, step in enumerate(loaded.program.steps):
            if self._kills[step.name] >= MOST_KILLS:
                reason = (GAVE_UP, f"was killed {MOST_KILLS} times; not called again")
                for i in range(len(job.pixels)):
                    job.skip.setdefault((number, i), reason)
        first = len(job.columns)
        worker.send(
            ("chunk", loaded.name, job.pixels, job.inputs, job.bad, job.skip, first)
        )
        for number, column in worker.columns(self.timeout_s, self._closing):
            assert number == len(job.columns)
            job.columns.append(column)
        job.future.set_result(job.columns)

    def _note(self, death: _WorkerDied, job: _Job, deaths_at_rest: int) -> None:
        """Turn a worker's death into a fault of the call it died in."""
        self._first_is_ready.set()
        if death.step is None:
            if deaths_at_rest > 2:
                job.future.set_exception(
                    DeclarationError(
                        "worker processes keep dying before they call a labeling "
                        f"function (the last {death.message}); import the functions in "
                        "a Python shell to see why."
                    )
                )
            return
        positions = [death.position]
        if death.position == WHOLE_CHUNK:
            positions = list(range(len(job.pixels)))
        for position in positions:
            job.skip[death.step, position] = (death.kind, death.message)
        name = self._programs[job.program].program.steps[death.step].name
        with self._lock:
            self._kills[name] += len(positions)


class IdleWorkers:
    """Processes that rest between two pools: starting one takes a second.

    Nothing but the process is kept: what was killed or given up is each pool's own.
    They end with this object, or with this process, however it ends.
    """

    def __init__(self) -> None:
        self._workers: list[_Worker] = []
        weakref.finalize(self, _kill_all, self._workers)

    def __reduce__(self) -> tuple[type[IdleWorkers], tuple[()]]:
        """Leave the processes here: a copy, or another process, has its own."""
        return IdleWorkers, ()

    def keep(self, worker: _Worker) -> None:
        """Take a worker that has nothing to do."""
        worker.loaded.clear()
        self._workers.append(worker)

    def take(self) -> _Worker | None:
        """Give one that runs; None if there is none."""
        with contextlib.suppress(IndexError):  # several threads take
            while True:
                worker = self._workers.pop()
                if worker.is_running:
                    return worker
                worker.kill()
        return None


def _kill_all(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.kill()


class _WorkerDied(Exception):
    def __init__(
        self, kind: str, message: str, step: int | None, position: int
    ) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message
        self.step, self.position = step, position


class _Broken(DeclarationError):
    """A worker process raised; its traceback."""


class _Worker:
    """One process and the pipe to it."""

    def __init__(self) -> None:
        self.loaded: set[str] = set()
        self._seen: tuple[int, int, float] = (IDLE, 0, 0.0)
        self._busy_s = self._looked = 0.0
        try:
            # It has no name, so that no kill leaves it.
            board = tempfile.TemporaryFile()  # noqa: SIM115
            board.write(PROGRESS.pack(IDLE, 0, 0.0))
            board.flush()
            self._board = mmap.mmap(board.fileno(), PROGRESS.size)
        except OSError as error:
            raise storage_error(error, tempfile.gettempdir()) from error
        ours, theirs = multiprocessing.Pipe()
        self._pipe: Connection = ours
        threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-P",  # the current folder may hold a module that nobody asked for
                "-B",  # bytecode of a file may outlive it: see `user_code.calling`
                "-c",
                "from lfkit.labeling.engine.worker import main; main()",
                str(theirs.fileno()),
                str(board.fileno()),
            ],
            pass_fds=[theirs.fileno(), board.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno() if _has_fileno(sys.stderr) else None,
            env={**os.environ, **dict.fromkeys(threads, "1"), **python_path()},
        )
        theirs.close()
        board.close()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def load(self, loaded: _Loaded, closing: threading.Event) -> None:
        if self._why_not(loaded.name, loaded.payload, closing):
            self._mend(loaded, closing)
        self.loaded.add(loaded.name)

    def _mend(self, loaded: _Loaded, closing: threading.Event) -> None:
        """Replace the functions that cannot be loaded: the others go on."""
        steps = []
        for step in loaded.program.steps:
            alone = replace(loaded.program, steps=(step,))
            why = self._why_not("alone", pickled(alone, [step.fn]), closing)
            if why:
                last = why.strip().rpartition("\n")[2]
                absent = NotLoaded(f"cannot be loaded in a worker: {last}")
                step = replace(step, fn=absent)
            steps.append(step)
        program = replace(loaded.program, steps=tuple(steps))
        loaded.payload = pickled(program, [step.fn for step in steps])
        why = self._why_not(loaded.name, loaded.payload, closing)
        if why:
            raise DeclarationError(
                "a worker process cannot load the labeling functions:\n" + why
            )

    def _why_not(self, name: str, payload: bytes, closing: threading.Event) -> str:
        """Load a program; returns why it cannot be loaded, or nothing."""
        self.send(("program", name, sys.path, payload))
        try:
            for _ in self.columns(None, closing, until="ready"):
                pass
        except _Broken as error:
            return str(error)
        return ""

    def send(self, request: tuple[Any, ...]) -> None:
        try:
            self._pipe.send(request)
        except OSError as error:
            raise self._death() from error

    def columns(
        self, timeout_s: float | None, closing: threading.Event, until: str = "done"
    ) -> Iterator[tuple[int, StepResult]]:
        """Yield columns as they come; raise if the process dies or a call hangs."""
        while True:
            try:
                while not self._pipe.poll(_POLL_S):
                    self._check_time(timeout_s)
                    if closing.is_set():
                        self.kill()
                        raise _WorkerDied("stopped", "stopped", None, 0)
                tag, number, payload = self._pipe.recv()
            except _WorkerDied:
                raise
            except Exception as error:  # a function wrote to the pipe, or closed it
                raise self._death() from error
            if tag == "broken":
                raise _Broken(payload)
            if tag == until:
                return
            yield number, payload

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        self._pipe.close()
        self._board.close()

    def _check_time(self, timeout_s: float | None) -> None:
        """Kill a call that was seen running for too long.

        Only time between two looks counts, and little of it: while the whole machine
        or job is suspended, nobody runs late.
        """
        now = time.monotonic()
        seen = PROGRESS.unpack_from(self._board, 0)
        step, position, _ = seen
        is_called = step != IDLE and position != WHOLE_CHUNK
        if timeout_s is None or not is_called or seen != self._seen:
            self._seen, self._busy_s, self._looked = seen, 0.0, now
            return
        self._busy_s += min(now - self._looked, 2 * _POLL_S)
        self._looked = now
        if self._busy_s < timeout_s:
            return
        self.kill()
        raise _WorkerDied(
            TIMED_OUT,
            f"ran longer than {timeout_s:g} s and was killed",
            step,
            position,
        )

    def _death(self) -> _WorkerDied:
        step, position, _ = PROGRESS.unpack_from(self._board, 0)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        code = self._process.returncode
        self.kill()
        how = f"ended its worker process (exit code {code})"
        if position == WHOLE_CHUNK:
            how = "closed, or wrote to, the files of its worker process"
        return _WorkerDied(
            CRASHED,
            how,
            None if step == IDLE else step,
            position,
        )


def _pickled_program(program: Program) -> tuple[Program, bytes]:
    """Pickle a program; functions that cannot be pickled are left out."""
    try:
        return program, pickled(program, [step.fn for step in program.steps])
    except DeclarationError:
        steps = tuple(map(_sendable, program.steps))
        program = replace(program, steps=steps)
        return program, pickled(program, [step.fn for step in steps])


def _sendable(step: Step) -> Step:
    try:
        pickled(step, [step.fn])
    except DeclarationError as error:
        return replace(step, fn=NotLoaded(str(error)), keywords={})
    return step


def python_path() -> dict[str, str]:
    """Let a process find lfkit where this one did, installed or not."""
    root = str(Path(__file__).resolve().parents[3])
    rest = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": root if not rest else os.pathsep.join([root, rest])}


def _has_fileno(stream: Any) -> bool:
    try:
        stream.fileno()
    except (OSError, AttributeError, ValueError):
        return False
    return True
