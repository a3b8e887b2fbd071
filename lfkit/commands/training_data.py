"""What generators of a run are trained on, read from its folder."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators.fitted_labels import aggregate_once
from lfkit.data.image_source import ImageSource
from lfkit.data.progress import Progress
from lfkit.data.read_images import read_images
from lfkit.data.votes import ABSTAIN, Votes
from lfkit.errors import DataError, RunError
from lfkit.labeling.applier import LFApplier
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.labeling.loading import load_lfs
from lfkit.labeling.trusted_code import strange_code
from lfkit.runs.apply_options import BASELINE
from lfkit.runs.run import Run
from lfkit.runs.store import RunStore

if TYPE_CHECKING:
    from lfkit.generators.generator import JointGenerator

_MOST_BYTES = 8e9  # of images in memory at once


class TrainingData:
    """What a generator is trained on.

    Attributes
    ----------
    pixels : (n, h, w, c) of the images that can be read.
    proba : (n, k) label posteriors; zeros where there is no label.
    lfs : fitted; empty if the votes came from a file.
    seed_proba : (s, k) held-out posteriors of the seeds, or None.
    source : what is tuned on the images, without votes and labels; or None.
    second : of a run of the same classes in a second domain, or None.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        votes: Votes,
        proba: NDArray[np.float64],
        lfs: tuple[LabelingFunction, ...],
        seed_proba: NDArray[np.float64] | None,
        source: JointGenerator | None = None,
        second: TrainingData | None = None,
    ) -> None:
        self.pixels, self.votes, self.proba = pixels, votes, proba
        self.lfs, self.seed_proba = lfs, seed_proba
        self.source, self.second = source, second

    def fingerprint(self) -> str:
        """Name images, votes, labels and what is tuned by their content."""
        digest = hashlib.blake2b(digest_size=16)
        votes = self.votes
        for array in (
            self.pixels,
            votes.hard,
            votes.soft,
            votes.seed_rows,
            votes.seed_out_of_fold and votes.seed_out_of_fold.hard,
            self.proba,
            self.seed_proba,
        ):
            if array is not None:
                digest.update(np.ascontiguousarray(array).data)
            digest.update(b"/")
        if votes.allowed is not None:
            digest.update(np.ascontiguousarray(votes.allowed).data)
        if self.source is not None:
            for array in self.source.arrays().values():
                digest.update(np.ascontiguousarray(array).data)
        if self.second is not None:
            digest.update(self.second.fingerprint().encode())
        return digest.hexdigest()


def with_code(
    loaded: Run, specs: Sequence[str] = (), *, trust_code: bool = False
) -> Run:
    """Choose the code that a run's functions are taken from.

    Nothing of it is run here. A run folder may come from anyone: code is refused that
    did not come with the call and was never run by `lfkit apply` for this user.

    Parameters
    ----------
    specs : of the functions, given anew; empty: those that the run names.
    trust_code : take what the run names, whatever it is.
    """
    config = loaded.config
    if specs and not config.options.lfs:
        raise RunError(
            f"the votes of {loaded.folder} came from a file, not from functions; leave "
            "--lfs out."
        )
    if specs:
        given = replace(config.options, lfs=tuple(specs))
        config = config.model_copy(update={"options": given})
        return replace(loaded, config=config, may_import=True)
    if trust_code or loaded.may_import:
        return replace(loaded, may_import=True)
    strange = strange_code(config.options.lfs)
    if strange is None:
        return loaded
    where, was_known = strange
    anew = " ".join(f"--lfs {shlex.quote(spec)}" for spec in config.options.lfs)
    if was_known:
        raise RunError(
            f"{where} is no longer what voted in {loaded.folder}: it has changed since "
            "`lfkit apply` ran it; run `lfkit apply` again: what is already computed "
            f"is kept. Or give the functions anew ({anew})."
        )
    raise RunError(
        f"{loaded.folder} takes its functions from {where}, code that `lfkit apply` "
        "has not run here, so it was not run now; if you know it, give the functions "
        f"anew ({anew}) or say --trust-code."
    )


def fitted_functions(
    loaded: Run, source: ImageSource, progress: Progress | None
) -> tuple[LabelingFunction, ...]:
    """Fit the run's functions as `lfkit apply` did; everything is in its store."""
    applier = applied(loaded, source, progress)
    return () if applier is None else tuple(applier.lfs_)


def applied(
    loaded: Run, source: ImageSource, progress: Progress | None
) -> LFApplier | None:
    """Apply the run's functions as `lfkit apply` did; everything is in its store.

    Returns None if the votes came from a file.
    """
    config = with_code(loaded).config
    if not config.options.lfs:
        return None
    applier = LFApplier(
        load_lfs(config.options.lfs, kinds=config.options.kinds).lfs,
        n_classes=len(config.class_names),
        lf_timeout=config.options.lf_timeout,
    )
    votes = loaded.votes
    applier.apply(
        source,
        seed_rows=votes.seed_rows,
        seed_labels=votes.seed_labels,
        random_state=config.options.seed,
        store=RunStore(loaded.folder),
        recompute=None,
        progress=progress,
    )
    before = {lf.name: lf.key for lf in config.lfs}
    now = {lf.name: applier.lf_keys_[lf.name] for lf in applier.lfs_}
    changed = [name for name, key in before.items() if now.get(name) != key]
    if changed or len(now) != len(before):
        name = (changed or sorted(set(now) - set(before)))[0]
        raise RunError(
            f"labeling function {name!r} is no longer what voted in {loaded.folder}; "
            "run `lfkit apply` again: what is already computed is kept."
        )
    return applier


@dataclass(frozen=True, eq=False)
class LoadedImages:
    """What training on a run reads once, whatever the labels.

    Attributes
    ----------
    pixels : (n, h, w, c) of all images; zeros where one cannot be read.
    readable : (n,) True where it can.
    lfs : fitted; empty if the votes came from a file.
    """

    pixels: NDArray[np.uint8]
    readable: NDArray[np.bool_]
    lfs: tuple[LabelingFunction, ...]


def training_data(
    loaded: Run,
    progress: Progress | None = None,
    real_labels: str = "model",
) -> TrainingData:
    """Read what generators of a run are trained on.

    Parameters
    ----------
    real_labels : "model": the run's labels; "true": the true ones, of every image
        whose truth is known; "seeds": of the seeds only.
    """
    _check_truth(loaded, real_labels)
    return training_data_of(loaded, load_images_of(loaded, progress), real_labels)


def tuning_data(
    loaded: Run, source: JointGenerator, progress: Progress | None = None
) -> TrainingData:
    """Read the images of a run, on which a generator of another one is tuned."""
    pixels, readable = read_all(loaded.open_images(progress), progress)
    pixels = pixels[readable]
    n, k = len(pixels), len(loaded.config.class_names)
    silent = Votes(np.zeros((n, 0), np.int16), (), k)
    return TrainingData(pixels, silent, np.zeros((n, k)), (), None, source)


def _check_truth(loaded: Run, real_labels: str) -> None:
    if real_labels == "true" and (loaded.scored < 0).all():
        raise DataError(
            f"the images of {loaded.folder} have no true labels; set real_labels to "
            "'model' or 'seeds'."
        )


def load_images_of(loaded: Run, progress: Progress | None = None) -> LoadedImages:
    """Read a run's images into memory and fit its functions, all stored."""
    source = loaded.open_images(progress)
    lfs = fitted_functions(loaded, source, progress)
    return LoadedImages(*read_all(source, progress), lfs)


def training_data_of(
    loaded: Run, read: LoadedImages, real_labels: str = "model"
) -> TrainingData:
    """Pair what was read with the run's labels, as `training_data` does."""
    pixels, readable = read.pixels, read.readable
    votes, labels = loaded.votes, loaded.labels
    proba = np.where((labels.labels == ABSTAIN)[:, None], 0.0, labels.proba)
    # Who learns without labels has the run's to name its codes by.
    if real_labels in ("true", "seeds"):
        proba = _one_hot(loaded, true=real_labels == "true")
    seed_proba = None
    by_votes = (
        not loaded.config.options.refine
        and loaded.config.options.aggregator != BASELINE
    )
    if by_votes and votes.seed_out_of_fold is not None:
        # Refined labels have learned from the votes on every image: mixing votes into
        # them again would count these twice.
        config = loaded.config
        found = aggregate_once(
            RunStore(loaded.folder),
            votes,
            config.options.aggregator,
            config.options.class_balance,
            config.options.seed,
            keep=False,
        )
        seed_proba = found.on_seeds  # calibrated, as the run's labels are
    if not readable.all():
        rows = np.flatnonzero(readable)
        if seed_proba is not None and votes.seed_rows is not None:
            seed_proba = seed_proba[np.isin(votes.seed_rows, rows)]
        pixels, votes, proba = pixels[rows], _rows(votes, rows), proba[rows]
    return TrainingData(pixels, votes, proba, read.lfs, seed_proba)


def _one_hot(loaded: Run, *, true: bool) -> NDArray[np.float64]:
    """Give known classes as posteriors, (n, k); zeros where none is known."""
    votes, labels = loaded.votes, np.full(len(loaded.truth), ABSTAIN)
    if true:
        labels = loaded.truth.copy()
    if votes.seed_rows is not None:
        labels[votes.seed_rows] = votes.seed_labels
    proba = np.eye(len(loaded.config.class_names))[np.maximum(labels, 0)]
    return np.where((labels == ABSTAIN)[:, None], 0.0, proba)


def _rows(votes: Votes, rows: NDArray[np.int64]) -> Votes:
    """Leave images out; the seeds' own votes stay, if they can be read."""
    found = votes.rows(rows)
    if votes.seed_rows is None:
        return found
    kept = np.isin(votes.seed_rows, rows)
    held_out, labels = votes.seed_out_of_fold, votes.seed_labels
    return replace(
        found,
        seed_labels=None if labels is None else np.asarray(labels)[kept],
        seed_rows=np.searchsorted(rows, votes.seed_rows[kept]),
        seed_out_of_fold=None
        if held_out is None
        else held_out.rows(np.flatnonzero(kept)),
    )


def read_all(
    source: ImageSource, progress: Progress | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read all images into memory, (n, h, w, c), and tell which could be read, (n,)."""
    n, size = len(source), int(np.prod(source.shape))
    if n * size > _MOST_BYTES:
        raise DataError(
            f"{source.name} has {n:,} images of {source.shape[0]}x{source.shape[1]} "
            f"pixels, {n * size / 1e9:.0f} GB; a generator holds them in memory, "
            f"{_MOST_BYTES / 1e9:.0f} GB at most. Give --size to `lfkit apply`."
        )
    watch = None if progress is None else partial(progress, "reading the images")
    return read_images(source, progress=watch)
