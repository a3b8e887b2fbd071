"""First stage: shrinkage LDA on the features, times what the votes say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lfkit.data.folds import deal_folds
from lfkit.refinement.lda_model import ClassMoments, Discriminant, discriminant, moments
from lfkit.refinement.problem import RefinementProblem
from lfkit.refinement.product_of_experts import fit_powers, logs, product
from lfkit.refinement.stages.stage import Arrays, Stage, StageContext, number

_SHRINKAGES = (0.03, 0.1, 0.3, 0.6)
_SEED_FOLDS = 10
_ROW_FOLDS = 5
# With 200 rows .05 was as good as guessing, with 10,000 it is best.
_ROW_SHRINKAGES = (0.05, 0.2, 0.5, 0.8)
# Of each voted class, the rows whose features speak most against it (confident
# learning: Northcutt et al. 2021, https://arxiv.org/abs/1911.00068).
_PRUNED = 0.2
_LEARNED_ROWS = 100_000
_JUDGED_ROWS = 20_000
_LEAST_VOTE_POWER = 0.2


class Lda(Stage):
    """A product of two experts: a discriminant on the features, and the votes.

    With seeds of every class that votes name the discriminant learns from them alone;
    of other classes it would know nothing, and deny them all images. Its shrinkage and
    both powers are the likeliest on held-out seeds (raw LDA is wildly
    overconfident: powers come out between 1/10 and 1/200). Seeds from which the votes
    have learned never weigh the votes; where only such seeds are known, the votes get a
    fifth of their weight. Without such seeds it learns from the votes of other images,
    out of fold, once, after pruning: learning from its own answer again made it worse
    each time (.761, .759, .755). The votes then keep their full weight where the
    features agree with them less than the votes claim to be right, and a fifth of it
    elsewhere.
    """

    name: ClassVar[str] = "lda"

    def why_not(self, problem: RefinementProblem, known: Arrays) -> str | None:
        """Say why there is nothing for it to do, or None."""
        if not problem.has_seeds and len(problem.proba) < 2 * _ROW_FOLDS:
            return (
                f"{len(problem.proba)} images without two seeds in two classes are too "
                "few to learn from"
            )
        if not any(kind.any() for kind in problem.features):
            return "the features are the same for all images"
        return None

    def run(
        self, problem: RefinementProblem, known: Arrays, tools: StageContext
    ) -> dict[str, NDArray[Any]]:
        """Give the product, and the discriminant that new images are shown to."""
        return _from_seeds(problem) if problem.has_seeds else _from_votes(problem)


def _from_seeds(problem: RefinementProblem) -> dict[str, NDArray[Any]]:
    targets = problem.seed_targets
    seen = [_held_out(kind, problem) for kind in problem.features]
    votes = logs(problem.proba[problem.seed_rows])
    on_seeds = [one.scores for one in seen] + [votes]
    powers = _powers(on_seeds, problem)
    held_out = product(on_seeds, powers.tolist())
    experts: list[NDArray[np.float64]] = []
    arrays: dict[str, NDArray[Any]] = {}
    for position, (kind, one) in enumerate(zip(problem.features, seen, strict=True)):
        everyone = moments(kind[problem.seed_rows], targets)
        found = discriminant(everyone, one.shrinkage)
        experts.append(found(kind))
        arrays |= _kept(found, position, float(powers[position]))
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
    scores: list[NDArray[np.float64]], problem: RefinementProblem
) -> NDArray[np.float64]:
    """Weigh the experts, the votes last, by held-out seeds.

    Where the votes have learned from too many of them, only features are so weighed.
    """
    if problem.has_judges:
        return fit_powers(scores, problem.seed_targets)[0]
    powers, _ = fit_powers(scores[:-1], problem.seed_targets)
    return np.append(powers, _LEAST_VOTE_POWER)


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """Scores of held-out seeds, (s, k), at its best."""

    loss: float
    shrinkage: float
    scores: NDArray[np.float64]


def _held_out(features: NDArray[np.float16], problem: RefinementProblem) -> _HeldOut:
    rows, targets = features[problem.seed_rows], problem.seed_targets
    folds = deal_folds(problem.seed_labels, _SEED_FOLDS, problem.random_state)
    everyone = moments(rows, targets)
    trained = {
        fold: everyone - moments(rows[folds == fold], targets[folds == fold])
        for fold in np.unique(folds)
    }
    found = []
    for shrinkage in _SHRINKAGES:
        scores = np.zeros(targets.shape)
        for fold, without in trained.items():
            test = folds == fold
            scores[test] = discriminant(without, shrinkage)(rows[test])
        found.append(_HeldOut(fit_powers([scores], targets)[1], shrinkage, scores))
    return min(found, key=lambda one: one.loss)


def _from_votes(problem: RefinementProblem) -> dict[str, NDArray[Any]]:
    n = len(problem.proba)
    rng = np.random.default_rng([problem.random_state, n])
    folds = rng.permutation(n) % _ROW_FOLDS
    voted = problem.proba[problem.voted]
    prior = voted.mean(axis=0) if len(voted) else problem.proba.mean(axis=0)
    told = problem.readable & problem.voted
    told &= rng.permutation(n) < _LEARNED_ROWS
    weights = np.where(told[:, None], problem.proba, 0)
    base = np.broadcast_to(logs(prior), problem.proba.shape)
    fits = []
    for kind in problem.features:
        looked, _, _, _ = _out_of_fold(kind, weights, folds, base)
        pruned = _pruned(weights, looked)
        fits.append(_out_of_fold(kind, pruned, folds, base))
    # The features that tell most of the votes; each other's would not be held out.
    best = int(np.argmin([loss for *_, loss in fits]))
    looked, found, power, _ = fits[best]
    vote_power = _vote_power(looked[told], problem.proba[told])
    if vote_power is None:
        return {"proba": problem.proba, "confirmed": number(0)}
    votes = logs(problem.proba) - base  # the prior counts once
    proba = product([logs(looked), votes], [1, vote_power])
    shifted = Discriminant(found.weights, found.bias + base[0], found.unknown)
    return {
        **_kept(shifted, best, power),
        "proba": proba,
        "vote_power": number(vote_power),
        "best_features": np.asarray(best),
        "looked": looked,
        "vote_prior": prior,
        "confirmed": number(1),
    }


def _out_of_fold(
    features: NDArray[np.float16],
    weights: NDArray[np.float64],
    folds: NDArray[np.int64],
    base: NDArray[np.float64],
) -> tuple[NDArray[np.float64], Discriminant, float, float]:
    """Give each row's posterior by a discriminant of the other folds.

    Its shrinkage and power make the weights likeliest. Also gives one of all rows, the
    power, and the loss.

    Parameters
    ----------
    base : (n, k) logarithms of the classes' shares.
    """
    parts: list[ClassMoments] = []
    for fold in range(_ROW_FOLDS):
        rows = np.flatnonzero((folds == fold) & weights.any(axis=1))
        parts.append(moments(features[rows], weights[rows]))
    everyone = parts[0]
    for part in parts[1:]:
        everyone = everyone + part
    least = np.inf
    for shrinkage in _ROW_SHRINKAGES:
        scores = base.copy()
        for fold, part in enumerate(parts):
            rows = np.flatnonzero(folds == fold)
            learned = discriminant(everyone - part, shrinkage)
            scores[rows] += learned(features[rows])
        told = np.flatnonzero(weights.any(axis=1))[:_JUDGED_ROWS]
        powers, loss = fit_powers([scores[told]], weights[told])
        if loss < least:
            least, best, power = loss, shrinkage, float(powers[0])
            looked = product([scores], [power])
    return looked, discriminant(everyone, best), power, least


def _pruned(
    weights: NDArray[np.float64], looked: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Drop the share of each voted class's rows that the features deny most."""
    kept = weights.copy()
    voted = weights.argmax(axis=1)
    for label in np.unique(voted):
        rows = np.flatnonzero((voted == label) & weights.any(axis=1))
        order = np.argsort(looked[rows, label], kind="stable")
        kept[rows[order[: int(_PRUNED * len(rows))]]] = 0
    return kept


def _vote_power(
    looked: NDArray[np.float64], votes: NDArray[np.float64]
) -> float | None:
    """Weigh the votes beside features that learned from them; None: features fail.

    If features and votes err apart from one another, their agreement tells how often
    the features are right.
    """
    if not len(votes):
        return None
    k = votes.shape[1]
    a, b = looked.argmax(axis=1), votes.argmax(axis=1)
    shares = [np.bincount(c, minlength=k) / len(c) for c in (a, b)]
    agreement, chance = float((a == b).mean()), float(shares[0] @ shares[1])
    claimed = float(votes.max(axis=1).mean())
    if agreement <= (chance + claimed) / 2:
        return None
    wrong = (1 - claimed) / max(k - 1, 1)
    right = (agreement - wrong) / max(claimed - wrong, 1e-9)
    return 1.0 if right < claimed else _LEAST_VOTE_POWER


def _kept(found: Discriminant, position: int, power: float) -> dict[str, NDArray[Any]]:
    return {
        f"lda{position}_weights": found.weights,
        f"lda{position}_bias": found.bias,
        f"lda{position}_unknown": found.unknown,
        f"lda{position}_power": number(power),
    }
