"""`lfkit report`: a run as one HTML page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lfkit.commands.label_scores import label_scores
from lfkit.commands.options import ReportOptions
from lfkit.data.progress import Progress
from lfkit.metrics.generated_images import all_sets
from lfkit.metrics.scores_file import load_scores
from lfkit.report.image_tiles import Album
from lfkit.report.page import write_report
from lfkit.report.sections import ReportData
from lfkit.runs.run import load_run


@dataclass(frozen=True)
class Reported:
    """Result of `lfkit report`.

    Attributes
    ----------
    sections : names of those that the page has.
    notes : what was decided when a file of true labels was read.
    """

    report: Path
    sections: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON-ready values."""
        return vars(self) | {"report": str(self.report)}


def report(options: ReportOptions, progress: Progress | None = None) -> Reported:
    """Show everything that is known of a run on one page."""
    run = load_run(options.run, options.labels)
    sets = all_sets(options.run, len(run.config.class_names), options.generated)
    path = options.out or options.run / "report.html"
    source = run.open_images(progress)
    labels = label_scores(run, progress)
    scores = replace(load_scores(options.run), labels=labels)
    data = ReportData(run, Album(source), sets, scores)
    return Reported(path, tuple(write_report(data, path, progress)), run.notes)
