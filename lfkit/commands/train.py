"""`lfkit train`: a finished run in, a trained generator beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lfkit.commands.make_generator import make_generator
from lfkit.commands.train_options import TrainOptions
from lfkit.commands.training import TrainResult, train_on
from lfkit.commands.training_data import training_data, with_code
from lfkit.data.progress import Progress
from lfkit.errors import RunError
from lfkit.nn import distributed
from lfkit.runs.run import load_run


def train(
    options: TrainOptions,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> TrainResult:
    """Train a generator on a run, and keep it in RUN/models/NAME.

    Stopped at any moment, the same call goes on from the last checkpoint, and ends in
    the same bits as if it had never been stopped.

    Parameters
    ----------
    say : called with each warning, as soon as it is known.
    """
    if not distributed().is_first:  # it computes its part, and says nothing
        say, progress, options = _quiet, None, replace(options, tensorboard=False)
    generator = make_generator(options.name, options.generator_settings())
    if options.resume and not (options.folder / "settings.json").exists():
        raise RunError(
            f"{options.run} has no training of {options.name!r} to go on with."
        )
    run = with_code(load_run(options.run), options.lfs, trust_code=options.trust_code)
    generator.check(has_functions=bool(run.config.options.lfs))
    doubts = generator.plan.doubts(options.generator_settings())
    for doubt in doubts:
        say(doubt)
    result = train_on(
        training_data(run, progress, generator.real_labels),
        generator,
        options.name,
        options.folder,
        class_names=run.config.class_names,
        max_minutes=options.max_minutes,
        restart=options.restart,
        tensorboard=options.tensorboard,
        say=say,
        progress=progress,
    )
    return replace(result, warnings=(*doubts, *result.warnings))


def _quiet(text: str) -> None:
    """Say nothing."""
