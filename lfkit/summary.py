"""What a person wants to know of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.analysis import LFAnalysis
from lfkit.calibration import measure
from lfkit.diagnosis import Diagnosis, diagnose
from lfkit.labels import Labels, aggregate, score
from lfkit.votes import ABSTAIN, Votes


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
    floors: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Collect what a person wants to know of a run, JSON-ready.

    Parameters
    ----------
    truth : (n,) -1 where unknown.
    given : (n,) images not to be scored, as `given_images` finds them.
    floors : accuracy of classifiers trained on the seeds alone, as far as known.
    """
    majority = labels
    if labels.chosen != "majority-vote" or labels.reason:
        majority = aggregate(votes, "majority-vote", class_balance)
    scored = np.where(given, -1, truth)
    reference = scored if (scored >= 0).any() else None
    table = LFAnalysis(votes).lf_summary(reference)
    diagnosis: Diagnosis = diagnose(
        votes,
        class_names=class_names,
        labels=reference,
        lf_classes=lf_classes,
        floors=floors,
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
    of_majority = score(majority.labels, truth, given)
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
        "calibration": _calibration(labels, truth, given),
        "class_names": list(class_names),
        "class_counts": np.bincount(
            labels.labels[labels.labels >= 0], minlength=len(class_names)
        ).tolist(),
        "functions": functions,
        "diagnosis": diagnosis.to_dict(),
        "findings": diagnosis.sentences(),
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


@dataclass(frozen=True)
class Verdict:
    """Whether the labels beat the best floor, as a sentence."""

    wins: bool
    sentence: str


def verdict(summary: Mapping[str, Any]) -> Verdict | None:
    """Compare with the best floor, on the same images; say it when we do not win."""
    floors = summary.get("floors", [])
    scored = [floor for floor in floors if floor["accuracy"] is not None]
    if scored and summary["accuracy"] is not None:
        best = max(scored, key=lambda floor: floor["accuracy"])
        ours, theirs = summary["accuracy"]["of_all"], best["accuracy"]
    else:
        known = [floor for floor in floors if floor["seed_cv_accuracy"] is not None]
        if not known or summary["seed_accuracy"] is None:
            return None
        best = max(known, key=lambda floor: floor["seed_cv_accuracy"])
        ours, theirs = summary["seed_accuracy"], best["seed_cv_accuracy"]
    if f"{100 * abs(ours - theirs):.1f}" == "0.0":
        return Verdict(
            False,
            "The labels are as good as the best plain classifier trained on the seeds: "
            f"{best['name']}.",
        )
    if ours > theirs:
        return Verdict(
            True,
            "The labels beat every plain classifier trained on the seeds, by "
            f"{100 * (ours - theirs):.1f} points.",
        )
    return Verdict(
        False,
        f"A plain classifier does better, by {100 * (theirs - ours):.1f} points: "
        f"{best['name']}, trained on the same seeds. These votes alone are not yet "
        "worth their trouble; write better functions, or more of them.",
    )
