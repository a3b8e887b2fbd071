"""Second stage: the classes have their shares."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lfkit.refinement.class_prior import ClassPrior, align, estimate_prior
from lfkit.refinement.problem import RefinementProblem
from lfkit.refinement.stages.stage import Arrays, Stage, StageContext


class Align(Stage):
    """Posteriors rescaled until the classes have the shares given, or estimated.

    Without seeds and without given shares there is nothing to correct the mean
    posterior by, and nothing is done. Worth +.6 to +.75 points where it is right.
    """

    name: ClassVar[str] = "align"

    def why_not(self, problem: RefinementProblem, known: Arrays) -> str | None:
        """Say why there is nothing for it to do, or None."""
        if problem.prior is None and "seed_proba" not in known:
            return "the class prior is not given and no seeds tell it"
        return None

    def run(
        self, problem: RefinementProblem, known: Arrays, tools: StageContext
    ) -> dict[str, NDArray[Any]]:
        """Give aligned posteriors, and the shares."""
        prior = found_prior(problem, known)
        return {
            "proba": align(known["proba"], prior.shares),
            "class_prior": prior.shares,
            "class_prior_how": np.asarray(prior.how),
        }


def found_prior(problem: RefinementProblem, known: Arrays) -> ClassPrior:
    """Give the shares of the classes, from the user or from held-out posteriors."""
    if problem.prior is not None:
        return problem.prior
    if "seed_proba" not in known:
        return estimate_prior(known["proba"])
    return estimate_prior(
        known["proba"],
        seed_proba=known["seed_proba"],
        seed_labels=problem.judge_labels,
    )
