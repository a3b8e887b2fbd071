"""GAN-test: whether a classifier of real images agrees with generated pairs."""

from __future__ import annotations

from collections.abc import Sequence
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


class GanTest(Metric):
    """Trains on the real images, with their labels, and tests on generated pairs.

    Shmelkov et al. (2018), https://arxiv.org/abs/1807.09499, section 3.2. It falls with
    wrong labels and unclear images, and is blind to missing classes and variety. Above
    the accuracy on real test images, which stands beside it, the generator may repeat
    what it was trained on. The cross-entropy is ADP's (real data, ADP data),
    https://arxiv.org/abs/1803.05137, table 4, with a smaller network.

    Label fidelity asks the judge, as good a classifier as there is, trained on true
    labels for scoring only. This asks one trained by the recipe of GAN-train, on the
    labels that the real images have: comparable with GAN-train, and as wrong as these.

    The error is the standard deviation over trainings; None with one.
    """

    name: ClassVar[str] = "gan-test"
    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "real", "real labels"})
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
        return missing or why_unlike(generated, real)

    def score(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> Sequence[Score]:
        """Give accuracy and cross-entropy on generated pairs, and on `tools.test`."""
        assert real is not None, "why_not has looked"
        recipe, test = self.recipe, tools.test
        known = draw_pairs(real, recipe.n_images, tools.random_state)
        on = [generated]
        if test is not None and not why_unlike(real, test):
            on.append(test)
        found = train_and_test(recipe, known, on, tools, "GAN-test")
        protocol = protocol_of(
            recipe, tools, {}, n_generated=found[0].n, n_real=len(known), real=real.name
        )
        scores = [
            score_of("GAN-test", found[0].accuracy, "higher", protocol),
            score_of(
                "GAN-test cross-entropy", found[0].cross_entropy, "lower", protocol
            ),
        ]
        if len(on) == 1:
            return scores
        protocol = protocol_of(
            recipe,
            tools,
            {"tested on": f"{found[1].n} of {on[1].name}"},
            n_real=len(known),
            real=real.name,
        )
        return [
            *scores,
            score_of("GAN-test of real images", found[1].accuracy, "higher", protocol),
        ]
