"""Functions that err together: which ones, how strongly, how much each should count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from lfkit.errors import InputError
from lfkit.evidence import Evidence
from lfkit.votes import ABSTAIN, Patterns, Votes

# Chance that independent functions are taken for dependent, all pairs together.
_FALSE_ALARMS = 0.1
# Functions so much alike, the class not known, do not both help to find the class.
_ALIKE = 0.7
_NEARLY_EQUAL = 0.95
# Functions that name a class: fewer do not identify how accurate they are.
_LEAST_NAMERS = 3
# Equal votes of two functions by which they are copies, whatever the class.
_LEAST_EQUAL_VOTES = 20
# A function's spread within classes, at least this share of its votes: one that looks
# perfect has no errors to correlate.
_LEAST_SPREAD = 0.02
_EM_STEPS = 30
_LEAST_CHANGE = 1e-3  # of the posteriors, on average
# Strengths of .4 are seen well on this many votes; more would only take longer.
_MOST_CELLS, _MOST_ROWS, _LEAST_ROWS = 2**22, 2**13, 2**11


@dataclass(frozen=True, eq=False)
class Dependencies:
    """Which functions depend on each other even where the class is given.

    Attributes
    ----------
    pairs : (q, 2) positions of the functions, the smaller first.
    strengths : (q,) their residual correlation, at most 1 = copies.
    groups : positions of the functions that pairs connect.
    powers : (m,) what a product model multiplies each function's log likelihood by so
        that copies count about once: 1 for independent functions, 1 / c for c copies.
    """

    pairs: NDArray[np.int64]
    strengths: NDArray[np.float64]
    groups: tuple[tuple[int, ...], ...]
    powers: NDArray[np.float64]

    def related(self) -> NDArray[np.bool_]:
        """Tell which functions are of one group, (m, m); each is of its own."""
        found = np.eye(len(self.powers), dtype=bool)
        for group in self.groups:
            found[np.ix_(group, group)] = True
        return found


def read_dependencies(
    patterns: Patterns,
    dependencies: str | Sequence[tuple[str, str]] | None,
    known_names: Sequence[str],
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Tell which pairs of functions are no evidence of each other, (m, m), and powers.

    Parameters
    ----------
    dependencies : "auto" finds them; None: all functions are independent; or pairs of
        names, whose powers stay 1.
    known_names : names a pair may have, those of functions that never vote included.
    """
    m = patterns.votes.n_functions
    linked, powers = np.eye(m, dtype=bool), np.ones(m)
    if dependencies is None:
        return linked, powers
    if isinstance(dependencies, str):
        if dependencies != "auto":
            raise InputError(
                "dependencies must be 'auto', None or pairs of names, got "
                f"{dependencies!r}."
            )
        found = find_dependencies(patterns)
        return found.related(), found.powers
    place = {name: j for j, name in enumerate(patterns.votes.names)}
    for pair in dependencies:
        for name in pair:
            if name not in known_names:
                raise InputError(
                    f"dependencies name {name!r}; no labeling function is called that."
                )
        if all(name in place for name in pair):
            first, second = (place[name] for name in pair)
            linked[first, second] = linked[second, first] = True
    return linked, powers


def find_dependencies(votes: Votes | Patterns, *, penalty: float = 0.4) -> Dependencies:
    """Find the functions whose votes agree more than the class explains.

    Two good functions agree since both are right. So the class is estimated first: by
    EM, one table per function, on the functions that are least alike; copies would
    have it take their votes for the class. What the tables do not explain of the joint
    votes of i and j is their residual correlation,

        r_ij = (J_ij - G_ij) / sqrt((J_ii - G_ii) (J_jj - G_jj)),

    with J_ij = P(both name the same class) and G_ij its value for functions that are
    independent given the class, sum_y,v p(y) T_i[y, v] T_j[y, v]. This is the gradient
    of the log pseudo-likelihood of Bach et al. (2017),
    https://arxiv.org/abs/1703.00854 (eq. 3), by the weight of the pair at independence,
    scaled: with an L1 penalty, a pair enters where it exceeds the penalty. It must also
    exceed what chance does to so many pairs (Bernstein's inequality), or a few joint
    votes of rare functions would do. In doubt, a function keeps its power of 1.

    The power of j is one over its design effect (Kish 1965), 1 + sum_l r_jl over its
    pairs. Soft votes count as their most probable class, sets of classes as silence.
    Many images are represented by a `priority_sample` of their vote patterns: no answer
    depends on the order of images or functions.

    Parameters
    ----------
    penalty : the residual correlation from which functions are dependent. Independent
        ones stay below .25 from 500 images on, copies with 10 % errors lie above .6.

    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(0, 2, 1000)
    >>> hard = np.where(rng.random((1000, 5)) < 0.8, truth[:, None], 1 - truth[:, None])
    >>> twice = np.column_stack([hard, hard[:, 0]])
    >>> found = find_dependencies(Votes(twice, names=tuple("abcdef"), n_classes=2))
    >>> found.groups
    ((0, 5),)
    >>> found.powers
    array([0.5, 1. , 1. , 1. , 1. , 0.5])
    """
    patterns = _hard_patterns(votes)
    by_name = np.argsort(np.array(patterns.votes.names))
    m = len(by_name)
    patterns = replace(patterns, votes=patterns.votes.select(by_name))
    size = int(np.clip(_MOST_CELLS // max(1, m), _LEAST_ROWS, _MOST_ROWS))
    drawn = priority_sample(patterns, size)
    sample, counts = drawn.votes, drawn.counts
    # Of patterns drawn, as many images as there would be if all had one pattern each.
    n_images = patterns.counts.sum() * len(counts) / max(1, len(patterns.counts))
    like = _first_equal(sample.hard, counts)
    distinct, place = np.unique(like, return_inverse=True)
    strengths = _residual_correlations(
        sample.select(distinct), counts, n_images, penalty
    )
    np.fill_diagonal(strengths, 1)
    strengths = strengths[np.ix_(place, place)]  # copies of one correlate by 1
    back = np.argsort(by_name)
    return _grouped(strengths[np.ix_(back, back)])


def _hard_patterns(votes: Votes | Patterns) -> Patterns:
    """Return the distinct rows of hard votes."""
    if isinstance(votes, Votes):
        return replace(votes, soft=None, allowed=None).patterns()
    if votes.votes.soft is None and votes.votes.allowed is None:
        return votes
    return replace(votes.votes, soft=None, allowed=None).patterns(votes.counts)


def priority_sample(patterns: Patterns, size: int) -> Patterns:
    """Draw vote patterns that stand for all, with weights; all of them if few enough.

    Priority sampling (Duffield, Lund & Thorup 2007,
    https://doi.org/10.1145/1314690.1314696): weighted sums over the sample are
    unbiased; patterns of many images are always drawn, others by a hash of their votes.
    """
    counts = patterns.counts
    if len(counts) <= size:
        return patterns
    keys = _hashes(patterns.votes.hard)
    priority = counts / ((keys >> np.uint64(11)) + np.uint64(1)) * 2.0**53
    ranked = np.lexsort((keys, -priority))
    drawn = ranked[:size]
    weights = np.maximum(counts[drawn], priority[ranked[size]])
    return Patterns(patterns.votes.rows(drawn), weights, np.zeros(0, np.int64))


def _hashes(rows: NDArray[np.int16]) -> NDArray[np.uint64]:
    """Return a 64-bit number per row, the same for equal rows."""
    factors = np.random.default_rng(0).integers(
        2**64, size=rows.shape[1], dtype=np.uint64
    )
    keys = (rows + 1).astype(np.uint64) @ factors
    return (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)


def _first_equal(
    hard: NDArray[np.int16], counts: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the first column equal to each column, (m,); rare voters only themselves.

    EM would take exact copies for perfect functions: without errors none correlate.
    """
    if not hard.size:
        return np.arange(hard.shape[1])
    _, first, inverse = np.unique(
        _hashes(np.ascontiguousarray(hard.T)), return_index=True, return_inverse=True
    )
    often = counts @ (hard != ABSTAIN) >= _LEAST_EQUAL_VOTES
    return np.where(often, first[inverse], np.arange(hard.shape[1]))


def _residual_correlations(
    votes: Votes, counts: NDArray[np.float64], n_images: float, penalty: float
) -> NDArray[np.float64]:
    """Return how strongly functions depend on each other, (m, m); 0 where in doubt."""
    m, k = votes.n_functions, votes.n_classes
    shares = counts / counts.sum()
    joint, named = np.zeros((m, m)), np.zeros((m, k))
    votes_of = [(votes.hard == c).astype(np.float32) for c in range(k)]
    weight = shares.astype(np.float32)[:, None]
    for c, vote in enumerate(votes_of):
        joint += (vote * weight).T @ vote
        named[:, c] = shares @ vote
    core = _unlike(joint, named)
    posterior, prior, core_tables = _learned(votes.select(core), counts)
    weighted = posterior * shares[:, None]
    mixing = posterior.T @ weighted  # (k, k): E[q(y) q(z)]
    # E[q(y) 1(j votes v)] = sum_z E[q(y) q(z)] T_j[z, v] for functions q has not seen.
    found = np.stack([weighted.T @ vote for vote in votes_of], axis=2)  # (k, m, k)
    solved = np.linalg.pinv(mixing, rcond=1e-3, hermitian=True) @ found.reshape(k, -1)
    tables = np.clip(solved.reshape(k, m, k).transpose(1, 0, 2), 0, 1)
    tables[core] = core_tables[:, :, :-1]
    explained, variance = np.zeros((2, m, m))
    for y in range(k):
        agree = tables[:, y] @ tables[:, y].T
        explained += prior[y] * agree
        variance += prior[y] * agree * (1 - agree)
    excess = joint - explained
    spread = np.maximum(np.diagonal(excess), _LEAST_SPREAD * np.diagonal(joint))
    scale = np.sqrt(spread[:, None] * spread)
    strengths = np.divide(excess, scale, out=np.zeros((m, m)), where=scale > 0)
    budget = np.log(max(m * (m - 1) / 2, 1) / _FALSE_ALARMS)
    chance = budget / 3 + np.sqrt(
        budget**2 / 9 + 2 * n_images * np.maximum(variance, 0) * budget
    )
    certain = (strengths > penalty) & (n_images * excess > chance)
    return np.where(certain, np.minimum(strengths, 1), 0)


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
    evidence = Evidence(votes)
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


def _grouped(strengths: NDArray[np.float64]) -> Dependencies:
    """Read pairs, groups and powers off the strengths, (m, m)."""
    above = np.triu(strengths, 1)
    pairs = np.argwhere(above > 0)
    _, group = connected_components(sparse.csr_array(above), directed=False)
    members = [tuple(np.flatnonzero(group == g).tolist()) for g in np.unique(group)]
    return Dependencies(
        pairs=pairs,
        strengths=above[pairs[:, 0], pairs[:, 1]],
        groups=tuple(found for found in members if len(found) > 1),
        powers=1 / strengths.sum(axis=1),
    )
