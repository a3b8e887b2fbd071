"""What is said of images without any seed, beside what seeds have taught."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.refinement.class_prior import align
from lfkit.refinement.problem import RefinementProblem
from lfkit.refinement.product_of_experts import fit_powers, logs, product

WITHOUT_SEEDS = "without-seeds"  # its row among those of the stages
# What powers the labels so far and those without seeds are expected to have.
_EXPECTED = (0.2, 0.5)


@dataclass(frozen=True, eq=False)
class LabelsWithoutSeeds:
    """Labels by functions that need no seeds, refined without any.

    Functions that learn from two seeds of a class are many and often wrong, and they
    outvote the few that need none: digits labeled by rules alone were .970 right, and
    with 2 seeds per class beside them .886 to .959. So that more seeds do not make
    labels worse, both are made, and multiplied. These have seen no seed: all seeds that
    judge tell how far they are right.

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

        Parameters
        ----------
        proba : (n, k) the labels so far.
        on_seeds : (j, k) what these are on the judging seeds, held out; None: no seed
            judges, and powers are as expected.

        Returns
        -------
        "proba" and "pool_powers" (2,), and (j, k) the product on the judging seeds.
        """
        powers, now = np.asarray(_EXPECTED), None
        if on_seeds is not None:
            sides = [logs(on_seeds), logs(self.proba[problem.judge_rows])]
            targets = np.eye(problem.n_classes)[problem.judge_labels]
            powers, _ = fit_powers(
                [], targets, sides, _EXPECTED, among=problem.possible
            )
            now = problem.among_possible(product(sides, powers.tolist()))
        both = product([logs(proba), logs(self.proba)], powers.tolist())
        both = problem.among_possible(both)
        if problem.prior is not None:
            both = align(both, problem.prior.shares)
        return {"proba": both, "pool_powers": powers}, now
