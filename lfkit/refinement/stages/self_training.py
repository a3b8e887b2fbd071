"""Third stage: features learn from the labels so far, in rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lfkit.refinement.class_prior import align
from lfkit.refinement.lda_model import ClassMoments, Discriminant, discriminant, moments
from lfkit.refinement.problem import RefinementProblem
from lfkit.refinement.product_of_experts import (
    fit_powers,
    likeliest_powers,
    logs,
    power_of_confidence,
    product,
)
from lfkit.refinement.stages.looks_at_seeds import looks_at_seeds
from lfkit.refinement.stages.stage import (
    Arrays,
    Stage,
    StageContext,
    confirms,
    evenly,
    number,
)

N_ROUNDS = 8
# Features have had their say where seeds taught them; further rounds only drift.
# Fashion-MNIST, 20 seeds per class: .834 before, .828, .822, … .805 after one, two and
# eight; clothes .798 after two and .786 after eight.
N_ROUNDS_AFTER_LDA = 2
_FOLDS = 5
_SHRINKAGE = 0.5
_LEARNED_ROWS = 100_000
_JUDGED_ROWS = 20_000
# How far the shares of the classes are held where nothing tells them: so much they are
# those of the labels before. Held to equal ones instead, photographs of clothes, one
# class of ten a quarter of them, have .647 with 2 seeds per class, and .669 so; with 5
# .695 and .718; digits, all equal, .911 and .906, .965 and .962. Without seeds digits
# by rules alone have .935 where shares are free, .965 so, clothes .661 and .634.
_TO_SHARES_BEFORE = 0.25
# What powers features and the labels before are expected to have where seeds weigh
# them. Likeliest on all images: .1 and .5 to .9 on photographs of clothes, .2 to .4 and
# 0 to .3 on CIFAR-10, 0 to .1 and .5 to 1 on Fashion-MNIST, .2 to .8 and 0 to .7 on
# digits (2 to 20 seeds per class); what is expected changes accuracy little.
_POWERS_AFTER_LDA = (0.5, 0.6)


class SelfTraining(Stage):
    """Rounds of a discriminant that learns from the labels so far.

    Expectation-maximisation of classes that are Gaussians with one covariance, and of
    which the labels before are independent evidence: each round learns the classes
    from the posterior, and multiplies what they say of an image by what was said
    before. Each image is judged by the images of the other folds, so that none confirms
    itself. The features' powers make those labels likeliest that were there before the
    first round.

    Seeds keep their class, and weigh nothing in the rounds: functions that learned from
    a seed have labeled the images that look like it, so that what learns from these is
    right about the seed (92 of 100 where 68 of 100 others were). And after `lda` the
    labels hold what features say: that these make them likely shows nothing, and both
    would count twice. There seeds weigh the product by features that learned without
    any function (see `looks_at_seeds`). With powers of 1 Fashion-MNIST, 20 seeds per
    class, lost a point of accuracy, and its log loss rose from .49 to 2.2; so weighed
    it is .54.
    """

    name: ClassVar[str] = "self-training"

    def why_not(self, problem: RefinementProblem, known: Arrays) -> str | None:
        """Say why there is nothing for it to do, or None."""
        if len(problem.proba) < 2 * _FOLDS:
            return f"{len(problem.proba)} images are too few to learn from"
        if not any(kind.any() for kind in problem.features):
            return "the features are the same for all images"
        if not problem.told.any():
            return "there are neither votes nor seeds of each class to learn from"
        if problem.has_seeds and not problem.has_judges:
            return "the functions have learned from all seeds: none can judge it"
        return None

    def run(
        self, problem: RefinementProblem, known: Arrays, tools: StageContext
    ) -> dict[str, NDArray[Any]]:
        """Give the posterior after the last round, or the best one."""
        started = known["proba"]
        given = None if problem.prior is None else problem.prior.shares
        rounds = _Rounds(problem, started, known.get("class_prior", given))
        now = rounds.start()
        if not confirms(now.looked[rounds.told], started[rounds.told]):
            if problem.has_judges:  # other stages have their say
                return {"proba": started}
            return {"proba": started, "confirmed": number(0)}
        n_rounds = N_ROUNDS_AFTER_LDA if "lda0_weights" in known else N_ROUNDS
        for _ in range(n_rounds - 1):
            now = rounds.next(now)
        if "lda0_weights" in known:
            now = rounds.weighed_by_seeds(now, known)
        arrays = {
            "proba": problem.among_possible(now.proba),
            "confirmed": number(1),
            "looked": now.looked,
            "evidence": rounds.evidence,
            "label_shares": rounds.label_shares,
            "label_power": number(rounds.tempering * now.power_of_labels),
            **rounds.learned(now),
        }
        if "best_features" not in known:
            arrays["best_features"] = np.asarray(now.best_features)
        if "class_prior" not in known and given is None:
            arrays["class_prior"] = now.shares
            arrays["class_prior_how"] = np.asarray(
                "estimated from the images, held to those of the labels before by a "
                "quarter; if you know them, give --class-balance"
            )
        return arrays


@dataclass(frozen=True, eq=False)
class _Round:
    """What one round has found.

    Attributes
    ----------
    labels : (n, k) from which it learned.
    looked : (n, k) what the features say of each image, out of fold.
    powers : of each set of features.
    power_of_labels : of the labels before.
    best_features : the set that alone makes the labels likeliest.
    """

    labels: NDArray[np.float64]
    looked: NDArray[np.float64]
    proba: NDArray[np.float64]
    shares: NDArray[np.float64]
    powers: NDArray[np.float64]
    best_features: int
    power_of_labels: float = 1.0


class _Rounds:
    def __init__(
        self,
        problem: RefinementProblem,
        started: NDArray[np.float64],
        shares: NDArray[np.float64] | None,
    ) -> None:
        n = len(started)
        rng = np.random.default_rng([problem.random_state, n])
        self._problem, self._fixed = problem, shares
        self.told = problem.told
        # Without the classes' shares they are evidence of single images.
        self.label_shares = started[self.told].mean(axis=0)
        seeded = np.isin(np.arange(problem.n_classes), problem.seed_labels)
        named = problem.possible & ((self.label_shares > 0) | seeded)
        self._equal = named / max(int(named.sum()), 1)  # of classes somebody speaks of
        evidence = as_evidence(started, self.label_shares)
        self.tempering = 1.0
        sure = float(evidence[self.told].max(axis=1).mean())
        if not problem.has_seeds and sure > problem.surest:
            self.tempering = power_of_confidence(evidence[self.told], problem.surest)
            evidence = product([logs(evidence)], [self.tempering])
        self.evidence = np.where(self.told[:, None], evidence, self._equal)
        self._folds = rng.permutation(n) % _FOLDS
        # Seeds first, then images of which something is said.
        is_seed = np.isin(np.arange(n), problem.seed_rows)
        order = np.lexsort((rng.permutation(n), ~self.told, ~is_seed))
        self._learned = np.zeros(n, bool)
        self._learned[order[:_LEARNED_ROWS]] = True
        self._learned &= problem.readable
        self._judged = evenly(np.flatnonzero(self.told), _JUDGED_ROWS)

    def start(self) -> _Round:
        """Learn from the votes: images without any are not learned from yet."""
        labels = self._in_line(self.evidence, self._shares(self.evidence))
        labels[~self.told] = 0
        return self._round(self._problem.clamped(labels))

    def next(self, before: _Round) -> _Round:
        return self._round(self._problem.clamped(before.proba))

    def weighed_by_seeds(self, now: _Round, known: Arrays) -> _Round:
        """Weigh what features and the labels before say by held-out seeds."""
        problem = self._problem
        looks, is_told = looks_at_seeds(problem, known, now.powers, _SHRINKAGE)
        judges = np.flatnonzero(problem.judges & is_told)
        if not len(judges):
            return now
        before = self.evidence[problem.seed_rows[judges]]
        (power, of_labels), _ = fit_powers(
            [],
            problem.seed_targets[judges],
            [looks[judges], logs(before)],
            _POWERS_AFTER_LDA,
            among=problem.possible,
        )
        both = product([logs(now.looked), logs(self.evidence)], [power, of_labels])
        shares = self._shares(both)
        return replace(
            now,
            proba=self._in_line(both, shares),
            shares=shares,
            powers=now.powers * power,
            power_of_labels=float(of_labels),
        )

    def learned(self, one: _Round) -> dict[str, NDArray[Any]]:
        """Give the discriminants that new images are shown to."""
        arrays: dict[str, NDArray[Any]] = {}
        for position, kind in enumerate(self._problem.features):
            everyone = _total(self._parts(kind, one.labels))
            found = discriminant(everyone, _SHRINKAGE)
            arrays |= {
                f"self{position}_weights": found.weights,
                f"self{position}_bias": found.bias,
                f"self{position}_unknown": found.unknown,
                f"self{position}_power": number(float(one.powers[position])),
            }
        return arrays

    def _round(self, labels: NDArray[np.float64]) -> _Round:
        problem = self._problem
        scores = [self._out_of_fold(kind, labels) for kind in problem.features]
        judged = np.ix_(self._judged, np.flatnonzero(problem.possible))
        powers, losses = likeliest_powers(
            [one[judged] for one in scores], self.evidence[judged]
        )
        looked = problem.among_possible(product(scores, powers.tolist()))
        both = product([logs(looked), logs(self.evidence)], [1.0, 1.0])
        shares = self._shares(both)
        proba = self._in_line(both, shares)
        return _Round(labels, looked, proba, shares, powers, int(np.argmin(losses)))

    def _shares(self, proba: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the classes' shares: those known, or the mean, held to those before."""
        if self._fixed is not None:
            return self._fixed
        mean = proba[self._problem.readable].mean(axis=0)
        return (1 - _TO_SHARES_BEFORE) * mean + _TO_SHARES_BEFORE * self.label_shares

    def _in_line(
        self, proba: NDArray[np.float64], shares: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        rows = self._problem.readable
        found = proba.copy()
        found[rows] = align(proba[rows], shares)
        return found

    def _parts(
        self, features: NDArray[np.float16], labels: NDArray[np.float64]
    ) -> list[ClassMoments]:
        parts = []
        for fold in range(_FOLDS):
            rows = np.flatnonzero((self._folds == fold) & self._learned)
            parts.append(moments(features[rows], labels[rows]))
        return parts

    def _out_of_fold(
        self, features: NDArray[np.float16], labels: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Score each row by a discriminant of the other folds, (n, k)."""
        parts = self._parts(features, labels)
        everyone = _total(parts)
        scores = np.zeros(labels.shape)
        for fold, part in enumerate(parts):
            rows = np.flatnonzero(self._folds == fold)
            found: Discriminant = discriminant(everyone - part, _SHRINKAGE)
            scores[rows] = found(features[rows])
        return scores


def as_evidence(
    proba: NDArray[np.float64], shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Take the classes' shares out of posteriors, (n, k).

    A class of which nobody speaks stays as it is.
    """
    found = proba / np.where(shares > 0, shares, 1)
    total = found.sum(axis=1, keepdims=True)
    return np.asarray(found / np.where(total > 0, total, 1))


def _total(parts: Sequence[ClassMoments]) -> ClassMoments:
    everyone = parts[0]
    for part in parts[1:]:
        everyone = everyone + part
    return everyone
