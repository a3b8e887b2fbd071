"""Votes weighted by how right they were on the seeds."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import logsumexp

from lfkit.aggregators.aggregator import Aggregator, SeedVotes
from lfkit.aggregators.calibration import LEAST_LOG
from lfkit.aggregators.inference.dependencies import find_dependencies
from lfkit.aggregators.inference.vote_likelihood import row_chunks, vote_distributions
from lfkit.data.folds import FOLDS, deal_folds
from lfkit.data.votes import Patterns, Votes
from lfkit.errors import InputError

_HALVINGS = 50
# Imaginary votes behind the doubt of all functions together, and behind that of one:
# who was judged on two seeds is not certain.
_PSEUDO_DOUBTS, _VOTES_BEHIND = 2.0, 5.0
# Of the mean: whom the penalty silences still names a class where nobody else votes, if
# hardly surer than by a guess. Few seeds silence many.
_LEAST_WEIGHT = 1e-3
# Standard errors by which weights of their own must beat equal ones on held-out seeds.
_ERRORS = 1.0
# Without seeds nobody is judged; one vote in ten is no better than a guess.
_UNJUDGED_DOUBT = 0.1


class SeedWeightedVote(Aggregator):
    """A weighted product of the votes; doubts and weights are learned on the seeds.

    A logarithmic opinion pool (Genest & Zidek 1986,
    https://doi.org/10.1214/ss/1177013825): P(y | votes) is proportional to
    prior(y) * prod_j r_j(y)^w_j, where r_j = (1 - d_j) vote_j + d_j / k is the vote of
    function j with its doubt mixed in. Both are learned from the out-of-fold votes on
    the seeds, the only ones that do not flatter a function that memorised, by maximum
    likelihood: d_j each function by itself; w_j >= 0 together, so that functions that
    make the same mistakes share one weight, with the penalty of an elastic net (Zou &
    Hastie 2005, https://doi.org/10.1111/j.1467-9868.2005.00503.x), its strength chosen
    by cross-validation. Few seeds would silence functions by chance: doubts are shrunk
    to that of all functions together. Unless weights beat equal ones on held-out
    seeds, by a standard error, all are alike, copies (see `find_dependencies`) share
    one, and unless doubts of their own do, too, all have the same. Weights are scaled
    so that the posterior is as sure as it is right on held-out seeds.
    A function of weight 0 still names a class where no other votes, with hardly more
    confidence than a guess.

    Functions that abstain are ignored. One that voted on no seed has the common doubt
    and the mean weight; seeds that are the only ones of their class judge nobody.
    Without seeds all doubts are .1 and all weights one over the mean number of votes
    per image. An image without votes gets `class_balance` (None: uniform).

    Parameters
    ----------
    penalties : candidates for the L1 penalty, of the summed log likelihood.
    ridge : the quadratic penalty beside it.

    Attributes
    ----------
    doubts_, weights_ : (m',) d_j and w_j of the functions kept, in sorted order.
    penalty_ : the strength chosen; None where all weights are alike.
    scale_ : what the weights were multiplied by.
    reason_ : why nothing was learned, or "".
    """

    made_for: ClassVar[str] = "votes with seeds, twenty or more"
    learns_from_seeds = True

    def __init__(
        self,
        penalties: ArrayLike = (1.0, 3.0, 10.0, 20.0, 30.0),
        ridge: float = 10.0,
        class_balance: ArrayLike | None = None,
        random_state: int = 0,
    ) -> None:
        self.penalties = penalties
        self.ridge = ridge
        self.class_balance = class_balance
        self.random_state = random_state

    def _check_parameters(self) -> None:
        penalties = np.asarray(self.penalties, dtype=np.float64)
        if penalties.ndim != 1 or not len(penalties) or not (penalties > 0).all():
            raise InputError(
                "SeedWeightedVote's penalties must be one or more numbers above 0, got "
                f"{self.penalties!r}."
            )
        if not self.ridge > 0:
            raise InputError(
                f"SeedWeightedVote's ridge must be more than 0, got {self.ridge}."
            )

    def _fit(self, patterns: Patterns, seeds: SeedVotes | None) -> None:
        m = len(self.columns_)
        self.reason_ = ""
        self.penalty_: float | None = None
        self.scale_ = 1.0
        self.doubts_ = np.full(m, _UNJUDGED_DOUBT)
        n_votes = patterns.counts @ patterns.votes.voted.sum(axis=1)
        self.weights_ = np.full(m, patterns.counts.sum() / max(n_votes, 1.0))
        if seeds is None:
            self.reason_ = (
                "equal weights: no seed has votes by functions fitted without it"
            )
        if seeds is None or not m:
            return
        # A class's only seed was voted on by functions that had never seen the class.
        n_alike = np.bincount(seeds.labels, minlength=self.n_classes_)[seeds.labels]
        rows = np.flatnonzero(n_alike > 1)
        shares = vote_distributions(seeds.votes.rows(rows))  # (s, m', k)
        labels = seeds.labels[rows]
        judged = np.flatnonzero(shares.any(axis=(0, 2)))
        if not len(judged):
            return
        shares = shares[:, judged]
        doubts = _doubts(shares, labels)
        with np.errstate(divide="ignore"):
            log_prior = np.log(self.class_prior_)
        pool = _OpinionPool(_log_votes(shares, doubts), labels, log_prior)
        folds = deal_folds(labels, FOLDS, self.random_state)
        parts = [
            _SeedFold(shares, labels, log_prior, folds == f) for f in np.unique(folds)
        ]
        penalties = np.sort(np.asarray(self.penalties, dtype=np.float64))
        held_out = _held_out(parts, penalties, self.ridge)
        losses = np.stack([-pool.log_likelihoods(scores) for scores in held_out])
        least = losses.sum(axis=1).argmin()
        best = losses[least]  # (s,)
        allowed = best.sum() + np.sqrt(len(best)) * best.std()
        powers = find_dependencies(patterns).powers  # copies share one vote
        pools = [part.equal for part in parts], [part.judged for part in parts]
        equal, alike = (_held_out_alike(parts, each, powers[judged]) for each in pools)
        common = _common_doubt(shares, labels)
        self.doubts_[:] = common  # of those that voted on no seed, too
        if not pool.is_better(alike, equal):
            alike = equal
        else:
            self.doubts_[judged] = doubts
        candidates = np.flatnonzero(losses.sum(axis=1) <= allowed)[::-1]
        if not pool.is_better(held_out[least], alike):
            candidates = candidates[:0]
        # From the strongest on: one that silences every function explains nothing.
        for chosen in candidates:
            weights = pool.fit(penalties[chosen], self.ridge)
            if not weights.any():
                continue
            self.doubts_[judged] = doubts
            self.penalty_ = float(penalties[chosen])
            self.scale_ = pool.best_scale(held_out[chosen])
            self.weights_ = np.full(m, self.scale_ * weights.mean())
            self.weights_[judged] = self.scale_ * weights
            return
        self.scale_ = pool.best_scale(alike)
        self.weights_ = self.scale_ * powers
        self.reason_ = "equal weights: the seeds do not show that others are better"

    def _predict_proba(self, votes: Votes) -> NDArray[np.float64]:
        with np.errstate(divide="ignore"):
            log_prior = np.log(self.class_prior_)
        proba = np.empty((len(votes), votes.n_classes))
        weights = self.weights_
        weights = np.maximum(
            weights, _LEAST_WEIGHT * (weights.mean() if len(weights) else 0)
        )
        for rows in row_chunks(votes):
            shares = vote_distributions(votes.rows(rows))
            scores = np.einsum("nmk,m->nk", _log_votes(shares, self.doubts_), weights)
            scores += log_prior
            proba[rows] = np.exp(scores - logsumexp(scores, axis=1, keepdims=True))
        return proba


class _OpinionPool:
    """The likelihood of the seeds' classes under weights, (m',).

    Attributes
    ----------
    log_votes : (s, m', k), zero where a function abstains.
    """

    def __init__(
        self,
        log_votes: NDArray[np.float64],
        labels: NDArray[np.int64],
        log_prior: NDArray[np.float64],
    ) -> None:
        self.log_votes = log_votes
        m = log_votes.shape[1]
        # One product of a matrix and a vector: einsum took five times as long.
        self._flat = np.ascontiguousarray(log_votes.transpose(1, 0, 2)).reshape(m, -1)
        self.labels = labels
        self.log_prior = log_prior

    def scores(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add up the weighted log votes: (s, k), the prior not among them."""
        return np.asarray(weights @ self._flat).reshape(len(self.labels), -1)

    def log_proba(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn scores into logarithms of the posterior: (s, k)."""
        scores = scores + self.log_prior
        # scipy's logsumexp took four fifths of a fit.
        scores -= scores.max(axis=1, keepdims=True)
        scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
        return np.maximum(scores, LEAST_LOG)

    def log_likelihoods(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the log likelihood of each seed's class: (s,)."""
        return self.log_proba(scores)[np.arange(len(self.labels)), self.labels]

    def fit(
        self, penalty: float, ridge: float, near: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Find the likeliest weights under the penalties, (m',); they are unique.

        Parameters
        ----------
        near : weights to start from, such as those of another penalty.
        """
        m = self.log_votes.shape[1]

        def penalised(
            weights: NDArray[np.float64],
        ) -> tuple[float, NDArray[np.float64]]:
            log_proba = self.log_proba(self.scores(weights))
            loss = -log_proba[each, self.labels].sum()
            loss += penalty * weights.sum() + ridge * weights @ weights
            surplus = np.exp(log_proba)
            surplus[each, self.labels] -= 1
            gradient = self._flat @ surplus.ravel()
            return float(loss), gradient + penalty + 2 * ridge * weights

        each = np.arange(len(self.labels))
        start = np.full(m, 1 / m) if near is None else near
        bounds = [(0, None)] * m
        options = {"maxiter": 300}
        found = minimize(penalised, start, jac=True, bounds=bounds, options=options)
        return np.asarray(found.x)

    def is_better(
        self, held_out: NDArray[np.float64], other: NDArray[np.float64]
    ) -> bool:
        """Tell whether some scores lose less than others, by a standard error."""
        losses = [
            -self.log_likelihoods(self.best_scale(scores) * scores)
            for scores in (held_out, other)
        ]
        lead = losses[1] - losses[0]  # (s,)
        return bool(lead.mean() > _ERRORS * lead.std() / np.sqrt(len(lead)))

    def best_scale(self, held_out: NDArray[np.float64]) -> float:
        """Find what to multiply the scores by for the greatest likelihood.

        1 where the scores say nothing. One imaginary seed is of any class, whatever
        the votes: where all real ones are right, there would be no bound.
        """
        if np.ptp(held_out, axis=1).max() == 0:
            return 1.0

        def loss(log_scale: float) -> float:
            scores = np.exp(log_scale) * held_out
            imaginary = self.log_proba(scores).mean()
            return -float(self.log_likelihoods(scores).sum() + imaginary)

        return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


class _SeedFold:
    """One fold of the seeds, and what the others teach: doubts, then weights.

    `judged` are its votes with each function's own doubt, `equal` with the common one.

    Parameters
    ----------
    shares, labels : of all seeds, (s, m', k) and (s,).
    test : (s,) True for the seeds of the fold.
    """

    def __init__(
        self,
        shares: NDArray[np.float64],
        labels: NDArray[np.int64],
        log_prior: NDArray[np.float64],
        test: NDArray[np.bool_],
    ) -> None:
        doubts = _doubts(shares[~test], labels[~test])
        common = np.full(len(doubts), _common_doubt(shares[~test], labels[~test]))
        self.test = test
        self.train, self.judged, self.equal = (
            _OpinionPool(_log_votes(shares[rows], each), labels[rows], log_prior)
            for rows, each in ((~test, doubts), (test, doubts), (test, common))
        )


def _held_out(
    parts: list[_SeedFold], penalties: NDArray[np.float64], ridge: float
) -> NDArray[np.float64]:
    """Give each seed's scores by doubts and weights of the other folds.

    Returns
    -------
    (penalties, s, k)
    """
    k = len(parts[0].judged.log_prior)
    found = np.zeros((len(penalties), len(parts[0].test), k))
    for part in parts:
        weights = None
        for scores, penalty in zip(found, penalties, strict=True):
            weights = part.train.fit(penalty, ridge, near=weights)
            scores[part.test] = part.judged.scores(weights)
    return found


def _held_out_alike(
    parts: list[_SeedFold],
    pools: list[_OpinionPool],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Give each seed's scores by given weights and doubts of other folds: (s, k)."""
    found = np.zeros((len(parts[0].test), len(pools[0].log_prior)))
    for part, pool in zip(parts, pools, strict=True):
        found[part.test] = pool.scores(weights)
    return found


def _common_doubt(shares: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Find how often the votes of all functions are no better than a guess."""
    s, m, k = shares.shape
    every = shares.reshape(s * m, 1, k)
    found = _likeliest_doubts(every, np.repeat(labels, m), 0.5, _PSEUDO_DOUBTS)
    return float(found[0])


def _doubts(
    shares: NDArray[np.float64], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Find how often each function's vote is no better than a guess: (m',).

    The likeliest mixing share of the uniform distribution, on the seeds it votes on;
    functions judged on few votes are as doubtful as all are together.
    """
    common = _common_doubt(shares, labels)
    return _likeliest_doubts(shares, labels, common, _VOTES_BEHIND)


def _likeliest_doubts(
    shares: NDArray[np.float64], labels: NDArray[np.int64], centre: float, behind: float
) -> NDArray[np.float64]:
    """Find the doubts, (m',), with so many imaginary votes of such doubt behind each.

    The log likelihood is concave, so its slope is bisected: EM takes thousands of steps
    where votes are flat.
    """
    s, m, k = shares.shape
    voted = shares.any(axis=2)
    # What the own class was given, (s, m'); a silent function has nothing to gain.
    right = np.where(voted, shares[np.arange(s), :, labels], 1)
    gain = np.where(voted, 1 / k - right, 0)
    low, high = np.zeros(m), np.ones(m)
    for _ in range(_HALVINGS):
        doubts = (low + high) / 2
        slope = (gain / (right + doubts * gain)).sum(axis=0)
        slope += behind * (centre / doubts - (1 - centre) / (1 - doubts))
        low, high = np.where(slope > 0, doubts, low), np.where(slope > 0, high, doubts)
    return high


def _log_votes(
    shares: NDArray[np.float64], doubts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mix the doubts into (n, m', k) votes; their logarithms, 0 where one abstains."""
    voted = shares.any(axis=2, keepdims=True)
    mixed = (1 - doubts)[:, None] * shares + (doubts / shares.shape[2])[:, None]
    return np.log(mixed, out=np.zeros_like(mixed), where=voted)
