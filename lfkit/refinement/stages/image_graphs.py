"""Graphs of images that look alike, shared by the stages that spread labels on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lfkit.refinement.neighbors import Neighbors, affinity, diffuse
from lfkit.refinement.problem import RefinementProblem
from lfkit.refinement.product_of_experts import as_sure_as
from lfkit.refinement.stages.stage import Arrays, aligned

_ALPHA = 0.8


def graphs(known: Arrays) -> list[Neighbors]:
    """Give the neighbours that the stages before found."""
    names = [name[: -len("_index")] for name in known if name.endswith("_index")]
    return [
        Neighbors(known[f"{name}_index"], known[f"{name}_similarity"])
        for name in sorted(names)
    ]


def spread(
    problem: RefinementProblem,
    proba: NDArray[np.float64],
    neighbors: list[Neighbors],
    known: Arrays,
) -> NDArray[np.float64]:
    """Diffuse, align, and make as sure as the labels before were."""
    start = problem.clamped(proba)
    # LDA's and the votes' powers were fitted on held-out seeds: as sure as right.
    confidence = float(proba.max(axis=1).mean())
    found = diffuse(affinity(neighbors), start, alpha=_ALPHA)
    return as_sure_as(aligned(found, known), confidence)
