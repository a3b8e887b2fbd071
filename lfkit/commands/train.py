"""`lfkit train` in one call: a finished run in, a trained generator beside it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lfkit.commands.training_data import TrainingData, training_data, with_code
from lfkit.data.progress import Progress
from lfkit.errors import InputError
from lfkit.generators.gan.config import GanConfig
from lfkit.runs.reading import sealed
from lfkit.runs.resume import check_same_settings, save_settings
from lfkit.runs.run import load_run
from lfkit.runs.store import write_atomically

if TYPE_CHECKING:
    from lfkit.generators import Samples
    from lfkit.generators.training.tensorboard import TensorBoard
    from lfkit.nn import Journal

# Ends the names of generators that `lfkit active` has trained, in RUN/models.
ACTIVE = "-active"
_TIMED_IMAGES = 64
_KEPT_SAMPLES = 2000  # for `lfkit report` and `lfkit evaluate`


def train_generator(
    run: Path,
    name: str,
    *,
    settings: Mapping[str, Any] | None = None,
    max_minutes: float | None = None,
    restart: bool = False,
    tensorboard: bool = False,
    lfs: Sequence[str] = (),
    trust_code: bool = False,
    say: Callable[[str], None] = lambda text: None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Do what `lfkit train` does; returns what its summary says.

    The training is kept in RUN/models/NAME: the same call goes on from there, and ends
    in the same bits as if it had never been stopped.

    Parameters
    ----------
    settings : parameters of the generator and of its plan, by name.
    max_minutes : turned into a number of steps before the training starts, once.
    restart : throw away what an earlier training left.
    tensorboard : write event files into the folder `tensorboard`, too.
    lfs, trust_code : where the run's functions are taken from, as `with_code` has it.
    say : called with what the training doctor has to say.
    """
    from lfkit.nn import distributed

    if not distributed().is_first:  # it only lends a hand
        say, progress, tensorboard = _nothing, None, False
    generator = make_generator(name, settings or {})
    loaded = with_code(load_run(run), lfs, trust_code=trust_code)
    if max_minutes is not None and not 0 < max_minutes < np.inf:
        raise InputError(f"max_minutes is {max_minutes:g}; give a number above 0.")
    generator.check(has_functions=bool(loaded.config.options.lfs))
    doubts = generator.plan.doubts(settings or {})
    for doubt in doubts:
        say(doubt)
    real_labels = getattr(generator, "real_labels", "model")
    result = train_on(
        training_data(loaded, progress, real_labels),
        generator,
        name,
        run / "models" / name,
        class_names=loaded.config.class_names,
        max_minutes=max_minutes,
        restart=restart,
        tensorboard=tensorboard,
        say=say,
        progress=progress,
    )
    return result | {"warnings": [*doubts, *result["warnings"]]}


def train_on(
    material: TrainingData,
    generator: Any,
    name: str,
    folder: Path,
    *,
    class_names: tuple[str, ...],
    max_minutes: float | None = None,
    restart: bool = False,
    tensorboard: bool = False,
    say: Callable[[str], None] = lambda text: None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a generator that `make_generator` made, in a folder, where it is kept.

    Other parameters and what is returned are those of `train_generator`.
    """
    from lfkit.generators.training.checkpoints import CheckpointFolder
    from lfkit.generators.training.final_check import advice, why_broken
    from lfkit.generators.training.monitor import TrainingMonitor
    from lfkit.generators.training.tensorboard import TensorBoard
    from lfkit.nn import distributed

    of_all = distributed()
    # Not before all that can be wrong was looked at.
    if restart and folder.exists() and of_all.is_first:
        shutil.rmtree(folder)
    of_all.wait()
    asked = {
        "generator": name,
        "params": params_of(generator) | {"max_minutes": max_minutes},
        "material": material.fingerprint(),
    }
    begun = check_same_settings(folder, asked, "--restart to train anew")
    of_all.wait()  # until all have read what one is to write
    steps = (begun or {}).get("n_steps")
    if steps is None:
        timing = _named(progress, "timing the steps")
        steps = of_all.agreed(_steps(generator, material, max_minutes, say, timing))
        if of_all.is_first:
            save_settings(folder, asked | {"n_steps": steps})
    generator.plan = replace(generator.plan, n_steps=steps)
    finished = (folder / "config.json").exists()
    of_all.wait()
    warnings: list[str] = []
    if finished:
        type(generator).load(folder, device=generator.device)  # or say what is wrong
    else:
        doctor = TrainingMonitor(folder, class_names, steps, say)
        doctor.check_data(material.votes, material.proba)
        if of_all.is_first and generator.functions != "never":
            _warn_of_slow(material, say)
        with ExitStack() as opened:
            board: TensorBoard | None = None
            journal: Journal = doctor
            if tensorboard:
                journal = board = TensorBoard(folder / "tensorboard", doctor)
                opened.callback(board.close)

            def show(step: int, shown: Samples) -> None:
                _show(shown, class_names, folder, step, board)

            generator.fit(
                material.pixels,
                material.votes,
                proba=material.proba,
                lfs=material.lfs,
                seed_proba=material.seed_proba,
                checkpoints=CheckpointFolder(folder / "state"),
                journal=journal if of_all.is_first else None,
                preview=show if of_all.is_first else None,
                progress=_named(progress, f"training {name}"),
                reading=_named(progress, "learning to name real images"),
                say=say,
            )
        doctor.check_failures(generator.faults())
        generator.broken_ = generator.broken_ or doctor.exploded(advice(generator.plan))
        warnings += doctor.warnings.values()
        if of_all.is_first and generator.broken_ is not None:
            doctor.record(generator.broken_)
        if of_all.is_first:
            _save(generator, folder, class_names, material.votes.names)
    broken = why_broken(folder)
    return _summary(name, folder, steps, finished) | {
        "broken": broken,
        "warnings": warnings + ([] if broken is None else [broken]),
    }


def _named(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(stage, done, total)


def _nothing(text: str) -> None:
    """Say nothing."""


def make_generator(name: str, settings: Mapping[str, Any]) -> Any:
    """Make a generator by its name in GENERATORS, with parameters by name."""
    from lfkit.generators import GENERATORS
    from lfkit.nn.compute import best_device

    if name not in GENERATORS:
        raise InputError(
            f"there is no generator {name!r}; choose from {', '.join(GENERATORS)}."
        )
    made = GENERATORS[name](device=best_device())
    own = made.get_params(deep=False)
    of_plan = {field.name: field for field in fields(GanConfig)}
    planned = {}
    for key, value in settings.items():
        if key in of_plan:
            planned[key] = _as_type_of(getattr(made.plan, key), value, key)
        elif key in own and key not in ("plan", "device"):
            made.set_params(**{key: _as_type_of(own[key], value, key)})
        else:
            known = sorted({*own, *of_plan} - {"plan", "device"})
            raise InputError(
                f"{name} has no setting {key!r}; choose from {', '.join(known)}."
            )
    # All at once: some make sense together only.
    made.plan = replace(made.plan, **planned)
    return made


def _steps(
    generator: Any,
    material: TrainingData,
    max_minutes: float | None,
    say: Callable[[str], None],
    progress: Callable[[int, int], None] | None,
) -> int:
    if max_minutes is None:
        return int(generator.plan.n_steps)
    of_images, of_pairs = generator.seconds_per_step(
        material.pixels,
        material.votes,
        proba=material.proba,
        lfs=material.lfs,
        progress=progress,
    )
    first = generator.plan.first_pair / generator.plan.n_steps
    seconds = first * of_images + (1 - first) * of_pairs
    steps = max(20, int(max_minutes * 60 / seconds) // 10 * 10)
    say(f"{max_minutes:g} minutes are {steps:,} steps of {seconds * 1000:.0f} ms")
    return steps


def _warn_of_slow(material: TrainingData, say: Callable[[str], None]) -> None:
    """Tell what functions cost that take one image a call."""
    import torch

    from lfkit.generators.lf_votes.batch_votes import BatchVotes
    from lfkit.nn.compute import best_device

    block = BatchVotes(material.lfs, material.votes.n_classes, best_device())
    if not block.per_image:
        return
    shown = torch.from_numpy(material.pixels[:_TIMED_IMAGES].copy())
    shown = shown.permute(0, 3, 1, 2).float().div(255).to(block.device)
    block(shown[:1])  # what is loaded once is loaded
    started = time.perf_counter()
    block(shown)
    seconds = time.perf_counter() - started
    names = ", ".join(block.per_image[:3])
    more = len(block.per_image) - 3
    say(
        f"{names}{f' and {more} more' if more > 0 else ''} take one image a call, on "
        f"the CPU: a vote of all functions on {len(shown)} images takes "
        f"{seconds:.2g} s. With batched=True it is quicker; a larger lf_every asks "
        "less often."
    )


def params_of(generator: Any) -> dict[str, Any]:
    """Give a generator's parameters and its plan's, JSON-ready."""
    params = dict(generator.get_params(deep=False))
    plan = asdict(params.pop("plan"))
    # Which of several GPUs it is makes no difference.
    return plan | params | {"device": params["device"].split(":")[0]}


def _as_type_of(known: Any, value: Any, name: str) -> Any:
    """Read a setting that came as text."""
    if not isinstance(value, str):
        return value
    try:
        if isinstance(known, bool):
            return {"true": True, "false": False}[value.lower()]
        if isinstance(known, int):
            return int(value)
        if isinstance(known, float):
            return float(value)
        if isinstance(known, tuple):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        if known is None:
            return None if value.lower() == "none" else int(value)
    except (ValueError, KeyError) as error:
        kind = {bool: "true or false", tuple: "names, separated by commas"}.get(
            type(known), "a number"
        )
        raise InputError(f"{name} is {value!r}; expected {kind}.") from error
    return value


def _show(
    shown: Samples,
    class_names: tuple[str, ...],
    folder: Path,
    step: int,
    board: TensorBoard | None,
) -> None:
    """Keep a picture of what is generated by now."""
    from lfkit.generators.training.sample_grid import write_grid

    picture = write_grid(shown, class_names, folder / "grids" / f"step-{step:06d}.png")
    if board is not None:
        board.show(step, picture)


def _save(
    generator: Any, folder: Path, class_names: tuple[str, ...], lfs: tuple[str, ...]
) -> None:
    """Keep the generator, what it learned, and some images to look at."""
    import io

    from lfkit.generators.training.final_check import BROKEN
    from lfkit.generators.training.sample_grid import write_grid

    made = generator.sample(_KEPT_SAMPLES, random_state=generator.random_state)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, images=made.images, proba=made.proba, confidence=made.confidence
    )
    write_atomically(folder / "samples.npz", buffer.getvalue())
    write_grid(made, class_names, folder / "grid.png")
    if hasattr(generator, "theta_"):
        theta, phi = generator.theta_.tolist(), generator.phi_.tolist()
        trust = {"names": list(lfs), "theta": theta, "phi": phi}
        write_atomically(folder / "trust.json", sealed(trust))
    if generator.broken_ is not None:
        write_atomically(folder / BROKEN, sealed({"broken": generator.broken_}))
    generator.save(folder)  # last: what has a config.json is finished


def _summary(name: str, folder: Path, steps: int, finished: bool) -> dict[str, Any]:
    names = ["config.json", "weights.safetensors", "samples.npz", "grid.png"]
    names += ["trust.json", "log.jsonl", "curves.png"]
    return {
        "generator": name,
        "steps": steps,
        "already_trained": finished,
        "folder": str(folder),
        "files": [str(folder / file) for file in names if (folder / file).exists()],
    }
