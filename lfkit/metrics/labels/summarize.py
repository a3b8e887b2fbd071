"""Measures votes and labels, and compares them with the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators.aggregate import plain_labels
from lfkit.aggregators.calibration import measure
from lfkit.data.labels import Labels, compare_with_plain_vote, score
from lfkit.data.votes import ABSTAIN, Votes
from lfkit.labeling.analysis import LFAnalysis
from lfkit.metrics.labels.diagnosis import Diagnosis, diagnose
from lfkit.runs.apply_options import BASELINE
from lfkit.runs.run import Run
from lfkit.runs.run_summary import Calibrations, Judged, LFSummary, RunSummary


def summarize(
    votes: Votes,
    labels: Labels,
    truth: NDArray[np.int64],
    given: NDArray[np.bool_],
    *,
    class_names: Sequence[str],
    aggregator: str,
    class_balance: Sequence[float] | None,
    lf_classes: Sequence[Sequence[int]] | None,
    lf_kinds: Sequence[str] | None,
    baselines: Mapping[str, float] | None = None,
) -> RunSummary:
    """Measure what a person wants to know of votes and labels.

    All but the majority vote's figures are of `labels`, as they are written.

    Parameters
    ----------
    truth : (n,) -1 where unknown.
    given : (n,) images not to be scored, as `given_images` finds them.
    baselines : accuracy of classifiers trained on the seeds alone, as far as known.
    """
    majority = labels.vote_labels
    if labels.chosen != "majority-vote" or labels.reason:
        majority = plain_labels(votes, class_balance)
    covered = votes.voted.any(axis=1) & ~labels.is_seed
    scored = np.where(given, -1, truth)
    reference = scored if (scored >= 0).any() else None
    diagnosis: Diagnosis = diagnose(
        votes,
        class_names=class_names,
        labels=reference,
        lf_classes=lf_classes,
        baselines=baselines,
    )
    counts = np.bincount(labels.labels[labels.labels >= 0], minlength=len(class_names))
    return RunSummary(
        images=len(votes),
        labeled=int((labels.labels != ABSTAIN).sum()),
        coverage=votes.coverage,
        seeds=int(labels.is_seed.sum()),
        aggregator=aggregator,
        accuracy=score(labels.labels, truth, given),
        majority_vote_accuracy=score(majority, truth, given),
        chosen=labels.chosen,
        reason=labels.reason,
        class_shares=labels.class_shares,
        seed_accuracy=None if labels.held_out is None else labels.held_out.accuracy,
        judged=_judged(labels),
        calibration=_calibrations(labels, truth, given),
        confidence=_mean_confidence(labels),
        class_names=tuple(class_names),
        class_counts=tuple(counts.tolist()),
        functions=_functions(votes, reference, lf_kinds),
        diagnosis=diagnosis.to_dict(),
        findings=tuple(diagnosis.sentences()),
        plain_vote=compare_with_plain_vote(labels.vote_labels, majority, covered),
    )


def summary_of(run: Run) -> RunSummary:
    """Measure a run's functions and labels by the true classes given now.

    What needs the posteriors on the seeds, which are not kept, is as `apply` found it.
    """
    config, stored = run.config, run.stored
    everything = tuple(range(len(config.class_names)))
    best = stored.best_baseline
    found = summarize(
        run.votes,
        run.labels,
        run.truth,
        run.given,
        class_names=config.class_names,
        aggregator=config.options.aggregator,
        class_balance=config.options.class_balance,
        lf_classes=[lf.classes or everything for lf in config.lfs] or None,
        lf_kinds=[lf.kind for lf in config.lfs] or None,
        baselines={}
        if best is None or best.accuracy is None
        else {best.name: best.accuracy},
    )
    measured = ("accuracy", "majority_vote_accuracy", "functions", "diagnosis")
    return replace(
        stored,
        **{name: getattr(found, name) for name in (*measured, "findings")},
        images=found.images,
        labeled=found.labeled,
        coverage=found.coverage,
        seeds=found.seeds,
        class_counts=found.class_counts,
        calibration=replace(found.calibration, on_seeds=stored.calibration.on_seeds),
    )


def _functions(
    votes: Votes, reference: NDArray[np.int64] | None, kinds: Sequence[str] | None
) -> tuple[LFSummary, ...]:
    table = LFAnalysis(votes).lf_summary(reference)
    on_seeds = _accuracies_on_seeds(votes)
    return tuple(
        LFSummary(
            name=str(name),
            kind=kinds[j] if kinds else None,
            classes=tuple(int(label) for label in row["Polarity"]),
            coverage=float(row["Coverage"]),
            overlaps=float(row["Overlaps"]),
            conflicts=float(row["Conflicts"]),
            accuracy=_or_none(row.get("Emp. Acc.")),
            seed_accuracy=None if on_seeds is None else _or_none(on_seeds[j]),
        )
        for j, (name, row) in enumerate(table.iterrows())
    )


def _judged(labels: Labels) -> Judged | None:
    """Say how far held-out seeds can judge the labels."""
    found = labels.held_out
    if found is None:
        return None
    counts = np.unique(found.labels, return_counts=True)[1]
    return Judged(
        found.of,
        len(found.labels),
        found.is_calibrated,
        found.too_few,
        int(counts[0]) if len(set(counts.tolist())) == 1 else None,
    )


def _mean_confidence(labels: Labels) -> float | None:
    own = (labels.labels != ABSTAIN) & ~labels.is_seed
    return float(labels.proba[own].max(axis=1).mean()) if own.any() else None


def _calibrations(
    labels: Labels, truth: NDArray[np.int64], given: NDArray[np.bool_]
) -> Calibrations:
    """Compare confidence with accuracy, on the seeds and on images of known class."""
    held_out = labels.held_out
    rows = np.flatnonzero((truth >= 0) & ~given & (labels.labels != ABSTAIN))
    return Calibrations(
        None if held_out is None else measure(held_out.proba, held_out.labels),
        measure(labels.proba[rows], truth[rows]),
    )


def _accuracies_on_seeds(votes: Votes) -> NDArray[np.float64] | None:
    fold = votes.seed_out_of_fold
    if fold is None or votes.seed_labels is None:
        return None
    return LFAnalysis(fold).lf_empirical_accuracies(votes.seed_labels)


def _or_none(value: Any) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


_ON_SEEDS = " on held-out seeds"


@dataclass(frozen=True)
class Verdict:
    """Whether the labels beat the baseline, as a sentence."""

    wins: bool
    sentence: str


def verdict(summary: RunSummary) -> Verdict | None:
    """Compare with the baseline, on the same images; say it when we do not win.

    An image without a label counts as wrong; where --target-precision has taken labels
    back, those before it are compared. Where no truth is known, both are evaluated on
    held-out seeds.
    """
    best = summary.best_baseline
    if best is None:
        return None
    ours, theirs, where, n = _compared(summary)
    if ours is None or theirs is None:
        return None
    gap = f"{100 * abs(ours - theirs):.1f} points{where}"
    may_be_chance = abs(ours - theirs) < _by_chance(ours, theirs, n)
    judges = "seeds" if where == _ON_SEEDS else "images"
    chance = f" (on {n:,} {judges} chance alone may make as much)" * may_be_chance
    is_baseline = summary.chosen == BASELINE
    if is_baseline and not (summary.refinement and summary.refinement.is_refined):
        return Verdict(
            False, f"These are the labels of {best.name}, trained on the seeds."
        )
    if gap.startswith("0.0"):
        return Verdict(
            False,
            "The labels are as good as the best plain classifier trained on the seeds"
            f"{where}: {best.name}.",
        )
    if ours > theirs:
        return Verdict(
            not may_be_chance,
            "The labels beat the best plain classifier trained on the seeds, "
            f"{best.name}, by {gap}{chance}.",
        )
    more = "" if is_baseline else " Or write better functions, or more of them."
    advice = "Try its labels" if may_be_chance else "Use its labels"
    return Verdict(
        False,
        f"A plain classifier trained on the same seeds, {best.name}, does better by "
        f"{gap}{chance}. {advice}: add --with baseline to the command.{more}",
    )


def _compared(summary: RunSummary) -> tuple[float | None, float | None, str, int]:
    """Give the accuracy of labels and baseline, on what, and on how many images."""
    best, kept = summary.best_baseline, summary.kept
    assert best is not None, "there is a baseline"
    if best.accuracy is not None and summary.accuracy is not None:
        n = best.n_scored
        if kept is None:
            return summary.accuracy.of_all, best.accuracy, "", n
        # Those that were taken back would all count as wrong.
        where = ", before labels were taken back"
        return kept.accuracy_before, best.accuracy, where, n
    if summary.judged is None:
        return None, None, "", 0
    n = summary.judged.seeds
    return summary.seed_accuracy, best.seed_cv_accuracy, _ON_SEEDS, n


def _by_chance(one: float, other: float, n: int) -> float:
    """Give how far two accuracies on n images may lie apart in 95 % of cases.

    Taken as if other images had judged each: who errs on which is not kept.
    """
    return 1.96 * float(np.sqrt((one * (1 - one) + other * (1 - other)) / n))
