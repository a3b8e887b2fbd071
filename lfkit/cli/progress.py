"""Progress bars with rate and time left, on standard error."""

from __future__ import annotations

from types import TracebackType

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from lfkit.cli.console import Console, Text, shown


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(
            f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s", style="cyan"
        )


class Bars:
    """One bar per stage of the work; hidden where nobody watches."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<36}", markup=False),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=Console(stderr=True),
            disable=quiet,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of `total` images are through a stage."""
        stage = shown(stage, one_line=True)
        if not self._tasks:
            self._progress.start()
        for name, task in self._tasks.items():
            if name != stage and not self._progress.tasks[task].finished:
                self._finish(task)
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total)
        self._progress.update(self._tasks[stage], completed=done, total=total)

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
