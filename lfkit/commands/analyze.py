"""`lfkit analyze`: the labeling functions of a run, and the errors of its labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lfkit.aggregators.calibration import bootstrap_intervals
from lfkit.commands.options import AnalyzeOptions
from lfkit.data.progress import Progress
from lfkit.errors import InputError
from lfkit.labeling.analysis import error_buckets
from lfkit.metrics.labels.summarize import summary_of
from lfkit.report.lf_sheet import lf_sheet
from lfkit.runs.run import Run, load_run
from lfkit.runs.run_summary import RunSummary

_MOST_CONFUSIONS = 8


@dataclass(frozen=True)
class Confusion:
    """How many images of one class have the label of another."""

    true: str
    labeled: str
    images: int


@dataclass(frozen=True)
class Analyzed:
    """Result of `lfkit analyze`.

    Attributes
    ----------
    summary : of the run, by the true classes given now.
    confusions : the most frequent errors.
    intervals : figure → its 95 % interval.
    sheet : the picture of the votes, if it was asked for.
    """

    summary: RunSummary
    confusions: tuple[Confusion, ...]
    intervals: Mapping[str, tuple[float, float]]
    sheet: Path | None

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON-ready values."""
        found = self.summary.to_dict() | {
            "confusions": [asdict(one) for one in self.confusions],
            "intervals": self.intervals,
        }
        return found if self.sheet is None else found | {"sheet": str(self.sheet)}


def analyze(options: AnalyzeOptions, progress: Progress | None = None) -> Analyzed:
    """Measure coverage, conflicts and accuracy of the functions, and the errors."""
    run = load_run(options.run, options.labels)
    return Analyzed(
        summary=replace(summary_of(run), notes=run.notes),
        confusions=_confusions(run),
        intervals=_intervals(run, options.bootstrap) if options.bootstrap else {},
        sheet=_draw_sheet(run, progress) if options.sheet else None,
    )


def _confusions(run: Run) -> tuple[Confusion, ...]:
    buckets = error_buckets(run.scored, run.labels.labels)
    wrong = [
        (len(rows), real, label)
        for (real, label), rows in buckets.items()
        if real >= 0 and label != real
    ]
    names = [*run.config.class_names, "no label"]  # -1 reads the last
    return tuple(
        Confusion(names[real], names[label], count)
        for count, real, label in sorted(wrong, reverse=True)[:_MOST_CONFUSIONS]
    )


def _intervals(run: Run, n_draws: int) -> dict[str, tuple[float, float]]:
    rows = np.flatnonzero((run.scored >= 0) & (run.labels.labels >= 0))
    if not len(rows):
        raise InputError(
            "--bootstrap needs images of known class; give them with --labels FILE."
        )
    return bootstrap_intervals(run.labels.proba[rows], run.truth[rows], n_draws)


def _draw_sheet(run: Run, progress: Progress | None) -> Path:
    config, path = run.config, run.folder / "lf_sheet.png"
    source = run.open_images(progress)
    lf_sheet(
        source,
        run.votes,
        path,
        class_names=config.class_names,
        title=f"{run.folder} on the {len(source):,} images of {source.name}",
        docs=[lf.doc for lf in config.lfs],
        kinds=[lf.kind for lf in config.lfs],
        truth=run.truth,
        exclude=run.given,
        progress=progress and partial(progress, "drawing"),
    )
    return path
