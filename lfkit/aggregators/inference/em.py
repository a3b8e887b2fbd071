"""Expectation-maximisation for models of one hidden class and tables of votes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators.inference.vote_likelihood import VoteLikelihood

# Posteriors closer than this are a tie: rounding errors of sums of votes are smaller.
TIE_TOLERANCE = 1e-9


class Tables(Protocol):
    """What a family of tables P(vote | class), (m, k, k + 1), can look like."""

    def estimate(self, expected: NDArray[np.float64]) -> NDArray[np.float64]:
        """M-step: the likeliest tables, given how often [j, y, v] occurred."""

    def penalty(self, tables: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log density of the tables before any vote is seen, (m,)."""


@dataclass(frozen=True, eq=False)
class EMFit:
    """What EM found.

    Attributes
    ----------
    tables : (m, k, k + 1) [j, y, v] = P(function j votes v | class y), v = k: abstains.
    prior : (k,)
    posterior : (u, k) of the patterns; one-hot where the class is known.
    objective : (steps,) penalised log likelihood after each step, given the classes
        that are known. It never falls, if tables are not shrunk to what is learned
        itself.
    """

    tables: NDArray[np.float64]
    prior: NDArray[np.float64]
    posterior: NDArray[np.float64]
    objective: NDArray[np.float64]


def run_em(
    evidence: VoteLikelihood,
    counts: NDArray[np.float64],
    posterior: NDArray[np.float64],
    family: Tables,
    *,
    prior: NDArray[np.float64] | None,
    smoothing: float,
    known: NDArray[np.int64] | None = None,
    powers: NDArray[np.float64] | None = None,
    max_iter: int = 200,
    tol: float = 1e-5,
) -> EMFit:
    """Alternate posteriors and tables until a step moves next to nothing.

    Parameters
    ----------
    counts : (u,) images per pattern.
    posterior : (u, k) to start from.
    prior : (k,) class shares, if known; None: learned, from images of unknown class.
    smoothing : imaginary images behind a learned prior, dealt equally to the classes.
    known : (u,) the class of a pattern's images, -1 where it is not known.
    powers : (m,) what each function's log likelihood is multiplied by.
    tol : stop when a step moves less of an image's posterior than this, on average.
    """
    m, k = evidence.n_functions, evidence.n_classes
    weight = np.ones(m) if powers is None else powers
    rows = np.zeros(0, np.int64) if known is None else np.flatnonzero(known >= 0)
    classes = np.zeros(0, np.int64) if known is None else known[rows]
    posterior = posterior.copy()
    posterior[rows] = np.eye(k)[classes]
    unknown = counts.copy()
    unknown[rows] = 0
    learned = prior is None
    shares = np.full(k, 1 / k) if prior is None else prior
    tables = np.full((m, k, k + 1), 1 / (k + 1))
    objective: list[float] = []
    moved = np.inf
    while len(objective) < max_iter and moved >= tol:
        if learned:
            class_counts = unknown @ posterior + smoothing / k
            shares = class_counts / class_counts.sum()
        weighted = posterior * counts[:, None]
        tables = family.estimate(evidence.expected_votes(weighted, tables))
        before = posterior
        posterior, log_likelihood = evidence.posterior(tables, shares, powers)
        # Of known images, P(votes | class): the shares are those of the others.
        own, share = posterior[rows, classes], shares[classes]
        told = np.divide(own, share, out=np.zeros_like(own), where=share > 0)
        with np.errstate(divide="ignore"):
            log_likelihood[rows] += np.log(told)
        posterior[rows] = np.eye(k)[classes]
        reached = float(counts @ log_likelihood + weight @ family.penalty(tables))
        if learned:
            reached += float(smoothing / k * np.log(shares).sum())
        objective.append(reached)
        change = np.abs(posterior - before).sum(axis=1)
        moved = float(counts @ change) / max(float(counts.sum()), 1.0)
    return EMFit(tables, shares, posterior, np.asarray(objective))


def vote_winners(
    evidence: VoteLikelihood, prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the vote's winners, ties shared; the prior without votes, (u, k).

    EM starts here; from the shares of the votes, which are flatter, it merges rare
    classes.
    """
    sums = evidence.vote_sums()
    winners = sums >= sums.max(axis=1, keepdims=True) - TIE_TOLERANCE
    voted = sums.any(axis=1, keepdims=True)
    return np.where(voted, winners / winners.sum(axis=1, keepdims=True), prior)


class FreeTables:
    """Any tables, with imaginary votes (m, k, k + 1) behind each row."""

    def __init__(self, imaginary: NDArray[np.float64]) -> None:
        self.imaginary = imaginary

    def estimate(self, expected: NDArray[np.float64]) -> NDArray[np.float64]:
        """Normalise the counts of each row."""
        tables = expected + self.imaginary
        return tables / tables.sum(axis=2, keepdims=True)

    def penalty(self, tables: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log density of Dirichlet distributions, without their constants."""
        return np.asarray((self.imaginary * np.log(tables)).sum(axis=(1, 2)))


class TiedTables:
    """Tables of hits, errors and silence, one rate of each; errors are spread equally.

    A function names the classes C it ever votes for. On an image of y in C it hits,
    errs or is silent; on one of another class it errs or is silent. Its errors go to
    the other classes of C alike: "one coin" per function.

    Parameters
    ----------
    symbol_counts : (m, k + 1) how often each function emits each symbol.
    imaginary : imaginary images behind each rate, dealt as if the function guessed.
    """

    def __init__(self, symbol_counts: NDArray[np.float64], imaginary: float) -> None:
        k = symbol_counts.shape[1] - 1
        self.named = symbol_counts[:, :k] > 0  # (m, k)
        n_named = self.named.sum(axis=1)
        silent = (symbol_counts[:, k] + 1) / (symbol_counts.sum(axis=1) + 2)
        guess = (1 - silent) / np.maximum(n_named, 1)
        self._n_others = n_named[:, None] - self.named  # (m, k) classes left to err to
        # Rates of (hit, error, silence) as the function would have them by guessing.
        blind = np.stack(
            [
                guess[:, None] * self.named,
                guess[:, None] * self._n_others,
                np.repeat(silent[:, None], k, axis=1),
            ],
            axis=2,
        )
        self._imaginary = imaginary * blind  # (m, k, 3)
        # A class never named so far may be named later: it then says nothing.
        n_votes = symbol_counts.sum(axis=1) + k + 1
        self._unseen = np.where(self.named, 0, 1 / n_votes[:, None])  # (m, k)
        self._same = np.eye(k, dtype=bool)

    def estimate(self, expected: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pool the counts of what shares a rate, and normalise."""
        counts = np.maximum(self._rates(expected), 0)
        rates = self._pooled(counts) + self._pooled(self._imaginary)
        return self._as_tables(rates / rates.sum(axis=2, keepdims=True))

    def penalty(self, tables: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log density of Dirichlet distributions, without their constants."""
        rates = self._rates(tables)
        logs = np.log(rates, out=np.zeros_like(rates), where=self._imaginary > 0)
        return np.asarray((self._imaginary * logs).sum(axis=(1, 2)))

    def _rates(self, tables: NDArray[np.float64]) -> NDArray[np.float64]:
        """Read hits, errors and silence off tables, (m, k, 3)."""
        hit = np.einsum("jyy->jy", tables[:, :, :-1]) * self.named
        voted = (tables[:, :, :-1] * self.named[:, None]).sum(axis=2)
        errors = (voted - hit) * (self._n_others > 0)
        return np.stack([hit, errors, tables[:, :, -1]], axis=2)

    def _pooled(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add up what shares a rate, (m, k, 3)."""
        inside = self.named[:, :, None]
        within = (counts * inside).sum(axis=1, keepdims=True)
        beyond = (counts * ~inside).sum(axis=1, keepdims=True)
        return np.where(inside, within, beyond)

    def _as_tables(self, rates: NDArray[np.float64]) -> NDArray[np.float64]:
        m, k = self.named.shape
        tables = np.empty((m, k, k + 1))
        error = rates[:, :, 1] / np.maximum(self._n_others, 1)
        tables[:, :, :k] = np.where(self._same, rates[:, :, :1], error[:, :, None])
        tables[:, :, :k] *= self.named[:, None]
        tables[:, :, k] = rates[:, :, 2]
        tables[:, :, :k] += self._unseen[:, None]
        return tables / tables.sum(axis=2, keepdims=True)
