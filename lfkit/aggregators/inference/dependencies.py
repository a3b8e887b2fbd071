"""Functions that err together: which ones, how strongly, how much each should count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from lfkit.aggregators.inference.one_factor import excess_agreement
from lfkit.aggregators.inference.pattern_sample import priority_sample, row_hashes
from lfkit.aggregators.inference.vote_likelihood import VoteLikelihood
from lfkit.aggregators.inference.vote_residuals import JointVotes
from lfkit.data.votes import ABSTAIN, Patterns, Votes
from lfkit.errors import InputError

# Chance that independent functions are taken for dependent, all pairs together.
_FALSE_ALARMS = 0.1
# Equal votes of two functions by which they are copies, whatever the class.
# Functions that say the same so often, and are so many, outvote all others unopposed.
_SAME, _BEYOND_CHANCE, _LEAST_UNOPPOSED = 0.7, 0.5, 3
_NAMES = 0.05  # of its votes: what a function names now and then is not what it is for
_LEAST_EQUAL_VOTES = 20
# Strengths of .4 are seen well on this many votes; more would only take longer.
_MOST_CELLS, _MOST_ROWS, _LEAST_ROWS = 2**22, 2**13, 2**11
# Groups that are looked at a second time, the strongest first.
_MOST_TRIALS = 8
# More than half of all functions are copies only if they correlate so strongly: people
# who take one class for another alike correlate by .4 to .6, and are nobody's copies.
_MOST_MEMBERS, _COPIES_OF_MOST = 0.5, 0.7


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

    def matrix(self) -> NDArray[np.float64]:
        """Give the strengths as a matrix, (m, m), zeros on the diagonal."""
        found = np.zeros((len(self.powers), len(self.powers)))
        found[self.pairs[:, 0], self.pairs[:, 1]] = self.strengths
        return found + found.T

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


def first_winners(
    evidence: VoteLikelihood, prior: NDArray[np.float64], powers: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the winners of the vote if each function has its power, (u, k).

    Ties are shared; without votes, the prior. From a vote in which copies count in
    full, a model would start where the copies are always right.
    """
    m, k = evidence.n_functions, evidence.n_classes
    ballots = np.ones((m, k, k + 1))
    ballots[:, np.arange(k), np.arange(k)] = 10  # its logarithm is what a vote counts
    sums = evidence.log_likelihoods(ballots, powers)
    winners = sums >= sums.max(axis=1, keepdims=True) - 1e-6
    voted = evidence.vote_sums().any(axis=1, keepdims=True)
    return np.where(voted, winners / winners.sum(axis=1, keepdims=True), prior)


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
    https://arxiv.org/abs/1703.00854, by the weight of the pair at independence,
    scaled: with an L1 penalty, a pair enters where it exceeds the penalty. It must also
    exceed what chance does to so many pairs (Bernstein's inequality), or a few joint
    votes of rare functions would do. And if the class is also what a group says, the
    pairs must be explained worse; else its functions may just be the good ones.
    Pairs are dependent, too, if they agree far more than their agreement with all the
    other functions allows (`lfkit.aggregators.inference.one_factor`).
    In doubt, a function keeps its power of 1; unless three or more functions that say
    the same in seven of ten cases are most of those that name a class: nobody is left
    to tell, and one function copied ten times would decide alone.

    The power of j is one over its design effect (Kish 1965), 1 + sum_l r_jl over its
    pairs. Soft votes count as their most probable class, sets of classes as silence.
    Many images are represented by a `priority_sample` of their vote patterns: no answer
    depends on the order of images or functions.

    Parameters
    ----------
    penalty : the residual correlation from which functions are dependent. Most that are
        independent stay below .2 from 500 images on, most copies with 10 % errors above
        .6.

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
    strengths = np.maximum(strengths, _unopposed(sample.hard, counts, sample.n_classes))
    agree = excess_agreement(sample.hard, counts, sample.n_classes, n_images)
    strengths = np.maximum(strengths, np.where(agree > penalty, agree, 0))
    back = np.argsort(by_name)
    return _grouped(strengths[np.ix_(back, back)])


def _hard_patterns(votes: Votes | Patterns) -> Patterns:
    """Return the distinct rows of hard votes."""
    if isinstance(votes, Votes):
        return replace(votes, soft=None, allowed=None).patterns()
    if votes.votes.soft is None and votes.votes.allowed is None:
        return votes
    return replace(votes.votes, soft=None, allowed=None).patterns(votes.counts)


def _first_equal(
    hard: NDArray[np.int16], counts: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the first column equal to each column, (m,); rare voters only themselves.

    EM would take exact copies for perfect functions: without errors none correlate.
    """
    if not hard.size:
        return np.arange(hard.shape[1])
    _, first, inverse = np.unique(
        row_hashes(np.ascontiguousarray(hard.T)), return_index=True, return_inverse=True
    )
    often = counts @ (hard != ABSTAIN) >= _LEAST_EQUAL_VOTES
    return np.where(often, first[inverse], np.arange(hard.shape[1]))


def _residual_correlations(
    votes: Votes, counts: NDArray[np.float64], n_images: float, penalty: float
) -> NDArray[np.float64]:
    """Return how strongly functions depend on each other, (m, m); 0 where in doubt."""
    m = votes.n_functions
    if not counts.any():
        return np.zeros((m, m))
    pairs = JointVotes(votes, counts)
    core = pairs.unlike()
    found = pairs.residuals(core)
    budget = np.log(max(m * (m - 1) / 2, 1) / _FALSE_ALARMS)
    chance = budget / 3 + np.sqrt(
        budget**2 / 9 + 2 * n_images * found.variance * budget
    )
    certain = (found.correlations > penalty) & (n_images * found.excess > chance)
    strengths = np.where(certain, np.minimum(found.correlations, 1), 0)
    np.fill_diagonal(strengths, 0)
    groups = [g for g in _groups(strengths) if not np.isin(g, core).all()]
    groups.sort(key=lambda group: -strengths[np.ix_(group, group)].sum())
    scores = found.squared_scores(n_images)
    for position, group in enumerate(groups):
        block = np.ix_(group, group)
        inside = np.zeros((m, m), bool)
        inside[block] = True
        outside = np.triu((strengths == 0) | inside, 1)
        if position < _MOST_TRIALS:
            # Are they copies, or are they good and the core knows little? If the class
            # is also what they say, independence may explain all votes as well.
            other = pairs.residuals(np.union1d(core, group)).squared_scores(n_images)
            kept = np.where(inside & (strengths > 0), 0, scores)
            worse = (other - kept)[outside].sum()
            if worse <= 0:
                strengths[block] = 0
    return strengths


def _unopposed(
    hard: NDArray[np.int16], counts: NDArray[np.float64], n_classes: int
) -> NDArray[np.float64]:
    """Return how alike functions of a group are that outvotes all others, (m, m)."""
    m = hard.shape[1]
    equal, named = np.zeros((m, m)), np.zeros((n_classes, m))
    for label in range(n_classes):
        says = (hard == label).astype(np.float64)
        equal += (says * counts[:, None]).T @ says
        named[label] = counts @ says
    voted = (hard != ABSTAIN).astype(np.float64)
    both = (voted * counts[:, None]).T @ voted
    n_votes = np.diagonal(both)
    either = n_votes[:, None] + n_votes - both
    share = np.divide(equal, either, out=np.zeros((m, m)), where=either > 0)
    # Where one class is nine tenths of all, everybody says the same of most images.
    by_chance = named.T @ named / max(counts.sum(), 1e-300)
    by_chance /= np.maximum(either, 1e-300)
    beyond = share - by_chance >= _BEYOND_CHANCE * (1 - by_chance)
    enough = equal >= _LEAST_EQUAL_VOTES
    alike = np.where((share >= _SAME) & beyond & enough, share, 0)
    names = named >= _NAMES * np.maximum(n_votes, 1)  # not by chance
    found = np.eye(m)
    for group in _groups(alike):
        members = np.isin(np.arange(m), group)
        theirs = names[:, members].any(axis=1)
        others = names[:, ~members].sum(axis=1)
        # Where there are no others, all count alike anyway.
        most = (names[:, members].sum(axis=1) > others) & (others > 0)
        if len(group) >= _LEAST_UNOPPOSED and (theirs & most).any():
            found[np.ix_(group, group)] = alike[np.ix_(group, group)]
    return found


def _groups(strengths: NDArray[np.float64]) -> list[tuple[int, ...]]:
    """Return the functions that positive strengths, (m, m), connect."""
    _, group = connected_components(sparse.csr_array(strengths), directed=False)
    members = [tuple(np.flatnonzero(group == g).tolist()) for g in np.unique(group)]
    return [found for found in members if len(found) > 1]


def _grouped(strengths: NDArray[np.float64]) -> Dependencies:
    """Read pairs, groups and powers off the strengths, (m, m)."""
    for group in _groups(strengths - np.eye(len(strengths))):
        if len(group) > _MOST_MEMBERS * len(strengths):
            block = np.ix_(group, group)
            pairs_inside = len(group) * (len(group) - 1)
            if strengths[block].sum() - len(group) < _COPIES_OF_MOST * pairs_inside:
                strengths[block] = np.eye(len(group))
    above = np.triu(strengths, 1)
    pairs = np.argwhere(above > 0)
    return Dependencies(
        pairs=pairs,
        strengths=above[pairs[:, 0], pairs[:, 1]],
        groups=tuple(_groups(above)),
        powers=1 / strengths.sum(axis=1),
    )
