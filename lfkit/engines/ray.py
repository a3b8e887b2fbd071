"""Runs tasks as Ray actors: on this machine, or on a cluster."""

from __future__ import annotations

import contextlib
import logging
import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
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
from lfkit.errors import InputError


class RayEngine(Engine):
    """One actor per CPU, each of which opens the task once and does item after item.

    An actor that dies is replaced, and its item begun again. One item per actor is
    under way; nothing but file names and counts travels between machines, so what the
    task reads and writes must be reachable from all of them.

    Parameters
    ----------
    address : "local" starts Ray here; "auto" and "ray://…" find a cluster.
    n_actors : at most; None: one per CPU of the cluster.
    num_gpus : of each actor, .25 for four on one GPU.
    """

    def __init__(
        self,
        address: str = "local",
        *,
        n_actors: int | None = None,
        num_gpus: float = 0.0,
        most_tries: int = 3,
    ) -> None:
        super().__init__(most_tries=most_tries)
        self.address, self.n_actors, self.num_gpus = address, n_actors, num_gpus

    def map(
        self, task: Task[Item, Result], items: Sequence[Item]
    ) -> Iterator[Ended[Item, Result]]:
        """Yield how each item ended, as soon as it has."""
        if not items:
            return
        ray = self._started()
        try:
            yield from self._mapped(ray, task, items)
        finally:
            ray.shutdown()

    def _started(self) -> Any:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ImportError as error:
            raise InputError(
                '--engine ray needs Ray: pip install "lfkit[ray]".'
            ) from error
        address = None if self.address == "local" else self.address
        how: dict[str, Any] = {"address": address}
        if address is None:
            how = {"address": "local", "include_dashboard": False}
            if self.n_actors is not None:
                how["num_cpus"] = self.n_actors
        try:
            # Ray lets its processes import from the current folder before all others,
            # and that may hold a module that nobody asked for.
            with contextlib.chdir(Path(__file__).resolve().parents[2]):
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **how)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"no Ray is reached at {self.address}: {sentence_of(error)}; give "
                "--address local, auto or ray://HOST:10001."
            ) from error
        return ray

    def _count(self, free: Mapping[str, float], n_items: int) -> int:
        """Count actors that can run at once: one that waits would hold its item up.

        Parameters
        ----------
        free : CPUs and GPUs of the cluster that nobody has taken.
        """
        n_actors = min(self.n_actors or n_items, n_items, int(free.get("CPU", 0)))
        if self.num_gpus:
            n_actors = min(n_actors, int(free.get("GPU", 0) / self.num_gpus))
        if n_actors < 1:
            raise InputError(
                f"Ray has {free.get('CPU', 0):g} CPUs and {free.get('GPU', 0):g} GPUs "
                f"free, and one process needs 1 CPU and {self.num_gpus:g} GPUs; wait "
                "for others to end, or give a smaller --num-gpus."
            )
        return n_actors

    def _mapped(
        self, ray: Any, task: Task[Item, Result], items: Sequence[Item]
    ) -> Iterator[Ended[Item, Result]]:
        n_actors = self._count(ray.available_resources(), len(items))
        opened = ray.put(task)
        remote = ray.remote(num_cpus=1, num_gpus=self.num_gpus)(_Actor)
        idle = [remote.remote(opened) for _ in range(n_actors)]
        waiting = deque(range(len(items)))
        under_way: dict[Any, tuple[int, Any]] = {}
        tries: Counter[int] = Counter()
        while waiting or under_way:
            while waiting and idle:
                number, actor = waiting.popleft(), idle.pop()
                tries[number] += 1
                under_way[actor.do.remote(items[number])] = number, actor
            done, _ = ray.wait(list(under_way), num_returns=1)
            number, actor = under_way.pop(done[0])
            item, failure, final = items[number], "", False
            try:
                result, failure, final = ray.get(done[0])
                idle.append(actor)
            except ray.exceptions.RayActorError as error:
                failure = f"the process that worked on it died ({type(error).__name__})"
                idle.append(remote.remote(opened))
            if not failure:
                yield Ended(item, result, tries=tries[number])
            elif final or tries[number] >= self.most_tries:
                yield Ended(item, None, failure, tries[number])
            else:
                waiting.append(number)


class _Actor:
    """An actor: opens the task once, and does what it is sent."""

    def __init__(self, task: Task[Any, Any]) -> None:
        self._task = task
        self._failure = ""
        try:
            task.open()
        except Exception as error:
            self._failure = sentence_of(error)

    def do(self, item: Any) -> tuple[Any, str, bool]:
        """Give what the task gives, why it failed, and whether that is final."""
        if self._failure:
            return None, self._failure, True
        try:
            return self._task(item), "", False
        except Exception as error:  # whatever a user's function raises
            return None, sentence_of(error), is_final(error)
