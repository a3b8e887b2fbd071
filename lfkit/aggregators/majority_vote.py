"""Majority vote: every function that votes counts the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.aggregators.aggregator import Aggregator, SeedVotes
from lfkit.aggregators.inference.vote_likelihood import row_chunks, vote_distributions
from lfkit.data.votes import ABSTAIN, Patterns, Votes


class MajorityVote(Aggregator):
    """The mean of the votes; functions that abstain are ignored.

    A hard vote counts for its class, a soft vote is its distribution, a set of
    classes ("car or truck") is shared equally by them. An image without votes gets
    `class_balance` (None: uniform).

    Parameters
    ----------
    soft : False counts the hard votes only; a set of several classes then abstains.

    >>> matrix = np.array([[0, 0, 1], [-1, -1, -1]])
    >>> votes = Votes(matrix, names=("a", "b", "c"), n_classes=2)
    >>> MajorityVote().fit(votes).predict_proba(votes).round(2)
    array([[0.67, 0.33],
           [0.5 , 0.5 ]])
    """

    def __init__(
        self,
        soft: bool = True,
        class_balance: ArrayLike | None = None,
        random_state: int = 0,
    ) -> None:
        self.soft = soft
        self.class_balance = class_balance
        self.random_state = random_state

    def _heard(self, votes: Votes) -> Votes:
        return votes if self.soft else replace(votes, soft=None, allowed=None)

    def _fit(self, patterns: Patterns, seeds: SeedVotes | None) -> None:
        """Nothing to learn."""

    def _predict_proba(self, votes: Votes) -> NDArray[np.float64]:
        proba = np.empty((len(votes), votes.n_classes))
        for rows in row_chunks(votes):
            proba[rows] = _summed(votes.rows(rows))  # (chunk, k)
        total = proba.sum(axis=1, keepdims=True)
        np.divide(proba, total, out=proba, where=total > 0)
        proba[total[:, 0] == 0] = self.class_prior_
        return proba


def _summed(votes: Votes) -> NDArray[np.float64]:
    """Return the sum of the votes per class, (n, k)."""
    if votes.allowed is not None:
        return vote_distributions(votes).sum(axis=1)
    if votes.soft is not None:
        return _soft_sum(votes.hard, votes.soft)
    n, k = len(votes), votes.n_classes
    image, function = np.nonzero(votes.hard != ABSTAIN)
    cells = image * k + votes.hard[image, function]
    return np.bincount(cells, minlength=n * k).reshape(n, k).astype(np.float64)


def _soft_sum(
    hard: NDArray[np.int16], soft: NDArray[np.float16]
) -> NDArray[np.float64]:
    """Return the sum of the distributions, (n, k); scales none of them first."""
    weights = soft.astype(np.float64)  # (n, m, k)
    total = np.einsum("nmk->nm", weights)
    # Hard votes, and soft ones with weights so small that float16 lost them.
    image, function = np.nonzero((hard != ABSTAIN) & (total == 0))
    weights[image, function, hard[image, function]] = 1
    total[image, function] = 1
    scale = np.divide(1, total, out=np.zeros_like(total), where=total > 0)
    return np.einsum("nmk,nm->nk", weights, scale)
