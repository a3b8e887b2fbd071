"""Oversampling: SMOTE in the place of a generator, to compare augmentation with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from lfkit.metrics.image_set import ImageSet
from lfkit.metrics.labeled_metric import why_unlike
from lfkit.metrics.metric import Metric, MetricContext, Need, Score
from lfkit.metrics.trained_classifiers import (
    DEFAULT_IMAGES,
    DEFAULT_STEPS,
    Pairs,
    Recipe,
    draw_pairs,
    draw_rows,
    protocol_of,
    score_of,
    train_and_test,
)

_NEIGHBORS = 5  # of Chawla et al.
_SCORES: dict[str, Literal["higher", "lower"]] = {
    "SMOTE gain": "higher",
    "SMOTE gain in cross-entropy": "lower",
    "accuracy, real + SMOTE": "higher",
}


class SmoteGain(Metric):
    """Trains on real images, then on real and SMOTE ones, with as many steps.

    Chawla et al. (2002), https://doi.org/10.1613/jair.953, by imbalanced-learn: points
    between an image and one of its five nearest of the same class, in pixels; of fewer
    where the smallest class that gets new images has no five others. ADP,
    https://arxiv.org/abs/1803.05137, compares with it in figure 4; here its gain stands
    beside that of `augmentation`. There are as many SMOTE images as generated ones, in
    the class shares of the real images; a class with one image gets no others.

    The error is the standard deviation over trainings; None with one.
    """

    name: ClassVar[str] = "oversampling"
    needs: ClassVar[frozenset[Need]] = frozenset({"real", "real labels", "test"})
    slow: ClassVar[bool] = True

    def __init__(
        self,
        *,
        n_steps: int = DEFAULT_STEPS,
        n_trainings: int = 1,
        n_images: int = DEFAULT_IMAGES,
    ) -> None:
        self.recipe = Recipe(n_steps, n_trainings, n_images)

    def why_not(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> str | None:
        """Say what is missing to compute it, or None."""
        if find_spec("imblearn") is None:
            return (
                "it needs the package imbalanced-learn, which is not installed; run: "
                'pip install "lfkit[bench]"'
            )
        missing = super().why_not(generated, real, tools)
        missing = missing or why_unlike(real, tools.test)
        if missing is not None or real is None:
            return missing
        if not len(generated):
            return f"{generated.name} has no images, and SMOTE makes as many"
        rows = draw_rows(real, self.recipe.n_images, tools.random_state)
        return why_no_lines(real.labels[rows], real.name)

    def score(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> Sequence[Score]:
        """Give the gain of real + SMOTE images over real ones alone."""
        assert real is not None, "why_not has looked"
        assert tools.test is not None, "why_not has looked"
        recipe, test = self.recipe, tools.test
        known = draw_pairs(real, recipe.n_images, tools.random_state)
        labels = known.proba.argmax(axis=1)
        why_not = why_no_lines(labels, real.name)
        if why_not is not None:  # images that cannot be read are missing by now
            protocol = protocol_of(recipe, tools, {}, n_real=len(known), real=real.name)
            return [
                Score(metric, math.nan, better, protocol, note=f"{why_not}.")
                for metric, better in _SCORES.items()
            ]
        counts = np.bincount(labels, minlength=real.n_classes)
        n_new = min(len(generated), recipe.n_images)
        new = _shared_out(n_new, np.where(counts > 1, counts, 0))
        n_neighbors = neighbors_of(counts, new)
        added = oversampled(known, new, n_neighbors, tools.random_state)
        (alone,) = train_and_test(recipe, known, [test], tools, "real alone")
        (both,) = train_and_test(recipe, known + added, [test], tools, "real + SMOTE")
        protocol = protocol_of(
            recipe,
            tools,
            {
                "SMOTE images": len(added),
                "neighbours": n_neighbors,
                "tested on": f"{both.n} of {test.name}",
            },
            n_real=len(known),
            real=real.name,
        )
        values = (
            both.accuracy - alone.accuracy,
            both.cross_entropy - alone.cross_entropy,
            both.accuracy,
        )
        return [
            score_of(metric, value, better, protocol)
            for (metric, better), value in zip(_SCORES.items(), values, strict=True)
        ]


def why_no_lines(labels: NDArray[np.int64], name: str) -> str | None:
    """Say why no images can be made of images with labels, (n,), or None."""
    counts = np.bincount(labels)
    if counts.max(initial=0) < 2:
        return f"no class of {name} has two images to draw a line between"
    if np.count_nonzero(counts) < 2:
        return (
            f"all labeled images of {name} are of one class, and SMOTE of "
            "imbalanced-learn takes two"
        )
    return None


def neighbors_of(counts: NDArray[np.int64], new: NDArray[np.int64]) -> int:
    """Give the neighbours that SMOTE chooses from, by images and new ones, (k,)."""
    return min(_NEIGHBORS, int(counts[new > 0].min()) - 1)


def oversampled(
    known: Pairs, new: NDArray[np.int64], n_neighbors: int, random_state: int
) -> Pairs:
    """Make so many SMOTE images of each class, new: (k,), with certain labels."""
    from imblearn.over_sampling import SMOTE

    labels = known.proba.argmax(axis=1)
    smote = SMOTE(
        sampling_strategy={
            c: int((labels == c).sum() + new[c]) for c in np.flatnonzero(new).tolist()
        },
        k_neighbors=n_neighbors,
        random_state=random_state,
    )
    # Those of classes that get no new images too: it refuses a single class.
    rows = known.pixels.reshape(len(known), -1).astype(np.float32)
    found, drawn = smote.fit_resample(rows, labels)
    # It gives back what it got first, then the new ones.
    made = np.rint(found[len(rows) :]).clip(0, 255).astype(np.uint8)
    return Pairs(
        made.reshape(-1, *known.pixels.shape[1:]), np.eye(len(new))[drawn[len(rows) :]]
    )


def _shared_out(n: int, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Share n out in proportion to counts, (k,), by largest remainders."""
    exact = n * counts / counts.sum()
    given = np.floor(exact).astype(np.int64)
    order = np.argsort(given - exact, kind="stable")
    given[order[: n - given.sum()]] += 1
    return given
