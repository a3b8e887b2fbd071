"""First stage: shrinkage LDA on the features, times what the votes say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lfkit.data.folds import deal_folds
from lfkit.refinement.lda_model import (
    Discriminant,
    SharedCovariance,
    equally_long,
    moments,
)
from lfkit.refinement.problem import RefinementProblem
from lfkit.refinement.product_of_experts import fit_powers, logs, product
from lfkit.refinement.stages.stage import Arrays, Stage, StageContext, number

_SHRINKAGES = (0.03, 0.1, 0.3, 0.6)
_SEED_FOLDS = 10
_LEAST_VOTE_POWER = 0.2


class Lda(Stage):
    """A product of two experts: a discriminant on the features, and the votes.

    The discriminant learns from the seeds alone; of classes without one it would know
    nothing, and deny them all images. Its shrinkage, whether lengths of rows count and
    both powers are the likeliest on held-out seeds (raw LDA is wildly overconfident:
    powers come out between 1/10 and 1/200); the votes are a posterior, whose power
    is drawn to 1: few seeds tell it badly. Seeds from which the votes have learned
    never weigh the votes; where only such seeds are known, the votes get a fifth of
    their weight.
    """

    name: ClassVar[str] = "lda"

    def why_not(self, problem: RefinementProblem, known: Arrays) -> str | None:
        """Say why there is nothing for it to do, or None."""
        if not problem.has_seeds:
            return "it learns from two seeds or more of each class that votes name"
        if not any(kind.any() for kind in problem.features):
            return "the features are the same for all images"
        return None

    def run(
        self, problem: RefinementProblem, known: Arrays, tools: StageContext
    ) -> dict[str, NDArray[Any]]:
        """Give the product, and the discriminant that new images are shown to."""
        return _from_seeds(problem)


def _from_seeds(problem: RefinementProblem) -> dict[str, NDArray[Any]]:
    seen = [_held_out(kind, problem) for kind in problem.features]
    looks, votes = [one.scores for one in seen], logs(problem.proba[problem.seed_rows])
    powers = _powers(looks, votes, problem)
    held_out = product([*looks, votes], powers.tolist())
    experts: list[NDArray[np.float64]] = []
    arrays: dict[str, NDArray[Any]] = {}
    for position, (kind, one) in enumerate(zip(problem.features, seen, strict=True)):
        rows = kind[problem.shown_rows]
        shown = equally_long(rows) if one.equal_lengths else rows
        everyone = moments(shown, problem.shown_targets)
        found = SharedCovariance(everyone, one.shrinkage).discriminant(one.spread)
        found = replace(found, equal_lengths=one.equal_lengths)
        experts.append(found(kind))
        arrays |= _kept(found, position, float(powers[position])) | {
            f"lda{position}_shrinkage": number(one.shrinkage),
            f"lda{position}_spread": number(one.spread),
        }
    proba = product([*experts, logs(problem.proba)], powers.tolist())
    proba[problem.seed_rows] = held_out
    proba, held_out = problem.among_possible(proba), problem.among_possible(held_out)
    found_arrays = {
        **arrays,
        "proba": proba,
        "vote_power": number(powers[-1]),
        "best_features": np.asarray(np.argmin([one.loss for one in seen])),
    }
    if problem.has_judges:
        found_arrays["seed_proba"] = held_out[problem.judges]
    return found_arrays


def _powers(
    looks: list[NDArray[np.float64]],
    votes: NDArray[np.float64],
    problem: RefinementProblem,
) -> NDArray[np.float64]:
    """Weigh the experts, the votes last, by held-out seeds.

    Where the votes have learned from too many of them, only features are so weighed.
    """
    if problem.has_judges:
        return fit_powers(
            looks, problem.seed_targets, [votes], [1.0], among=problem.possible
        )[0]
    powers, _ = fit_powers(looks, problem.seed_targets, among=problem.possible)
    return np.append(powers, _LEAST_VOTE_POWER)


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """Scores of held-out seeds, (s, k), by a discriminant of the others."""

    loss: float
    equal_lengths: bool
    shrinkage: float
    spread: float
    scores: NDArray[np.float64]


def _held_out(features: NDArray[np.float16], problem: RefinementProblem) -> _HeldOut:
    """Give the likeliest of rows as they are or equally long, and of shrinkages."""
    rows = features[problem.shown_rows]
    tried = _tried(rows, problem, equal_lengths=False)
    if rows.shape[1] > 1:
        tried += _tried(equally_long(rows), problem, equal_lengths=True)
    return min(tried, key=lambda one: one.loss)


def _tried(
    rows: NDArray[np.floating], problem: RefinementProblem, *, equal_lengths: bool
) -> list[_HeldOut]:
    targets = problem.shown_targets
    folds = deal_folds(problem.shown_labels, _SEED_FOLDS, problem.random_state)
    n_seeds = len(problem.seed_rows)
    everyone = moments(rows, targets)
    trained = {
        fold: everyone - moments(rows[folds == fold], targets[folds == fold])
        for fold in np.unique(folds)
    }
    tried = []
    for shrinkage in _SHRINKAGES:
        classes = {f: SharedCovariance(one, shrinkage) for f, one in trained.items()}
        spread = sum(
            one.spread(rows[folds == fold], targets[folds == fold])
            * float((folds == fold).mean())
            for fold, one in classes.items()
        )
        scores = np.zeros(targets.shape)
        for fold, one in classes.items():
            scores[folds == fold] = one.discriminant(spread)(rows[folds == fold])
        scores = scores[:n_seeds]  # those that stand in judge nothing
        loss = fit_powers([scores], problem.seed_targets, among=problem.possible)[1]
        tried.append(_HeldOut(loss, equal_lengths, shrinkage, spread, scores))
    return tried


def _kept(found: Discriminant, position: int, power: float) -> dict[str, NDArray[Any]]:
    return {
        f"lda{position}_weights": found.weights,
        f"lda{position}_bias": found.bias,
        f"lda{position}_unknown": found.unknown,
        f"lda{position}_equal_lengths": np.asarray(found.equal_lengths),
        f"lda{position}_power": number(power),
    }
