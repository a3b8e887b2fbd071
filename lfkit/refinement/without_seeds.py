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
# As many seeds per class as what is made without seeds is expected to be worth: where
# there are n, n / (n + 5) of the product is expected to be the labels so far.
_WORTH = 5
# How far the share may be off, as a standard deviation: few seeds cannot tell it. With
# .4 clothes on black with 2 seeds per class lose a point, with .15 photographs of
# clothes lose one.
_SPREAD = 0.25
_SHARES = np.linspace(0, 1, 21)  # that are tried
_LEAST_POWER = 1e-3  # with none at all no class would be the likeliest


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
        share, now = _expected_share(problem.seed_labels), None
        powers = np.array([share, 1 - share])
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


def _expected_share(labels: NDArray[np.int64]) -> float:
    """Give how much of the product labels by these seeds are expected to be."""
    n = len(labels) / max(1, len(np.unique(labels)))
    return n / (n + _WORTH)


def _powers(
    problem: RefinementProblem, sides: NDArray[np.float64], seeds: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Give the likeliest powers of both sides, (2, j, k) logarithms, on some seeds.

    Their share is drawn to the expected one, and their sum to 1.
    """
    targets = np.eye(problem.n_classes)[problem.judge_labels[seeds]]
    expected = _expected_share(problem.seed_labels)
    least, found = np.inf, np.zeros(2)
    for share in _SHARES:
        sizes = np.array([share, 1 - share])
        both = np.tensordot(sizes, sides[:, seeds], axes=1)
        power, loss = fit_powers([], targets, [both], [1.0], among=problem.possible)
        off = (share - expected) / _SPREAD
        if (total := loss * len(targets) + off**2 / 2) < least:
            least, found = total, sizes * max(float(power[0]), _LEAST_POWER)
    return found
