"""KID: how far apart two sets lie, without assuming Gaussians, and without bias."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lfkit.metrics.feature_statistics import extracted
from lfkit.metrics.image_set import ImageSet
from lfkit.metrics.metric import Metric, MetricContext, Protocol, Score

_MOST_SUBSETS = 10
_MOST_PER_SUBSET = 1000


class KernelDistance(Metric):
    """The squared maximum mean discrepancy of features under a cubic kernel.

    Bińkowski et al. (2018), https://arxiv.org/abs/1801.01401, equation 4. Its expected
    value does not depend on the number of images; it is 0 for equal distributions, and
    then as often negative as positive. The subsets are disjoint, so that their spread
    gives an honest standard error; subsets drawn again and again from the same images,
    as is usual, have the same mean and look surer than they are.
    """

    name = "kid"
    needs = frozenset({"real", "extractor"})

    def score(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> Sequence[Score]:
        """Give KID and its standard error over the subsets."""
        assert real is not None, "see needs"
        ours, theirs = extracted(generated, tools), extracted(real, tools)
        n = min(len(ours.rows), len(theirs.rows))
        n_subsets = min(_MOST_SUBSETS, n // 2)
        size = min(_MOST_PER_SUBSET, n // max(n_subsets, 1))
        protocol = Protocol(
            extractor=ours.extractor,
            n_generated=n_subsets * size,
            n_real=n_subsets * size,
            real=real.name,
            seed=tools.random_state,
            checkpoint=tools.checkpoint,
            details={"subsets": n_subsets, "subset size": size},
        )
        if n_subsets < 2:
            note = f"{n} images on one side make no two subsets."
            return [Score("KID", math.nan, "lower", protocol, note=note)]
        # The rows are in random order.
        parts = [slice(start, start + size) for start in range(0, n, size)][:n_subsets]
        values = [polynomial_mmd(ours.rows[part], theirs.rows[part]) for part in parts]
        error = float(np.std(values, ddof=1) / math.sqrt(n_subsets))
        return [Score("KID", float(np.mean(values)), "lower", protocol, error)]


def polynomial_mmd(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """Unbiased squared discrepancy of (n, d) and (m, d) rows under (xᵀy / d + 1)³.

    >>> polynomial_mmd(np.array([[0.0], [1.0]]), np.array([[0.0], [1.0]]))
    -3.5
    """
    a, b = x.astype(np.float64), y.astype(np.float64)
    between = _kernel(a, b).mean()
    return float(_mean_of_pairs(a) + _mean_of_pairs(b) - 2 * between)


def _mean_of_pairs(rows: NDArray[np.float64]) -> float:
    """Mean kernel of two different rows: a row with itself would be the bias."""
    n, of_all = len(rows), _kernel(rows, rows)
    return float((of_all.sum() - np.trace(of_all)) / (n * (n - 1)))


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return (x @ y.T / x.shape[1] + 1) ** 3
