"""Last stage: what network and features say together, spread over all graphs."""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import NDArray

from lfkit.refinement.problem import RefinementProblem
from lfkit.refinement.product_of_experts import as_sure_as, logs, product
from lfkit.refinement.stages.image_graphs import graphs, spread
from lfkit.refinement.stages.stage import Arrays, Stage, StageContext, aligned

# The network learned from the labels it is multiplied with: neither is worth its whole
# power.
JOINT_POWER = 1 / 1.5
_PRIOR_POWER = 0.5


class Joint(Stage):
    """The network's posterior times the labels it learned from, diffused once more.

    With seeds both have the power 1 / 1.5, and the graphs in the space of features and
    of the network are used. Without seeds the labels have the power 1/2, and diffusion,
    which gained nothing there, is left out.
    """

    name: ClassVar[str] = "joint"
    cheap: ClassVar[bool] = False

    def why_not(self, problem: RefinementProblem, known: Arrays) -> str | None:
        """Say why there is nothing for it to do, or None."""
        return None if "network_proba" in known else "there is no network to join"

    def run(
        self, problem: RefinementProblem, known: Arrays, tools: StageContext
    ) -> dict[str, NDArray[Any]]:
        """Give the final posterior."""
        before, network = logs(known["proba"]), logs(known["network_proba"])
        confidence = float(known["proba"].max(axis=1).mean())
        if not problem.has_seeds:
            both = product([network, before], [1, _PRIOR_POWER])
            return {"proba": as_sure_as(aligned(both, known), confidence)}
        both = aligned(product([network, before], [JOINT_POWER] * 2), known)
        both = as_sure_as(both, confidence)
        return {"proba": spread(problem, both, graphs(known), known)}
