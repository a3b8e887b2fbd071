"""Runs tasks in this process, or in a few processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from lfkit.engines.engine import (
    Ended,
    Engine,
    Item,
    Result,
    Task,
    is_final,
    sentence_of,
)

_DIED = "a process that worked on it died each time"

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_task: Task[Any, Any] | None = None  # of a worker process


class LocalEngine(Engine):
    """Processes of this machine; with one worker, this process alone.

    A process that dies takes one try from each item that was under way; these are
    begun again one at a time, so that the one that kills is found. No item fails for a
    death unless it was alone.

    Parameters
    ----------
    n_workers : processes. More than one are spawned: a script that asks for them needs
        `if __name__ == "__main__":`.
    """

    def __init__(self, n_workers: int = 1, *, most_tries: int = 3) -> None:
        super().__init__(most_tries=most_tries)
        self.n_workers = n_workers

    def map(
        self, task: Task[Item, Result], items: Sequence[Item]
    ) -> Iterator[Ended[Item, Result]]:
        """Yield how each item ended, as soon as it has."""
        if self.n_workers <= 1:
            return self._here(task, items)
        return self._in_processes(task, items)

    def _here(
        self, task: Task[Item, Result], items: Sequence[Item]
    ) -> Iterator[Ended[Item, Result]]:
        if items:
            task.open()
        for item in items:
            yield self._tried(task, item)

    def _tried(self, task: Task[Item, Result], item: Item) -> Ended[Item, Result]:
        for tries in range(1, self.most_tries + 1):
            try:
                return Ended(item, task(item), tries=tries)
            except Exception as error:  # whatever a user's function raises
                if is_final(error) or tries == self.most_tries:
                    return Ended(item, None, sentence_of(error), tries)
        raise AssertionError("an item is tried at least once")

    def _in_processes(
        self, task: Task[Item, Result], items: Sequence[Item]
    ) -> Iterator[Ended[Item, Result]]:
        waiting = deque(range(len(items)))
        suspects: deque[int] = deque()  # were under way when a process died
        tries: Counter[int] = Counter()
        while waiting or suspects:
            queue = suspects or waiting
            width = 1 if suspects else min(self.n_workers, len(waiting))
            pool = _new_pool(width, task, self.n_workers)
            under_way: dict[Future[Any], int] = {}
            is_broken = False
            try:
                while under_way or (queue and not is_broken):
                    # As many as there are processes: what waits is nobody's loss.
                    while queue and len(under_way) < width and not is_broken:
                        # A process may have died meanwhile, and nothing is begun then.
                        future = _submitted(pool, items[queue[0]], self.n_workers)
                        is_broken = future is None
                        if future is not None:
                            under_way[future] = number = queue.popleft()
                            tries[number] += 1
                    done, _ = wait(under_way, return_when=FIRST_COMPLETED)
                    for future in done:
                        number = under_way.pop(future)
                        item, error = items[number], future.exception()
                        is_last = tries[number] >= self.most_tries
                        if error is None:
                            yield Ended(item, future.result(), tries=tries[number])
                        elif isinstance(error, BrokenProcessPool):
                            is_broken = True
                            if width == 1 and is_last:
                                yield Ended(item, None, _DIED, tries[number])
                            else:  # beside others it may be another's fault
                                suspects.append(number)
                        elif is_final(error) or is_last:
                            said = sentence_of(error)
                            yield Ended(item, None, said, tries[number])
                        else:
                            queue.append(number)
            finally:
                _end(pool)


def _submitted(
    pool: ProcessPoolExecutor, item: Any, n_workers: int
) -> Future[Any] | None:
    """Begin an item; None if a process of the pool has died."""
    with _starting_processes(n_workers):
        try:
            return pool.submit(_call, item)
        except BrokenProcessPool:
            return None


@contextlib.contextmanager
def _starting_processes(n_workers: int) -> Iterator[None]:
    """Let processes that start meanwhile hear no Ctrl-C: their parent ends them.

    They import for seconds before they could say so themselves. A Ctrl-C here is heard
    at the end. Nor do they look for Python's own modules in the current folder, as
    `python -c` does. Where nobody has said how many threads libraries take, each has
    its share of the cores, not all of them.
    """
    threads = dict.fromkeys(_THREADS, str(max(1, (os.cpu_count() or 1) // n_workers)))
    before = dict(os.environ)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    os.environ.update({**threads, **before, "PYTHONSAFEPATH": "1"})
    try:
        yield
    finally:
        for name in {*threads, "PYTHONSAFEPATH"} - before.keys():
            del os.environ[name]
        os.environ.update(before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _new_pool(width: int, task: Task[Any, Any], n_workers: int) -> ProcessPoolExecutor:
    with _starting_processes(
        n_workers
    ):  # Python's own, which clears up after the others
        return ProcessPoolExecutor(
            width,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(task,),
        )


def _end(pool: ProcessPoolExecutor) -> None:
    """End a pool's processes: after Ctrl-C, too, when they are at work."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


def _begin(task: Task[Any, Any]) -> None:
    """Prepare a worker process."""
    global _task
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    os.dup2(2, 1)  # what users' functions print is not the command's result
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _task = task


def _end_with_parent() -> None:
    """End when the parent does, however it ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _call(item: Any) -> Any:
    assert _task is not None, "_begin has set it"
    # Not when the process begins: an error there would only say that it died.
    _task.open()
    return _task(item)
