"""What a plain classifier trained on the seeds reaches, and which one is best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import InputError
from lfkit.runs.run_summary import BaselineSummary

# Inputs of classifiers, by name: each one row per image.
Inputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Baseline:
    """What a plain classifier reaches when trained on the seed labels directly.

    Attributes
    ----------
    seed_cv_accuracy : cross-validated on the seeds; None where two classes do not have
        two seeds each.
    accuracy : on the test batches; None without a known label there.
    n_scored : images behind `accuracy`.
    held_out : (s, k) the posteriors behind `seed_cv_accuracy`; None without.
    """

    name: str
    seed_cv_accuracy: float | None
    accuracy: float | None
    n_scored: int
    held_out: NDArray[np.float64] | None = field(
        default=None, repr=False, compare=False
    )

    def summary(self) -> BaselineSummary:
        """Give what the run's summary holds of it."""
        return BaselineSummary(
            self.name, self.seed_cv_accuracy, self.accuracy, self.n_scored
        )


def best_baseline(baselines: Sequence[Baseline]) -> Baseline:
    """Choose the baseline by cross-validation on the seeds, never by the true classes.

    The first of the best; where nothing could be cross-validated, the first of all.
    """
    return max(baselines, key=lambda baseline: baseline.seed_cv_accuracy or 0.0)


def check_seeds(labels: NDArray[np.int64]) -> None:
    """Refuse to label by a baseline if the readable seeds, (s,), are of one class."""
    if len(np.unique(labels)) < 2:
        raise InputError(
            "--with baseline trains a plain classifier on the seeds, and there are not "
            "two classes with seeds; give them with --seed-labels or "
            "--seeds-per-class."
        )
