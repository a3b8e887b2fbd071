"""Where the votes of a run come from: labeling functions, or a file made elsewhere."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfkit.data.class_names import match_names
from lfkit.data.image_names import find_each
from lfkit.data.image_source import ImageSource
from lfkit.data.label_cells import number
from lfkit.data.label_studio_export import is_export, with_control
from lfkit.data.labels import given_images
from lfkit.data.progress import Progress, with_prefix
from lfkit.data.seed_labels import GivenLabels
from lfkit.data.vote_files import VoteFile, read_votes
from lfkit.data.votes import ABSTAIN, Votes, with_known
from lfkit.errors import DataError
from lfkit.features.feature import Feature
from lfkit.labeling.applier import LFApplier
from lfkit.labeling.classes import Classes, least_classes, reconcile
from lfkit.labeling.engine.failures import Report
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.labeling.loading import load_lfs
from lfkit.labeling.trusted_code import remember_code
from lfkit.labeling.unseeded_votes import unseeded_votes
from lfkit.runs.apply_options import BASELINE, ApplyOptions
from lfkit.runs.run_config import LFRecord
from lfkit.runs.run_files import save_foreign_votes
from lfkit.runs.store import RunStore

_FIRST = 4  # images that are named to show an order


@dataclass(frozen=True, eq=False)
class VotedImages:
    """Images, their classes, and the votes on them.

    Attributes
    ----------
    lfs : the fitted functions that voted; None: the votes were made elsewhere.
    unseeded : what votes as if no seed were known; None: nothing does, or it is not
        asked.
    records : of these functions, for run.json.
    feature_keys : feature → its key in the store.
    seed_block : of the votes on held-out seeds in the store.
    report : faults, and images that could not be read.
    notes, remarks : what a user should know, before and after what the seeds say.
    """

    images: ImageSource
    classes: Classes
    votes: Votes
    store: RunStore
    lfs: tuple[LabelingFunction, ...] | None = None
    unseeded: Votes | None = None
    records: tuple[LFRecord, ...] = ()
    feature_keys: Mapping[Feature, str] = field(default_factory=dict)
    seed_block: str | None = None
    report: Report = field(default_factory=Report)
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    _small: list[tuple[NDArray[np.uint8], NDArray[np.bool_]]] = field(
        default_factory=list, init=False, repr=False
    )

    @cached_property
    def unreadable(self) -> list[int]:
        """Rows that could not be read, beside those the source knows."""
        if self.lfs is None or not self.report.problems:
            return []
        problems = self.report.problems
        return [row for row, name in enumerate(self.images.ids) if name in problems]

    def small(
        self, progress: Progress | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read the images averaged down, once: (n, h, w, c), and (n,) the readable."""
        if not self._small:
            from lfkit.refinement.problem import small_pixels  # loads torch

            self._small.append(small_pixels(self.images, progress=progress))
        return self._small[0]

    @cached_property
    def given(self) -> NDArray[np.bool_]:
        """(n,) images that are not scored: seeds, copies of them, unreadable ones."""
        return given_images(self.images, self.votes, self.unreadable)


class VoteSource(ABC):
    """Votes on images; their classes are known before any is made."""

    @abstractmethod
    def classes(self, images: ImageSource) -> Classes:
        """Bring the classes of the data and those of the votes together."""

    @abstractmethod
    def vote(
        self,
        images: ImageSource,
        classes: Classes,
        seeds: GivenLabels,
        progress: Progress | None = None,
    ) -> VotedImages:
        """Give the votes on all images, held-out ones on the seeds among them."""


def wants_unseeded(options: ApplyOptions) -> bool:
    """Tell whether labels are made a second time, as if no seed were known."""
    if not options.refine or options.aggregator == BASELINE:
        return False
    from lfkit.refinement import cheap_stages

    return bool(cheap_stages(options.stages or None))


def vote_source(options: ApplyOptions) -> VoteSource:
    """Open the functions or the file that `lfkit apply` was given."""
    if options.votes is None:
        return FunctionVotes(options)
    return FileVotes(options, options.votes)


class FunctionVotes(VoteSource):
    """Votes of labeling functions, as far as they are not in the run's store."""

    def __init__(self, options: ApplyOptions) -> None:
        self.options = options
        self.loaded = load_lfs(options.lfs, kinds=options.kinds)
        unkept = remember_code(options.lfs)
        self.notes = tuple(
            f"{where} has a list LFS, so that these do not vote: {', '.join(names)}"
            for where, names in self.loaded.outside.items()
            if where.endswith(".py")  # a library knows what it leaves out
        )
        if unkept is not None:
            self.notes += (
                f"that you ran these functions cannot be kept ({unkept}): `lfkit "
                "train` and others will ask for --lfs or --trust-code",
            )

    def classes(self, images: ImageSource) -> Classes:
        """Bring the functions' CLASSES and the data's together, by name."""
        least = least_classes(self.loaded, images)
        return reconcile(images, self.loaded.class_names, least)

    def vote(
        self,
        images: ImageSource,
        classes: Classes,
        seeds: GivenLabels,
        progress: Progress | None = None,
    ) -> VotedImages:
        """Fit the functions to the seeds and apply them."""
        options, store = self.options, RunStore(self.options.out)
        applier = LFApplier(
            self.loaded.lfs,
            n_classes=len(classes.names),
            lf_timeout=options.lf_timeout,
            strict=options.strict,
        )
        has_seeds = len(seeds.rows) > 0
        votes = applier.apply(
            images,
            seed_rows=seeds.rows if has_seeds else None,
            seed_labels=seeds.labels if has_seeds else None,
            random_state=options.seed,
            store=store,
            recompute=options.recompute,
            progress=progress,
        )
        unseeded = None
        if has_seeds and wants_unseeded(options):
            unseeded = unseeded_votes(
                applier,
                images,
                recompute=options.recompute,
                store=store,
                random_state=options.seed,
                progress=with_prefix("without seeds", progress),
            )
        remarks = tuple(applier.report_.notes)
        if votes.seed_rows is not None and votes.seed_out_of_fold is None:
            remarks += ("too few seeds to vote on any of them out of fold",)
        return VotedImages(
            images,
            classes,
            votes,
            store,
            lfs=tuple(applier.lfs_),
            unseeded=unseeded,
            records=_records(applier),
            feature_keys=applier.feature_keys_,
            seed_block=applier.seed_block_,
            report=applier.report_,
            notes=(*self.notes, *classes.notes),
            remarks=remarks,
        )


def _records(applier: LFApplier) -> tuple[LFRecord, ...]:
    return tuple(
        LFRecord(
            name=lf.name,
            kind=lf.kind,
            doc=lf.doc,
            classes=lf.classes,
            soft=lf.soft,
            key=applier.lf_keys_[lf.name],
            out_of_fold_key=applier.out_of_fold_keys_.get(lf.name),
            block=applier.lf_blocks_.get(lf.name),
        )
        for lf in applier.lfs_
    )


class FileVotes(VoteSource):
    """Votes that people or other programs have made."""

    def __init__(self, options: ApplyOptions, path: Path) -> None:
        self.options, self.path = options, path
        self.file: VoteFile | None = None

    def classes(self, images: ImageSource) -> Classes:
        """Read the file, and bring its classes and the data's together, by name."""
        names = images.class_names
        if names is not None and self._names_other_classes(names):
            names = None
        file = read_votes(self.path, None if names is None else len(names), names)
        self.file = _in_order_of(images, file, self.path)
        return reconcile(images, self.file.class_names, self.file.votes.n_classes)

    def _names_other_classes(self, names: tuple[str, ...]) -> bool:
        """Tell whether people chose among other classes than the images' folders."""
        if not is_export(with_control(self.path)[0]):
            return False
        own = read_votes(self.path).class_names
        return own is not None and bool((match_names(own, names, "")[0] < 0).all())

    def vote(
        self,
        images: ImageSource,
        classes: Classes,
        seeds: GivenLabels,
        progress: Progress | None = None,
    ) -> VotedImages:
        """Keep the votes in the run."""
        file = self.file
        assert file is not None, "`classes` comes first"
        votes = replace(file.votes, n_classes=len(classes.names))
        remarks: tuple[str, ...] = ()
        if len(seeds.rows):
            votes = with_known(votes, seeds.rows, seeds.labels)
            remarks = (
                f"the {len(seeds.rows)} seeds are taken as unseen by the makers of "
                f"{self.path.name}: they teach and judge how far its votes are right",
            )
        save_foreign_votes(self.options.out, votes)
        unseeded = None
        if len(seeds.rows) and wants_unseeded(self.options) and votes.voted.any():
            unseeded = votes.unseeded()
        problems = {images.ids[row]: why for row, why in images.known_problems.items()}
        return VotedImages(
            images,
            classes,
            votes,
            RunStore(self.options.out),
            unseeded=unseeded,
            report=Report(problems=problems),
            notes=(*file.notes, *_numbers_taken(images, file), *classes.notes),
            remarks=remarks,
        )


def _in_order_of(images: ImageSource, file: VoteFile, path: Path) -> VoteFile:
    """Check that a vote file is about these images; put its rows in their order."""
    if file.is_partial and file.ids is not None:
        return _spread(images, file, path)
    if len(file.votes) != len(images):
        raise DataError(
            f"{path} has votes on {len(file.votes)} images, {images.name} has "
            f"{len(images)}; give one row per image."
        )
    if file.ids is None:
        return replace(file, notes=file.notes + _order_taken(images, path))
    if list(file.ids) == list(images.ids):
        return file
    row_of = {name: row for row, name in enumerate(file.ids)}
    missing = [name for name in images.ids if name not in row_of]
    if missing:
        raise DataError(
            f"{path} has no votes on image {missing[0]!r}; its image_id column starts "
            f"with {file.ids[0]!r}."
        )
    rows = np.asarray([row_of[name] for name in images.ids], np.int64)
    return VoteFile(
        file.votes.rows(rows), class_names=file.class_names, notes=file.notes
    )


def _spread(images: ImageSource, file: VoteFile, path: Path) -> VoteFile:
    """Give all images their votes, those that the file does not name none."""
    assert file.ids is not None, "one row per vote names its image"
    found = find_each(file.ids, images.ids, str(path))
    known = np.flatnonzero(found >= 0)
    if not len(known):
        raise DataError(
            f"{path} has no votes on the images of {images.name}: it names images "
            f"such as {file.ids[0]!r}, the data such as {images.ids[0]!r}."
        )
    hard = np.full((len(images), file.votes.n_functions), ABSTAIN, np.int16)
    hard[found[known]] = file.votes.hard[known]
    notes = file.notes
    if lost := len(found) - len(known):
        first = file.ids[int((found < 0).argmax())]
        notes += (
            f"images of {path.name} that the data has not: {lost:,}, such as {first}",
        )
    if without := len(images) - len(known):
        notes += (f"images without a vote in {path.name}: {without:,}",)
    votes = Votes(hard, file.votes.names, file.votes.n_classes)
    return VoteFile(votes, class_names=file.class_names, notes=notes)


def _order_taken(images: ImageSource, path: Path) -> tuple[str, ...]:
    """Say in which order rows without image ids are taken for images."""
    ids = list(images.ids[:_FIRST])
    if ids == list(map(str, range(len(ids)))):
        return ()  # images without names: their order is the data's only one
    note = (
        f"{path.name} has no image ids; its rows are taken in the order of the images, "
        f"{', '.join(ids)}{', …' if len(images) > _FIRST else ''}"
    )
    by_number = sorted(images.ids, key=_numbers_in)
    each = zip(images.ids, by_number, strict=True)
    unlike = next(((mine, other) for mine, other in each if mine != other), None)
    if unlike is not None:
        note += (
            f", where {unlike[0]} comes before {unlike[1]}: give a table with the "
            "column image_id if the rows go by the numbers in the names"
        )
    return (note,)


def _numbers_in(name: str) -> list[tuple[int, str]]:
    """Take a name apart, so that 2.png comes before 10.png."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts)]


def _numbers_taken(images: ImageSource, file: VoteFile) -> tuple[str, ...]:
    """Say which classes the data's numbers are, if only the votes name any."""
    names = file.class_names or ()
    if images.class_names or images.labels is None or not names:
        return ()
    if any(number(name) is not None for name in names):
        return ()  # they meet by name
    shown = ", ".join(f"{y} is {name}" for y, name in enumerate(names[:_FIRST]))
    more = ", …" if len(names) > _FIRST else ""
    return (f"the class numbers of {images.name}: {shown}{more}",)
