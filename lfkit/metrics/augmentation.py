"""Augmentation: what generated pairs add to real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from lfkit.metrics.image_set import ImageSet
from lfkit.metrics.labeled_metric import why_unlike
from lfkit.metrics.metric import Metric, MetricContext, Need, Score
from lfkit.metrics.trained_classifiers import (
    DEFAULT_IMAGES,
    DEFAULT_STEPS,
    Recipe,
    draw_pairs,
    protocol_of,
    score_of,
    train_and_test,
)


class AugmentationGain(Metric):
    """Trains on real images, then on real and generated ones, with as many steps.

    Pal & Balasubramanian (2018), https://arxiv.org/abs/1803.05137, table 4: (real,
    real) beside (ADP + real, real), with a smaller network. The real images have the
    labels they come with. Both trainings of a pair start from the same seed.

    The error is the standard deviation over trainings; None with one.
    """

    name: ClassVar[str] = "augmentation"
    needs: ClassVar[frozenset[Need]] = frozenset(
        {"labels", "real", "real labels", "test"}
    )
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
        missing = super().why_not(generated, real, tools)
        return missing or why_unlike(generated, real, tools.test)

    def score(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> Sequence[Score]:
        """Give the gain in accuracy on `tools.test`, and what it is the difference of.

        A gain above 0 says that generated pairs help; one in cross-entropy lies below.
        """
        assert real is not None, "why_not has looked"
        assert tools.test is not None, "why_not has looked"
        recipe, test = self.recipe, tools.test
        known = draw_pairs(real, recipe.n_images, tools.random_state)
        added = draw_pairs(generated, recipe.n_images, tools.random_state)
        (alone,) = train_and_test(recipe, known, [test], tools, "real alone")
        (both,) = train_and_test(
            recipe, known + added, [test], tools, "real + generated"
        )
        details: dict[str, float | str] = {"tested on": f"{both.n} of {test.name}"}
        without = protocol_of(recipe, tools, details, n_real=len(known), real=real.name)
        protocol = replace(without, n_generated=len(added), checkpoint=tools.checkpoint)
        return [
            score_of(
                "augmentation gain", both.accuracy - alone.accuracy, "higher", protocol
            ),
            score_of(
                "augmentation gain in cross-entropy",
                both.cross_entropy - alone.cross_entropy,
                "lower",
                protocol,
            ),
            score_of("accuracy, real + generated", both.accuracy, "higher", protocol),
            score_of("accuracy, real alone", alone.accuracy, "higher", without),
            score_of(
                "test cross-entropy, real + generated",
                both.cross_entropy,
                "lower",
                protocol,
            ),
            score_of(
                "test cross-entropy, real alone", alone.cross_entropy, "lower", without
            ),
        ]
