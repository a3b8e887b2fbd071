"""How long work tells what it has done, and where its time goes."""

from __future__ import annotations

import time
from collections.abc import Callable

Progress = Callable[[str, int, int], None]  # (what is being done, done, of how many)


class Unlike(str):
    """Names work whose parts take unlike long: how many are left tells no time."""


def with_prefix(prefix: str, progress: Progress | None) -> Progress:
    """Say what a part of some work does, with the part's name before it."""

    def say(what: str, done: int, total: int) -> None:
        if progress is not None:
            progress(type(what)(f"{prefix}: {what}"), done, total)

    return say


class Stopwatch:
    """A progress that adds up the seconds of each kind of work, and passes all on.

    Parameters
    ----------
    tell : told whatever is told here.
    clock : gives seconds.
    """

    def __init__(
        self, tell: Progress | None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._tell, self._clock = tell, clock
        self._last, self._since = "", clock()
        self._open: set[str] = set()  # begun, and not all of it is done
        self.seconds: dict[str, float] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        """Note that `done` of `total` are through."""
        now = self._clock()
        # Until the first word of some work, time was what came before it took.
        of = what if what in self._open else self._last
        if of:
            self.seconds[of] = self.seconds.get(of, 0.0) + now - self._since
        if done < total:
            self._open.add(what)
            self._last = what
        else:
            self._open.discard(what)
            self._last = ""
        self._since = now
        if self._tell is not None:
            self._tell(what, done, total)
