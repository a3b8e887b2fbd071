"""The steps of `lfkit apply` from votes to labels: baselines, labels, their summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lfkit.aggregators.aggregate import calibrate
from lfkit.aggregators.fitted_labels import aggregate_once
from lfkit.classifiers.baselines import (
    Baseline,
    baseline_labels,
    best_baseline,
    check_seeds,
    find_baselines,
)
from lfkit.commands.refine_labels import can_learn_from_seeds
from lfkit.commands.vote_sources import VotedImages
from lfkit.data.labels import Labels, score
from lfkit.data.progress import Progress
from lfkit.data.votes import ABSTAIN
from lfkit.metrics.labels.summarize import summarize
from lfkit.report.contact_sheet import contact_sheet
from lfkit.runs.apply_options import BASELINE, ApplyOptions
from lfkit.runs.run_summary import (
    Crossover,
    FaultSummary,
    KeptLabels,
    RefinementSummary,
    RunSummary,
)

_BY_NAME = {"imagenet": "the ImageNet network"}
_MOST_PROBLEMS = 20  # unreadable images that the summary names


def baselines_of(
    options: ApplyOptions,
    voted: VotedImages,
    feature_sets: Mapping[str, Any],
    progress: Progress | None,
) -> list[Baseline]:
    """Score plain classifiers trained on the seeds alone."""
    if not options.baselines and options.aggregator != BASELINE:
        return []
    return find_baselines(
        voted.images,
        voted.votes,
        voted.classes.truth,
        voted.store,
        voted.feature_keys,
        random_state=options.seed,
        unreadable=voted.unreadable,
        networks=_networks(options, voted, feature_sets, progress),
        progress=progress,
    )


def _networks(
    options: ApplyOptions,
    voted: VotedImages,
    feature_sets: Mapping[str, Any],
    progress: Progress | None,
) -> dict[str, Any]:
    """Give what refinement sees by a trained network; no baseline asks for one."""
    from lfkit.refinement import compacted

    return {
        _BY_NAME.get(name, name): compacted(
            name, given, options.seed, voted.store, progress
        )
        for name, given in feature_sets.items()
        if name not in ("features", "pixels")
    }


def label_by_votes_or_baseline(
    options: ApplyOptions,
    voted: VotedImages,
    baselines: Sequence[Baseline],
    feature_sets: Mapping[str, Any],
    progress: Progress | None,
) -> Labels:
    """Turn votes into labels, once; or take the best plain classifier's."""
    if options.aggregator == BASELINE:
        return _baseline_labels(options, voted, baselines, feature_sets, progress)
    return aggregate_once(
        voted.store,
        voted.votes,
        options.aggregator,
        options.class_balance,
        options.seed,
        [*voted.images.known_problems, *voted.unreadable],
    )


def _baseline_labels(
    options: ApplyOptions,
    voted: VotedImages,
    baselines: Sequence[Baseline],
    feature_sets: Mapping[str, Any],
    progress: Progress | None,
) -> Labels:
    """Label all images by the baseline, calibrated on held-out seeds."""
    if not baselines:
        check_seeds(np.zeros(0, np.int64))  # they could not be read
    found = baseline_labels(
        voted.images,
        voted.votes,
        voted.store,
        voted.feature_keys,
        baselines,
        random_state=options.seed,
        networks=_networks(options, voted, feature_sets, progress),
        progress=progress,
    )
    proba, held_out = found.proba, None
    if best_baseline(baselines).seed_cv_accuracy is not None:
        proba, held_out = calibrate(
            found.proba,
            found.judged_proba,
            basis=found.seed_proba,
            rows=found.seed_rows,
            labels=found.seed_labels,
            of=BASELINE,
            random_state=options.seed,
        )
    why = "the best on held-out seeds" if held_out else "too few seeds to compare"
    named = proba.argmax(axis=1)
    named[[*voted.images.known_problems, *voted.unreadable]] = ABSTAIN
    is_seed = np.zeros(len(named), bool)
    rows, known = voted.votes.seed_rows, voted.votes.seed_labels
    assert rows is not None, "there is a baseline"
    assert known is not None, "there is a baseline"
    is_seed[rows], named[rows] = True, known
    proba[rows] = np.eye(proba.shape[1])[known]
    return Labels(
        named,
        proba,
        is_seed,
        vote_labels=named,
        vote_confidence=proba.max(axis=1, initial=0.0),
        held_out=held_out,
        chosen=BASELINE,
        reason=f"asked for: {found.name}, {why}",
    )


def draw_contact_sheet(
    options: ApplyOptions, voted: VotedImages, labels: Labels
) -> Path:
    """Draw the most and the least confident images of each class."""
    path = options.out / "contact_sheet.png"
    contact_sheet(
        voted.images,
        labels.labels,
        labels.proba,
        voted.classes.names,
        path,
        truth=voted.classes.truth,
        exclude=voted.given,
        is_calibrated=labels.is_calibrated,
    )
    return path


def notes_on(
    options: ApplyOptions,
    voted: VotedImages,
    labels: Labels,
    refinement: RefinementSummary | None,
) -> list[str]:
    """Say what of the labels neither votes nor held-out seeds support."""
    notes = []
    if refinement is not None and refinement.unseeded:
        names = [voted.classes.names[label] for label in refinement.unseeded]
        instead = (
            "images that the votes are surest of stood in for it, and nothing judges "
            "its labels"
            if can_learn_from_seeds(voted)
            else "refining learned from votes, not from seeds, and nothing judges it"
        )
        notes.append(
            f"votes name {', '.join(names)} and no seed shows it: {instead}; label two "
            "or more images of each such class and run again"
        )
    notes += labels.warnings
    if options.target_precision is not None and not labels.is_calibrated:
        notes.append(_not_calibrated(labels, options.target_precision))
    return notes


def _not_calibrated(labels: Labels, target: float) -> str:
    if labels.held_out is None:
        why, what = "no seed has told", "; give seeds with --seed-labels"
    elif labels.held_out.too_few:
        why, what = f"{labels.held_out.too_few} do not tell", "; give more seeds"
    else:
        last = labels.held_out.of
        why = f"seeds can judge labels up to the stage {last}, and have not told"
        what = "; leave out the stages cnn and joint"
    return (
        f"{why} how far confidence can be believed: the labels kept may miss the "
        f"target of {target:.0%}{what}"
    )


def summary_of_labels(
    options: ApplyOptions,
    voted: VotedImages,
    labels: Labels,
    kept: Labels,
    refinement: RefinementSummary | None,
    baselines: Sequence[Baseline],
    worth: Crossover | None,
) -> RunSummary:
    """Measure votes, labels, baselines and faults.

    Parameters
    ----------
    labels, kept : before and after those of little confidence are taken back.
    """
    everything = tuple(range(len(voted.classes.names)))
    lfs, report = voted.lfs, voted.report
    found = summarize(
        voted.votes,
        kept,
        voted.classes.truth,
        voted.given,
        class_names=voted.classes.names,
        aggregator=options.aggregator,
        class_balance=options.class_balance,
        lf_classes=None if lfs is None else [lf.classes or everything for lf in lfs],
        lf_kinds=None if lfs is None else [lf.kind for lf in lfs],
    )
    faults = sorted(report.faults.items(), key=lambda item: -item[1].total)
    return replace(
        found,
        data=options.data,
        out=str(options.out),
        refinement=refinement,
        baselines=tuple(one.summary() for one in baselines),
        baseline=best_baseline(baselines).name if baselines else None,
        kept=_kept(options, voted, labels, kept),
        crossover=worth,
        unreadable=len(report.problems),
        problems=dict(list(report.problems.items())[:_MOST_PROBLEMS]),
        left_out=dict(report.left_out),
        faults={
            name: FaultSummary(
                one.total, dict(one.counts), next(iter(one.examples.values()))[1]
            )
            for name, one in faults
        },
        lf_calls=report.n_calls,
        feature_values=report.n_feature_values,
    )


def _kept(
    options: ApplyOptions, voted: VotedImages, labels: Labels, kept: Labels
) -> KeptLabels | None:
    """Say how many labels reach the target, and how right they are."""
    if options.target_precision is None:
        return None
    own = (kept.labels != ABSTAIN) & ~kept.is_seed
    confidence = kept.proba[own].max(axis=1, initial=0.0)
    before = score(labels.labels, voted.classes.truth, voted.given)
    return KeptLabels(
        target_precision=options.target_precision,
        kept=int(own.sum()),
        of=int(((labels.labels != ABSTAIN) & ~labels.is_seed).sum()),
        accuracy_before=None if before is None else before.of_all,
        expected_precision=float(confidence.mean()) if own.any() else None,
        least_confidence=float(confidence.min()) if own.any() else None,
    )
