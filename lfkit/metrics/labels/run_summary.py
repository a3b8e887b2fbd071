"""What a person wants to know of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators.aggregate import aggregate
from lfkit.aggregators.calibration import measure
from lfkit.classifiers.baselines import BASELINE
from lfkit.data.labels import Labels, score
from lfkit.data.votes import ABSTAIN, Votes
from lfkit.labeling.analysis import LFAnalysis
from lfkit.metrics.labels.diagnosis import Diagnosis, diagnose
from lfkit.runs.run import Run


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
) -> dict[str, Any]:
    """Collect what a person wants to know of a run, JSON-ready.

    All but the majority vote's figures are of `labels`, as they are written.

    Parameters
    ----------
    truth : (n,) -1 where unknown.
    given : (n,) images not to be scored, as `given_images` finds them.
    baselines : accuracy of classifiers trained on the seeds alone, as far as known.
    """
    majority = labels.vote_labels
    if labels.chosen != "majority-vote" or labels.reason:
        majority = aggregate(votes, "majority-vote", class_balance).labels
    scored = np.where(given, -1, truth)
    reference = scored if (scored >= 0).any() else None
    table = LFAnalysis(votes).lf_summary(reference)
    diagnosis: Diagnosis = diagnose(
        votes,
        class_names=class_names,
        labels=reference,
        lf_classes=lf_classes,
        baselines=baselines,
    )
    functions = []
    on_seeds = _accuracies_on_seeds(votes)
    for j, (name, row) in enumerate(table.iterrows()):
        accuracy = row.get("Emp. Acc.")
        functions.append(
            {
                "name": name,
                "kind": lf_kinds[j] if lf_kinds else None,
                "classes": [int(label) for label in row["Polarity"]],
                "coverage": float(row["Coverage"]),
                "overlaps": float(row["Overlaps"]),
                "conflicts": float(row["Conflicts"]),
                "accuracy": _or_none(accuracy),
                "seed_accuracy": None if on_seeds is None else _or_none(on_seeds[j]),
            }
        )
    found = score(labels.labels, truth, given)
    of_majority = score(majority, truth, given)
    return {
        "images": len(votes),
        "labeled": int((labels.labels != ABSTAIN).sum()),
        "coverage": votes.coverage,
        "seeds": int(labels.is_seed.sum()),
        "aggregator": aggregator,
        "accuracy": None if found is None else vars(found),
        "majority_vote_accuracy": None if of_majority is None else vars(of_majority),
        "chosen": labels.chosen,
        "reason": labels.reason,
        "seed_accuracy": None if labels.held_out is None else labels.held_out.accuracy,
        "judged": _judged(labels),
        "calibration": _calibration(labels, truth, given),
        "class_names": list(class_names),
        "class_counts": np.bincount(
            labels.labels[labels.labels >= 0], minlength=len(class_names)
        ).tolist(),
        "functions": functions,
        "diagnosis": diagnosis.to_dict(),
        "findings": diagnosis.sentences(),
    }


def summary_of(run: Run) -> dict[str, Any]:
    """Say all that is known of a run's functions and labels, JSON-ready."""
    config = run.config
    everything = tuple(range(len(config.class_names)))
    baseline = baseline_of(run.stored)
    known = baseline is not None and baseline["accuracy"] is not None
    baselines = {baseline["name"]: baseline["accuracy"]} if baseline and known else {}
    found = summarize(
        run.votes,
        run.labels,
        run.truth,
        run.given,
        class_names=config.class_names,
        aggregator=config.aggregator,
        class_balance=config.class_balance,
        lf_classes=[lf.classes or everything for lf in config.lfs] or None,
        lf_kinds=[lf.kind for lf in config.lfs] or None,
        baselines=baselines,
    )
    # What needs the posteriors on the seeds, which are not kept.
    kept = ("chosen", "reason", "seed_accuracy", "judged")
    found |= {key: run.stored[key] for key in kept if key in run.stored}
    # Its other part is measured here, by the true classes given now.
    on_seeds = (run.stored.get("calibration") or {}).get("on_seeds")
    found["calibration"]["on_seeds"] = on_seeds
    return found


def _judged(labels: Labels) -> dict[str, Any] | None:
    """Say how far held-out seeds can judge the labels."""
    found = labels.held_out
    if found is None:
        return None
    return {
        "after": found.of,
        "seeds": len(found.labels),
        "is_calibrated": found.is_calibrated,
        **({"too_few": found.too_few} if found.too_few else {}),
    }


def _calibration(
    labels: Labels, truth: NDArray[np.int64], given: NDArray[np.bool_]
) -> dict[str, Any]:
    """Compare confidence with accuracy, on the seeds and on images of known class."""
    on_seeds = None
    if labels.held_out is not None:
        on_seeds = measure(labels.held_out.proba, labels.held_out.labels)
    rows = np.flatnonzero((truth >= 0) & ~given & (labels.labels != ABSTAIN))
    on_images = measure(labels.proba[rows], truth[rows])
    return {
        "on_seeds": None if on_seeds is None else asdict(on_seeds),
        "on_images": None if on_images is None else asdict(on_images),
    }


def _accuracies_on_seeds(votes: Votes) -> NDArray[np.float64] | None:
    fold = votes.seed_out_of_fold
    if fold is None or votes.seed_labels is None:
        return None
    return LFAnalysis(fold).lf_empirical_accuracies(votes.seed_labels)


def _or_none(value: Any) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def baseline_of(summary: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Give the baseline: the best plain classifier by cross-validation on the seeds.

    Runs of before it was noted have the best of theirs.
    """
    baselines = summary.get("baselines") or []
    named = [
        baseline
        for baseline in baselines
        if baseline["name"] == summary.get("baseline")
    ]
    if named or not baselines:
        return named[0] if named else None
    return max(baselines, key=lambda baseline: baseline["seed_cv_accuracy"] or 0.0)


@dataclass(frozen=True)
class Verdict:
    """Whether the labels beat the baseline, as a sentence."""

    wins: bool
    sentence: str


def verdict(summary: Mapping[str, Any]) -> Verdict | None:
    """Compare with the baseline, on the same images; say it when we do not win.

    An image without a label counts as wrong; where --target-precision has taken labels
    back, those before it are compared. Where no truth is known, both are judged
    by seeds that they have not seen.
    """
    best = baseline_of(summary)
    if best is None:
        return None
    ours = theirs = None
    where = ""
    if best["accuracy"] is not None and summary["accuracy"] is not None:
        ours, theirs = summary["accuracy"]["of_all"], best["accuracy"]
        if summary.get("kept"):
            # Those that were taken back would all count as wrong.
            ours = summary["kept"].get("accuracy_before", ours)
            where = ", before labels were taken back"
    elif best["seed_cv_accuracy"] is not None:
        ours, theirs = summary["seed_accuracy"], best["seed_cv_accuracy"]
        where = " on held-out seeds"
    if ours is None or theirs is None:
        return None
    gap = f"{100 * abs(ours - theirs):.1f} points{where}"
    is_baseline = summary["chosen"] == BASELINE
    if is_baseline and not _is_refined(summary):
        return Verdict(
            False, f"These are the labels of {best['name']}, trained on the seeds."
        )
    if gap.startswith("0.0"):
        return Verdict(
            False,
            "The labels are as good as the best plain classifier trained on the seeds"
            f"{where}: {best['name']}.",
        )
    if ours > theirs:
        return Verdict(
            True,
            "The labels beat the best plain classifier trained on the seeds, "
            f"{best['name']}, by {gap}.",
        )
    more = "" if is_baseline else " Or write better functions, or more of them."
    return Verdict(
        False,
        f"A plain classifier does better, by {gap}: {best['name']}, trained on the "
        f"same seeds. Use its labels: add --with baseline to the command.{more}",
    )


def _is_refined(summary: Mapping[str, Any]) -> bool:
    return bool((summary.get("refinement") or {}).get("is_refined"))
