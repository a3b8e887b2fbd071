"""Data Programming: weighted factors of votes and class, by maximum likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.aggregators.aggregator import Aggregator, SeedVotes
from lfkit.aggregators.data_programming.factor_graph import (
    Lift,
    VoteFactors,
    VoteMoments,
    check_joint_votes,
)
from lfkit.aggregators.data_programming.likelihoods import (
    LEAST_CHANCE,
    ExactLikelihood,
    LogLikelihood,
    PseudoLikelihood,
    count_agreements,
    maximise,
)
from lfkit.aggregators.data_programming.sampling import gibbs, hmc
from lfkit.aggregators.inference.vote_likelihood import VoteLikelihood
from lfkit.data.votes import Patterns, Votes
from lfkit.errors import InputError

Method = Literal["exact", "pseudo-likelihood", "gibbs", "hmc"]


class DataProgramming(Aggregator):
    """Functions have weights for voting and for being right; pairs may depend.

    Ratner et al. (2016), https://arxiv.org/abs/1605.07723, for any number of classes.
    Of each function, given the class y, P(votes v) is proportional to
    exp(propensity_v + accuracy [v = y]) for the classes v it ever names, and to 1 for
    silence. So silence is evidence where a function names some classes only. A pair
    that depends on each other multiplies P(votes, y) by exp(dependency) where both say
    the same, silence included (the paper's "similar"): copies then count about once.

    A soft vote or a set of classes has the likelihood sum_v q[v] P(v | class), as in
    `DawidSkene`. An image without votes gets the posterior of that silence, which is
    not flat; `predict` answers -1 there by default. A class that a function never named
    says nothing where it names it later. Labels of seeds are not used.

    The weights are penalised by `l2` / 2 times their squared distance from a function
    that is right in 70 % of its votes and votes as often as it does. Methods:

    "exact" : the likelihood of the votes, the class summed out; closed form, L-BFGS.
        Functions linked by dependencies may have 65,536 joint votes at most.
    "pseudo-likelihood" : of each vote given the others, the class summed out; any
        number of dependencies. Where the other votes leave no doubt of the class, the
        conditionals say little of the class prior.
    "gibbs" : the paper's stochastic ascent in `n_steps`; at least `n_chains` Gibbs
        chains, as many of each class, draw votes. Any number of dependencies.
    "hmc" : `n_draws` draws of the weights from their posterior (Hamiltonian Monte
        Carlo on the exact likelihood, from its maximum, after `n_draws` / 2 draws of
        warm-up); the label posterior is the mean over the draws.

    The draws of "gibbs" and "hmc" change with the order of the classes, not with the
    order of functions or images.

    Parameters
    ----------
    dependencies : pairs of names of functions that depend on each other, or "none".
    class_balance : (k,) the class prior, if known; None: learned.
    l2 : precision of the weights' Gaussian prior; more than 0.
    max_iter, tol : steps of L-BFGS at most; the slope, per image, at which it ends.
    n_steps, n_chains : of "gibbs".
    n_draws : of "hmc".
    random_state : seed of the draws and of the "random" tie-break policy.

    Attributes
    ----------
    accuracy_ : (m,) P(right | it votes); NaN for a function that never voted.
    confusions_ : (m, k, k + 1); [j, y, v] = P(function j votes v | class y), v = k: it
        abstains.
    class_prior_ : (k,). This and the confusions are, of "pseudo-likelihood" with a
        learned prior, what is expected of the images fitted.
    dependencies_ : the pairs among the functions kept, as sorted names.
    dependency_weights_ : (p,) their weights.
    objective_ : penalised log likelihood after each step of L-BFGS; it never falls.
        Not with "gibbs".
    n_samples_, seconds_per_sample_ : votes on one image drawn by "gibbs", and the time
        to draw them once.
    acceptance_rate_ : the share of moves of "hmc" that were accepted.
    parameter_std_ : (q,) standard deviations of the weights drawn by "hmc": class
        logits (where learned), an accuracy per function kept, a propensity per
        function and class named, dependencies.

    >>> matrix = np.array([[0, 0, 1], [1, 1, 1], [0, 0, 0], [1, -1, 0]] * 5)
    >>> votes = Votes(matrix, names=("a", "b", "c"), n_classes=2)
    >>> DataProgramming().fit(votes).predict(votes)[:4]
    array([0, 1, 0, 1])
    """

    def __init__(
        self,
        method: Method = "exact",
        dependencies: Sequence[tuple[str, str]] | Literal["none"] = "none",
        class_balance: ArrayLike | None = None,
        l2: float = 1.0,
        max_iter: int = 500,
        tol: float = 1e-6,
        n_steps: int = 500,
        n_chains: int = 1000,
        n_draws: int = 200,
        random_state: int = 0,
    ) -> None:
        self.method = method
        self.dependencies = dependencies
        self.class_balance = class_balance
        self.l2 = l2
        self.max_iter = max_iter
        self.tol = tol
        self.n_steps = n_steps
        self.n_chains = n_chains
        self.n_draws = n_draws
        self.random_state = random_state

    def _check_parameters(self) -> None:
        if self.method not in get_args(Method):
            raise InputError(
                "DataProgramming's method must be 'exact', 'pseudo-likelihood', "
                f"'gibbs' or 'hmc', got {self.method!r}."
            )
        self._check_pairs()
        if not self.l2 > 0:
            raise InputError(
                f"DataProgramming's l2 must be more than 0, got {self.l2}; without it "
                "the weights of functions that never err are infinite."
            )
        for name in ("max_iter", "n_steps", "n_chains", "n_draws"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"DataProgramming's {name} must be at least 1, got "
                    f"{getattr(self, name)}."
                )

    def _check_pairs(self) -> None:
        pairs = self.dependencies
        if isinstance(pairs, str):
            pairs = () if pairs == "none" else (pairs,)
        for pair in pairs:
            if isinstance(pair, str) or len(pair) != 2 or pair[0] == pair[1]:
                raise InputError(
                    "DataProgramming's dependencies must be 'none' or pairs of two "
                    f"different functions' names, got {pair!r}."
                )

    def _fit(self, patterns: Patterns, seeds: SeedVotes | None) -> None:
        votes, counts = patterns.votes, patterns.counts
        if self.method in ("gibbs", "hmc"):
            votes, counts = _in_order(votes, counts)
        evidence = VoteLikelihood(votes)
        symbols = evidence.symbol_counts(counts)
        edges = self._edges()
        prior = None if self.class_balance is None else self.class_prior_
        lift: Lift = "given" if self.method == "gibbs" else "summed"
        if self.method == "pseudo-likelihood" and prior is None:
            lift = "free"
        if lift == "summed":
            self._check_joint_votes(symbols[:, :-1] > 0, edges)
        factors = VoteFactors(
            symbols,
            prior,
            edges,
            count_agreements(votes, edges, counts),
            l2=self.l2,
            lift=lift,
        )
        exact = ExactLikelihood(factors, evidence, counts)
        likelihood: LogLikelihood = exact
        if self.method == "pseudo-likelihood":
            likelihood = PseudoLikelihood(factors, votes, counts)
        self._factors = factors
        self._moments: VoteMoments | None = None
        self._draws = self._drawn(factors, exact, likelihood)  # (draws, q)
        self._describe(exact if lift == "free" else None)

    def _edges(self) -> NDArray[np.int64]:
        """Return the pairs as positions of the functions kept, (p, 2), sorted."""
        kept = {self.names_[j]: place for place, j in enumerate(self.columns_)}
        found = set()
        pairs = [] if isinstance(self.dependencies, str) else self.dependencies
        for pair in pairs:
            for name in pair:
                if name not in self.names_:
                    raise InputError(
                        f"DataProgramming's dependencies name {name!r}, which is not "
                        "among the functions of these votes; correct or remove it."
                    )
            if all(name in kept for name in pair):
                found.add(tuple(sorted(kept[name] for name in pair)))
        edges = np.array(sorted(found), dtype=np.int64).reshape(-1, 2)
        names = [self.names_[j] for j in self.columns_]
        self.dependencies_ = [(names[i], names[j]) for i, j in edges]
        return edges

    def _check_joint_votes(
        self, named: NDArray[np.bool_], edges: NDArray[np.int64]
    ) -> None:
        advice = "Use the method 'pseudo-likelihood' or 'gibbs'."
        if self.method == "pseudo-likelihood":
            advice = "Leave class_balance out (it is then learned) or use 'gibbs'."
        names = [self.names_[j] for j in self.columns_]
        check_joint_votes(names, named, edges, advice)

    def _drawn(
        self, factors: VoteFactors, exact: ExactLikelihood, likelihood: LogLikelihood
    ) -> NDArray[np.float64]:
        """Return the weights found, (draws, q); one draw but for "hmc"."""
        rng = np.random.default_rng(self.random_state)
        if self.method == "gibbs":
            found = gibbs(
                factors, exact, n_steps=self.n_steps, n_chains=self.n_chains, rng=rng
            )
            self.n_samples_ = found.n_samples
            self.seconds_per_sample_ = found.seconds_per_sample
            self._moments = found.moments
            return found.weights[None]
        weights, self.objective_ = maximise(
            likelihood, factors, max_iter=self.max_iter, tol=self.tol
        )
        if self.method != "hmc":
            return weights[None]
        draws, self.acceptance_rate_ = hmc(
            exact,
            factors,
            weights,
            n_warmup=(self.n_draws + 1) // 2,
            n_draws=self.n_draws,
            rng=rng,
        )
        self.parameter_std_ = draws.std(axis=0)
        return draws

    def _describe(self, fitted: ExactLikelihood | None) -> None:
        """Say what the weights mean, by the model or, if given, on images."""
        k = self.n_classes_
        votes = np.zeros((len(self.columns_), k, k + 1))
        shares, dependency = np.zeros(k), np.zeros(len(self.dependencies_))
        for weights in self._draws:
            point = self._factors.at(weights, self._moments)
            dependency += point.dependency / len(self._draws)
            votes += point.moments.votes / len(self._draws)
            shares += point.prior / len(self._draws)
        if fitted is not None:
            _, expected, classes = fitted.class_votes(point)
            expected += votes  # one image more, where a class has none
            votes = expected / expected.sum(axis=2, keepdims=True)
            shares = classes / classes.sum()
        if self.class_balance is None:
            self.class_prior_ = shares
        self.dependency_weights_ = dependency
        self.confusions_ = np.zeros((len(self.names_), k, k + 1))
        self.confusions_[:, :, k] = 1
        self.confusions_[self.columns_] = votes
        right = np.einsum("jyy,y->j", self.confusions_[:, :, :k], self.class_prior_)
        voted = (1 - self.confusions_[:, :, k]) @ self.class_prior_
        nothing = np.full(len(voted), np.nan)
        self.accuracy_ = np.divide(right, voted, out=nothing, where=voted > 0)

    def _predict_proba(self, votes: Votes) -> NDArray[np.float64]:
        evidence = VoteLikelihood(votes)
        factors, k = self._factors, self.n_classes_
        # A class never named so far may be named later: it then says nothing.
        unseen = np.zeros((len(factors.named), 1, k + 1))
        unseen[:, 0, :k] = ~factors.named / (factors.n_images + k + 1)
        proba = np.zeros((len(votes), k))
        for weights in self._draws:
            point = factors.at(weights, self._moments)
            tables = np.maximum(point.tables + unseen, LEAST_CHANCE)
            prior = np.exp(point.bias - point.bias.max(initial=-np.inf))
            proba += evidence.posterior(tables, prior)[0]
        return proba / len(self._draws)


def _in_order(
    votes: Votes, counts: NDArray[np.float64]
) -> tuple[Votes, NDArray[np.float64]]:
    """Sort patterns by what they say: draws must not depend on the order of images."""
    arrays = [a for a in (votes.hard, votes.soft, votes.allowed) if a is not None]
    flat = [np.ascontiguousarray(a).reshape(len(votes), -1) for a in arrays]
    said = np.concatenate([a.view(np.uint8) for a in flat], axis=1)
    keys = np.ascontiguousarray(said).view(f"V{max(said.shape[1], 1)}").ravel()
    order = np.argsort(keys, kind="stable") if said.shape[1] else np.arange(len(votes))
    return votes.rows(order), counts[order]
