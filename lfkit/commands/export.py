"""`lfkit export`: the votes or the labeled images of a run, for other tools."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lfkit.commands.options import ExportOptions
from lfkit.commands.stored_votes import read_stored_votes
from lfkit.data.label_files import LABEL_FORMATS, ImagesToExport
from lfkit.data.progress import Progress
from lfkit.data.vote_files import FORMATS, write_votes
from lfkit.errors import InputError, RunError
from lfkit.runs.run import load_run
from lfkit.runs.run_files import unreadable_rows


@dataclass(frozen=True)
class Exported:
    """Result of `lfkit export`.

    Attributes
    ----------
    what : "votes", "labels" or "classifier".
    images, functions, classes : their numbers.
    labeled : images that have a label.
    left_out : what the format cannot hold or a user should know, in sentences.
    notes : what was decided when a file of votes was read.
    """

    file: str
    what: str
    images: int
    functions: int
    classes: int
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    labeled: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON-ready values."""
        return asdict(self)


def export(options: ExportOptions, progress: Progress | None = None) -> Exported:
    """Write votes, or labeled images, for other tools; no function is called."""
    if options.classifier is not None:
        return _export_classifier(options, options.classifier, progress)
    out = options.out
    assert out is not None, "the options have looked"
    _check_format(options.format)
    if options.format in LABEL_FORMATS:
        return _export_labels(options, out, progress)
    file = read_stored_votes(options.votes, options.n_classes).file
    left_out = write_votes(
        out,
        file.votes,
        ids=file.ids,
        labels=file.labels,
        class_names=file.class_names,
        format=options.format,
    )
    return Exported(
        file=str(out),
        what="votes",
        images=len(file.votes),
        functions=file.votes.n_functions,
        classes=file.votes.n_classes,
        left_out=tuple(left_out),
        notes=file.notes,
    )


def _check_format(name: str | None) -> None:
    known = [*FORMATS, *LABEL_FORMATS]
    if name is None or name in known:
        return
    near = difflib.get_close_matches(name, known, n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    raise InputError(
        f"there is no format {name!r}; choose from {', '.join(FORMATS)} for votes, "
        f"{', '.join(LABEL_FORMATS)} for labeled images.{meant}"
    )


def _export_classifier(
    options: ExportOptions, path: Path, progress: Progress | None
) -> Exported:
    from lfkit.commands.export_classifier import export_classifier  # loads torch

    run, told = export_classifier(options, path, progress)
    return Exported(
        file=str(path),
        what="classifier",
        images=len(run.labels.labels),
        functions=run.votes.n_functions,
        classes=len(run.config.class_names),
        left_out=tuple(told),
        notes=(),
        labeled=int((run.labels.labels >= 0).sum()),
    )


def _export_labels(
    options: ExportOptions, out: Path, progress: Progress | None
) -> Exported:
    if not (options.votes / "run.json").exists():
        raise RunError(
            f"{options.votes} is no run folder, and --as {options.format} writes the "
            "labeled images of one; run `lfkit apply` and give its --out."
        )
    run = load_run(options.votes)
    labeled = ImagesToExport(
        source=run.open_images(progress),
        labels=np.asarray(run.labels.labels, np.int64),
        proba=run.labels.proba,
        votes=run.votes.as_sets(),
        class_names=run.config.class_names,
        is_seed=run.labels.is_seed,
        unreadable=unreadable_rows(run.index),
    )
    assert options.format is not None, "it is one of these"
    told = LABEL_FORMATS[options.format]().write(out, labeled, progress)
    return Exported(
        file=str(out),
        what="labels",
        images=len(labeled.rows),
        functions=run.votes.n_functions,
        classes=len(labeled.class_names),
        left_out=tuple(told),
        notes=(),
        labeled=int((labeled.labels[labeled.rows] >= 0).sum()),
    )
