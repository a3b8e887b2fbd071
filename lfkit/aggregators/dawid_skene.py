"""Dawid-Skene: how often each function is right, learned by EM without labels."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.aggregators.aggregator import Aggregator, SeedVotes
from lfkit.aggregators.inference.dependencies import find_dependencies, first_winners
from lfkit.aggregators.inference.em import (
    EMFit,
    FreeTables,
    Tables,
    TiedTables,
    run_em,
)
from lfkit.aggregators.inference.equal_trust import EqualTrust, fit_equal_trust
from lfkit.aggregators.inference.pattern_sample import priority_sample
from lfkit.aggregators.inference.tables_of_speakers import TablesOfSpeakers
from lfkit.aggregators.inference.vote_likelihood import VoteLikelihood
from lfkit.aggregators.inference.vote_structure import VoteStructure, find_structure
from lfkit.data.votes import Patterns, Votes, concatenate
from lfkit.errors import InputError

TablesLearned = Literal["equal", "one-coin", "biased-coin", "whole"]
Abstain = Literal["missing", "symbol"]
Shares = Literal["auto", "flat", "learned"]

# Cells (pattern, function, symbol) that are enough to learn tables from, and patterns.
_ENOUGH_CELLS, _MOST_PATTERNS, _LEAST_PATTERNS = 2**21, 2**13, 2**11
# Cells that are labeled at once.
_CELLS_AT_ONCE = 2**22


class DawidSkene(Aggregator):
    """Every image has a hidden class, every function a table P(vote | class).

    Dawid & Skene (1979), https://doi.org/10.2307/2346806, in the sizes that votes can
    tell. EM starts from the winners of the vote; seeds are images of known class. A
    soft vote q is uncertain evidence of the symbol meant: its likelihood is
    sum_v q[v] P(v | class). A set of classes is the same with q uniform over the set.
    Copies share one vote: log likelihoods are multiplied by the powers of
    `lfkit.aggregators.inference.dependencies.find_dependencies`.

    Made for functions that name several classes each and overlap, people among them.
    Of functions that name one class each no table can be told: they have one accuracy
    together, and if less than three functions name several classes, the fit is that of
    "equal" tables. A fit in which a class swallows others, vanishes, or is exchanged
    with another is replaced by that of "equal" tables, too: see `fell_back_`.

    Parameters
    ----------
    tables : "equal": all functions are right equally often, a plain vote, with ties
        decided by which functions are silent. "one-coin": one accuracy per function
        (Zhang et al. 2016, https://arxiv.org/abs/1406.3824). "biased-coin": the same,
        errors go to classes by shares common to all functions. "whole": a table per
        function, shrunk to the pooled table of all, and that to one coin.
    abstain : "missing": a function that is silent says nothing. Right where abstaining
        has reasons that the model does not know: difficult images, other functions.
        "symbol": silence is one more thing a function may say of an image of a class,
        and is believed. Right only if each function falls silent by itself, given the
        class; for "one-coin" and "whole" tables.
    class_shares : "flat", "learned", or "auto": learned where the functions agree on
        them, see `lfkit.aggregators.inference.vote_structure.VoteStructure`, else flat;
        with "symbol" always learned. `class_balance` says them.
    dependencies : False takes functions for independent.
    strength : imaginary votes per function and class that hold a table near the common
        one.
    pooled_strength : imaginary votes per class that hold the common one near one coin.
    class_balance : (k,) the class prior, if known.
    max_iter : EM steps at most.
    tol : stop when a step moves less of an image's posterior than this, on average.

    Attributes
    ----------
    confusions_ : (m, k, k + 1); [j, y, v] = P(function j votes v | class y), v = k: it
        abstains. In the order of `names_`; a function that never voted abstains.
    class_prior_ : (k,)
    prior_source_ : "given", "learned" or "flat".
    tables_ : the size of tables learned: `tables`, or "equal" where it cannot be told.
    pooled_ : (k, k) [y, v] the table of all functions together; None but for "whole".
    powers_ : (m',) what each kept function's log likelihood is multiplied by.
    n_iter_, objective_ : EM steps, and the penalised log likelihood after each.
    """

    made_for: ClassVar[str] = "functions or people that name several classes each"
    learns_from_seeds = True
    can_degenerate: ClassVar[bool] = True
    confusions_: NDArray[np.float64]

    def __init__(
        self,
        tables: TablesLearned = "whole",
        abstain: Abstain = "missing",
        class_shares: Shares = "auto",
        dependencies: bool = True,
        strength: float = 10.0,
        pooled_strength: float = 30.0,
        class_balance: ArrayLike | None = None,
        max_iter: int = 200,
        tol: float = 1e-5,
        random_state: int = 0,
    ) -> None:
        self.tables = tables
        self.abstain = abstain
        self.class_shares = class_shares
        self.dependencies = dependencies
        self.strength = strength
        self.pooled_strength = pooled_strength
        self.class_balance = class_balance
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def _check_parameters(self) -> None:
        for name, kinds in (
            ("tables", TablesLearned),
            ("abstain", Abstain),
            ("class_shares", Shares),
        ):
            if getattr(self, name) not in get_args(kinds):
                raise InputError(
                    f"DawidSkene's {name} must be one of "
                    f"{', '.join(map(repr, get_args(kinds)))}, got "
                    f"{getattr(self, name)!r}."
                )
        if self.abstain == "symbol" and self.tables not in ("one-coin", "whole"):
            raise InputError(
                f"DawidSkene's tables={self.tables!r} does not read silence; with "
                "abstain='symbol' choose 'one-coin' or 'whole'."
            )
        for name in ("strength", "pooled_strength"):
            if not getattr(self, name) > 0:
                raise InputError(
                    f"DawidSkene's {name} must be more than 0, got "
                    f"{getattr(self, name)}; without it one image can rule a class out."
                )
        if self.max_iter < 1:
            raise InputError(
                f"DawidSkene's max_iter must be at least 1, got {self.max_iter}."
            )

    def _fit(self, patterns: Patterns, seeds: SeedVotes | None) -> None:
        m, k = len(self.columns_), self.n_classes_
        self.powers_, strengths = np.ones(m), np.zeros((m, m))
        if self.dependencies:
            dependencies = find_dependencies(patterns)
            self.powers_, strengths = dependencies.powers, dependencies.matrix()
        cells_each = max(1, m * (k + 1))
        size = int(
            np.clip(_ENOUGH_CELLS // cells_each, _LEAST_PATTERNS, _MOST_PATTERNS)
        )
        sample = priority_sample(patterns, size)
        structure = find_structure(VoteLikelihood(sample.votes), sample.counts)
        self.equal_: EqualTrust | None = None
        self.pooled_: NDArray[np.float64] | None = None
        self.tables_ = self.tables
        if self.abstain == "missing" and not structure.has_tables:
            self.tables_ = "equal"
        prior = self._prior(structure)
        if self.tables_ == "equal":
            self._fit_equal(sample, structure, strengths)
            return
        counts, votes = sample.counts, sample.votes
        known = np.full(len(votes), -1)
        if seeds is not None:
            votes = concatenate([votes, seeds.votes])
            counts = np.append(counts, np.ones(len(seeds.labels)))
            known = np.append(known, seeds.labels)
        evidence = VoteLikelihood(votes)
        family = self._family(evidence.symbol_counts(counts), structure)
        found = run_em(
            evidence,
            counts,
            first_winners(evidence, self.class_prior_, self.powers_),
            family,
            prior=prior,
            smoothing=1.0,
            known=known,
            powers=self._powers,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        if isinstance(family, TablesOfSpeakers) and family.kind == "whole":
            self.pooled_ = family.pooled
        self._keep(found)

    def _prior(self, structure: VoteStructure) -> NDArray[np.float64] | None:
        """Give the class prior, (k,); None if it is to be learned."""
        self.prior_source_ = "given"
        if self.class_balance is None:
            shares = self.class_shares
            if shares == "auto":
                is_told = structure.shares == "skewed" or self.abstain == "symbol"
                shares = "learned" if is_told else "flat"
            if self.tables_ == "equal":
                shares = "flat"
            self.prior_source_ = shares
        return None if self.prior_source_ == "learned" else self.class_prior_

    def _fit_equal(
        self,
        sample: Patterns,
        structure: VoteStructure,
        strengths: NDArray[np.float64],
    ) -> None:
        k = self.n_classes_
        equal = fit_equal_trust(sample, structure, strengths, self.class_prior_)
        self.equal_ = equal
        n_images = max(float(sample.counts.sum()), 1.0)
        speaks = (sample.counts @ sample.votes.voted / n_images)[:, None, None]
        table = np.full((k, k), (1 - equal.accuracy) / max(k - 1, 1))
        np.fill_diagonal(table, equal.accuracy if k > 1 else 1.0)
        silent = np.broadcast_to(1 - speaks, (len(speaks), k, 1))
        tables = np.concatenate([speaks * table, silent], axis=2)
        self._keep(
            EMFit(tables, self.class_prior_, np.zeros((0, k)), np.zeros(0, np.float64))
        )

    def _family(self, symbols: NDArray[np.float64], structure: VoteStructure) -> Tables:
        """Give the tables to choose from; symbols: their counts, (m', k + 1)."""
        if self.abstain == "missing":
            assert self.tables_ != "equal", "a plain vote has no tables to learn"
            return TablesOfSpeakers(
                self.tables_,
                self.n_classes_,
                symbols[:, :-1].sum(axis=1) / symbols.sum(axis=1),
                structure.names_several,
                self.powers_,
                self.strength,
                self.pooled_strength,
            )
        if self.tables_ == "one-coin":
            return TiedTables(symbols, 1.0)
        symbols = symbols + 1  # one not seen so far may come when predicting
        shares = symbols / symbols.sum(axis=1, keepdims=True)
        return FreeTables(np.repeat(shares[:, None], self.n_classes_, axis=1))

    def _keep(self, found: EMFit) -> None:
        k = self.n_classes_
        self.class_prior_ = found.prior
        self.confusions_ = np.zeros((len(self.names_), k, k + 1))
        self.confusions_[:, :, k] = 1
        self.confusions_[self.columns_] = found.tables
        self.n_iter_ = len(found.objective)
        self.objective_ = found.objective

    def _unsuited(self, structure: VoteStructure) -> str:
        n_one, n = structure.n_one_class, len(structure.named)
        if self.abstain == "symbol":
            return super()._unsuited(structure)
        if self.tables == "equal" or not n:
            return ""
        if n_one and not structure.has_tables:
            return (
                f"{n_one} of {n} functions name one class each; tables of them cannot "
                "be told from the votes, so all functions count the same"
            )
        if not structure.has_tables:
            return (
                "fewer than three functions vote for several classes: nothing tells "
                "who is right, so all functions count the same"
            )
        return ""

    def _degenerate(
        self, sample: Patterns, strengths: NDArray[np.float64] | None
    ) -> str:
        if self.equal_ is not None:
            return ""
        return super()._degenerate(sample, strengths)

    @property
    def _powers(self) -> NDArray[np.float64] | None:
        return None if (self.powers_ == 1).all() else self.powers_

    def _predict_proba(self, votes: Votes) -> NDArray[np.float64]:
        if self.equal_ is not None:
            return self.equal_.posterior(votes)
        tables = self.confusions_[self.columns_]
        proba = np.empty((len(votes), self.n_classes_))
        size = max(1, _CELLS_AT_ONCE // max(1, votes.n_functions * votes.n_classes))
        for start in range(0, len(votes), size):
            rows = slice(start, start + size)
            evidence = VoteLikelihood(votes.rows(rows))
            proba[rows] = evidence.posterior(tables, self.class_prior_, self._powers)[0]
        return proba
