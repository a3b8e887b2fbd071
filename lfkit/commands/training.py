"""One training of a generator, kept in a folder: begun, resumed, checked and saved."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lfkit.commands.make_generator import params_of
from lfkit.commands.training_data import TrainingData
from lfkit.data.progress import Progress
from lfkit.generators import Samples
from lfkit.generators.generator import JointGenerator
from lfkit.generators.lf_votes import BatchVotes
from lfkit.generators.training.checkpoints import CheckpointFolder
from lfkit.generators.training.final_check import BROKEN, advice, why_broken
from lfkit.generators.training.monitor import TrainingMonitor
from lfkit.generators.training.sample_grid import write_grid
from lfkit.generators.training.tensorboard import TensorBoard
from lfkit.generators.training.watched_training import Watchers
from lfkit.generators.training_set import Domain
from lfkit.nn import Monitor, distributed
from lfkit.nn.compute import best_device, check_compiler
from lfkit.runs.reading import sealed
from lfkit.runs.resume import check_same_settings, save_settings
from lfkit.runs.store import write_atomically

_TIMED_IMAGES = 64
_KEPT_SAMPLES = 2000  # for `lfkit report` and `lfkit evaluate`
_FILES = ("config.json", "weights.safetensors", "samples.npz", "grid.png",
          "trust.json", "log.jsonl", "curves.png")  # fmt: skip
# Settings that a training of an earlier version does not name, and what it did.
_NEWER = {"precision": "auto", "compile": False}


@dataclass(frozen=True)
class TrainResult:
    """What a training has left.

    Attributes
    ----------
    already_trained : it was finished before this call.
    broken : why its images cannot be images of the kind it learned from, or None.
    """

    generator: str
    steps: int
    already_trained: bool
    folder: str
    files: tuple[str, ...]
    broken: str | None
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give it JSON-ready."""
        return asdict(self)


def train_on(
    data: TrainingData,
    generator: JointGenerator,
    name: str,
    folder: Path,
    *,
    class_names: tuple[str, ...],
    max_minutes: float | None = None,
    restart: bool = False,
    tensorboard: bool = False,
    say: Callable[[str], None] = lambda text: None,
    progress: Progress | None = None,
) -> TrainResult:
    """Train a generator in a folder, where it is kept; finished before, only check it.

    Parameters
    ----------
    max_minutes : turned into a number of steps before the training starts, once.
    restart : delete what an earlier training left.
    tensorboard : write event files into the folder `tensorboard`, too.
    say : called with each warning, as soon as it is known.
    """
    processes = distributed()
    is_done = (folder / "config.json").exists() and not restart
    if generator.plan.compile and not is_done:
        check_compiler(generator.device)
    # Not before all that can be wrong was checked.
    if restart and folder.exists() and processes.is_first:
        shutil.rmtree(folder)
    processes.wait()
    steps = _steps(data, generator, name, folder, max_minutes, say, progress)
    generator.plan = replace(generator.plan, n_steps=steps)
    is_finished = (folder / "config.json").exists()
    processes.wait()
    warnings: tuple[str, ...] = ()
    if is_finished:
        type(generator).load(folder, device=generator.device)  # or say what is wrong
    else:
        monitor = TrainingMonitor(folder, class_names, steps, say)
        if data.source is None:
            monitor.check_data(data.votes, data.proba)
        if data.second is not None:
            monitor.check_data(data.second.votes, data.second.proba)
        for domain in (data, data.second):
            if processes.is_first and domain is not None and domain.lfs:
                _warn_of_slow(domain, generator, say)
        _fit(generator, data, name, monitor, tensorboard, say, progress)
        _check(generator, monitor)
        if processes.is_first:
            _save(generator, folder, class_names, data.votes.names)
        warnings = tuple(monitor.warnings.values())
    broken = why_broken(folder)
    return TrainResult(
        generator=name,
        steps=steps,
        already_trained=is_finished,
        folder=str(folder),
        files=tuple(str(folder / each) for each in _FILES if (folder / each).exists()),
        broken=broken,
        warnings=warnings if broken is None else (*warnings, broken),
    )


def _steps(
    data: TrainingData,
    generator: JointGenerator,
    name: str,
    folder: Path,
    max_minutes: float | None,
    say: Callable[[str], None],
    progress: Progress | None,
) -> int:
    """Take the number of steps that the training was begun with, or choose it."""
    processes = distributed()
    settings = {
        "generator": name,
        "params": params_of(generator) | {"max_minutes": max_minutes},
        "material": data.fingerprint(),
    }
    begun = check_same_settings(folder, settings, "--restart to train anew", _NEWER)
    processes.wait()  # until all have read what one is to write
    steps = (begun or {}).get("n_steps")
    if steps is None:
        timing = _stage(progress, "timing the steps")
        steps = processes.agreed(_n_steps(generator, data, max_minutes, say, timing))
        if processes.is_first:
            save_settings(folder, settings | {"n_steps": steps})
    return int(steps)


def _n_steps(
    generator: JointGenerator,
    data: TrainingData,
    max_minutes: float | None,
    say: Callable[[str], None],
    progress: Callable[[int, int], None] | None,
) -> int:
    if max_minutes is None:
        return int(generator.plan.n_steps)
    of_images, of_pairs = generator.seconds_per_step(
        data.pixels,
        data.votes,
        proba=data.proba,
        lfs=data.lfs,
        seed_proba=data.seed_proba,
        source=data.source,
        second=_second(data),
        progress=progress,
    )
    first = generator.plan.first_pair / generator.plan.n_steps
    seconds = first * of_images + (1 - first) * of_pairs
    steps = max(20, int(max_minutes * 60 / seconds) // 10 * 10)
    say(f"{max_minutes:g} minutes are {steps:,} steps of {seconds * 1000:.0f} ms")
    return steps


def _fit(
    generator: JointGenerator,
    data: TrainingData,
    name: str,
    monitor: TrainingMonitor,
    tensorboard: bool,
    say: Callable[[str], None],
    progress: Progress | None,
) -> None:
    is_first, folder = distributed().is_first, monitor.folder
    with ExitStack() as opened:
        board: TensorBoard | None = None
        log: Monitor = monitor
        if tensorboard:
            log = board = TensorBoard(folder / "tensorboard", monitor)
            opened.callback(board.close)

        def show(step: int, samples: Samples) -> None:
            path = folder / "grids" / f"step-{step:06d}.png"
            picture = write_grid(samples, monitor.class_names, path)
            if board is not None:
                board.show(step, picture)

        watchers = Watchers(
            checkpoints=CheckpointFolder(folder / "state"),
            monitor=log if is_first else None,
            preview=show if is_first else None,
            progress=_stage(progress, f"training {name}"),
            reading=_stage(progress, "learning to name real images"),
            say=say,
        )
        if data.source is not None:
            generator.tune(data.pixels, data.source, **vars(watchers))
            return
        generator.fit(
            data.pixels,
            data.votes,
            proba=data.proba,
            lfs=data.lfs,
            seed_proba=data.seed_proba,
            second=_second(data),
            **vars(watchers),
        )


def _second(data: TrainingData) -> Domain | None:
    """Give the data of a second run, as generators take it."""
    of = data.second
    if of is None:
        return None
    return Domain(of.pixels, of.votes, of.proba, of.lfs, of.seed_proba)


def _check(generator: JointGenerator, monitor: TrainingMonitor) -> None:
    """Report functions that failed, and whether the training is plainly broken."""
    monitor.check_failures(generator.faults())
    exploded = monitor.exploded(advice(generator.plan))
    generator.broken_ = generator.broken_ or exploded
    if distributed().is_first and generator.broken_ is not None:
        monitor.record(generator.broken_)


def _save(
    generator: JointGenerator,
    folder: Path,
    class_names: tuple[str, ...],
    lfs: tuple[str, ...],
) -> None:
    """Keep the generator, what it learned, and some images."""
    samples = generator.sample(_KEPT_SAMPLES, random_state=generator.random_state)
    buffer = io.BytesIO()
    arrays: dict[str, Any] = samples.arrays()
    np.savez_compressed(buffer, **arrays)
    write_atomically(folder / "samples.npz", buffer.getvalue())
    write_grid(samples, class_names, folder / "grid.png")
    theta, phi = (getattr(generator, name, None) for name in ("theta_", "phi_"))
    is_learned = getattr(generator, "has_learned_trust", True)
    if theta is not None and phi is not None and is_learned:
        names = list(getattr(generator, "lf_names_", lfs))
        trust = {"names": names, "theta": theta.tolist(), "phi": phi.tolist()}
        write_atomically(folder / "trust.json", sealed(trust))
    if generator.broken_ is not None:
        write_atomically(folder / BROKEN, sealed({"broken": generator.broken_}))
    generator.save(folder)  # last: a folder with a config.json is finished


def _warn_of_slow(
    data: TrainingData, generator: JointGenerator, say: Callable[[str], None]
) -> None:
    """Report the time of a domain's functions that take one image a call."""
    if generator.functions == "never":
        return
    block = BatchVotes(data.lfs, data.votes.n_classes, best_device())
    if block.silent:
        say(
            f"{', '.join(block.silent)} read what is known of files: generated images "
            "have no metadata, and they abstain on them"
        )
    if not block.per_image:
        return
    images = torch.from_numpy(data.pixels[:_TIMED_IMAGES].copy())
    images = images.permute(0, 3, 1, 2).float().div(255).to(block.device)
    block(images[:1])  # what is loaded once is loaded
    started = time.perf_counter()
    block(images)
    seconds = time.perf_counter() - started
    names = ", ".join(block.per_image[:3])
    more = len(block.per_image) - 3
    say(
        f"{names}{f' and {more} more' if more > 0 else ''} take one image a call, on "
        f"the CPU: a vote of all functions on {len(images)} images takes "
        f"{seconds:.2g} s. With batched=True it is quicker; a larger lf_every asks "
        "less often."
    )


def _stage(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(stage, done, total)
