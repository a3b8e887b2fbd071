"""`lfkit evaluate --useful`: whether generated images help a classifier."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.classifiers import one_hot
from lfkit.commands.generate_options import GenerateOptions
from lfkit.commands.make_generator import ACTIVE
from lfkit.commands.options import EvaluateOptions
from lfkit.commands.requested_classes import evenly
from lfkit.commands.trained_generator import TrainedGenerator, load_generator
from lfkit.data.image_source import ImageSource
from lfkit.data.progress import Progress
from lfkit.data.votes import ABSTAIN
from lfkit.errors import InputError
from lfkit.generators.sampling import BLOCK
from lfkit.generators.training.final_check import why_broken
from lfkit.metrics import ImageSet, MetricContext
from lfkit.metrics.evaluator import held_out_images
from lfkit.metrics.generated_images import load_generated
from lfkit.metrics.nearest import unseen
from lfkit.metrics.trained_classifiers import (
    DEFAULT_IMAGES,
    DEFAULT_STEPS,
    Pairs,
    Recipe,
    draw_pairs,
    plan_of,
)
from lfkit.metrics.usefulness import SHORT, GeneratedSupply, Usefulness, usefulness
from lfkit.nn import seconds_per_training_step
from lfkit.nn.compute import best_device
from lfkit.runs.json_text import to_json
from lfkit.runs.run import Run, load_run
from lfkit.runs.store import write_atomically

N_REPEATS = 3
_PER_CLASS = 1000  # generated images; more where there are more real ones
_MOST_SECONDS = 600.0  # of all trainings: fewer steps where they take longer
_FEWEST_STEPS = 50
_FEWEST_GENERATED = 1024  # however long they take
_TEST_SHARE, _MOST_TESTED = 3, 5000  # one image in three, where none are given

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class UsefulnessResult:
    """Result of `lfkit evaluate --useful`.

    Attributes
    ----------
    notes : what was decided about the held-out images, and what was left out.
    """

    file: Path
    found: Usefulness
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON-ready values."""
        return {
            "useful": self.found.to_dict(),
            "notes": self.notes,
            "file": str(self.file),
        }


def judge_usefulness(
    options: EvaluateOptions, say: Say, progress: Progress | None = None
) -> UsefulnessResult:
    """Train classifiers with generated images and without; keep what is found.

    Parameters
    ----------
    say : told how long it takes, before it begins.
    """
    run = load_run(options.run, options.labels)
    source = run.open_images(progress)
    supply, trained = _supply(options, run, source, progress)
    tested_rows = None
    if options.against is not None:
        test, notes = _given_images(run, source, options.against)
    else:
        tested_rows, notes = _left_out_rows(run, trained, options.seed)
        truth = np.full(len(run.truth), ABSTAIN)
        truth[tested_rows] = run.truth[tested_rows]
        test = ImageSet(
            source,
            one_hot(truth, len(run.config.class_names)),
            name=f"{run.config.options.data}, left out of training",
        )
    tools = MetricContext(
        test=test, random_state=options.seed, device=best_device(), progress=progress
    )
    known = learned_pairs(run, source, options.seed, without=tested_rows)
    n_generated = n_generated_for(known)
    if trained is not None:
        n_generated = _n_in_time(supply, n_generated, say)
    recipe = _recipe(options.learner_steps, known, tools.device, say)
    found = usefulness(
        known,
        supply,
        tools,
        recipe,
        n_generated=n_generated,
        unlabeled=unlabeled_pixels(run, source, options.seed, without=tested_rows),
    )
    if trained is not None and (why := why_broken(trained.folder)):
        notes += (f"the generator is broken: {why.rstrip('.')}",)
    file = options.run / "usefulness.json"
    result = UsefulnessResult(file, found, (*run.notes, *notes))
    write_atomically(file, to_json(result.to_dict(), indent=1).encode())
    return result


def learned_pairs(
    run: Run,
    source: ImageSource,
    seed: int,
    *,
    without: NDArray[np.int64] | None = None,
) -> Pairs:
    """Read the images that the run has labeled, with its labels, but for some rows."""
    labels = run.labels
    is_learned = (labels.labels != ABSTAIN) & _usable(source, without)
    proba = np.where(is_learned[:, None], labels.proba, 0.0)
    real = ImageSet(source, proba, name=run.config.options.data)
    found = draw_pairs(real, DEFAULT_IMAGES, seed)
    if not len(found):
        raise InputError(
            f"no image of {run.folder} can be read and has a label to learn from; run "
            "`lfkit apply` with other functions, or some seeds."
        )
    return found


def unlabeled_pixels(
    run: Run,
    source: ImageSource,
    seed: int,
    *,
    without: NDArray[np.int64] | None = None,
) -> NDArray[np.uint8]:
    """Read the images that have no label, (u, h, w, c), but for some rows."""
    silent = np.flatnonzero((run.labels.labels == ABSTAIN) & _usable(source, without))
    rows = np.random.default_rng([seed, len(silent)]).permutation(silent)
    images = ImageSet(source, name=run.config.options.data)
    # No function votes on an image that cannot be read, so some may be among them.
    parts = [read for _, read in images.chunks(np.sort(rows[:DEFAULT_IMAGES]))]
    return np.concatenate([np.empty((0, *source.shape), np.uint8), *parts])


def _usable(
    source: ImageSource, without: NDArray[np.int64] | None
) -> NDArray[np.bool_]:
    """Tell which images can be read, (n,), and are none of these rows."""
    found = np.ones(len(source), bool)
    found[[*source.known_problems]] = False
    if without is not None:
        # A photograph may be there twice.
        gone = {source.keys[row].tobytes() for row in without}
        found &= [key.tobytes() not in gone for key in source.keys]
    return found


def n_generated_for(known: Pairs) -> int:
    """Give how many images to generate: 1,000 per class, or as many as real ones."""
    return max(_PER_CLASS * known.proba.shape[1], len(known))


def supply_of(
    run: Run, trained: TrainedGenerator, progress: Progress | None = None
) -> GeneratedSupply:
    """Draw from a generator: as many of each class, if it can be asked for one."""
    trained.bind(run, GenerateOptions(run.folder, Path(), n=1), None)
    generator = trained.generator

    def draw(n: int, seed: int) -> Pairs:
        classes = None
        if generator.is_conditional:
            classes = evenly(generator.prior_ > 0, n)
        told = None if progress is None else partial(progress, "making images")
        made = generator.sample(n, classes=classes, random_state=seed, progress=told)
        return Pairs(made.images, made.proba.astype(np.float64))

    return GeneratedSupply(trained.name, draw, is_endless=True)


def _n_in_time(supply: GeneratedSupply, most: int, say: Say) -> int:
    """Take fewer generated images of a slow generator, and say how long it takes."""
    supply.draw(BLOCK, 0)  # what is made once is made
    started = time.perf_counter()
    supply.draw(BLOCK, 0)
    per_image = (time.perf_counter() - started) / BLOCK
    fitting = int(_MOST_SECONDS / 2 / N_REPEATS / per_image) // BLOCK * BLOCK
    n = int(np.clip(fitting, min(most, _FEWEST_GENERATED), most))
    minutes = N_REPEATS * n * per_image / 60
    if minutes >= 1:
        say(f"making {N_REPEATS} x {n:,} images takes about {minutes:.0f} minutes")
    return n


def _supply(
    options: EvaluateOptions,
    run: Run,
    source: ImageSource,
    progress: Progress | None,
) -> tuple[GeneratedSupply, TrainedGenerator | None]:
    """Take the file that is given, or the generator."""
    if not options.generated:
        trained = load_generator(run, options.generator)
        _check_shape(trained.name, trained.generator.shape_, source.shape)
        return supply_of(run, trained, progress), trained
    found = load_generated(options.generated[0], len(run.config.class_names))
    _check_shape(found.name, found.images.shape, source.shape)
    return GeneratedSupply(
        found.name,
        lambda n, seed: draw_pairs(found.images, n, seed),
        is_endless=False,
    ), None


def _check_shape(
    name: str, shape: tuple[int, int, int], real: tuple[int, int, int]
) -> None:
    if tuple(shape) != tuple(real):
        raise InputError(
            f"{name} has images of {tuple(shape)} (height, width, channels), the real "
            f"ones have {tuple(real)}; generate them in that shape."
        )


def _given_images(
    run: Run, source: ImageSource, name: str
) -> tuple[ImageSet, tuple[str, ...]]:
    """Open labeled held-out images; those that the run has, too, are left out."""
    test, notes = held_out_images(run, source, name)
    if not test.n_classes or (test.labels < 0).all():
        raise InputError(
            f"no image of {name} is labeled with a class of the run; whether generated "
            "images help is judged by true labels: give --against labeled images."
        )
    assert test.proba is not None, "it has classes"
    is_own = np.ones(len(test), bool)
    is_own[unseen(test, ImageSet(source, name=run.config.options.data))] = False
    if not is_own.any():
        return test, notes
    proba = np.where(is_own[:, None], 0.0, test.proba)
    if not proba.any():
        raise InputError(
            f"all labeled images of {name} are images of the run, which labels and "
            "generators have learned from; give --against others, or leave it out."
        )
    notes += (
        f"{int(is_own.sum()):,} images of {name} are images of the run too, and were "
        "left out",
    )
    return ImageSet(test.source, proba, name=test.name), notes


def _left_out_rows(
    run: Run, trained: TrainedGenerator | None, seed: int
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Choose images whose true labels nothing has learned from, to test on."""
    known = np.flatnonzero(run.scored >= 0)
    why = ""
    if not len(known):
        n = int((run.truth >= 0).sum())
        why = f"{n:,} images have one, all of them seeds" if n else "none has one"
    elif trained is not None and _has_learned_truth(trained):
        why = f"{trained.name} was trained on some of them"
    if why:
        raise InputError(
            f"{run.folder} has no true labels that nothing has learned from: {why}. "
            "Give labeled images that the run does not have: --against DATA; or true "
            "labels: --labels FILE."
        )
    n_tested = min(-(-len(known) // _TEST_SHARE), _MOST_TESTED)
    rows = np.random.default_rng([seed, len(known)]).permutation(known)[:n_tested]
    seen = "the generator has seen these images, with the run's labels"
    if trained is None:
        seen = "whether the generated images were learned from these is not known"
    note = (
        f"{n_tested:,} images of the run with true labels were left out of the "
        f"classifiers' training, to test on; {seen}: --against DATA is stricter"
    )
    return np.sort(rows), (note,)


def _has_learned_truth(trained: TrainedGenerator) -> bool:
    """Tell whether true labels other than the seeds' were given to a generator."""
    return trained.generator.real_labels == "true" or trained.name.endswith(ACTIVE)


def _recipe(n_steps: int | None, known: Pairs, device: str, say: Say) -> Recipe:
    """Choose the steps, from a timed start, and say how long they take."""
    recipe = Recipe(n_steps or DEFAULT_STEPS, N_REPEATS)
    n_trainings = N_REPEATS * len(SHORT)
    per_step = seconds_per_training_step(
        known.pixels, known.proba, plan=plan_of(recipe), device=device
    )
    if n_steps is None:
        fitting = int(_MOST_SECONDS / n_trainings / per_step) // 50 * 50
        steps = int(np.clip(fitting, _FEWEST_STEPS, DEFAULT_STEPS))
        recipe = Recipe(steps, N_REPEATS)
    minutes = n_trainings * recipe.n_steps * per_step / 60
    about = f"{minutes:.0f} minutes" if minutes >= 1.5 else "a minute"
    say(
        f"training {n_trainings} classifiers of {recipe.n_steps:,} steps takes about "
        f"{about}"
    )
    return recipe
