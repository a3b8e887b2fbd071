"""`lfkit list lfs --sheet`: what labeling functions vote for, on some of their data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfkit.data.datasets import open_images
from lfkit.data.image_source import ImageSource, ReadImages
from lfkit.data.labels import given_images
from lfkit.data.progress import Progress
from lfkit.data.seed_labels import GivenLabels, draw_seeds
from lfkit.errors import DataError, InputError
from lfkit.labeling.applier import LFApplier
from lfkit.labeling.classes import Classes, least_classes, reconcile
from lfkit.labeling.engine.failures import Report
from lfkit.labeling.loading import load_lfs
from lfkit.report.lf_sheet import lf_sheet

_MOST_IMAGES = 2000
_LF_TIMEOUT_S = 30.0
_MOST_NAMES = 3


@dataclass(frozen=True)
class SheetRequest:
    """What `lfkit list lfs --sheet` was asked for some functions.

    Attributes
    ----------
    data : None for the DATA of the functions' module.
    out : None for lf_sheet_<module>.png in the current folder.
    """

    specs: tuple[str, ...]
    data: str | None = None
    out: Path | None = None
    kinds: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    color: str | None = None
    seeds_per_class: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"--seed is {self.seed}; give a whole number from 0 on.")
        if self.out is not None and self.out.is_dir():
            raise InputError(f"{self.out} is a folder; --out takes a file.")


def draw_sheet(request: SheetRequest, progress: Progress) -> dict[str, Any]:
    """Apply functions to at most 2,000 images and draw what they voted for.

    Returns what was drawn, JSON-ready.
    """
    loaded = load_lfs(request.specs, kinds=request.kinds)
    specs = ", ".join(request.specs)
    data = request.data or loaded.data
    if data is None:
        raise InputError(
            f"{specs} does not say which images its functions were written for; give "
            '--data DATA, or write DATA = "…" in the file.'
        )
    source = open_images(
        data,
        size=request.size,
        color=request.color,
        progress=lambda done, total: progress("reading the files", done, total),
    )
    classes = reconcile(source, loaded.class_names, least_classes(loaded, source))
    seeds = _seeds(request, source, classes)
    part = _Part(source, _sample(source, seeds, request.seed))
    truth = classes.truth[part.rows]
    applier = LFApplier(
        loaded.lfs, n_classes=len(classes.names), lf_timeout=_LF_TIMEOUT_S
    )
    votes = applier.apply(
        part,
        seed_rows=np.searchsorted(part.rows, seeds.rows) if len(seeds.rows) else None,
        seed_labels=seeds.labels if len(seeds.rows) else None,
        random_state=request.seed,
        out_of_fold=False,
        progress=progress,
    )
    report = applier.report_
    unreadable = [row for row, name in enumerate(part.ids) if name in report.problems]
    path = request.out or _default_path(request.specs[0])
    lf_sheet(
        part,
        votes,
        path,
        class_names=classes.names,
        title=f"{specs} on {_how_many(part, source)} of {data}",
        docs=[lf.doc for lf in applier.lfs_],
        kinds=[lf.kind for lf in applier.lfs_],
        truth=truth,
        exclude=given_images(part, votes, unreadable),
        progress=lambda done, total: progress("drawing", done, total),
    )
    return {
        "lfs": list(request.specs),
        "data": data,
        "functions": votes.n_functions,
        "images": len(part),
        "seeds": len(seeds.rows),
        "sheet": str(path),
        "notes": [
            *source.notes,
            *classes.notes,
            *seeds.notes,
            *_remarks(report, source),
        ],
    }


def _default_path(spec: str) -> Path:
    """Name the sheet after the last part of the functions' module.

    >>> str(_default_path("lf_library.digits")), str(_default_path("a/my_lfs.py:f"))
    ('lf_sheet_digits.png', 'lf_sheet_my_lfs.png')
    """
    where = re.sub(r"(\.py)?(:\w*)?$", "", Path(spec).name)
    return Path(f"lf_sheet_{where.rpartition('.')[2]}.png")


def _seeds(request: SheetRequest, source: ImageSource, classes: Classes) -> GivenLabels:
    """Draw seeds; go without where the data has no labels of these classes."""
    if (classes.truth >= 0).any():
        n = request.seeds_per_class
        return draw_seeds(source, classes.truth, classes.names, n, request.seed)
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


class _Part(ImageSource):
    """Some rows of a source, as a source.

    Attributes
    ----------
    rows : (n,) rows of the whole, ascending.
    """

    def __init__(self, whole: ImageSource, rows: NDArray[np.int64]) -> None:
        self._whole = whole
        self.rows = rows
        self.name = whole.name
        self.shape = whole.shape
        self.ids = [whole.ids[row] for row in rows.tolist()]
        self.keys = whole.keys[rows]
        self.labels = None if whole.labels is None else whole.labels[rows]
        self.class_names = whole.class_names
        self.known_problems = {
            position: whole.known_problems[row]
            for position, row in enumerate(rows.tolist())
            if row in whole.known_problems
        }

    @property
    def decoding(self) -> str:
        """That of the whole."""
        return self._whole.decoding

    def read(self, rows: NDArray[np.int64]) -> ReadImages:
        """Read from the whole."""
        return self._whole.read(self.rows[rows])

    def table(self) -> pa.Table:
        """Give the whole's rows."""
        return self._whole.table().take(pa.array(self.rows))
