"""Cross-entropy: how surprised an independent classifier is by the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from lfkit.metrics.image_set import ImageSet
from lfkit.metrics.labeled_metric import judged, left_out, why_unlabeled, why_unlike
from lfkit.metrics.metric import Metric, MetricContext, Need, Protocol, Score

# A judge in float32 gives 0 to what it all but excludes; one such image must not
# outweigh all others.
_LEAST = 1e-12


class CrossEntropy(Metric):
    """Mean of -log p(most probable label | image) over generated pairs, in nats.

    Pal & Balasubramanian (2018), https://arxiv.org/abs/1803.05137, section 4.4 and
    figure 4: "the classification cross-entropy loss of a pretrained ResNet model on the
    image-label pairs". Here p is the judge's, no ResNet-56; the paper names no unit,
    and not whether labels are certain, so its numbers cannot be compared with these.
    Table 4 has classifiers that are trained for it: see `gan-train`, `gan-test` and
    `augmentation`, which give their cross-entropies.

    Lower is better down to that of real test images, which stands beside it; below,
    the images are easier than real ones. The error is the standard error of the mean.
    """

    name: ClassVar[str] = "cross-entropy"
    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "judge"})

    def why_not(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> str | None:
        """Say what is missing to compute it, or None."""
        missing = super().why_not(generated, real, tools)
        return missing or why_unlabeled(generated)

    def score(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> Sequence[Score]:
        """Give the cross-entropy of generated pairs and of those of `tools.test`."""
        details: dict[str, float | str] = {
            "judge": tools.judge_name,
            "unit": "nats",
            "least probability": _LEAST,
        }
        value, error, n = _surprise(generated, tools)
        protocol = Protocol(
            n_generated=n,
            seed=tools.random_state,
            checkpoint=tools.checkpoint,
            details=details,
        )
        note = left_out(generated, n)
        scores = [Score("cross-entropy", value, "lower", protocol, error, note)]
        if tools.test is None or why_unlike(generated, tools.test):
            return scores
        value, error, n = _surprise(tools.test, tools)
        protocol = Protocol(
            n_real=n, real=tools.test.name, seed=tools.random_state, details=details
        )
        return [
            *scores,
            Score("cross-entropy of real images", value, "lower", protocol, error),
        ]


def _surprise(
    images: ImageSet, tools: MetricContext
) -> tuple[float, float | None, int]:
    """Give mean, standard error and number of -log p(label)."""
    labels = images.labels
    total, squares, n = 0.0, 0.0, 0
    for rows, proba in judged(images, tools):
        own = proba[np.arange(len(rows)), labels[rows]]
        losses = -np.log(np.maximum(own, _LEAST))
        total, squares = total + losses.sum(), squares + (losses**2).sum()
        n += len(rows)
    mean = total / n
    variance = max(squares / n - mean**2, 0.0) * n / max(n - 1, 1)
    return float(mean), float(np.sqrt(variance / n)) if n > 1 else None, n
