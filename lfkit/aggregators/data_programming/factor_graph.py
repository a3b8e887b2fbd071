"""Data Programming's factor graph: weights, tables of votes, their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import log_softmax, logsumexp

from lfkit.errors import InputError

Lift = Literal["summed", "given", "free"]

# A vote is thought to be right this often until the votes show otherwise.
_PRIOR_ACCURACY = 0.7
# Joint votes of dependent functions that are summed over one by one.
_MAX_JOINT_VOTES = 2**16


@dataclass(frozen=True, eq=False)
class VoteMoments:
    """What the model expects of the votes, given the class.

    Attributes
    ----------
    lift : (k,) what pairs add to log P(votes | class); 0 without pairs. By
        sampling: up to a constant.
    votes : (m, k, k + 1) [j, y, v] = P(function j votes v | class y), v = k: silence.
    agreement : (p, k) P(the pair says the same | class).
    """

    lift: NDArray[np.float64]
    votes: NDArray[np.float64]
    agreement: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Point:
    """The model at one setting of its weights.

    Attributes
    ----------
    tables : (m, k, k + 1) P(function j votes v | class y) as if j depended on no other
        function. Rows sum to 1; what a function never names has 0.
    bias : (k,) log prior less the lift of the pairs.
    prior : (k,) shares of the classes; where the bias is free, as if it had no lift.
    dependency : (p,) the weight of each pair's agreement.
    moments : what is expected, pairs included (but not where the bias is free).
    """

    tables: NDArray[np.float64]
    bias: NDArray[np.float64]
    prior: NDArray[np.float64]
    dependency: NDArray[np.float64]
    moments: VoteMoments


class VoteFactors:
    """The factors of the votes and the hidden class, and where the weights are.

    log P(votes, y) = bias_y + sum_j log tables[j, y, vote_j] + sum_(i,j) dependency_ij
    [vote_i = vote_j], with tables[j, y, v] proportional to exp(propensity_jv +
    accuracy_j [v = y]) for the classes v that j names, and to 1 for silence. One vector
    holds the weights: class logits, accuracies, propensities, dependencies.

    Parameters
    ----------
    symbol_counts : (m, k + 1) how often each function emits each symbol.
    prior : (k,) the shares of the classes, if known; None: learned.
    edges : (p, 2) pairs of functions that depend on each other.
    agreements : (p,) how many images each pair agrees on.
    l2 : precision of the weights' Gaussian prior.
    lift : where the bias gets the lift of the pairs from. "summed": from all joint
        votes of functions that depend on each other. "given": with the moments, at each
        point. "free": nowhere; the bias itself is learned, not the prior.

    Attributes
    ----------
    centre : (q,) the weights before any vote is seen: right in 70 % of its votes, and
        votes as often as it does.
    scale : (q,) units of the weights in which the likelihood per image bends alike.
    n_images : the images' total weight.
    """

    def __init__(
        self,
        symbol_counts: NDArray[np.float64],
        prior: NDArray[np.float64] | None,
        edges: NDArray[np.int64],
        agreements: NDArray[np.float64],
        *,
        l2: float,
        lift: Lift,
    ) -> None:
        m, k = symbol_counts.shape[0], symbol_counts.shape[1] - 1
        self.named = symbol_counts[:, :k] > 0  # (m, k)
        self.edges = edges
        self.agreements = agreements
        self.prior = prior
        self.l2 = l2
        self._free = lift == "free"
        sizes = [k if prior is None else 0, m, int(self.named.sum()), len(edges)]
        self._ends = np.cumsum(sizes)
        with np.errstate(divide="ignore"):
            self._log_prior = np.zeros(k) if prior is None else np.log(prior)
        self._cliques = (
            [_Clique(members, self.named, edges) for members in _groups(m, edges)]
            if lift == "summed"
            else []
        )

        self.n_images = float(symbol_counts.sum(axis=1).max(initial=0.0)) or 1.0
        odds = _PRIOR_ACCURACY / (1 - _PRIOR_ACCURACY) * max(k - 1, 1)
        lift = np.log((odds + k - 1) / k)  # of a class's votes by those that are right
        log_odds = np.log((symbol_counts[:, :k] + 1) / (symbol_counts[:, k:] + 1))
        self.centre = np.concatenate(
            [
                np.zeros(sizes[0]),
                np.full(m, np.log(odds)),
                (log_odds - lift)[self.named],
                np.zeros(len(edges)),
            ]
        )
        rates = symbol_counts / self.n_images
        spread = (rates * (1 - rates))[:, :k]
        together = agreements / self.n_images
        bend = np.concatenate(
            [
                np.full(sizes[0], 1 / k),
                spread.sum(axis=1) / k,
                spread[self.named],
                together * (1 - together),
            ]
        )
        self.scale = 1 / np.sqrt(bend + l2 / self.n_images)

    def at(
        self, weights: NDArray[np.float64], moments: VoteMoments | None = None
    ) -> Point:
        """Build the tables and the bias from the weights, (q,)."""
        logits, _, _, dependency = self.split(weights)
        log_tables = self.log_tables(weights)
        tables = np.exp(log_tables)
        if moments is None:
            moments = self._summed(log_tables, tables, dependency)
        log_prior = log_softmax(logits) if self.prior is None else self._log_prior
        bias = log_prior - moments.lift
        return Point(tables, bias, np.exp(log_prior), dependency, moments)

    def split(self, weights: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Part the weights: class logits, accuracies, propensities, dependencies."""
        return np.split(weights, self._ends[:-1])

    def log_tables(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Build the logarithms of the tables, (m, k, k + 1)."""
        _, accuracy, named, _ = self.split(weights)
        m, k = self.named.shape
        propensity = np.full((m, k), -np.inf)
        propensity[self.named] = named
        energies = np.zeros((m, k, k + 1))
        energies[:, :, :k] = propensity[:, None, :]
        diagonal = np.arange(k)
        energies[:, diagonal, diagonal] += accuracy[:, None]
        return np.asarray(log_softmax(energies, axis=2))

    def _summed(
        self,
        log_tables: NDArray[np.float64],
        tables: NDArray[np.float64],
        dependency: NDArray[np.float64],
    ) -> VoteMoments:
        k = self.named.shape[1]
        lift, agreement = np.zeros(k), np.zeros((len(self.edges), k))
        votes = tables.copy() if self._cliques else tables
        for clique in self._cliques:
            part = clique.moments(log_tables, dependency)
            lift += part.lift
            votes[clique.members] = part.votes
            agreement[clique.edges] = part.agreement
        return VoteMoments(lift, votes, agreement)

    def pull(
        self,
        point: Point,
        of_tables: NDArray[np.float64],
        of_bias: NDArray[np.float64],
        of_dependency: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Turn slopes of log tables, bias and dependencies into those of weights, (q,).

        Parameters
        ----------
        of_tables : (m, k, k + 1)
        of_bias : (k,)
        of_dependency : (p,)
        """
        k = self.named.shape[1]
        if not self._free:  # the slopes of the lift are the moments
            of_tables = of_tables - of_bias[:, None] * point.moments.votes
            of_dependency = of_dependency - point.moments.agreement @ of_bias
        rows = of_tables.sum(axis=2, keepdims=True)
        surplus = (of_tables - rows * point.tables)[:, :, :k]  # the softmax's slope
        of_logits = of_bias - of_bias.sum() * point.prior
        return np.concatenate(
            [
                of_logits[: self._ends[0]],
                np.einsum("jyy->j", surplus),
                surplus.sum(axis=1)[self.named],
                of_dependency,
            ]
        )


class _Clique:
    """Functions linked by dependencies, and all that they may vote together.

    Attributes
    ----------
    members : (s,) functions; edges: (e,) the pairs among them, as row numbers.
    """

    def __init__(
        self,
        members: NDArray[np.int64],
        named: NDArray[np.bool_],
        edges: NDArray[np.int64],
    ) -> None:
        k = named.shape[1]
        self.members = members
        self.edges = np.flatnonzero(np.isin(edges[:, 0], members))
        spoken = [np.append(np.flatnonzero(named[j]), k) for j in members]
        self._votes = np.stack(np.meshgrid(*spoken, indexing="ij"), axis=-1)
        self._votes = self._votes.reshape(-1, len(members))  # (joint votes, s)
        place = np.searchsorted(members, edges[self.edges])
        left, right = self._votes[:, place[:, 0]], self._votes[:, place[:, 1]]
        self._agree = (left == right).astype(np.float64)  # (joint votes, e)
        cells = self._votes + np.arange(len(members)) * (k + 1)
        rows = np.repeat(np.arange(len(cells)), len(members))
        self._named = sparse.csr_array(
            (np.ones(cells.size), (rows, cells.ravel())),
            shape=(len(cells), len(members) * (k + 1)),
        )

    def moments(
        self, log_tables: NDArray[np.float64], dependency: NDArray[np.float64]
    ) -> VoteMoments:
        """Sum over the joint votes, for the members and the pairs among them."""
        k = log_tables.shape[1]
        energies = np.repeat((self._agree @ dependency[self.edges])[:, None], k, axis=1)
        for j, votes in zip(self.members, self._votes.T, strict=True):
            energies += log_tables[j].T[votes]
        lift = logsumexp(energies, axis=0)
        shares = np.exp(energies - lift)  # (joint votes, k)
        votes = (self._named.T @ shares).reshape(len(self.members), k + 1, k)
        return VoteMoments(lift, votes.transpose(0, 2, 1), self._agree.T @ shares)


def _groups(m: int, edges: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the sets of functions linked by pairs, each sorted."""
    links = sparse.csr_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (m, m))
    _, group = sparse.csgraph.connected_components(links, directed=False)
    linked = np.unique(group[edges.ravel()])
    return [np.flatnonzero(group == g) for g in linked]


def check_joint_votes(
    names: Sequence[str],
    named: NDArray[np.bool_],
    edges: NDArray[np.int64],
    advice: str,
) -> None:
    """Raise where dependent functions may vote together in too many ways."""
    for members in _groups(len(named), edges):
        n_votes = np.prod(named[members].sum(axis=1) + 1.0)
        if n_votes > _MAX_JOINT_VOTES:
            listed = ", ".join(repr(names[j]) for j in members[:3])
            raise InputError(
                f"DataProgramming's dependencies link {len(members)} functions "
                f"({listed}...) that can vote together in {n_votes:.3g} ways; at most "
                f"{_MAX_JOINT_VOTES} can be summed exactly. {advice}"
            )
