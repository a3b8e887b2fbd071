"""Time and randomness of a training; knows nothing of what is trained.

Every draw of a step comes from a generator made of the seed and the step's number, and
a checkpoint holds all that the next step depends on: a training that was killed ends in
the same bits as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.errors import TrainingError
from lfkit.nn.distributed import distributed

# Reading a figure waits for the device: once in so many steps.
LOG_EVERY = 10
_SAFE_EVERY = 500  # steps between copies kept in memory where nothing is on disk
_MOST_RETRIES = 3
_TIMED_STEPS = 12
_UNTIMED_STEPS = 3
_SLOW = 10.0  # seconds after which fewer steps are timed
_SHOWN_EVERY = 1.0  # seconds without a call of a progress


@dataclass(frozen=True)
class StepContext:
    """What a step may know of time and chance.

    Attributes
    ----------
    step : its number, from 0.
    generator : on the training's device; all randomness of the step comes from it.
    lr_scale : to multiply learning rates by; 1, and half after every rollback.
    """

    step: int
    generator: torch.Generator
    lr_scale: float = 1.0


class Trainable(Protocol):
    """Something that gets better by steps."""

    def step(self, now: StepContext) -> Mapping[str, torch.Tensor]:
        """Take one step; returns named figures, each of shape ()."""

    def tensors(self) -> Mapping[str, torch.Tensor]:
        """Give all that the next step depends on, by name, to be written over."""


class Checkpoints(Protocol):
    """Where a training is kept every few hundred steps."""

    @property
    def every(self) -> int:
        """How many steps are between two of them, taken up to a multiple of ten."""

    def load(self) -> Mapping[str, NDArray[Any]] | None:
        """Give what was saved last, or None."""

    def save(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep this in the place of what was saved before."""


class Monitor(Protocol):
    """Gets the figures of a training while it runs."""

    def note(self, step: int, figures: Mapping[str, float]) -> None:
        """Take the means of the figures since the last note; `step` are done."""

    def rewind(self, step: int) -> None:
        """Forget what was noted after a step: it is done again."""


def run_steps(
    trained: Trainable,
    n_steps: int,
    *,
    random_state: int,
    device: str = "cpu",
    checkpoints: Checkpoints | None = None,
    monitor: Monitor | None = None,
    progress: Callable[[int, int], None] | None = None,
    watch: Callable[[int], None] | None = None,
) -> None:
    """Take the steps that are left.

    Numbers that are not finite undo everything since the last checkpoint; the steps are
    then taken with other draws and half the learning rates.

    Parameters
    ----------
    progress : called with the steps done and all of them, at every note, and at every
        step where these take a second or more.
    watch : called with the steps done, whenever there is a note.

    Raises
    ------
    TrainingError : after the fourth time.
    """
    course = _Course(trained, checkpoints)
    done = course.begin()
    if monitor is not None:
        monitor.rewind(done)
    shown = time.monotonic()
    sums: dict[str, list[torch.Tensor]] = {}
    while done < n_steps:
        now = StepContext(
            done,
            _drawn(random_state, done, course.retries, device),
            0.5**course.retries,
        )
        for name, value in trained.step(now).items():
            sums.setdefault(name, []).append(value.detach())
        done += 1
        if done % LOG_EVERY and done < n_steps:
            if progress is not None and time.monotonic() - shown >= _SHOWN_EVERY:
                progress(done, n_steps)
                shown = time.monotonic()
            continue
        figures, sums = _means(sums), {}
        is_good = all(map(np.isfinite, figures.values()))
        # Noted before it is kept: killed in between, the note is taken back and made
        # again; the other way round it would be lost.
        if is_good and monitor is not None:
            monitor.note(done, figures)
        if is_good and watch is not None:
            watch(done)
        if is_good and course.keep(done, n_steps):
            if progress is not None:
                progress(done, n_steps)
                shown = time.monotonic()
            continue
        done = course.undo(done, n_steps)
        if monitor is not None:
            monitor.rewind(done)


def seconds_per_step(
    trained: Trainable,
    first: int = 0,
    period: int = 1,
    device: str = "cpu",
    *,
    progress: Callable[[int, int], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Time a few steps of something that is then thrown away.

    Parameters
    ----------
    first : the number of the first of them.
    period : steps after which costs come again: a multiple of it is timed.
    progress : called with the steps done and all of them.
    """
    n_timed = -(-_TIMED_STEPS // period) * period
    started = clock()
    number, timed = 0, -_UNTIMED_STEPS
    while timed < n_timed:
        step = first + number
        trained.step(StepContext(step, _drawn(0, step, 0, device)))
        if device != "cpu":
            torch.cuda.synchronize()
        number, timed = number + 1, timed + 1
        if progress is not None:
            progress(number, _UNTIMED_STEPS + n_timed)
        spent = clock() - started
        if timed <= 0 and (timed == 0 or spent > _SLOW):
            started, timed = clock(), 0  # of slow steps the first one warms up enough
        elif timed > 0 and timed % period == 0 and spent > _SLOW:
            break
    return (clock() - started) / timed


def mixed_seed(random_state: int, *numbers: int) -> int:
    """Make one seed of several numbers, so that near ones have nothing in common."""
    mixed = np.random.SeedSequence([random_state, *numbers])
    high, low = mixed.generate_state(2, np.uint32)
    return int(high) << 32 >> 1 | int(low)


class _Course:
    """Keeps the last good state, on disk or in memory."""

    def __init__(self, trained: Trainable, checkpoints: Checkpoints | None) -> None:
        self.trained, self.checkpoints = trained, checkpoints
        self.retries = 0
        self._good: dict[str, NDArray[Any]] = {}

    def begin(self) -> int:
        """Take up what was kept; returns how many steps are done."""
        kept = None if self.checkpoints is None else self.checkpoints.load()
        if kept is None or not _fits(kept, self.trained.tensors()):
            self._good = self._arrays(0)
            return 0
        self._good = dict(kept)
        self.retries = int(kept["retries"])
        return self._restore()

    def keep(self, done: int, n_steps: int) -> bool:
        """Keep the state of now, if it is time to; False: it is broken."""
        every = _SAFE_EVERY if self.checkpoints is None else self.checkpoints.every
        every = -(-every // LOG_EVERY) * LOG_EVERY
        if done % every and done < n_steps:
            return True
        arrays = self._arrays(done)
        # Losses tell of broken weights only a step later.
        if not all(np.isfinite(array).all() for array in arrays.values()):
            return False
        self._good = arrays
        self._save()
        return True

    def undo(self, done: int, n_steps: int) -> int:
        """Go back to the last good state; returns how many steps are done."""
        self.retries += 1
        if self.retries > _MOST_RETRIES:
            raise TrainingError(
                f"the training broke at step {done} of {n_steps}: its losses or "
                f"weights are not finite, {_MOST_RETRIES} times again with smaller "
                "learning rates; what was good is kept. Train with a smaller learning "
                "rate."
            )
        first = self._restore()
        self._good["retries"] = np.asarray(self.retries)
        if first:
            self._save()
        return first

    def _save(self) -> None:
        if self.checkpoints is not None and distributed().is_first:
            self.checkpoints.save(self._good)

    def _arrays(self, done: int) -> dict[str, NDArray[Any]]:
        arrays = {"step": np.asarray(done), "retries": np.asarray(self.retries)}
        for name, value in self.trained.tensors().items():
            arrays[name] = np.array(value.detach().cpu().numpy())
        return arrays

    def _restore(self) -> int:
        with torch.no_grad():
            for name, value in self.trained.tensors().items():
                value.copy_(torch.from_numpy(np.array(self._good[name])))
        return int(self._good["step"])


def _fits(kept: Mapping[str, NDArray[Any]], tensors: Mapping[str, Any]) -> bool:
    """Tell whether a checkpoint is of this training; else it starts anew."""
    return set(kept) == {"step", "retries", *tensors} and all(
        kept[name].shape == tuple(value.shape)
        and str(value.dtype) == f"torch.{kept[name].dtype}"
        and np.isfinite(kept[name]).all()
        for name, value in tensors.items()
    )


def _drawn(random_state: int, step: int, retries: int, device: str) -> torch.Generator:
    again = (retries,) if retries else ()
    return torch.Generator(device).manual_seed(
        mixed_seed(random_state, step + 1, *again)
    )


def _means(found: Mapping[str, list[torch.Tensor]]) -> dict[str, float]:
    """Average over the steps, and over the processes: all must judge alike."""
    if not found:
        return {}
    means = torch.stack(
        [torch.stack(values).float().mean() for values in found.values()]
    )
    distributed().average([means])
    return dict(zip(found, means.tolist(), strict=True))
