"""Fourth and fifth stage: images that look alike are of one class."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lfkit.refinement.lda_model import metric, moments
from lfkit.refinement.neighbors import (
    Neighbors,
    affinity,
    diffuse,
    nearest_neighbors,
)
from lfkit.refinement.problem import RefinementProblem
from lfkit.refinement.product_of_experts import likeliest_powers, logs, product
from lfkit.refinement.stages.image_graphs import graphs, spread
from lfkit.refinement.stages.stage import Arrays, Stage, StageContext, aligned, evenly

_N_NEIGHBORS = 10
# Beyond this the approximate search is four times as fast at 60,000 images and finds
# 98.6 % of the same neighbours.
_EXACT_UP_TO = 30_000
_SEED_SHRINKAGE = 0.3
_SOFT_SHRINKAGE = 0.05
_LEARNED_ROWS = 60_000
_JUDGED_ROWS = 20_000
_ALPHA = 0.8


class Diffuse(Stage):
    """Diffusion over the neighbours in the space that the seeds whiten.

    Whitened by the covariance within the seeds' classes, two images are near when they
    differ as images of one class do. The metric matters more than how far is diffused.
    """

    name: ClassVar[str] = "diffuse"

    def why_not(self, problem: RefinementProblem, known: Arrays) -> str | None:
        """Say why there is nothing for it to do, or None."""
        return None if problem.has_seeds else "no seeds tell how a class varies"

    def run(
        self, problem: RefinementProblem, known: Arrays, tools: StageContext
    ) -> dict[str, NDArray[Any]]:
        """Give diffused posteriors and the graph."""
        features = _best(problem, known)
        within = moments(features[problem.shown_rows], problem.shown_targets).within
        found = _neighbors(problem, features, within, _SEED_SHRINKAGE)
        return {
            "proba": spread(problem, known["proba"], [found], known),
            "seed_index": found.index,
            "seed_similarity": found.similarity,
            "start": known["proba"],
        }


class DiffuseAgain(Stage):
    """The same with the metric estimated from all images and their labels so far.

    Both graphs are used, and diffusion starts where it started before: from what LDA
    and votes say. Once; a second time changed nothing.
    """

    name: ClassVar[str] = "metric"

    def why_not(self, problem: RefinementProblem, known: Arrays) -> str | None:
        """Say why there is nothing for it to do, or None."""
        if problem.has_seeds or "self0_weights" in known:
            return None
        return "neither seeds nor features that confirm the votes tell who is near"

    def run(
        self, problem: RefinementProblem, known: Arrays, tools: StageContext
    ) -> dict[str, NDArray[Any]]:
        """Give diffused posteriors and the second graph."""
        labels = problem.clamped(known["proba"])
        every = max(1, -(-len(labels) // _LEARNED_ROWS))
        features = _best(problem, known)
        within = moments(features[::every], labels[::every]).within
        found = _neighbors(problem, features, within, _SOFT_SHRINKAGE)
        if problem.has_seeds:
            start = known.get("start", known["proba"])
            proba = spread(problem, start, [*graphs(known), found], known)
        else:
            proba = _with_neighbors(problem, known, found)
        return {
            "proba": proba,
            "soft_index": found.index,
            "soft_similarity": found.similarity,
        }


def _with_neighbors(
    problem: RefinementProblem, known: Arrays, found: Neighbors
) -> NDArray[np.float64]:
    """Take what an image's neighbours are as evidence beside its votes and features.

    Spread labels would replace what three people said of an image by what is said of
    others (.935 instead of .956).
    """
    graph = affinity([found])
    others = graph @ diffuse(graph, problem.clamped(known["proba"]), alpha=_ALPHA)
    others += 1e-6
    others /= others.sum(axis=1, keepdims=True)
    sides = [logs(known["looked"]), logs(others)]
    evidence = known["evidence"]
    rows = evenly(np.flatnonzero(problem.voted & problem.readable), _JUDGED_ROWS)
    powers, _ = likeliest_powers([side[rows] for side in sides], evidence[rows])
    both = product([*sides, logs(evidence)], [*powers.tolist(), 1.0])
    return aligned(both, known)


def _best(problem: RefinementProblem, known: Arrays) -> NDArray[np.float16]:
    """Give the features that told held-out seeds best.

    A graph of these alone was better than one of all (.851, .846), unlike products of
    experts, which weigh each.
    """
    return problem.features[int(known.get("best_features", 0))]


def _neighbors(
    problem: RefinementProblem,
    features: NDArray[np.float16],
    within: NDArray[np.float64],
    shrinkage: float,
) -> Neighbors:
    every = max(1, -(-len(features) // _LEARNED_ROWS))
    sample = features[::every].astype(np.float32)
    center = sample.mean(axis=0)
    gaps = sample - center
    total = (gaps.T @ gaps).astype(np.float64) / max(len(gaps), 1)
    directions = metric(within, total, shrinkage=shrinkage).astype(np.float32)
    points = np.empty((len(features), directions.shape[1]), np.float32)
    for start in range(0, len(points), 8192):
        rows = slice(start, start + 8192)
        points[rows] = (features[rows].astype(np.float32) - center) @ directions
    return nearest_neighbors(
        points,
        _N_NEIGHBORS,
        exact_up_to=_EXACT_UP_TO,
        random_state=problem.random_state,
        device=problem.device,
    )
