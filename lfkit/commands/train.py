"""`lfkit train`: a finished run in, a trained generator beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lfkit.commands.make_generator import make_generator, source_settings
from lfkit.commands.train_options import TrainOptions
from lfkit.commands.trained_generator import load_generator
from lfkit.commands.training import TrainResult, train_on
from lfkit.commands.training_data import (
    TrainingData,
    training_data,
    tuning_data,
    with_code,
)
from lfkit.data.progress import Progress
from lfkit.errors import InputError, RunError
from lfkit.generators.generator import JointGenerator
from lfkit.nn import distributed
from lfkit.runs.run import Run, load_run


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
    if options.resume and not (options.folder / "settings.json").exists():
        raise RunError(
            f"{options.run} has no training of {options.folder_name!r} to go on with."
        )
    if options.source is not None:
        return _tune(options, options.source, progress, say)
    generator = make_generator(options.name, options.generator_settings())
    _check_domains(options, generator)
    run = with_code(load_run(options.run), options.lfs, trust_code=options.trust_code)
    generator.check(has_functions=bool(run.config.options.lfs))
    doubts = generator.plan.doubts(options.generator_settings())
    for doubt in doubts:
        say(doubt)
    data = training_data(run, progress, generator.real_labels)
    if options.second is not None:
        second = load_run(options.second)
        _check_classes(run, second, "a pair of images has one label")
        second = with_code(second, trust_code=options.trust_code)
        data.second = training_data(second, progress, generator.real_labels)
    return _trained(options, generator, data, run, doubts, progress, say)


def _tune(
    options: TrainOptions,
    source: Path,
    progress: Progress | None,
    say: Callable[[str], None],
) -> TrainResult:
    """Tune a part of another run's generator on the images of this run."""
    run, known = load_run(options.run), load_run(source)
    _check_classes(run, known, "a tuned generator keeps its labels")
    trained = load_generator(known, options.name).generator
    settings = options.generator_settings()
    generator = make_generator(options.name, source_settings(trained) | settings)
    generator.check_source(trained)
    generator.source_ = str(source)
    doubts = generator.plan.doubts(settings)
    for doubt in doubts:
        say(doubt)
    data = tuning_data(run, trained, progress)
    return _trained(options, generator, data, run, doubts, progress, say)


def _check_domains(options: TrainOptions, generator: JointGenerator) -> None:
    """Refuse a run too many, or too few."""
    if generator.n_domains == 2 and options.second is None:
        raise InputError(
            f"{options.name} makes images of two domains; give two runs: `lfkit train "
            f"RUN_A RUN_B --with {options.name}`."
        )
    if generator.n_domains == 1 and options.second is not None:
        raise InputError(
            f"{options.name} makes images of one domain; leave {options.second} out, "
            "or use `adp-multi`."
        )


def _check_classes(run: Run, other: Run, because: str) -> None:
    """Refuse runs of different classes."""
    names, theirs = run.config.class_names, other.config.class_names
    if names != theirs:
        raise InputError(
            f"the classes of {run.folder} are {_listed(names)}, and those of "
            f"{other.folder} {_listed(theirs)}; {because}, so give runs of the same "
            "classes, in the same order."
        )


def _trained(
    options: TrainOptions,
    generator: JointGenerator,
    data: TrainingData,
    run: Run,
    doubts: Sequence[str],
    progress: Progress | None,
    say: Callable[[str], None],
) -> TrainResult:
    result = train_on(
        data,
        generator,
        options.folder_name,
        options.folder,
        class_names=run.config.class_names,
        max_minutes=options.max_minutes,
        restart=options.restart,
        tensorboard=options.tensorboard,
        say=say,
        progress=progress,
    )
    return replace(result, warnings=(*doubts, *result.warnings))


def _listed(names: Sequence[str]) -> str:
    """Show the first names of classes."""
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")


def _quiet(text: str) -> None:
    """Say nothing."""
