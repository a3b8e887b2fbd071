# Fill in, and copy to: lfkit/aggregators/agreement_vote.py
# Table AGGREGATORS in lfkit/aggregators/__init__.py, an import and one line:
#   from lfkit.aggregators.agreement_vote import AgreementVote as AgreementVote
#       "agreement-vote": AgreementVote,
# Check: python -m pytest tests/test_aggregators.py -k agreement-vote
# Votes: hard (n, m), -1 = abstain; n images, m functions, k classes.
"""Agreement vote: a function counts as much as it agrees with the majority."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.aggregators.aggregator import Aggregator, SeedVotes
from lfkit.aggregators.inference.vote_likelihood import row_chunks, vote_distributions
from lfkit.data.votes import Patterns, Votes


class AgreementVote(Aggregator):
    """The mean of the votes, weighted by how often a function agrees with it.

    An image without votes gets `class_balance` (None: uniform).

    Attributes
    ----------
    weights_ : (m',) the weight of each function kept.
    """

    # Arguments are stored as they come; what is learned ends in an underscore.
    def __init__(
        self, class_balance: ArrayLike | None = None, random_state: int = 0
    ) -> None:
        self.class_balance = class_balance
        self.random_state = random_state

    # Rows are distinct vote patterns, `counts` says how many images share each.
    def _fit(self, patterns: Patterns, seeds: SeedVotes | None) -> None:
        self.weights_ = np.ones(patterns.votes.n_functions)
        agreed, voted = np.zeros((2, len(self.weights_)))
        majority = self._predict_proba(patterns.votes)  # (u, k)
        for rows in row_chunks(patterns.votes):  # memory does not grow with u
            cast = vote_distributions(patterns.votes.rows(rows))  # (chunk, m', k)
            counts = patterns.counts[rows]
            agreed += counts @ np.einsum("nmk,nk->nm", cast, majority[rows])
            voted += counts @ cast.sum(axis=2)
        self.weights_ = (agreed + 1) / (voted + 2)

    def _predict_proba(self, votes: Votes) -> NDArray[np.float64]:
        proba = np.tile(self.class_prior_, (len(votes), 1))
        for rows in row_chunks(votes):
            cast = vote_distributions(votes.rows(rows))
            summed = np.einsum("nmk,m->nk", cast, self.weights_)
            total = summed.sum(axis=1, keepdims=True)
            np.divide(summed, total, out=proba[rows], where=total > 0)
        return proba
