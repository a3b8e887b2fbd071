"""FID: how far apart two sets lie, as Gaussians in the space of features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lfkit.metrics.feature_statistics import Moments, extracted
from lfkit.metrics.image_set import ImageSet
from lfkit.metrics.metric import Metric, MetricContext, Protocol, Score

_ENOUGH_PER_FEATURE = 10


class FrechetDistance(Metric):
    """The Fréchet distance of features, and of each class's where both have labels.

    Heusel et al. (2017), https://arxiv.org/abs/1706.08500. It is 0 for equal moments,
    and biased upwards by few images. The intra-class distance (Miyato & Koyama 2018,
    https://arxiv.org/abs/1802.05637) compares generated images labeled y with real
    ones of class y; it also sees labels that do not fit their images.
    """

    name = "fid"
    needs = frozenset({"real", "extractor"})

    def score(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> Sequence[Score]:
        """Give FID, and with labels on both sides each class's and their mean."""
        assert real is not None, "see needs"
        ours, theirs = extracted(generated, tools), extracted(real, tools)
        protocol = Protocol(
            extractor=ours.extractor,
            n_generated=ours.n,
            n_real=theirs.n,
            real=real.name,
            seed=tools.random_state,
            checkpoint=tools.checkpoint,
        )
        found = [_score("FID", ours.moments, theirs.moments, protocol)]
        if generated.proba is None or real.proba is None:
            return found
        if ours.of_class is None or theirs.of_class is None:
            note = (
                f"{max(generated.n_classes, real.n_classes)} classes of "
                f"{len(ours.moments.mean)} features are too many for their covariances."
            )
            nothing = Score("intra-class FID", math.nan, "lower", protocol, note=note)
            return [*found, nothing]
        absent = Moments(0, ours.moments.mean, ours.moments.covariance)
        classes = [
            replace(
                _score(
                    f"intra-class FID, class {label}",
                    ours.of_class.get(label, absent),
                    theirs.of_class.get(label, absent),
                    protocol,
                ),
                part_of="intra-class FID of a class",
            )
            for label in sorted({*ours.of_class, *theirs.of_class})
        ]
        return [*found, _mean(classes, protocol), *classes]


def frechet_distance(a: Moments, b: Moments) -> float:
    """Squared distance of two Gaussians (Dowson & Landau 1982).

    Tr √(S₁S₂) is the sum of the roots of the eigenvalues of √S₁ S₂ √S₁, which is
    symmetric: they are real, and those below 0 are rounding.

    >>> here = Moments(9, np.array([0.0]), np.array([[1.0]]))
    >>> frechet_distance(here, Moments(9, np.array([3.0]), np.array([[4.0]])))
    10.0
    """
    root = _root(a.covariance)
    eigenvalues = np.linalg.eigvalsh(root @ b.covariance @ root)
    overlap = np.sqrt(eigenvalues.clip(0)).sum()
    away = a.mean - b.mean
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * overlap
    return float(away @ away + spread)


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


def _score(name: str, ours: Moments, theirs: Moments, protocol: Protocol) -> Score:
    protocol = replace(protocol, n_generated=ours.n, n_real=theirs.n)
    few = min(ours.n, theirs.n)
    if few < 2:
        note = f"{few} images on one side have no covariance."
        return Score(name, math.nan, "lower", protocol, note=note)
    note, wanted = "", _ENOUGH_PER_FEATURE * len(ours.mean)
    if few < wanted:
        note = f"too high, by {few:,} images where {wanted:,} would be enough."
    return Score(name, frechet_distance(ours, theirs), "lower", protocol, note=note)


def _mean(classes: Sequence[Score], protocol: Protocol) -> Score:
    values = [score.value for score in classes if not math.isnan(score.value)]
    if not values:
        note = "no class has two labeled images on both sides."
        return Score("intra-class FID", math.nan, "lower", protocol, note=note)
    note = next((score.note for score in classes if score.note), "")
    if len(values) < len(classes):
        note = (
            f"of {len(values)} of {len(classes)} classes: the others have too few "
            "images on one side."
        )
    value = float(np.mean(values))
    return Score("intra-class FID", value, "lower", protocol, note=note)
