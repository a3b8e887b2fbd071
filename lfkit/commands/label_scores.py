"""Scores of a run's labels and of label models, kept in the run."""

from __future__ import annotations

from lfkit.data.progress import Progress
from lfkit.metrics.labels.label_model_scores import LabelScores, score_label_models
from lfkit.metrics.scores_file import RunScores, load_scores, save_scores
from lfkit.runs.run import Run


def label_scores(run: Run, progress: Progress | None = None) -> tuple[LabelScores, ...]:
    """Score label models, or read what was scored before by the data's true labels.

    Scores by other true labels are for this call only, and not kept.
    """
    if not run.own_truth:
        return tuple(score_label_models(run, progress))
    stored = load_scores(run.folder).labels
    if stored:
        return stored
    found = tuple(score_label_models(run, progress))
    save_scores(run.folder, RunScores(labels=found))
    return found
