"""Dawid-Skene: a confusion matrix per function, learned without labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.special import logsumexp

from lfkit.aggregators.aggregator import (
    TIE_TOLERANCE,
    Aggregator,
    SeedVotes,
    vote_distributions,
)
from lfkit.errors import InputError
from lfkit.votes import Patterns, Votes


class DawidSkene(Aggregator):
    """Each labeling function has its own confusion matrix, learned by EM.

    Dawid & Skene (1979), https://doi.org/10.2307/2346806. Abstaining is one more
    symbol a function may emit: a function that names one class only would otherwise
    say the same about every image, and the class prior alone would decide. So silence
    is evidence: an image without votes gets the posterior of that silence, which is
    not flat. `predict` still answers -1 there by default.

    A soft vote q is uncertain evidence of the symbol meant: its likelihood is
    sum_v q[v] P(v | class). A set of classes is the same with q uniform over the set.
    (Soft votes as fractions of a count, mean_v~q log P(v | class), scatter less than
    counts do, so the classes merge: accuracy .12 where the majority vote has .89.)

    Every table row carries `smoothing` imaginary votes, spread as the function votes
    on all images: about a class with few images a function is uninformative, not
    certain. EM starts from the winners of the majority vote; from its shares, which
    are flatter, it merges rare classes. It assumes that functions err independently:
    copies of one function make it overconfident.

    Parameters
    ----------
    class_balance : (k,) the class prior, if known; None: learned.
    smoothing : imaginary votes per function and class, and imaginary images in the
        class prior; more than 0.
    max_iter : EM steps at most.
    tol : stop when a step gains less objective than this per image.

    Attributes
    ----------
    confusions_ : (m, k, k + 1); [j, y, v] = P(function j votes v | class y), v = k: it
        abstains. In the order of `names_`; a function that never voted abstains.
    class_prior_ : (k,)
    n_iter_ : EM steps taken.
    objective_ : (n_iter_,) log likelihood plus the log of the smoothing's Dirichlet
        densities (without their constants) after each step; it never falls.
    """

    confusions_: NDArray[np.float64]

    def __init__(
        self,
        class_balance: ArrayLike | None = None,
        smoothing: float = 1.0,
        max_iter: int = 200,
        tol: float = 1e-5,
        random_state: int = 0,
    ) -> None:
        self.class_balance = class_balance
        self.smoothing = smoothing
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def _check_parameters(self) -> None:
        if not self.smoothing > 0:
            raise InputError(
                f"DawidSkene's smoothing must be more than 0, got {self.smoothing}; "
                "without it one image can rule a class out."
            )
        if self.max_iter < 1:
            raise InputError(
                f"DawidSkene's max_iter must be at least 1, got {self.max_iter}."
            )

    def _fit(self, patterns: Patterns, seeds: SeedVotes | None) -> None:
        k = self.n_classes_
        counts, n_images = patterns.counts, patterns.counts.sum()
        evidence = _Evidence.of(patterns.votes)
        pseudo_votes = self.smoothing * evidence.symbol_shares(counts)  # (m', 1, k + 1)
        posterior = evidence.vote_winners(self.class_prior_)  # (u, k)
        objective: list[float] = []
        tables = np.full((evidence.n_functions, k, k + 1), 1 / (k + 1))
        while len(objective) < self.max_iter:
            weighted = posterior * counts[:, None]
            if self.class_balance is None:
                class_counts = weighted.sum(axis=0) + self.smoothing / k
                self.class_prior_ = class_counts / class_counts.sum()
            tables = evidence.expected_votes(weighted, tables) + pseudo_votes
            tables /= tables.sum(axis=2, keepdims=True)
            posterior, log_likelihood = evidence.posterior(tables, self.class_prior_)
            penalty = float((pseudo_votes * np.log(tables)).sum())
            if self.class_balance is None:
                penalty += float(self.smoothing / k * np.log(self.class_prior_).sum())
            objective.append(float(counts @ log_likelihood) + penalty)
            if len(objective) > 1 and (
                objective[-1] - objective[-2] < self.tol * n_images
            ):
                break
        self.confusions_ = np.zeros((len(self.names_), k, k + 1))
        self.confusions_[:, :, k] = 1
        self.confusions_[self.columns_] = tables
        self.n_iter_ = len(objective)
        self.objective_ = np.array(objective)

    def _predict_proba(self, votes: Votes) -> NDArray[np.float64]:
        tables = self.confusions_[self.columns_]
        return _Evidence.of(votes).posterior(tables, self.class_prior_)[0]


@dataclass(frozen=True, eq=False)
class _Graded:
    """The votes of one function that name more than one class.

    Attributes
    ----------
    function : its number.
    rows : (g,) the patterns with such a vote.
    weights : (g, k) float32, each vote's distribution.
    """

    function: int
    rows: NDArray[np.int64]
    weights: NDArray[np.float32]

    def terms(self, tables: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return P(vote | class) up to a constant of the vote, (g, k)."""
        return self.weights @ tables[self.function, :, :-1].T


@dataclass(frozen=True, eq=False)
class _Evidence:
    """What u vote patterns say.

    Attributes
    ----------
    symbols : (u, m * (k + 1)) sparse, 1 for each vote of a single class and, in the
        last column of a function, for abstaining.
    graded : the soft votes and sets, per function.
    """

    symbols: sparse.csr_array
    graded: list[_Graded]
    n_functions: int
    n_classes: int

    @classmethod
    def of(cls, votes: Votes) -> _Evidence:
        """Read the votes."""
        u, m, k = len(votes), votes.n_functions, votes.n_classes
        none = np.zeros(0, dtype=np.int64)
        rows, columns, graded = [none], [none], []
        for j in range(m):
            weights = vote_distributions(votes.select([j]))[:, 0]  # (u, k)
            several = (weights > 0).sum(axis=1) > 1
            if several.any():
                where = np.flatnonzero(several)
                graded.append(_Graded(j, where, weights[where].astype(np.float32)))
            single = np.flatnonzero(~several)
            symbol = np.where(weights.any(axis=1), weights.argmax(axis=1), k)
            rows.append(single)
            columns.append(j * (k + 1) + symbol[single])
        cells = (np.concatenate(rows), np.concatenate(columns))
        ones = np.ones(len(cells[0]))
        symbols = sparse.csr_array((ones, cells), shape=(u, m * (k + 1)))
        return cls(symbols, graded, m, k)

    def symbol_shares(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how often each function emits each symbol, never 0, (m, 1, k + 1)."""
        emitted = self._per_function((counts @ self.symbols)[None])
        for votes in self.graded:
            emitted[votes.function, 0, :-1] += counts[votes.rows] @ votes.weights
        emitted += 1  # a symbol not seen yet may come when predicting
        return emitted / emitted.sum(axis=2, keepdims=True)

    def vote_winners(self, prior: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the vote's winners, ties shared; the prior without votes, (u, k)."""
        one_function = np.eye(self.n_classes + 1, self.n_classes)  # abstain counts 0
        own_class = np.tile(one_function, (self.n_functions, 1))
        shares = self.symbols @ own_class
        for votes in self.graded:
            shares[votes.rows] += votes.weights
        winners = shares >= shares.max(axis=1, keepdims=True) - TIE_TOLERANCE
        voted = shares.any(axis=1, keepdims=True)
        return np.where(voted, winners / winners.sum(axis=1, keepdims=True), prior)

    def posterior(
        self, tables: NDArray[np.float64], prior: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """E-step: P(class | votes), (u, k), and log P(votes), (u,)."""
        with np.errstate(divide="ignore"):
            log_prior = np.log(prior)  # -inf for a class that the prior rules out
        flat = tables.transpose(0, 2, 1).reshape(-1, self.n_classes)
        joint = self.symbols @ np.log(flat) + log_prior
        for votes in self.graded:
            joint[votes.rows] += np.log(votes.terms(tables))
        log_likelihood = logsumexp(joint, axis=1)
        return np.exp(joint - log_likelihood[:, None]), log_likelihood

    def expected_votes(
        self, weighted: NDArray[np.float64], tables: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """M-step's counts: how often function j emits v on images of y, (m, k, k + 1).

        A vote for several classes is shared by them as the current tables would.
        """
        emitted = self._per_function((self.symbols.T @ weighted).T)
        for votes in self.graded:
            shared = (weighted[votes.rows] / votes.terms(tables)).T @ votes.weights
            emitted[votes.function, :, :-1] += shared * tables[votes.function, :, :-1]
        return emitted

    def _per_function(self, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        """(q, m * (k + 1)) → (m, q, k + 1)."""
        split = flat.reshape(len(flat), self.n_functions, self.n_classes + 1)
        return np.ascontiguousarray(split.transpose(1, 0, 2))
