"""A fitted aggregator and its calibration: labels the votes on new images."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators import AGGREGATORS
from lfkit.aggregators.aggregate import (
    Calibrated,
    calibration_of,
    make_aggregator,
    without_seeds,
)
from lfkit.aggregators.aggregator import Aggregator, clear_winners
from lfkit.aggregators.calibration import Calibrator
from lfkit.aggregators.inference.equal_trust import EqualTrust
from lfkit.data.labels import Labels
from lfkit.data.votes import Votes

# All that a fitted model consists of, beside numbers and arrays.
PARTS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (*AGGREGATORS.values(), EqualTrust, Calibrator, Calibrated)
}


@dataclass(frozen=True, eq=False)
class VoteModel:
    """Labels votes as those it was fitted on were labeled, but for the seeds.

    Attributes
    ----------
    aggregator : fitted.
    calibration : what makes posteriors as sure as they are right; None where no seed
        can tell.
    held_out_accuracy : of the seeds it was fitted with, each left out; None without
        any, or if it is not known.
    """

    aggregator: Aggregator
    calibration: Calibrated | None
    held_out_accuracy: float | None = None

    @property
    def chosen(self) -> str:
        """The aggregator whose labels these are: `auto` has chosen one."""
        own = next(
            n for n, kind in AGGREGATORS.items() if type(self.aggregator) is kind
        )
        return str(getattr(self.aggregator, "chosen_", own))

    def __call__(self, votes: Votes) -> Labels:
        """Label images; none is a seed."""
        proba = self.aggregator.predict_proba(votes)
        labels = clear_winners(proba, votes)
        if self.calibration is not None:
            proba = self.calibration(proba)
        return Labels(
            labels,
            proba,
            np.zeros(len(votes), bool),
            vote_labels=labels,
            vote_confidence=_highest(proba),
            chosen=self.chosen,
        )


def fit_vote_model(
    votes: Votes,
    name: str,
    class_balance: Sequence[float] | None = None,
    random_state: int = 0,
    unreadable: Collection[int] = (),
    *,
    sample_weight: NDArray[np.float64] | None = None,
) -> VoteModel:
    """Fit an aggregator, and calibrate it, as `aggregate` does.

    Parameters
    ----------
    unreadable : rows without pixels: seeds among them judge nothing.
    sample_weight : (n,) how often each row counts; None counts each once.
    """
    votes = without_seeds(votes, unreadable)
    aggregator = make_aggregator(name, class_balance, random_state)
    aggregator.fit(votes, sample_weight=sample_weight)
    on_seeds = aggregator.out_of_fold_proba(votes, sample_weight=sample_weight)
    if on_seeds is None:
        return VoteModel(aggregator, None)
    calibration = calibration_of(
        aggregator.predict_proba(votes),
        on_seeds,
        labels=np.asarray(votes.seed_labels, np.int64),
        basis=getattr(aggregator, "seed_proba_", None),
    )
    fold, labels = votes.seed_out_of_fold, np.asarray(votes.seed_labels)
    assert fold is not None, "posteriors on seeds are made of votes on them"
    return VoteModel(
        aggregator,
        calibration if isinstance(calibration, Calibrated) else None,
        float((clear_winners(on_seeds, fold) == labels).mean()),
    )


def _highest(proba: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(proba.max(axis=1, initial=0.0))
