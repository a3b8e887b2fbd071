"""GAN-train: what a classifier learns from generated pairs alone."""

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


class GanTrain(Metric):
    """Trains on generated pairs, tests on real images of known class.

    Shmelkov et al. (2018), https://arxiv.org/abs/1807.09499, section 3.1; the
    classification accuracy score of Ravuri & Vinyals (2019),
    https://arxiv.org/abs/1905.10887, is the same. It falls with wrong labels, with
    images that look like none, and with classes or variety left out. The cross-entropy
    is ADP's (ADP data, real data), https://arxiv.org/abs/1803.05137, table 4, with a
    smaller network.

    With labeled real images there is a ceiling: the same training on as many of them,
    with the labels they have. It is one only if those are true.

    The error is the standard deviation over trainings; None with one.
    """

    name: ClassVar[str] = "gan-train"
    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "test"})
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
        return missing or why_unlike(generated, tools.test)

    def score(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> Sequence[Score]:
        """Give accuracy and cross-entropy on `tools.test`, and their ceilings."""
        assert tools.test is not None, "why_not has looked"
        test, recipe = tools.test, self.recipe
        pairs = draw_pairs(generated, recipe.n_images, tools.random_state)
        (found,) = train_and_test(recipe, pairs, [test], tools, "GAN-train")
        protocol = protocol_of(
            recipe,
            tools,
            {"trained on": generated.name},
            n_generated=len(pairs),
            n_real=found.n,
            real=test.name,
        )
        scores = [
            score_of("GAN-train", found.accuracy, "higher", protocol),
            score_of("GAN-train cross-entropy", found.cross_entropy, "lower", protocol),
        ]
        if real is None or real.proba is None or why_unlike(real, test):
            return scores
        known = draw_pairs(real, len(pairs), tools.random_state)
        (most,) = train_and_test(recipe, known, [test], tools, "GAN-train ceiling")
        protocol = protocol_of(
            recipe,
            tools,
            {"trained on": f"{len(known)} of {real.name}"},
            n_real=most.n,
            real=test.name,
        )
        note = ""
        if len(known) < len(pairs):
            note = f"There are {len(pairs)} generated images and fewer real ones."
        return [
            *scores,
            score_of("GAN-train ceiling", most.accuracy, "higher", protocol, note),
            score_of(
                "GAN-train cross-entropy ceiling",
                most.cross_entropy,
                "lower",
                protocol,
                note,
            ),
        ]
