"""Progress bars with rate and time left, on standard error."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from types import TracebackType

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
)

from lfkit.cli.console import Console, Text, shown
from lfkit.data.progress import Unlike
from lfkit.errors import LfkitError

_TOLD_EVERY = 10.0  # seconds, where lines go to a file: bars are not drawn there


def _rate(task: Task) -> float | None:
    """Give the images a second since the stage began, without those done before."""
    seconds = task.finished_time if task.finished else task.elapsed
    done = task.completed - task.fields["first"]
    return done / seconds if done > 0 and seconds else None


class _CountColumn(ProgressColumn):
    """How many parts are done of all, where there are several."""

    def render(self, task: Task) -> Text:
        if task.total is None or task.total <= 1:
            return Text("")
        return Text(f"{task.completed:,.0f}/{task.total:,.0f}", style="green")


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        rate = _rate(task)
        if rate is None or not task.fields["alike"]:
            return Text("")
        return Text(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s", style="cyan")


class _TimeColumn(ProgressColumn):
    """The time left, or what it took."""

    def render(self, task: Task) -> Text:
        if task.finished:
            return Text(_watch(task.finished_time or 0.0), style="yellow")
        rate = _rate(task) if task.fields["alike"] else None
        left = "--:--" if rate is None else _watch((task.remaining or 0.0) / rate)
        return Text(left, style="cyan")


class Bars:
    """One bar per stage of the work; a line every 10 seconds where nobody watches.

    Parameters
    ----------
    clock : gives seconds.
    """

    def __init__(
        self, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._quiet, self._clock = quiet, clock
        self._told_at = clock()
        self._begun: dict[str, tuple[float, int]] = {}
        self._now = ("", 0, 1, False)  # stage, done, total, parts take equally long
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch_silence, daemon=True)
        self._progress = Progress(
            TextColumn("{task.description:<36}", markup=False),
            BarColumn(bar_width=28),
            _CountColumn(),
            _RateColumn(),
            _TimeColumn(),
            console=Console(stderr=True),
            disable=quiet,
            get_time=clock,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        if not (self._quiet or self._progress.console.is_terminal):
            self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._watcher.is_alive():
            self._watcher.join()  # nothing is told below the bars
        self._progress.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of `total` images are through a stage."""
        alike = not isinstance(stage, Unlike) and total > 1
        stage = shown(stage, one_line=True)
        if not self._tasks:
            self._progress.start()
        for name, task in self._tasks.items():
            if name != stage and not self._progress.tasks[task].finished:
                self._finish(task)
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(
                stage, total=total, first=done, alike=alike
            )
        self._progress.update(self._tasks[stage], completed=done, total=total)
        if not (self._quiet or self._progress.console.is_terminal):
            self._begun.setdefault(stage, (self._clock(), done))
            self._now = (stage, done, total, alike)
            if done < total:
                self._tell()

    def _watch_silence(self) -> None:
        """Tell of work that has not told anything for long."""
        while not self._over.wait(1.0):
            with contextlib.suppress(
                OSError, LfkitError
            ):  # whoever writes next says so
                self._tell()

    def _tell(self) -> None:
        """Write how far the work is, if nothing was written for ten seconds."""
        now = self._clock()
        if now - self._told_at < _TOLD_EVERY:
            return
        self._told_at = now
        stage, done, total, alike = self._now
        if not stage:
            return self.say("at work")
        if done >= total:
            return self.say(f"{stage} is done, more is at work")
        begun, first = self._begun[stage]
        parts = f": {done:,} of {total:,}" if total > 1 else ""
        if alike and done > first:
            seconds = (now - begun) / (done - first) * (total - done)
            return self.say(f"{stage}{parts}, {_duration(seconds)} left")
        return self.say(f"{stage}{parts}, {_duration(now - begun)} so far")

    def say(self, text: str) -> None:
        """Write a line above the bars."""
        self._progress.console.print(text, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Fill the bars of stages that tell no images one by one."""
        for task in self._tasks.values():
            self._finish(task)

    def _finish(self, task: TaskID) -> None:
        total = self._progress.tasks[task].total
        self._progress.update(task, completed=total)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{seconds / 3600:.1f} h"


def _watch(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
