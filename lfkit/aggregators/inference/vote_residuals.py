"""What votes have in common beyond what a hidden class explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators.inference.vote_likelihood import VoteLikelihood
from lfkit.data.votes import Votes

# Functions so much alike, the class not known, do not both help to find the class.
_ALIKE = 0.7
_NEARLY_EQUAL = 0.95
# Functions that name a class: fewer do not identify how accurate they are.
_LEAST_NAMERS = 3
# A function's spread within classes, at least this share of its votes: one that looks
# perfect has no errors to correlate.
_LEAST_SPREAD = 0.02
_EM_STEPS = 100
_LEAST_CHANGE = 3e-4  # of the posteriors, on average


@dataclass(frozen=True, eq=False)
class Residuals:
    """How much more than independent functions the pairs vote together.

    Attributes
    ----------
    excess : (m, m) P(both name the same class) beyond what the class explains.
    variance : (m, m) of one image's share in it, were the functions independent.
    correlations : (m, m) `excess` over the root of its diagonal's products.
    """

    excess: NDArray[np.float64]
    variance: NDArray[np.float64]
    correlations: NDArray[np.float64]

    def squared_scores(self, n_images: float) -> NDArray[np.float64]:
        """Return the excess, squared, in units of its variance, (m, m)."""
        noise = np.maximum(self.variance, 1 / n_images)
        return n_images * self.excess**2 / noise


class JointVotes:
    """How often functions name the same class, and what explains it.

    Attributes
    ----------
    joint : (m, m) how often both name the same class.
    named : (m, k) how often each names each class.
    """

    def __init__(self, votes: Votes, counts: NDArray[np.float64]) -> None:
        m, k = votes.n_functions, votes.n_classes
        self.votes, self.counts = votes, counts
        self._shares = counts / counts.sum()
        self._votes_of = [(votes.hard == c).astype(np.float32) for c in range(k)]
        weight = self._shares.astype(np.float32)[:, None]
        self.joint, self.named = np.zeros((m, m)), np.zeros((m, k))
        for c, vote in enumerate(self._votes_of):
            self.joint += (vote * weight).T @ vote
            self.named[:, c] = self._shares @ vote

    def unlike(self) -> NDArray[np.int64]:
        """Choose functions that are little alike but still name every class."""
        return _unlike(self.joint, self.named)

    def residuals(self, core: NDArray[np.int64]) -> Residuals:
        """Return what is left if the class is what some functions say it is.

        Parameters
        ----------
        core : positions of the functions whose votes tell the class, sorted.
        """
        m, k = self.named.shape
        posterior, prior, learned = _learned(self.votes.select(core), self.counts)
        weighted = posterior * self._shares[:, None]
        mixing = posterior.T @ weighted  # (k, k): E[q(y) q(z)]
        # Of functions that q has not seen, E[q(y) 1(j votes v)] is
        # sum_z E[q(y) q(z)] T_j[z, v].
        found = np.stack([weighted.T @ vote for vote in self._votes_of], axis=2)
        inverse = np.linalg.pinv(mixing, rcond=1e-3, hermitian=True)
        solved = (inverse @ found.reshape(k, -1)).reshape(k, m, k)
        tables = np.clip(solved.transpose(1, 0, 2), 0, 1)
        tables[core] = learned[:, :, :-1]
        explained, variance = np.zeros((2, m, m))
        for y in range(k):
            agree = tables[:, y] @ tables[:, y].T
            explained += prior[y] * agree
            variance += prior[y] * agree * (1 - agree)
        excess = self.joint - explained
        spread = np.maximum(
            np.diagonal(excess), _LEAST_SPREAD * np.diagonal(self.joint)
        )
        scale = np.sqrt(spread[:, None] * spread)
        correlations = np.divide(excess, scale, out=np.zeros((m, m)), where=scale > 0)
        return Residuals(excess, np.maximum(variance, 0), correlations)


def _unlike(
    joint: NDArray[np.float64], named: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Choose functions that are little alike but still name every class, sorted.

    Parameters
    ----------
    joint : (m, m) how often both name the same class.
    named : (m, k) how often each names each class.
    """
    m = len(joint)
    excess = joint - named @ named.T
    spread = np.sqrt(np.maximum(np.diagonal(excess), 1e-12))
    alike = excess / spread[:, None] / spread
    np.fill_diagonal(alike, 0)
    names = named > 0
    n_namers = names.sum(axis=0)
    stays = np.ones(m, dtype=bool)
    closest = alike.max(axis=1, initial=0)
    for j in np.lexsort((np.arange(m), -closest)):
        if closest[j] < _ALIKE:
            break
        nearest = alike[j, stays].max(initial=0)
        spared = (n_namers[names[j]] > _LEAST_NAMERS).all()
        if nearest >= _NEARLY_EQUAL or (nearest >= _ALIKE and spared):
            stays[j] = False
            n_namers -= names[j]
    return np.flatnonzero(stays)


def _learned(
    votes: Votes, counts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Run EM: the posterior, (u, k), the prior, (k,), and the tables, (m, k, k + 1)."""
    k = votes.n_classes
    evidence = VoteLikelihood(votes)
    sums = evidence.vote_sums()
    winners = (sums == sums.max(axis=1, keepdims=True)).astype(np.float64)
    posterior = winners / winners.sum(axis=1, keepdims=True)
    emitted = evidence.symbol_counts(counts) + 1
    pseudo_votes = (emitted / emitted.sum(axis=1, keepdims=True))[:, None, :]
    tables = np.full((votes.n_functions, k, k + 1), 1 / (k + 1))
    prior = np.full(k, 1 / k)
    for _ in range(_EM_STEPS):
        weighted = posterior * counts[:, None]
        prior = weighted.sum(axis=0) + 1 / k
        prior /= prior.sum()
        tables = evidence.expected_votes(weighted, tables) + pseudo_votes
        tables /= tables.sum(axis=2, keepdims=True)
        joint = evidence.log_likelihoods(tables) + np.log(prior)
        joint = np.exp(joint - joint.max(axis=1, keepdims=True))
        before = posterior
        posterior = joint / joint.sum(axis=1, keepdims=True)
        moved = np.abs(posterior - before).sum(axis=1)
        if counts @ moved < _LEAST_CHANGE * counts.sum():
            break
    return posterior, prior, tables
