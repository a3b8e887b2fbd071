"""`lfkit diagnose`: what limits the labels of a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators.fitted_labels import aggregate_once
from lfkit.commands.options import DiagnoseOptions
from lfkit.data.datasets import open_images
from lfkit.data.progress import Progress
from lfkit.metrics.image_checks.image_findings import (
    ImageFindings,
    find_in_images,
    save_findings,
)
from lfkit.metrics.labels.diagnosis import percent
from lfkit.metrics.labels.summarize import summary_of
from lfkit.runs.apply_options import BASELINE
from lfkit.runs.run import Run, load_run
from lfkit.runs.run_files import unreadable_rows
from lfkit.runs.run_summary import RunSummary
from lfkit.runs.store import RunStore

_SHOWN = 5  # baselines


@dataclass(frozen=True)
class Diagnosed:
    """Result of `lfkit diagnose`.

    Attributes
    ----------
    summary : of the run, by the true classes given now.
    notes : what was decided when a file of true labels was read.
    images : what is strange about the images; None if nobody asked.
    """

    summary: RunSummary
    notes: tuple[str, ...]
    images: ImageFindings | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON-ready values."""
        summary = self.summary
        best = summary.best_baseline
        return {
            **summary.diagnosis,
            "baselines": [asdict(one) for one in summary.baselines],
            "best_baseline": None if best is None else best.name,
            "accuracy": None if summary.accuracy is None else asdict(summary.accuracy),
            "seed_accuracy": summary.seed_accuracy,
            "crossover": None
            if summary.crossover is None
            else asdict(summary.crossover),
            "judged": None if summary.judged is None else asdict(summary.judged),
            "notes": self.notes,
            "images": None if self.images is None else asdict(self.images),
        }

    def sentences(self) -> list[str]:
        """Say what was found, in English."""
        return [
            *self.summary.findings,
            *self._about_labels(),
            *self._about_functions(),
            *(f"Note: {note}." for note in self.notes),
            *self._about_baselines(),
            *(() if self.images is None else self.images.sentences()),
        ]

    def _about_labels(self) -> list[str]:
        summary = self.summary
        if summary.accuracy is not None:
            share = percent(summary.accuracy.of_all)
            return [f"The labels are right on {share} of the images of known class."]
        if summary.seed_accuracy is None:
            return []
        judged = summary.judged
        assert judged is not None, "it has an accuracy on the seeds"
        return [
            f"{_judged(judged.after)} {percent(summary.seed_accuracy)} of the time: "
            f"{summary.on_seeds}."
        ]

    def _about_functions(self) -> list[str]:
        worth = self.summary.crossover
        return [] if worth is None else [worth.sentence]

    def _about_baselines(self) -> list[str]:
        """Name the best few, best first; all are in the machine-readable result."""
        found: list[tuple[float, str]] = []
        for one in self.summary.baselines:
            value, where = one.accuracy, "on other images"
            if value is None:
                value, where = one.seed_cv_accuracy, "cross-validated on the seeds"
            if value is None:
                continue
            is_best = one is self.summary.best_baseline
            best = "; the best on held-out seeds" if is_best else ""
            found.append(
                (
                    value,
                    f"{one.name}, trained on the seeds alone, is right "
                    f"{percent(value)} of the time ({where}{best})",
                )
            )
        found.sort(key=lambda pair: (-pair[0], pair[1]))
        if not found:
            return []
        lines = [f"Baseline: {said}." for _, said in found[:_SHOWN]]
        if rest := found[_SHOWN:]:
            low, high = percent(rest[-1][0]), percent(rest[0][0])
            between = low if low == high else f"{low} to {high}"
            lines.append(f"{len(rest)} more ({between}): --json names them.")
        return lines


def _judged(after: str) -> str:
    if after == "votes":
        return "The labels that the votes give are right"
    return f"The labels, refined as far as {after}, are right"


def diagnose(options: DiagnoseOptions, progress: Progress | None = None) -> Diagnosed:
    """Find gaps and copies, how far votes can go, and compare with the baselines."""
    run = load_run(options.run, options.labels)
    found = None
    if options.images:
        found = _look_at_images(run, options.test, progress)
        save_findings(run.folder, found)
    return Diagnosed(summary_of(run), run.notes, found)


def _look_at_images(
    run: Run, test: str | None, progress: Progress | None
) -> ImageFindings:
    source = run.open_images(progress)
    height, width, depth = run.config.shape
    other = None
    if test is not None:
        color = "gray" if depth == 1 else "rgb"
        other = open_images(test, size=(height, width), color=color)
    if progress is not None:
        progress("asking the votes about the seeds", 0, 1)
    said = _votes_on_seeds(run)
    if progress is not None:
        progress("asking the votes about the seeds", 1, 1)
    return find_in_images(run, source, other, said, progress)


def _votes_on_seeds(run: Run) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """Give the seeds, and what votes say of them that have not learned from them."""
    asked = run.config.options
    name = "majority-vote" if asked.aggregator == BASELINE else asked.aggregator
    held_out = aggregate_once(
        RunStore(run.folder),
        run.votes,
        name,
        asked.class_balance,
        asked.seed,
        unreadable_rows(run.index),
        keep=False,
    ).held_out
    return None if held_out is None else (held_out.rows, held_out.proba)
