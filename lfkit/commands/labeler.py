"""A frozen run, which labels new images: `load_labeler("labeler")(images)`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators.vote_model import PARTS as MODEL_PARTS
from lfkit.aggregators.vote_model import VoteModel
from lfkit.commands.labeler_changes import changes
from lfkit.data.datasets.array_source import ArraySource
from lfkit.data.image_source import ImageSource
from lfkit.data.labels import Labels
from lfkit.data.progress import Progress
from lfkit.data.vote_columns import in_places
from lfkit.data.votes import ABSTAIN, Votes
from lfkit.errors import InputError
from lfkit.labeling.applier import LFApplier
from lfkit.labeling.engine.failures import Report
from lfkit.labeling.engine.worker_pool import IdleWorkers
from lfkit.labeling.frozen_functions import with_learned
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.labeling.loading import load_lfs, split_spec
from lfkit.labeling.trusted_code import is_shipped
from lfkit.runs.labeler_files import (
    SOURCES,
    LabelerFiles,
    LabelerRecord,
    drop_caches,
    read_labeler,
)
from lfkit.runs.object_tree import TreeReader
from lfkit.runs.reading import reading
from lfkit.runs.shard_store import ShardStore

if TYPE_CHECKING:
    from lfkit.refinement.frozen_model import FrozenRefinement

_DAMAGED = "freeze the run again"


@dataclass(frozen=True, eq=False)
class LabelerAnswer:
    """What a labeler says of some images.

    Attributes
    ----------
    labels : of all images; -1 where one cannot be read.
    votes : of all functions of the labeler, in its order; they are silent where they
        failed.
    report : faults, and images that could not be read.
    """

    labels: Labels
    votes: Votes
    report: Report


@dataclass(frozen=True, eq=False)
class Labeler:
    """Labels images as a finished run labeled its own, without the run.

    Attributes
    ----------
    record : what labeler.json says.
    lfs : the run's functions, fitted.
    model : the run's aggregator, fitted and calibrated.
    refinement : what labels images by their looks after the votes; None: the run was
        not refined.
    hash : of the folder's content.
    notes : what a user should know.
    """

    record: LabelerRecord
    lfs: tuple[LabelingFunction, ...]
    model: VoteModel
    refinement: FrozenRefinement | None = None
    hash: str = ""
    notes: tuple[str, ...] = field(default=())
    _idle: IdleWorkers = field(default_factory=IdleWorkers, repr=False)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The k classes, in the order of `Labels.proba`."""
        return self.record.class_names

    def __call__(self, images: ImageSource | NDArray[np.uint8]) -> Labels:
        """Label images: (n, h, w) or (n, h, w, c) uint8, or a source of them.

        Arrays of another size or colour are brought to those of the run.

        Raises
        ------
        InputError : the images are no images, or a source has another shape.
        """
        return self.label(images).labels

    def label(
        self,
        images: ImageSource | NDArray[np.uint8],
        *,
        n_workers: int | None = None,
        lf_timeout: float | None = None,
        progress: Progress | None = None,
    ) -> LabelerAnswer:
        """Label images, and say what each function said and where it failed.

        Parameters
        ----------
        n_workers : processes for per-image functions, which stay until the labeler
            goes, and threads for batched ones; None: one per core.
        lf_timeout : seconds before one call of such a function is killed; None: the
            run's.
        progress : called with (stage, images done, images in all).
        """
        source = self._source(images)
        k, n = len(self.class_names), len(source)
        if not n:
            nothing = np.zeros((0, len(self.lfs)), np.int16)
            votes = Votes(nothing, tuple(lf.name for lf in self.lfs), k)
            return LabelerAnswer(self.model(votes), votes, Report())
        store = ShardStore() if self.refinement is not None else None
        applier = LFApplier(
            self.lfs,
            n_classes=k,
            n_workers=n_workers,
            lf_timeout=lf_timeout or self.record.lf_timeout,
            idle=self._idle,
        )
        votes = in_places(
            applier.apply(source, store=store, progress=progress),
            tuple(lf.name for lf in self.lfs),
        )
        labels = self.model(votes)
        if self.refinement is not None and store is not None:
            features = applier.feature_keys_
            found = self.refinement.predict_proba(source, labels.proba, features, store)
            labels = replace(labels, labels=found.argmax(axis=1), proba=found)
        problems = applier.report_.problems
        lost = np.asarray([name in problems for name in source.ids], bool)
        return LabelerAnswer(self._kept(labels, lost), votes, applier.report_)

    def _source(self, images: ImageSource | NDArray[np.uint8]) -> ImageSource:
        h, w, c = self.record.shape
        if isinstance(images, ImageSource):
            if images.shape != self.record.shape:
                raise InputError(
                    f"the images of {images.name} are {images.shape} (height, width, "
                    f"channels), the labeler's {self.record.shape}; open them with "
                    f"size=({h}, {w}) and color={_color(c)!r}."
                )
            return images
        return ArraySource(np.asarray(images), size=(h, w), color=_color(c))

    def _kept(self, labels: Labels, lost: NDArray[np.bool_]) -> Labels:
        """Take back labels of little confidence, and those of images without pixels."""
        least = self.record.least_confidence
        gone = lost
        if least is not None:
            gone = lost | (labels.proba.max(axis=1) < least)
        return replace(labels, labels=np.where(gone, ABSTAIN, labels.labels))


def load_labeler(folder: str | Path, *, trust_code: bool = False) -> Labeler:
    """Load what `lfkit freeze` wrote: `load_labeler("labeler")(images)` labels images.

    Parameters
    ----------
    folder : of the labeler.
    trust_code : run the code that it brings or names, and read the weights of networks
        that it names. Functions are code; without this only what came with lfkit is
        loaded.

    Raises
    ------
    InputError : the folder is no labeler or was changed, its code is not trusted, or
        the code that it names is another than it was.
    """
    found = read_labeler(Path(folder).expanduser())
    check_trust(found, trust_code)
    labeler = _thawed(found)
    if labeler.refinement is not None and not trust_code:
        strange = labeler.refinement.foreign_encoders
        if strange:
            raise InputError(
                f"{folder} labels by the network {strange[0]}, whose weights did not "
                "come with lfkit and were not read; if you know who made it, say "
                "--trust-code, or trust_code=True in Python."
            )
    return labeler


def check_trust(found: LabelerFiles, trust_code: bool) -> None:
    """Refuse code of others, unless it is trusted. Nothing is imported here."""
    for spec in found.record.specs:
        where, _ = split_spec(spec)
        if where.endswith(".py") and where not in found.record.files:
            raise InputError(
                f"{found.folder} takes functions from {where}, a file that is not one "
                "of its own; freeze the run again."
            )
    if trust_code:
        return
    strange = [spec for spec in found.record.specs if not is_shipped(spec)]
    if strange:
        where, _ = split_spec(strange[0])
        raise InputError(
            f"{found.folder} labels by code of {where}, which was not run; if you know "
            "who wrote it, say --trust-code, or trust_code=True in Python."
        )


def _thawed(found: LabelerFiles) -> Labeler:
    record, folder = found.record, found.folder
    specs = [
        os.path.join(os.path.abspath(folder), spec)
        if spec.startswith(f"{SOURCES}/")
        else spec
        for spec in record.specs
    ]
    drop_caches(found)
    loaded = {lf.name: lf for lf in load_lfs(specs, kinds=record.kinds).lfs}
    _check_own_modules(found)
    missing = [each.name for each in record.functions if each.name not in loaded]
    if missing:
        raise InputError(
            f"the code of {', '.join(record.specs)} has no labeling function "
            f"{missing[0]!r}, of which {folder} is made; use the code of then, or "
            "freeze the run again."
        )
    unfitted = [loaded[each.name] for each in record.functions]
    parts: Mapping[str, type[Any]] = MODEL_PARTS
    if record.refinement is not None:
        from lfkit.refinement.frozen_model import PARTS  # loads torch

        parts = {**MODEL_PARTS, **PARTS}
    with reading(folder, _DAMAGED, InputError):
        reader = TreeReader(parts, found.arrays)
        learned = reader.read(record.learned)
        aggregator, calibration = reader.read(record.model)
        refinement = reader.read(record.refinement)
        heard = tuple(aggregator.names_)
    if heard != tuple(lf.name for lf in unfitted):
        raise InputError(
            f"{folder} combines the votes of other functions than it has; {_DAMAGED}."
        )
    lfs = with_learned(unfitted, learned)
    return Labeler(
        record,
        tuple(lfs),
        VoteModel(aggregator, calibration),
        refinement,
        found.hash,
        changes(record, lfs, folder),
    )


def _check_own_modules(found: LabelerFiles) -> None:
    """Refuse a module of the same name, and other content, that was loaded before.

    Python keeps one module per name, so functions would call another's helpers.
    """
    for name in found.record.files:
        path = PurePosixPath(name)
        if path.suffix != ".py":
            continue
        parts = path.with_suffix("").parts[1:]
        parts = parts[1:] if parts[0].isdecimal() else parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        file = getattr(sys.modules.get(module), "__file__", None)
        if file is None or not os.path.isfile(file):
            continue
        own = found.folder / name
        if Path(file).read_bytes() != own.read_bytes():
            raise InputError(
                f"{found.folder} has a module {module!r} of its own, and another of "
                f"that name is loaded, {file}; label in a process of its own, or "
                "rename one of them and freeze the run again."
            )


def _color(channels: int) -> str:
    return "gray" if channels == 1 else "rgb"
