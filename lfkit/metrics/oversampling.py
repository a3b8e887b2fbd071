"""Oversampling: SMOTE in the place of a generator, to compare augmentation with."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lfkit.metrics.image_set import ImageSet
from lfkit.metrics.labeled import why_unlike
from lfkit.metrics.metric import Metric, Need, Score, Tools
from lfkit.metrics.training import (
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


class SmoteGain(Metric):
    """Trains on real images, then on real and SMOTE ones, with as many steps.

    Chawla et al. (2002), https://doi.org/10.1613/jair.953, by imbalanced-learn: points
    between an image and one of its five nearest of the same class, in pixels. ADP,
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
        self, generated: ImageSet, real: ImageSet | None, tools: Tools
    ) -> str | None:
        """Say what is missing to compute it, or None."""
        if find_spec("imblearn") is None:
            return (
                "it needs the package imbalanced-learn, which is not installed; run: "
                'pip install "lfkit[bench]"'
            )
        missing = super().why_not(generated, real, tools)
        missing = missing or why_unlike(real, tools.test)
        if missing is None and real is not None:
            rows = draw_rows(real, self.recipe.n_images, tools.random_state)
            if np.bincount(real.labels[rows]).max() < 2:
                return f"no class of {real.name} has two images to draw a line between"
        return missing

    def score(
        self, generated: ImageSet, real: ImageSet | None, tools: Tools
    ) -> Sequence[Score]:
        """Give the gain of real + SMOTE images over real ones alone."""
        assert real is not None, "why_not has looked"
        assert tools.test is not None, "why_not has looked"
        recipe, test = self.recipe, tools.test
        known = draw_pairs(real, recipe.n_images, tools.random_state)
        n_new = min(len(generated), recipe.n_images)
        added = _oversampled(known, n_new, tools.random_state)
        (alone,) = train_and_test(recipe, known, [test], tools, "real alone")
        (both,) = train_and_test(recipe, known + added, [test], tools, "real + SMOTE")
        protocol = protocol_of(
            recipe,
            tools,
            {"SMOTE images": len(added), "tested on": f"{both.n} of {test.name}"},
            n_real=len(known),
            real=real.name,
        )
        return [
            score_of("SMOTE gain", both.accuracy - alone.accuracy, "higher", protocol),
            score_of(
                "SMOTE gain in cross-entropy",
                both.cross_entropy - alone.cross_entropy,
                "lower",
                protocol,
            ),
            score_of("accuracy, real + SMOTE", both.accuracy, "higher", protocol),
        ]


def _oversampled(known: Pairs, n_new: int, random_state: int) -> Pairs:
    """Make new images, (n_new, h, w, c), with certain labels."""
    from imblearn.over_sampling import SMOTE

    k = known.proba.shape[1]
    labels = known.proba.argmax(axis=1)
    counts = np.bincount(labels, minlength=k)
    new = _shared_out(n_new, np.where(counts > 1, counts, 0))
    classes = np.flatnonzero(new)
    smote = SMOTE(
        sampling_strategy={int(c): int(counts[c] + new[c]) for c in classes},
        k_neighbors=int(min(_NEIGHBORS, counts[classes].min() - 1)),
        random_state=random_state,
    )
    used = np.isin(labels, classes)
    rows = known.pixels[used].reshape(int(used.sum()), -1).astype(np.float32)
    found, drawn = smote.fit_resample(rows, labels[used])
    # It gives back what it got first, then the new ones.
    made = np.rint(found[len(rows) :]).clip(0, 255).astype(np.uint8)
    return Pairs(
        made.reshape(-1, *known.pixels.shape[1:]), np.eye(k)[drawn[len(rows) :]]
    )


def _shared_out(n: int, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Share n out in proportion to counts, (k,), by largest remainders."""
    exact = n * counts / counts.sum()
    given = np.floor(exact).astype(np.int64)
    order = np.argsort(given - exact, kind="stable")
    given[order[: n - given.sum()]] += 1
    return given
