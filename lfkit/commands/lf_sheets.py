"""`lfkit list lfs --sheet`: what labeling functions vote for, on some of their data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.commands.options import SheetOptions
from lfkit.data.datasets import open_images
from lfkit.data.image_part import ImagePart
from lfkit.data.image_source import ImageSource
from lfkit.data.labels import given_images
from lfkit.data.progress import Progress
from lfkit.data.seed_labels import GivenLabels, draw_seeds
from lfkit.data.votes import Votes
from lfkit.errors import DataError, InputError
from lfkit.labeling.applier import LFApplier
from lfkit.labeling.classes import Classes, least_classes, reconcile
from lfkit.labeling.engine.failures import Report
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.labeling.loading import LoadedLFs, load_lfs
from lfkit.report.lf_sheet import lf_sheet

_MOST_IMAGES = 2000
_LF_TIMEOUT_S = 30.0
_MOST_NAMES = 3


@dataclass(frozen=True)
class DrawnSheet:
    """Result of `lfkit list lfs --sheet` for some functions.

    Attributes
    ----------
    functions, images, seeds : their numbers.
    notes : what was decided, left out, failed or could not be read.
    """

    lfs: tuple[str, ...]
    data: str
    functions: int
    images: int
    seeds: int
    sheet: Path
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON-ready values."""
        return vars(self) | {"sheet": str(self.sheet)}


def draw_lf_sheet(options: SheetOptions, progress: Progress) -> DrawnSheet:
    """Apply functions to at most 2,000 images and draw what they voted for."""
    loaded = load_lfs(options.lfs, kinds=options.kinds)
    data = _data(options, loaded)
    source = open_images(
        data,
        size=options.size,
        color=options.color,
        progress=partial(progress, "reading the files"),
    )
    classes = reconcile(source, loaded.class_names, least_classes(loaded, source))
    seeds = _seeds(options, source, classes)
    part = ImagePart(source, _sample(source, seeds, options.seed))
    applier, votes = _votes(
        options, loaded.lfs, part, seeds, len(classes.names), progress
    )
    report = applier.report_
    unreadable = [row for row, name in enumerate(part.ids) if name in report.problems]
    path = options.out or _default_path(options.lfs[0])
    lf_sheet(
        part,
        votes,
        path,
        class_names=classes.names,
        title=f"{', '.join(options.lfs)} on {_how_many(part, source)} of {data}",
        docs=[lf.doc for lf in applier.lfs_],
        kinds=[lf.kind for lf in applier.lfs_],
        truth=classes.truth[part.rows],
        exclude=given_images(part, votes, unreadable),
        progress=partial(progress, "drawing"),
    )
    notes = (*source.notes, *classes.notes, *seeds.notes, *_remarks(report, source))
    return DrawnSheet(
        options.lfs, data, votes.n_functions, len(part), len(seeds.rows), path, notes
    )


def _data(options: SheetOptions, loaded: LoadedLFs) -> str:
    """Choose the images: those asked for, or the functions' own."""
    data = options.data or loaded.data
    if data is None:
        raise InputError(
            f"{', '.join(options.lfs)} does not say which images its functions were "
            'written for; give --data DATA, or write DATA = "…" in the file.'
        )
    return data


def _votes(
    options: SheetOptions,
    lfs: Sequence[LabelingFunction],
    part: ImagePart,
    seeds: GivenLabels,
    n_classes: int,
    progress: Progress,
) -> tuple[LFApplier, Votes]:
    """Fit functions to the seeds and let them vote."""
    applier = LFApplier(lfs, n_classes=n_classes, lf_timeout=_LF_TIMEOUT_S)
    has_seeds = len(seeds.rows) > 0
    votes = applier.apply(
        part,
        seed_rows=np.searchsorted(part.rows, seeds.rows) if has_seeds else None,
        seed_labels=seeds.labels if has_seeds else None,
        random_state=options.seed,
        out_of_fold=False,
        progress=progress,
    )
    return applier, votes


def _default_path(spec: str) -> Path:
    """Name the sheet after the last part of the functions' module.

    >>> str(_default_path("lf_library.digits")), str(_default_path("a/my_lfs.py:f"))
    ('lf_sheet_digits.png', 'lf_sheet_my_lfs.png')
    """
    where = re.sub(r"(\.py)?(:\w*)?$", "", Path(spec).name)
    return Path(f"lf_sheet_{where.rpartition('.')[2]}.png")


def _seeds(options: SheetOptions, source: ImageSource, classes: Classes) -> GivenLabels:
    """Draw seeds; go without where the data has no labels of these classes."""
    if (classes.truth >= 0).any():
        n = options.seeds_per_class
        return draw_seeds(source, classes.truth, classes.names, n, options.seed)
    nothing = np.zeros(0, np.int64)
    note = f"{source.name} has no labels of these classes, so there are no seeds"
    return GivenLabels(nothing, nothing, (note,))


def _sample(source: ImageSource, seeds: GivenLabels, seed: int) -> NDArray[np.int64]:
    """Draw the images to vote on: the seeds, and others to be shown."""
    others = np.setdiff1d(np.arange(len(source)), seeds.rows)
    others = np.setdiff1d(others, list(source.known_problems))
    if not len(others):
        raise DataError(
            f"all {len(seeds.rows)} readable images of {source.name} are seeds, so "
            "there is none left to show; give a smaller --seeds-per-class."
        )
    # Hundreds of classes have more seeds than that; a sheet shows none of them.
    n_others = max(_MOST_IMAGES - len(seeds.rows), _MOST_IMAGES // 2)
    drawn = np.random.default_rng(seed).permutation(others)[:n_others]
    return np.union1d(seeds.rows, drawn).astype(np.int64)


def _how_many(part: ImageSource, source: ImageSource) -> str:
    if len(part) == len(source):
        return f"the {len(source):,} images"
    return f"{len(part):,} of the {len(source):,} images"


def _remarks(report: Report, source: ImageSource) -> list[str]:
    """Say what was left out, what failed, and what could not be read."""
    remarks = []
    reasons: dict[str, list[str]] = {}
    for name, reason in report.left_out.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        remarks.append(f"left out ({reason}): {_some(names)}")
    for name, faults in report.faults.items():
        kind = next(iter(faults.counts))
        message = faults.examples[kind][1]
        failed = _count(faults.total, "image")
        remarks.append(f"{name} failed on {failed}: {kind} ({message})")
    problems = {source.ids[row]: why for row, why in source.known_problems.items()}
    problems |= report.problems
    if problems:
        name, reason = next(iter(problems.items()))
        lost = _count(len(problems), "image")
        remarks.append(f"{lost} cannot be read, such as {name}: {reason}")
    return remarks


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    listed = ", ".join(names[:_MOST_NAMES])
    return f"{listed} and {more} more" if more > 0 else listed
