# Fill in, and copy to: lfkit/metrics/mean_color.py
# Table METRICS in lfkit/metrics/__init__.py, an import and one line:
#   from lfkit.metrics.mean_color import MeanColor as MeanColor
#           MeanColor,
# Check: python -m pytest tests/test_metrics.py -k mean-color
"""Mean color: whether generated images are as light as real ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lfkit.metrics.image_set import ImageSet
from lfkit.metrics.metric import Metric, MetricContext, Protocol, Score


class MeanColor(Metric):
    """Distance between the mean colors of generated and real images, 0 to 1."""

    name = "mean-color"
    # What must be there beside the generated images; see `Need` in metric.py.
    needs = frozenset({"real"})

    def score(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> Sequence[Score]:
        """Give the distance."""
        assert real is not None, "`needs` asks for it"
        distance = np.linalg.norm(_mean_color(generated) - _mean_color(real))
        # A score never travels without its protocol: all that it depends on.
        protocol = Protocol(
            n_generated=len(generated),
            n_real=len(real),
            real=real.name,
            checkpoint=tools.checkpoint,
        )
        value = float(distance) / math.sqrt(3)
        return [Score("mean color", value, "lower", protocol)]


def _mean_color(images: ImageSet) -> NDArray[np.float64]:
    """Return the mean of each channel in [0, 1], (3,); gray counts for all three."""
    total, n = np.zeros(3), 0
    for _, pixels in images.chunks():  # memory does not grow with their number
        total += pixels.mean(axis=(1, 2)).sum(axis=0) / 255
        n += len(pixels)
    return total / n if n else np.full(3, math.nan)
