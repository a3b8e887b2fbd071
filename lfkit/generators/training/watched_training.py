"""All steps of one training, and what is called while they are taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lfkit.generators.plan import GeneratorPlan
from lfkit.generators.samples import Samples
from lfkit.generators.training_set import Progress, TrainingSet
from lfkit.nn import Checkpoints, Monitor, Trainable, run_steps, seconds_per_step

PREVIEW_EVERY = 500


@dataclass(frozen=True)
class Watchers:
    """What `fit` and `tune` call while they run, by the names they have there."""

    checkpoints: Checkpoints | None
    monitor: Monitor | None
    progress: Progress | None
    preview: Callable[[int, Samples], None] | None
    reading: Progress | None
    say: Callable[[str], None] | None


@dataclass(frozen=True)
class Training:
    """How a generator learns.

    Attributes
    ----------
    begin : makes what is trained.
    finish : keeps what was learned in the generator; it is given what `begin` made.
    """

    begin: Callable[[TrainingSet], Trainable]
    finish: Callable[[Any, TrainingSet, Progress | None], None]


def take_steps(
    trained: Trainable,
    plan: GeneratorPlan,
    watchers: Watchers,
    show: Callable[[int], Samples],
    *,
    random_state: int,
    device: str,
) -> None:
    """Take all steps that are left.

    Parameters
    ----------
    show : gives what is generated after a step.
    """

    def watch(step: int) -> None:
        if watchers.preview is not None and step % PREVIEW_EVERY == 0:
            watchers.preview(step, show(step))

    run_steps(
        trained,
        plan.n_steps,
        random_state=random_state,
        device=device,
        checkpoints=watchers.checkpoints,
        monitor=watchers.monitor,
        progress=watchers.progress,
        watch=watch,
    )


def timed_steps(
    trained: Trainable,
    plan: GeneratorPlan,
    device: str,
    *,
    first_pair: int = 0,
    period: int = 1,
    progress: Progress | None = None,
) -> tuple[float, float]:
    """Time a few steps of a training that is then thrown away.

    Parameters
    ----------
    first_pair : steps on images alone.
    period : steps on pairs after which costs come again.

    Returns
    -------
    seconds of a step on images alone, and of one on pairs.
    """

    def seconds(first: int, of_period: int) -> float:
        return seconds_per_step(trained, first, of_period, device, progress=progress)

    if not 0 < first_pair < plan.n_steps:
        of_all = seconds(0, period)
        return of_all, of_all
    return seconds(0, 1), seconds(first_pair + 1, period)
