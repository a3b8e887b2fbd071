"""Precision, recall, density, coverage: which share of one set the other reaches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfkit.metrics.feature_statistics import extracted
from lfkit.metrics.image_set import ImageSet
from lfkit.metrics.metric import Metric, MetricContext, Protocol, Score

_N_NEIGHBORS = 5
_AT_ONCE = 512  # rows whose distances to all others are held: 40 MB for 10,000


class Neighborhoods(Metric):
    """Four shares, by balls around images that reach to their fifth neighbour.

    Precision and recall: Kynkäänniemi et al. (2019), https://arxiv.org/abs/1904.06991.
    Density and coverage: Naeem et al. (2020), https://arxiv.org/abs/2002.09797, which
    outliers mislead less. Precision and density fall with bad images, recall and
    coverage with missing ones. Both sides have the same number of images, since the
    balls shrink as they grow many.
    """

    name = "prdc"
    needs = frozenset({"real", "extractor"})

    def score(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> Sequence[Score]:
        """Give the four shares; density may exceed 1."""
        assert real is not None, "see needs"
        ours, theirs = extracted(generated, tools), extracted(real, tools)
        n = min(len(ours.rows), len(theirs.rows))
        protocol = Protocol(
            extractor=ours.extractor,
            n_generated=n,
            n_real=n,
            real=real.name,
            seed=tools.random_state,
            checkpoint=tools.checkpoint,
            details={"neighbours": _N_NEIGHBORS},
        )
        names = ("precision", "recall", "density", "coverage")
        if n <= _N_NEIGHBORS:
            note = f"{n} images on one side have no {_N_NEIGHBORS} neighbours."
            return [
                Score(name, math.nan, "higher", protocol, note=note) for name in names
            ]
        found = neighborhoods(ours.rows[:n], theirs.rows[:n], _N_NEIGHBORS)
        return [Score(name, getattr(found, name), "higher", protocol) for name in names]


@dataclass(frozen=True)
class Shares:
    """How two sets of rows lie in one another."""

    precision: float
    recall: float
    density: float
    coverage: float


def neighborhoods(
    generated: NDArray[np.floating], real: NDArray[np.floating], n_neighbors: int
) -> Shares:
    """Compare (n, d) with (m, d) rows; more than `n_neighbors` on both sides."""
    # Around one centre, where distances lose the least to rounding.
    centre = real.mean(axis=0, dtype=np.float64)
    ours, theirs = generated - centre, real - centre
    our_radius = _radii(ours, n_neighbors)
    their_radius = _radii(theirs, n_neighbors)
    reached = np.zeros(len(theirs), np.bool_)
    covered = np.zeros(len(theirs), np.bool_)
    balls = np.zeros(len(ours), np.int64)  # of real images, around each of ours
    for part, squares in _squared_distances(theirs, ours):
        inside = squares <= their_radius[part, None]
        balls += inside.sum(axis=0)
        covered[part] = inside.any(axis=1)
        reached[part] = (squares <= our_radius).any(axis=1)
    return Shares(
        precision=float((balls > 0).mean()),
        recall=float(reached.mean()),
        density=float(balls.mean() / n_neighbors),
        coverage=float(covered.mean()),
    )


def _radii(rows: NDArray[np.float64], n_neighbors: int) -> NDArray[np.float64]:
    """Squared distances to the so-manieth other row, (n,)."""
    radii = np.empty(len(rows))
    for part, squares in _squared_distances(rows, rows):
        own = np.arange(len(squares))
        squares[own, own + part.start] = np.inf
        radii[part] = np.partition(squares, n_neighbors - 1, axis=1)[:, n_neighbors - 1]
    return radii


def _squared_distances(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    lengths, turned = (y**2).sum(axis=1), -2 * y.T
    for start in range(0, len(x), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        squares = x[part] @ turned
        squares += lengths
        squares += (x[part] ** 2).sum(axis=1)[:, None]
        yield part, squares
