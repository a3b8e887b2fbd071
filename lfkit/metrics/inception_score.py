"""Inception Score: is each image of one class, and are there many classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import xlogy

from lfkit.metrics.feature_statistics import SplitSums, extracted
from lfkit.metrics.image_set import ImageSet
from lfkit.metrics.metric import Metric, MetricContext, Protocol, Score


class InceptionScore(Metric):
    """exp E KL(p(y|x) ‖ p(y)), by the extractor's own classes: 1 up to their number.

    Salimans et al. (2016), https://arxiv.org/abs/1606.03498; mean and standard
    deviation over ten random parts of the images. It asks for sure and balanced
    predictions, and never looks at real images: one perfect image per class, repeated,
    scores best.
    """

    name = "inception-score"
    needs = frozenset({"extractor"})

    def why_not(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> str | None:
        """Say what is missing: an extractor, or one that knows classes."""
        missing = super().why_not(generated, real, tools)
        if missing is None and tools.extractor and not tools.extractor.n_classes:
            return f"{tools.extractor.name} has no classes of its own"
        return missing

    def score(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> Sequence[Score]:
        """Give the score; `error` is its standard deviation over the parts."""
        found = extracted(generated, tools)
        parts = found.splits
        k = len(parts[0].proba) if parts else 0
        protocol = Protocol(
            extractor=found.extractor,
            n_generated=found.n,
            seed=tools.random_state,
            checkpoint=tools.checkpoint,
            details={"splits": len(parts), "classes": k},
        )
        if not parts:
            note = "no image could be read."
            return [Score("IS", math.nan, "higher", protocol, note=note)]
        values = [_inception_score(part) for part in parts]
        fewest, note = min(part.n for part in parts), ""
        if fewest < k:
            note = f"bounded by the {fewest} images of a part, fewer than {k} classes."
        value, error = float(np.mean(values)), float(np.std(values))
        return [Score("IS", value, "higher", protocol, error, note)]


def _inception_score(part: SplitSums) -> float:
    """E KL(p(y|x) ‖ p(y)) is Σ_y p log p on average, less that of the average."""
    marginal = part.proba / part.n
    information = part.negative_entropy / part.n - xlogy(marginal, marginal).sum()
    return float(np.exp(information))
