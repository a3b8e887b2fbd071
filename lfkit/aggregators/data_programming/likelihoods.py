"""Data Programming's likelihoods, exact and composite, and their maximiser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize
from scipy.special import logsumexp

from lfkit.aggregators.data_programming.factor_graph import Point, VoteFactors
from lfkit.aggregators.inference.vote_likelihood import (
    VoteLikelihood,
    row_chunks,
    vote_distributions,
)
from lfkit.data.votes import Votes

LEAST_CHANCE = 1e-300  # instead of 0, in a table whose logarithm is taken
_KEPT_CELLS = 2**25  # of votes as distributions, float64: 256 MB
_CORRECTIONS = 30  # of L-BFGS: half the steps of scipy's 10 where classes overlap


class LogLikelihood(Protocol):
    """What can be climbed or explored."""

    def __call__(
        self, weights: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float64]]:
        """Return the log likelihood of the weights, (q,), and its slopes, (q,)."""


class ExactLikelihood:
    """log P(votes), the class summed out: Ratner et al. (2016), equation 2.

    Parameters
    ----------
    counts : (u,) images per pattern.
    """

    def __init__(
        self,
        factors: VoteFactors,
        evidence: VoteLikelihood,
        counts: NDArray[np.float64],
    ) -> None:
        self._factors = factors
        self._evidence = evidence
        self._counts = counts

    def __call__(
        self, weights: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float64]]:
        """Sum over the images; O(votes k) and, for each pair, its joint votes."""
        point = self._factors.at(weights)
        value, of_tables, of_bias = self.class_votes(point)
        agreements = self._factors.agreements
        value += float(agreements @ point.dependency)
        return value, self._factors.pull(point, of_tables, of_bias, agreements)

    def class_votes(
        self, point: Point
    ) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """Return log sum_y, the votes per class expected, (m, k, k + 1), and classes.

        The last, (k,), counts the images expected of each class.
        """
        tables = np.maximum(point.tables, LEAST_CHANCE)
        joint = self._evidence.log_likelihoods(tables) + point.bias
        # Sums over a short last axis take three times as long as over the first.
        chances = np.ascontiguousarray(joint.T)  # (k, u)
        highest = chances.max(axis=0)
        np.exp(chances - highest, out=chances)
        sums = chances.sum(axis=0)
        chances *= self._counts / sums
        votes = self._evidence.expected_votes(np.ascontiguousarray(chances.T), tables)
        value = float(self._counts @ (highest + np.log(sums)))
        return value, votes, chances.sum(axis=1)


class PseudoLikelihood:
    """sum_j log P(vote_j | the other votes), the class summed out.

    Besag (1975), https://doi.org/10.2307/2987782; for labeling functions Bach et al.
    (2017), https://arxiv.org/abs/1703.00854, equation 2. No sum over joint votes, so
    any number of dependencies will do.
    """

    def __init__(
        self,
        factors: VoteFactors,
        votes: Votes,
        counts: NDArray[np.float64],
    ) -> None:
        self._factors = factors
        self._votes = votes
        self._counts = counts
        n_cells = len(votes) * votes.n_functions * (votes.n_classes + 1)
        self._kept = list(self._made()) if n_cells <= _KEPT_CELLS else None

    def _made(self) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        for rows in row_chunks(self._votes):
            yield rows, symbol_distributions(self._votes.rows(rows))

    def __call__(
        self, weights: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float64]]:
        """Sum over images and functions; O(m k^2) per pattern."""
        point = self._factors.at(weights)
        of_tables = np.zeros_like(point.tables)
        of_bias = np.zeros_like(point.bias)
        of_dependency = np.zeros_like(point.dependency)
        value = 0.0
        for rows, symbols in self._made() if self._kept is None else self._kept:
            counts = self._counts[rows]
            likelihoods = symbols @ np.maximum(
                point.tables.transpose(0, 2, 1), LEAST_CHANCE
            )  # (m, c, k)
            terms = np.log(likelihoods)
            scores = terms.sum(axis=0) + point.bias  # (c, k)
            others = scores - terms
            spread, changes = self._around(symbols, point)
            for j, weight in spread.items():
                others[j] += np.log(weight @ point.tables[j].T)
            total = logsumexp(scores, axis=1)  # (c,)
            rest = logsumexp(others, axis=2)  # (m, c)
            value += float((total - rest).sum(axis=0) @ counts)
            without = np.exp(others - rest[:, :, None]) * counts[:, None]  # (m, c, k)
            posterior = np.exp(scores - total[:, None]) * counts[:, None]
            of_scores = len(terms) * posterior - without.sum(axis=0)
            of_bias += of_scores.sum(axis=0)
            shares = (of_scores + without) / likelihoods
            of_tables += point.tables * (shares.transpose(0, 2, 1) @ symbols)
            for j, weight in spread.items():
                expected = without[j] / (weight @ point.tables[j].T)  # (c, k)
                of_tables[j] -= point.tables[j] * (expected.T @ weight)
                guessed = weight * (expected @ point.tables[j])  # (c, k + 1)
                for edge, other in changes[j]:
                    surplus = counts[:, None] * symbols[j] - guessed
                    of_dependency[edge] += (surplus * symbols[other]).sum()
        return value, self._factors.pull(point, of_tables, of_bias, of_dependency)

    def _around(
        self, symbols: NDArray[np.float64], point: Point
    ) -> tuple[dict[int, NDArray[np.float64]], dict[int, list[tuple[int, int]]]]:
        """Return what pairs multiply another vote's probability by, beside the vote's.

        (c, k + 1) for each function of a pair; and its (edge, other function)s.
        """
        changes: dict[int, list[tuple[int, int]]] = {}
        for edge, (i, j) in enumerate(self._factors.edges.tolist()):
            changes.setdefault(i, []).append((edge, j))
            changes.setdefault(j, []).append((edge, i))
        spread = {}
        for j, pairs in changes.items():
            gain = sum(point.dependency[edge] * symbols[i] for edge, i in pairs)
            seen = (gain * symbols[j]).sum(axis=1, keepdims=True)
            spread[j] = np.exp(gain - seen)
        return spread, changes


def symbol_distributions(votes: Votes) -> NDArray[np.float64]:
    """Return votes as distributions over classes and silence, (m, n, k + 1)."""
    shares = vote_distributions(votes)
    silent = ~shares.any(axis=2, keepdims=True)
    symbols = np.concatenate([shares, silent], axis=2)
    return np.ascontiguousarray(symbols.transpose(1, 0, 2))


def count_agreements(
    votes: Votes, edges: NDArray[np.int64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Count the images on which each pair says the same, (p,); silence is the same.

    Soft votes and sets agree by the product of their distributions.
    """
    linked, place = np.unique(edges, return_inverse=True)
    found = np.zeros(len(edges))
    if not len(edges):
        return found
    part = votes.select(linked)
    left, right = place.reshape(edges.shape).T
    for rows in row_chunks(part):
        symbols = symbol_distributions(part.rows(rows))
        found += np.einsum("pcv,pcv,c->p", symbols[left], symbols[right], counts[rows])
    return found


def maximise(
    likelihood: LogLikelihood,
    factors: VoteFactors,
    *,
    max_iter: int,
    tol: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Climb by L-BFGS; return the weights, (q,), and the objective of each step.

    The objective is the log likelihood less l2 / 2 times the squared distance of the
    weights from their centre.
    """
    objective: list[float] = []

    def penalised(moved: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        away = moved * factors.scale
        value, slopes = likelihood(factors.centre + away)
        value -= factors.l2 / 2 * float(away @ away)
        slopes = (slopes - factors.l2 * away) * factors.scale
        return -value / factors.n_images, -slopes / factors.n_images

    start = np.zeros(len(factors.centre))
    objective.append(-penalised(start)[0] * factors.n_images)

    def note(intermediate_result: OptimizeResult) -> None:
        objective.append(-intermediate_result.fun * factors.n_images)

    found = minimize(
        penalised,
        start,
        jac=True,
        method="L-BFGS-B",
        callback=note,
        options={
            "maxiter": max_iter,
            "maxfun": 10 * max_iter,
            "maxcor": _CORRECTIONS,
            "gtol": tol,
            "ftol": 0,
        },
    )
    return factors.centre + found.x * factors.scale, np.asarray(objective)
