"""FlyingSquid: accuracies in closed form, from triplets of functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.aggregators.aggregator import Aggregator, SeedVotes
from lfkit.aggregators.inference.dependencies import first_winners, read_dependencies
from lfkit.aggregators.inference.pattern_sample import priority_sample
from lfkit.aggregators.inference.vote_likelihood import (
    VoteLikelihood,
    row_chunks,
    vote_distributions,
)
from lfkit.data.votes import Patterns, Votes

# Partners that form triplets with every function: 2,016 pairs of 64.
_MOST_PARTNERS = 64
_TRIPLETS_AT_ONCE = 2**20
# Standard deviations of chance that the covariance of a triplet's partners must pass.
_LEAST_DEVIATIONS = 2.0
_SIGN_ROUNDS = 5
# The prior is learned on so many vote patterns, until it moves less than that.
_PRIOR_ROWS, _PRIOR_ROUNDS, _LEAST_CHANGE = 2**11, 20, 1e-3


class FlyingSquid(Aggregator):
    """Each function's gain on each class, in closed form from triplets.

    Fu et al. (2020), https://arxiv.org/abs/2002.11955: if functions i, j
    and l are independent given the class, their pairwise moments alone give the
    accuracy of i. Here the moments are covariances of "votes for class c", so that
    abstentions, functions of one class and unequal classes need no symmetry: with
    d_i = P(i votes c | c) - P(i votes c | not c),

        C_ij = p_c (1 - p_c) d_i d_j,   so   p_c (1 - p_c) d_i^2 = C_ij C_il / C_jl.

    d_i is the median over the pairs j, l, weighted by |C_jl|: a triplet with a small
    denominator says little. Dependent pairs are in no triplet. A function whose votes
    go against those of the others has d_i < 0. With P(i votes c) this gives P(i votes
    c | c) and P(i votes c | not c), and all classes together one table per function,
    abstaining included: the posterior is that of the tables, never a softmax over
    one-versus-rest answers.

    The class prior is `class_balance` or, if None, the mean posterior, starting from
    the winners of the majority vote; pairs do not tell it for two classes, so it stays
    too even. Where no triplet is left, as with less than three
    functions, d_i is read off these winners instead. Images without votes get the
    posterior of that silence. Beyond 64 functions the 64 that vary most with the others
    are the partners of all.

    Parameters
    ----------
    class_balance : (k,) the class prior, if known; None: learned.
    dependencies : "auto" finds dependent functions and down-weights copies; None takes
        all for independent; or pairs of names, left out of triplets, weighted 1.

    Attributes
    ----------
    confusions_ : (m, k, k + 1); [j, y, v] = P(function j votes v | class y), v = k: it
        abstains. In the order of `names_`; a function that never voted abstains.
    class_prior_ : (k,)
    powers_ : (m',) what each kept function's log likelihood is multiplied by.
    identified_ : (m', k) True where triplets gave the function's gain on the class.
    """

    made_for: ClassVar[str] = (
        "functions that err, and fall silent, independently of each other"
    )
    can_degenerate: ClassVar[bool] = True
    confusions_: NDArray[np.float64]

    def __init__(
        self,
        class_balance: ArrayLike | None = None,
        dependencies: str | Sequence[tuple[str, str]] | None = "auto",
        random_state: int = 0,
    ) -> None:
        self.class_balance = class_balance
        self.dependencies = dependencies
        self.random_state = random_state

    def _fit(self, patterns: Patterns, seeds: SeedVotes | None) -> None:
        votes, counts = patterns.votes, patterns.counts
        m, k, n = votes.n_functions, self.n_classes_, counts.sum()
        linked, self.powers_ = read_dependencies(
            patterns, self.dependencies, self.names_
        )
        evidence = VoteLikelihood(votes)
        shares = evidence.symbol_counts(counts) / n  # (m, k + 1)
        posterior = first_winners(evidence, self.class_prior_, self.powers_)
        weighted = posterior * counts[:, None]
        named = evidence.expected_votes(
            weighted, np.full((m, k, k + 1), 1 / (k + 1))
        )  # with the winners
        joint = np.einsum("jyy->jy", named[:, :, :k]) / n
        covariances = _covariances(votes, counts)
        prior = self._prior(weighted)
        with_winner = joint - shares[:, :k] * (weighted.sum(axis=0) / n)
        squares = np.full((m, k), np.nan)
        signs = np.ones((m, k))
        for c in range(k):
            squares[:, c] = _triplets(covariances[c], shares[:, c], linked, n)
            signs[:, c] = _signs(covariances[c], squares[:, c], linked)
        self.identified_ = np.isfinite(squares)
        scaled = signs * np.sqrt(np.maximum(squares, 0))  # d sqrt(p (1 - p))
        tables = np.full((m, k, k + 1), 1 / (k + 1))
        sample = priority_sample(patterns, _PRIOR_ROWS)
        early = evidence if sample is patterns else VoteLikelihood(sample.votes)
        for _ in range(_PRIOR_ROUNDS if m else 0):
            spread = np.maximum(prior * (1 - prior), 1 / (n + 1))
            gains = np.where(
                self.identified_, scaled / np.sqrt(spread), with_winner / spread
            )
            tables = _tables(gains, shares, prior, n)
            if self.class_balance is not None:
                break
            posterior = early.posterior(tables, prior, self.powers_)[0]
            before, prior = prior, self._prior(posterior * sample.counts[:, None])
            if np.abs(prior - before).sum() < _LEAST_CHANGE:
                break
        self.class_prior_ = prior
        self.confusions_ = np.zeros((len(self.names_), k, k + 1))
        self.confusions_[:, :, k] = 1
        self.confusions_[self.columns_] = tables

    def _prior(self, weighted: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.class_balance is not None or not len(self.columns_):
            return self.class_prior_
        class_counts = weighted.sum(axis=0) + 1 / self.n_classes_
        return np.asarray(class_counts / class_counts.sum())

    def _predict_proba(self, votes: Votes) -> NDArray[np.float64]:
        tables = self.confusions_[self.columns_]
        powers = None if (self.powers_ == 1).all() else self.powers_
        return VoteLikelihood(votes).posterior(tables, self.class_prior_, powers)[0]


def _covariances(votes: Votes, counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how votes for the same class vary together, (k, m, m)."""
    m, k = votes.n_functions, votes.n_classes
    joint, mean = np.zeros((k, m, m)), np.zeros((k, m))
    weights = np.sqrt(counts / counts.sum())[:, None]
    for rows in row_chunks(votes):
        part, weight = votes.rows(rows), weights[rows]
        graded = part.soft is not None or part.allowed is not None
        shares = vote_distributions(part) if graded else None
        for c in range(k):
            named = part.hard == c if shares is None else shares[:, :, c]
            scaled = (named * weight).astype(np.float32)
            joint[c] += scaled.T @ scaled
            mean[c] += weight[:, 0] @ scaled
    return joint - mean[:, :, None] * mean[:, None]


def _triplets(
    covariance: NDArray[np.float64],
    share: NDArray[np.float64],
    linked: NDArray[np.bool_],
    n_images: float,
) -> NDArray[np.float64]:
    """Return each function's C_ij C_il / C_jl, (m,); NaN where no triplet is left."""
    m = len(covariance)
    noise = np.sqrt(share * (1 - share) / n_images)
    others = np.where(linked, 0, np.abs(covariance)).sum(axis=1)
    partners = np.sort(np.argsort(-others, kind="stable")[:_MOST_PARTNERS])
    first, second = (partners[side] for side in np.triu_indices(len(partners), 1))
    between = covariance[first, second]
    chance = noise[first] * np.sqrt(share[second] * (1 - share[second]))
    usable = ~linked[first, second] & (np.abs(between) > _LEAST_DEVIATIONS * chance)
    first, second, between = first[usable], second[usable], between[usable]
    found = np.full(m, np.nan)
    size = max(1, _TRIPLETS_AT_ONCE // max(1, len(between)))
    for start in range(0, m if len(between) else 0, size):
        rows = np.arange(start, min(start + size, m))[:, None]
        values = covariance[rows, first] * covariance[rows, second] / between
        apart = ~linked[rows, first] & ~linked[rows, second]
        weights = np.where(apart, np.abs(between), 0)
        found[rows[:, 0]] = _weighted_medians(values, weights)
    return np.where(share > 0, found, np.nan)


def _weighted_medians(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the weighted median of each row; NaN where the weights are zero."""
    order = np.argsort(values, axis=1, kind="stable")
    total = np.take_along_axis(weights, order, axis=1).cumsum(axis=1)
    middle = (total >= total[:, -1:] / 2).argmax(axis=1)
    found = np.take_along_axis(values, order, axis=1)[np.arange(len(values)), middle]
    return np.where(total[:, -1] > 0, found, np.nan)


def _signs(
    covariance: NDArray[np.float64],
    squares: NDArray[np.float64],
    linked: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return whether votes go with (1) or against (-1) most of the others', (m,)."""
    size = np.sqrt(np.maximum(np.nan_to_num(squares), 0))
    apart = np.where(linked, 0, covariance)
    signs = np.ones(len(size))
    for _ in range(_SIGN_ROUNDS):
        signs = np.where(apart @ (signs * size) < 0, -1.0, 1.0)
    return signs if signs @ size >= 0 else -signs


def _tables(
    gains: NDArray[np.float64],
    shares: NDArray[np.float64],
    prior: NDArray[np.float64],
    n_images: float,
) -> NDArray[np.float64]:
    """Turn the gain on each class, (m, k), into tables, (m, k, k + 1)."""
    k = len(prior)
    named = shares[:, :k]
    rest = 1 - prior
    # P(vote) = p a + (1 - p) b and gain = a - b, with a and b in [0, 1].
    tiny = 1 / (n_images + 1)
    safe, safe_rest = np.maximum(prior, tiny), np.maximum(rest, tiny)
    least = np.maximum(-named / safe_rest, -(1 - named) / safe)
    most = np.minimum((1 - named) / safe_rest, named / safe)
    gains = np.clip(gains, least, most)
    tables = np.empty((len(gains), k, k + 1))
    tables[:, :, :k] = (named - prior * gains)[:, None]  # of another class
    own = np.arange(k)
    tables[:, own, own] = named + rest * gains
    tables = np.clip(tables, 0, 1)
    tables[:, :, k] = np.maximum(1 - tables[:, :, :k].sum(axis=2), 0)
    tables[:, :, k] *= (shares[:, k] > 0)[:, None]
    tables /= np.maximum(tables.sum(axis=2, keepdims=True), tiny)
    # One imaginary image per class: a symbol not seen yet may come when predicting.
    spread = (shares * n_images + 1 / (k + 1)) / (n_images + 1)
    n_of_class = (n_images * prior)[:, None]
    tables = tables * n_of_class + spread[:, None]
    return np.asarray(tables / tables.sum(axis=2, keepdims=True))
