"""What votes are like: who names several classes, and what they show of the shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, fdtrc

from lfkit.aggregators.inference.vote_likelihood import VoteLikelihood

# A function that hardly ever names a second class, and would by chance not be so
# one-sided in one case of a hundred if it voted as the others do.
_ONE_CLASS, _CHANCE = 0.9, 0.01
# Of the entropy of all votes that those of a function must have; so many votes as all
# functions cast are added to its own, for it may have cast but a few.
_LEAST_ENTROPY, _BORROWED_VOTES = 0.5, 5.0
# Of two functions that disagree nothing tells who is right; and where the others are
# many, functions are made of the same few cues, and err together.
_LEAST_FUNCTIONS, _LEAST_OF_ALL = 3, 2 / 3
_ROUNDS = 3
# Log shares: below the first, classes are as good as equally frequent; a doubt above
# the second is too large to call them so.
_LEAST_SKEW, _MOST_DOUBT = 0.15, 0.45

ClassShares = Literal["flat", "skewed", "unknown"]


@dataclass(frozen=True, eq=False)
class VoteStructure:
    """How functions use the classes, read off the votes alone.

    Attributes
    ----------
    named : (m, k) how often each function names each class.
    names_several : (m,) True for functions that name several classes, as the others
        do. Of one that names a single class, no table of P(vote | class) can be told:
        when it speaks, it says the same of every class. Of less than three such
        functions nothing is learned: then False for all.
    one_class : (m,) True for functions that vote and name one class each.
    shares : what the votes show of how frequent classes are. "skewed": the functions
        agree on it, by more than they differ from each other (an F test of the log
        shares of their votes, at 1 %). "flat": if they agree on anything, it is small.
        "unknown": the functions are too few, or too unlike, to tell.
    """

    named: NDArray[np.float64]
    names_several: NDArray[np.bool_]
    one_class: NDArray[np.bool_]
    shares: ClassShares

    @property
    def n_one_class(self) -> int:
        """Functions that vote and name one class each."""
        return int(self.one_class.sum())

    @property
    def has_tables(self) -> bool:
        """Whether enough functions name several classes to learn tables of them."""
        n_several = int(self.names_several.sum())
        n_all = n_several + self.n_one_class
        return n_several >= max(_LEAST_FUNCTIONS, _LEAST_OF_ALL * n_all)


def find_structure(
    evidence: VoteLikelihood, counts: NDArray[np.float64]
) -> VoteStructure:
    """Look at the votes of patterns, with (u,) images each."""
    named = evidence.symbol_counts(counts)[:, :-1]
    several = _name_several(named)
    one_class = (named.sum(axis=1) > 0) & ~several
    if not _are_enough(named, several):
        one_class |= several & ((named > 0).sum(axis=1) == 1)
        several = np.zeros(len(named), bool)
    return VoteStructure(
        named=named,
        names_several=several,
        one_class=one_class,
        shares=_class_shares(named[several]),
    )


def _name_several(named: NDArray[np.float64]) -> NDArray[np.bool_]:
    n_votes = named.sum(axis=1)  # (m,)
    several = n_votes > 0
    if not several.any():
        return several
    top, most = named.argmax(axis=1), named.max(axis=1)
    for _ in range(_ROUNDS):
        total = named[several].sum(axis=0)
        common = total / total.sum()
        mixed = named + _BORROWED_VOTES * common
        entropies = _entropy(mixed / (n_votes + _BORROWED_VOTES)[:, None])
        # P(at least so many of its votes name one class), were they drawn from all:
        # the tail of a binomial distribution, of weighted votes too.
        by_chance = betainc(most, n_votes - most + 1, common[top])
        one_sided = (most >= _ONE_CLASS * n_votes) & (by_chance < _CHANCE)
        before = several
        several = n_votes > 0
        several &= entropies >= _LEAST_ENTROPY * _entropy(common)
        several &= ~one_sided
        if (several == before).all() or not several.any():
            break
    return np.asarray(several)


def _are_enough(named: NDArray[np.float64], several: NDArray[np.bool_]) -> bool:
    """Tell whether functions that name several classes say enough to learn tables."""
    distinct = several & ((named > 0).sum(axis=1) > 1)
    if int(distinct.sum()) < _LEAST_FUNCTIONS:
        return False
    all_votes, theirs = named.sum(axis=0), named[several].sum(axis=0)
    least = _LEAST_ENTROPY * _entropy(all_votes / all_votes.sum())
    return bool(_entropy(theirs / theirs.sum()) >= least)


def _entropy(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(-(shares * logs).sum(axis=-1))


def _class_shares(named: NDArray[np.float64]) -> ClassShares:
    """Test whether functions agree on the shares of the classes, beside their own."""
    k = named.shape[1]
    named = named[named.sum(axis=1) >= 2 * k]
    m = len(named)
    if k < 2 or m < 2:
        return "unknown"
    logs = np.log(named + 1)
    logs -= logs.mean(axis=1, keepdims=True)
    shared = logs.mean(axis=0)
    own = ((logs - shared) ** 2).sum() / ((k - 1) * (m - 1))
    agreed = (shared**2).sum() / (k - 1)
    ratio = m * agreed / max(own, 1e-12)
    by_chance = fdtrc(k - 1, (k - 1) * (m - 1), ratio)
    if by_chance < _CHANCE and np.sqrt(agreed) > _LEAST_SKEW:
        return "skewed"
    doubt = np.sqrt(own / m)
    most = np.sqrt(max(agreed - own / m, 0.0)) + 2 * doubt
    return "flat" if most < _MOST_DOUBT else "unknown"
