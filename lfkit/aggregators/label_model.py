"""The label model of Snorkel and MeTaL: tables that reproduce the votes' moments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg.blas import ssyrk

from lfkit.aggregators.aggregator import Aggregator, SeedVotes
from lfkit.aggregators.inference.dependencies import first_winners, read_dependencies
from lfkit.aggregators.inference.em import TiedTables
from lfkit.aggregators.inference.pattern_sample import priority_sample
from lfkit.aggregators.inference.vote_likelihood import (
    VoteLikelihood,
    row_chunks,
    vote_distributions,
)
from lfkit.data.votes import ABSTAIN, Patterns, Votes
from lfkit.errors import InputError

# Symbols (functions times k + 1) whose moments are held at once: 8 MB a matrix.
_MOST_SYMBOLS = 1024
# Vote patterns that are enough for all rounds but the last ones.
_EARLY_ROWS, _LATE_ROUNDS = 2**11, 4
_LEAST_MOVE = 3e-4  # of any probability: then more rounds change nothing
_LEAST_PARTNERS = 2  # of a function, or its accuracy does not show in the moments
_MOST_SWEEPS, _MOST_HALVINGS = 50, 6
_LEAST_GAIN = 1e-4


class LabelModel(Aggregator):
    """Tables P(vote | class) that explain how often functions vote together.

    Matrix completion (Ratner et al. 2019, https://arxiv.org/abs/1810.02840):
    functions i and j that are independent given the class have second moments
    O_ij = T_i^T diag(p) T_j. The tables minimise the mean over such pairs of

        sum_v,w (O_ij[v, w] - sum_y p(y) T_i[y, v] T_j[y, w])^2 / (o_i[v] o_j[w]),

    the squares in units of what chance does to them, so that neither rare votes nor
    the number of functions change the scale. Abstaining is one more symbol. Pairs of
    dependent functions are left out; then, given the other tables, the best one of a
    function is a linear regression, and all are moved towards it, as far as the
    objective falls. Votes enter by their moments only; a soft vote is an expectation.

    Second moments leave open how classes are mixed (for k > 2 a rotation, for k = 2 the
    class prior). Where they do, the tables stay near an anchor: one rate of hits and of
    errors per function, read off the current labels, at first the winners of the
    majority vote; `ridge` says how near. The class prior is `class_balance` or, if
    None, the share of the classes among the current labels. Labels, anchor and prior
    are renewed `n_rounds` times.

    Groups that vote alike more than the class explains count about once: see `powers_`.
    Images without votes get the posterior of that silence. More functions than fit in
    moments of 1024 x 1024 are dealt to groups (every g-th name) fitted one by one.

    Parameters
    ----------
    class_balance : (k,) the class prior, if known; None: learned.
    dependencies : "auto" finds dependent functions and down-weights copies; None takes
        all for independent; or pairs of names, left out of the moments, weighted 1.
    ridge : weight of the anchor beside the moments; more than 0.
    n_rounds : how often labels, anchor and prior are renewed at most; all but the last
        four times on a sample, if there are more than 2,048 vote patterns.

    Attributes
    ----------
    confusions_ : (m, k, k + 1); [j, y, v] = P(function j votes v | class y), v = k: it
        abstains. In the order of `names_`; a function that never voted abstains.
    class_prior_ : (k,)
    powers_ : (m',) what each kept function's log likelihood is multiplied by.
    identified_ : (m',) False for functions with fewer than two independent partners:
        moments say nothing of their accuracy, so their table is the anchor. With less
        than three functions, all of them.
    objective_ : (groups,) the mean over pairs that the last round reached.
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
        ridge: float = 1.0,
        n_rounds: int = 10,
        random_state: int = 0,
    ) -> None:
        self.class_balance = class_balance
        self.dependencies = dependencies
        self.ridge = ridge
        self.n_rounds = n_rounds
        self.random_state = random_state

    def _check_parameters(self) -> None:
        if not self.ridge > 0:
            raise InputError(
                f"LabelModel's ridge must be more than 0, got {self.ridge}; second "
                "moments alone do not identify the tables."
            )
        if self.n_rounds < 1:
            raise InputError(
                f"LabelModel's n_rounds must be at least 1, got {self.n_rounds}."
            )

    def _fit(self, patterns: Patterns, seeds: SeedVotes | None) -> None:
        patterns = _in_order(patterns)
        votes, counts = patterns.votes, patterns.counts
        m, k, n = votes.n_functions, self.n_classes_, counts.sum()
        linked, self.powers_ = read_dependencies(
            patterns, self.dependencies, self.names_
        )
        self.identified_ = (~linked).sum(axis=1) >= _LEAST_PARTNERS
        evidence = VoteLikelihood(votes)
        emitted = evidence.symbol_counts(counts)
        anchors = TiedTables(emitted, 1.0)
        spread = (emitted + 1 / (k + 1)) / (n + 1)  # of one imaginary vote
        tables = np.full((m, k, k + 1), 1 / (k + 1))
        groups = _dealt(m, k)
        completions = [
            _Completion(votes.select(g), counts, linked[np.ix_(g, g)]) for g in groups
        ]
        self.objective_ = np.zeros(len(groups))
        sample = priority_sample(patterns, _EARLY_ROWS)
        early = evidence if sample is patterns else VoteLikelihood(sample.votes)
        for round_ in range(self.n_rounds if m else 0):
            if round_ >= self.n_rounds - _LATE_ROUNDS:
                early, sample = evidence, patterns
            before = tables
            weighted = sample.counts[:, None] * (
                early.posterior(tables, self.class_prior_, self.powers_)[0]
                if round_
                else first_winners(early, self.class_prior_, self.powers_)
            )
            if self.class_balance is None:
                self.class_prior_ = (weighted.sum(axis=0) + 1 / k) / (n + 1)
                self.class_prior_ /= self.class_prior_.sum()
            anchor = anchors.estimate(early.expected_votes(weighted, tables))
            tables = anchor.copy()
            for position, group in enumerate(groups):
                tables[group], self.objective_[position] = completions[position].solve(
                    anchor[group], self.class_prior_, self.ridge
                )
            # A symbol not seen of a class yet may come when predicting.
            n_images = n * self.class_prior_[:, None]
            tables = (tables * n_images + spread[:, None]) / (n_images + 1)
            tables[~self.identified_] = anchor[~self.identified_]
            if early is evidence and np.abs(tables - before).max() < _LEAST_MOVE:
                break
        self.confusions_ = np.zeros((len(self.names_), k, k + 1))
        self.confusions_[:, :, k] = 1
        self.confusions_[self.columns_] = tables

    def _predict_proba(self, votes: Votes) -> NDArray[np.float64]:
        tables = self.confusions_[self.columns_]
        powers = None if (self.powers_ == 1).all() else self.powers_
        return VoteLikelihood(votes).posterior(tables, self.class_prior_, powers)[0]


class _Completion:
    """The moments of a group of functions, and the tables that explain them.

    Attributes
    ----------
    moments : (m (k + 1), m (k + 1)) O_ij[v, w] / sqrt(o_i[v] o_j[w]), 0 if left out.
    scale : (m, k + 1) 1 / sqrt(o), 0 for a symbol that never occurs.
    counted : (m, m) 1.0 for pairs that count.
    """

    def __init__(
        self, votes: Votes, counts: NDArray[np.float64], linked: NDArray[np.bool_]
    ) -> None:
        m, n_symbols = votes.n_functions, votes.n_classes + 1
        moments = np.zeros((m * n_symbols, m * n_symbols))
        for rows in row_chunks(votes):
            symbols = _symbols(votes.rows(rows))
            symbols *= np.sqrt(counts[rows] / counts.sum()).astype(np.float32)[:, None]
            moments += ssyrk(1, symbols.T)  # half the work of a product
        moments += np.triu(moments, 1).T
        # Of soft votes the diagonal holds squares; the shares are the rows' sums.
        shares = moments[:, :n_symbols].sum(axis=1)
        scale = np.divide(
            1, np.sqrt(shares), out=np.zeros_like(shares), where=shares > 0
        )
        self.counted = (~linked).astype(np.float64)
        left_in = np.repeat(np.repeat(self.counted, n_symbols, 0), n_symbols, 1)
        self.moments = moments * scale[:, None] * scale * left_in
        self.left_in = left_in
        self.scale = scale.reshape(m, n_symbols)

    def solve(
        self, anchor: NDArray[np.float64], prior: NDArray[np.float64], ridge: float
    ) -> tuple[NDArray[np.float64], float]:
        """Return the tables, (m, k, k + 1), and the mean of the pairs' misfits."""
        m = len(anchor)
        n_pairs = max(1.0, self.counted.sum())
        weight = ridge * n_pairs / m  # of the anchor: as if it were so many partners
        target = self._scaled(anchor)
        tables, scaled = anchor, target
        misfit = self._misfit(scaled, prior)
        reached = misfit
        for _ in range(_MOST_SWEEPS):
            step = self._regressed(scaled, target, prior, weight) - scaled
            size, before = 1.0, reached
            for _ in range(_MOST_HALVINGS):
                moved = self._tables(scaled + size * step, anchor)
                trial = self._scaled(moved)
                misfit_there = self._misfit(trial, prior)
                drift = ((trial - target) ** 2 * prior).sum()
                objective = misfit_there + 2 * weight * drift
                if objective < reached:
                    tables, scaled, misfit = moved, trial, misfit_there
                    reached = objective
                    break
                size /= 2
            if before - reached <= _LEAST_GAIN * before:
                break
        return tables, float(misfit / n_pairs)

    def _misfit(self, scaled: NDArray[np.float64], prior: NDArray[np.float64]) -> float:
        flat = scaled.reshape(len(self.moments), -1)
        return float(
            (((flat * prior) @ flat.T * self.left_in - self.moments) ** 2).sum()
        )

    def _regressed(
        self,
        scaled: NDArray[np.float64],
        target: NDArray[np.float64],
        prior: NDArray[np.float64],
        weight: float,
    ) -> NDArray[np.float64]:
        """Return the best table of each function, given those of the others."""
        m, n_symbols, k = scaled.shape
        grams = np.einsum("jvy,jvz->jyz", scaled, scaled).reshape(m, -1)
        grams = (self.counted @ grams).reshape(m, k, k)  # of each one's partners
        positive = np.maximum(prior, 1e-12)  # a class ruled out would be singular
        normal = positive[:, None] * grams * positive
        normal += np.diag(weight * positive)
        products = self.moments @ scaled.reshape(m * n_symbols, k)
        right = (products.reshape(scaled.shape) + weight * target) * positive
        return np.linalg.solve(normal, right.transpose(0, 2, 1)).transpose(0, 2, 1)

    def _scaled(self, tables: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.ascontiguousarray(
            (tables * self.scale[:, None]).transpose(0, 2, 1)
        )  # (m, k + 1, k)

    def _tables(
        self, scaled: NDArray[np.float64], anchor: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Turn regression coefficients into distributions."""
        occurs = self.scale > 0
        unscaled = scaled / np.where(occurs, self.scale, 1)[:, :, None]
        tables = np.where(occurs[:, None], unscaled.transpose(0, 2, 1), anchor)
        tables = np.maximum(tables, 1e-9)
        return tables / tables.sum(axis=2, keepdims=True)


def _symbols(votes: Votes) -> NDArray[np.float32]:
    """Return votes as distributions over k + 1 symbols, (n, m (k + 1))."""
    n, m, k = len(votes), votes.n_functions, votes.n_classes
    symbols = np.zeros((n, m, k + 1), np.float32)
    if votes.soft is None and votes.allowed is None:
        said = np.where(votes.hard == ABSTAIN, k, votes.hard).ravel()
        symbols.reshape(-1)[np.arange(n * m) * (k + 1) + said] = 1
    else:
        symbols[:, :, :k] = vote_distributions(votes)
        symbols[:, :, k] = ~symbols.any(axis=2)
    return symbols.reshape(n, -1)


def _dealt(m: int, k: int) -> list[NDArray[np.int64]]:
    """Deal functions to groups whose moments can be held, in turn."""
    n_groups = -(-m * (k + 1) // _MOST_SYMBOLS)
    n_groups = min(n_groups, max(1, m // (_LEAST_PARTNERS + 1)))
    return [np.arange(start, m, n_groups) for start in range(n_groups)]


def _in_order(patterns: Patterns) -> Patterns:
    """Sort patterns by their votes, those of no image left out.

    Equal sums in another order differ in the last bit, and so would the tables.
    """
    used = np.flatnonzero(patterns.counts > 0)
    votes = patterns.votes.rows(used)
    if votes.soft is not None or votes.allowed is not None:
        key = np.zeros(len(votes))
        factors = np.random.default_rng(0).random((votes.n_functions, votes.n_classes))
        for rows in row_chunks(votes):
            shares = vote_distributions(votes.rows(rows))
            key[rows] = np.einsum("nmk,mk->n", shares, factors)
        used = used[np.argsort(key, kind="stable")]
        votes = patterns.votes.rows(used)
    return Patterns(votes, patterns.counts[used], np.zeros(0, np.int64))
