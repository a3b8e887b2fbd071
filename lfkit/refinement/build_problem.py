"""A refinement's problem, built from images, votes and given labels, all checked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from lfkit.aggregators.aggregator import Aggregator, clear_winners
from lfkit.data.labels import checked_labels
from lfkit.data.votes import ABSTAIN, Votes
from lfkit.errors import InputError
from lfkit.nn import TrainingPlan
from lfkit.refinement.problem import RefinementProblem, posteriors_of_seeds


def checked_proba(
    proba: ArrayLike | None, votes: Votes, aggregator: Aggregator
) -> NDArray[np.float64]:
    """Give what the votes say, (n, k): as given, or by the aggregator."""
    if proba is None:
        return clone(aggregator).fit_predict_proba(votes)
    return _checked_shares(proba, (len(votes), votes.n_classes), "proba")


def _checked_shares(
    proba: ArrayLike, shape: tuple[int, int], name: str
) -> NDArray[np.float64]:
    given = np.asarray(proba, np.float64)
    if given.shape != shape:
        raise InputError(
            f"{name} has shape {given.shape}, expected (images, classes) = {shape}."
        )
    total = given.sum(axis=1)
    # Written so that NaN fails too.
    fine = (given >= 0).all(axis=1) & (np.abs(total - 1) < 0.01)
    if not fine.all():
        row = int(fine.argmin())
        raise InputError(
            f"{name} of row {row} is {given[row].tolist()}; expected shares that sum "
            "to 1."
        )
    return given / total[:, None]


def build_problem(
    votes: Votes,
    unrefined: NDArray[np.float64],
    pixels: NDArray[np.uint8],
    readable: NDArray[np.bool_],
) -> RefinementProblem:
    """Put the votes' posterior beside the images."""
    nothing = np.zeros(0, np.int64)
    return RefinementProblem(
        pixels=pixels,
        features=(),
        proba=unrefined,
        said=clear_winners(unrefined, votes),
        voted=np.asarray(votes.voted.any(axis=1)),
        readable=readable,
        seed_rows=nothing,
        seed_labels=nothing,
        judges=np.zeros(0, bool),
        possible=np.asarray(unrefined.any(axis=0)),
        prior=None,
        plan=TrainingPlan(),
        random_state=0,
        device="cpu",
    )


def with_seeds(
    problem: RefinementProblem,
    votes: Votes,
    aggregator: Aggregator,
    seed_proba: ArrayLike | None,
    seed_predicted: ArrayLike | None,
) -> RefinementProblem:
    """Add the votes' seeds, with what the votes say of them out of fold."""
    if votes.seed_rows is None or votes.seed_labels is None:
        return problem
    rows = np.asarray(votes.seed_rows, np.int64)
    found = posteriors_of_seeds(votes, aggregator) if seed_proba is None else seed_proba
    proba, said = problem.proba.copy(), problem.said.copy()
    proba[rows], said[rows] = 1 / problem.n_classes, ABSTAIN
    if found is not None:
        proba[rows] = _checked_shares(
            found, (len(rows), problem.n_classes), "seed_proba"
        )
        fold = votes.seed_out_of_fold or votes.rows(rows)
        said[rows] = clear_winners(proba[rows], fold)
    if seed_predicted is not None:
        said[rows] = checked_labels(seed_predicted, len(rows), "seed_predicted")
    return replace(
        problem,
        proba=proba,
        said=said,
        seed_rows=rows,
        seed_labels=np.asarray(votes.seed_labels, np.int64),
        judges=problem.readable[rows] & (found is not None),
    )


def with_more(problem: RefinementProblem, y: ArrayLike | None) -> RefinementProblem:
    """Add labels from which the votes may have learned: they judge nothing."""
    if y is None:
        return problem
    labels = checked_classes(y, len(problem.proba), problem.n_classes)
    given = labels[problem.seed_rows]
    wrong = np.flatnonzero((given >= 0) & (given != problem.seed_labels))
    if len(wrong):
        row = problem.seed_rows[wrong[0]]
        raise InputError(
            f"y says that image {row} is of class {labels[row]}, the votes' seeds say "
            f"{problem.seed_labels[wrong[0]]} ({len(wrong)} of the seeds are so); give "
            "each image one class."
        )
    rows = np.setdiff1d(np.flatnonzero(labels >= 0), problem.seed_rows)
    all_rows = np.concatenate([problem.seed_rows, rows])
    order = np.argsort(all_rows, kind="stable")
    said = problem.proba.copy()
    said[rows] = 1 / problem.n_classes
    return replace(
        problem,
        proba=said,
        seed_rows=all_rows[order],
        seed_labels=np.concatenate([problem.seed_labels, labels[rows]])[order],
        judges=np.concatenate([problem.judges, np.zeros(len(rows), bool)])[order],
    )


def with_unseeded(problem: RefinementProblem) -> RefinementProblem:
    """Say which classes may occur, which have no seed, and what stands in for these."""
    named = np.isin(np.arange(problem.n_classes), problem.seed_labels)
    voted = np.setdiff1d(problem.said, [ABSTAIN])
    unseeded = np.setdiff1d(voted, problem.seed_labels)
    rows = np.zeros(0, np.int64)
    if enough_classes(problem.seed_labels, voted):
        rows = np.concatenate([rows, *(_surest(problem, c) for c in unseeded)])
    return replace(
        problem,
        possible=problem.possible | named,
        unseeded=tuple(unseeded.tolist()),
        unjudged=tuple(np.setdiff1d(voted, problem.judge_labels).tolist()),
        stand_in_rows=rows,
        stand_in_labels=problem.said[rows],
    )


def enough_classes(seed_labels: NDArray[np.int64], voted: NDArray[np.int64]) -> bool:
    """Tell whether seeds show two thirds of the classes that votes name.

    Images that votes are sure of then stand in for the others. Clothes of ten classes,
    20 seeds each of nine: .706 without, and .724 (trousers .698, .770; with 5 seeds
    .668, .661 and .674, .713); and confidence was ten points off instead of 25.
    """
    return 3 * int(np.isin(voted, seed_labels).sum()) >= 2 * len(voted)


def _surest(problem: RefinementProblem, label: int) -> NDArray[np.int64]:
    """Give as many rows that votes give a class as other classes have seeds."""
    counts = np.bincount(problem.seed_labels)
    rows = np.flatnonzero((problem.said == label) & problem.readable)
    order = np.argsort(-problem.proba[rows, label], kind="stable")
    return rows[order[: int(np.median(counts[counts > 0]))]]


def checked_classes(y: ArrayLike, n: int, n_classes: int) -> NDArray[np.int64]:
    """Give classes, (n,), -1 where none is; raise where the votes have no such one."""
    labels = checked_labels(y, n, "y")
    if labels.max(initial=-1) >= n_classes:
        raise InputError(
            f"y holds class {labels.max()}; the votes have the classes 0.."
            f"{n_classes - 1}."
        )
    return labels
