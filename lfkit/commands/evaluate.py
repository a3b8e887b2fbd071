"""`lfkit evaluate`: how good labels and generated images are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lfkit.commands.label_scores import label_scores
from lfkit.commands.options import EvaluateOptions
from lfkit.data.progress import Progress
from lfkit.metrics.evaluator import Evaluator, chosen_metrics, needs_judge
from lfkit.metrics.generated_images import all_sets
from lfkit.metrics.scores_file import RunScores, load_scores, save_scores
from lfkit.metrics.turing_test import read_ratings, summarize_ratings
from lfkit.runs.run import Run, load_run


@dataclass(frozen=True)
class Evaluated:
    """Result of `lfkit evaluate`.

    Attributes
    ----------
    scores : all of the run, those of earlier calls among them.
    missing : set of images → metric → why it was not computed.
    broken : set of images → why it is plainly broken.
    notes : what was decided about classes and labels.
    """

    file: Path
    scores: RunScores
    missing: Mapping[str, Mapping[str, str]]
    broken: Mapping[str, str]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON-ready values."""
        return self.scores.to_dict() | {
            "missing": self.missing,
            "file": str(self.file),
            "broken": self.broken,
            "notes": self.notes,
        }


def evaluate(options: EvaluateOptions, progress: Progress | None = None) -> Evaluated:
    """Score labels and label models, generated images, and people's ratings."""
    metrics = chosen_metrics(options.metrics, slow=options.slow)
    run = load_run(options.run, options.labels)
    sets = all_sets(options.run, len(run.config.class_names), options.generated)
    ratings = [rating for path in options.human for rating in read_ratings(path)]
    labels = label_scores(run, progress)
    human = RunScores(human=tuple(summarize_ratings(ratings)))
    file = save_scores(options.run, human)
    missing: dict[str, dict[str, str]] = {}
    broken: dict[str, str] = {}
    notes = run.notes
    if sets:
        evaluator = _evaluator(options, run, metrics, progress)
        notes += evaluator.notes
        for one in sets:
            evaluator.check(one)
            if why := evaluator.why_broken(one):
                broken[one.name] = why
        for one in sets:
            scored, missing[one.name] = evaluator.scored_set(one, metrics)
            # At once: what took minutes is not lost with the next set.
            save_scores(options.run, RunScores(generated={one.name: scored}))
    scores = replace(load_scores(options.run), labels=labels)
    return Evaluated(file, scores, missing, broken, notes)


def _evaluator(
    options: EvaluateOptions,
    run: Run,
    metrics: list[str],
    progress: Progress | None,
) -> Evaluator:
    return Evaluator(
        run,
        run.open_images(progress),
        against=options.against,
        extractor=options.extractor,
        weights=options.weights,
        n_steps=options.judge_steps,
        random_state=options.seed,
        needs_judge=any(map(needs_judge, metrics)),
        progress=progress,
    )
