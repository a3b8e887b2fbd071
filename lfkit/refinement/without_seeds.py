"""What is said of images without any seed, beside what seeds have taught."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.folds import FOLDS, deal_folds
from lfkit.refinement.class_prior import align
from lfkit.refinement.problem import RefinementProblem
from lfkit.refinement.product_of_experts import as_sure_as, fit_powers, logs, product

WITHOUT_SEEDS = "without-seeds"  # its row among those of the stages
# As many seeds per class as what is made without seeds is expected to be worth: of n
# seeds the labels so far are expected to have a power of n / (n + 5), these the rest.
# Few seeds cannot tell it. With (.2, .5) for any number 2 seeds per class are as good,
# 5 and 20 take half a point from photographs and from digits.
_WORTH = 5


@dataclass(frozen=True, eq=False)
class LabelsWithoutSeeds:
    """Labels by functions that need no seeds, refined without any.

    Functions that learn from two seeds of a class are many and often wrong, and they
    outvote the few that need none: digits labeled by rules alone were .970 right, and
    with 2 seeds per class beside them .886 to .959. So that more seeds do not make
    labels worse, both are made, and multiplied. These have seen no seed: each seed that
    judges tells how far they are right.

    Attributes
    ----------
    proba : (n, k), not calibrated.
    seconds : it took to make them.
    """

    proba: NDArray[np.float64]
    seconds: float

    def taken_in(
        self,
        problem: RefinementProblem,
        proba: NDArray[np.float64],
        on_seeds: NDArray[np.float64] | None,
    ) -> tuple[dict[str, NDArray[Any]], NDArray[np.float64] | None]:
        """Multiply labels by these; each to its likeliest power on held-out seeds.

        Where no seed judges, powers are as expected, and labels as sure as before.

        Parameters
        ----------
        proba : (n, k) the labels so far.
        on_seeds : (j, k) what these are on the judging seeds, held out; None: no seed
            judges.

        Returns
        -------
        "proba" and "pool_powers" (2,), and (j, k) the product on the judging seeds, by
        powers of the other folds' seeds.
        """
        powers, now = _expected(problem.seed_labels), None
        if on_seeds is not None:
            sides = np.stack([logs(on_seeds), logs(self.proba[problem.judge_rows])])
            now = np.zeros(on_seeds.shape)
            folds = deal_folds(problem.judge_labels, FOLDS, problem.random_state)
            for fold in np.unique(folds):
                test = folds == fold
                held_out = _powers(problem, sides, ~test)
                now[test] = product([*sides[:, test]], held_out.tolist())
            now = problem.among_possible(now)
            powers = _powers(problem, sides, np.ones(len(folds), bool))
        both = product([logs(proba), logs(self.proba)], powers.tolist())
        both = problem.among_possible(both)
        if problem.prior is not None:
            both = align(both, problem.prior.shares)
        if on_seeds is None:
            both = as_sure_as(both, float(proba.max(axis=1).mean()))
        return {"proba": both, "pool_powers": powers}, now


def _expected(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the powers that both sides are expected to have, (2,), by these seeds."""
    n = len(labels) / max(1, len(np.unique(labels)))
    return np.array([n, _WORTH]) / (n + _WORTH)


def _powers(
    problem: RefinementProblem, sides: NDArray[np.float64], seeds: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Give the likeliest powers of both sides, (2, j, k) logarithms, on some seeds."""
    targets = np.eye(problem.n_classes)[problem.judge_labels[seeds]]
    said, expected = [*sides[:, seeds]], _expected(problem.seed_labels)
    return fit_powers([], targets, said, expected.tolist(), among=problem.possible)[0]
