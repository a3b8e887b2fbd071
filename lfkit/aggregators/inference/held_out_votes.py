"""Splits vote patterns in two halves, to evaluate a model on held-out votes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from lfkit.data.hashing import mixed_bits
from lfkit.data.votes import ABSTAIN, Patterns, Votes

# Cells (pattern, function, class) of one half that are enough to judge by.
_ENOUGH_CELLS = 2**22


def halves(patterns: Patterns) -> tuple[Patterns, Patterns]:
    """Deal the images of every pattern to two halves; large sets are thinned first.

    The odd image goes by a hash of which functions agree. It knows neither the order
    of the images nor the numbers of the classes, so neither changes a choice that is
    made on the halves.
    """
    votes, counts = patterns.votes, patterns.counts
    if not len(counts):
        return patterns, patterns
    key = _agreement_hash(votes)
    cells = 2 * len(votes) * max(1, votes.n_functions) * (votes.n_classes + 1)
    n_shares = -(-cells // (2 * _ENOUGH_CELLS))
    if n_shares > 1:
        kept = np.flatnonzero((key >> np.uint64(8)) % np.uint64(n_shares) == 0)
        votes, counts, key = votes.rows(kept), counts[kept], key[kept]
    each = np.floor(counts) // 2
    rest = counts - 2 * each
    first = (key & np.uint64(1)).astype(bool)
    return (
        _kept(votes, each + rest * first),
        _kept(votes, each + rest * ~first),
    )


def _kept(votes: Votes, counts: NDArray[np.float64]) -> Patterns:
    rows = np.flatnonzero(counts > 0)
    return Patterns(votes.rows(rows), counts[rows], np.arange(len(rows)))


def _agreement_hash(votes: Votes) -> NDArray[np.uint64]:
    """Hash which functions vote alike, (u,)."""
    weights = np.random.default_rng(0).integers(
        2**63, size=votes.n_functions, dtype=np.uint64
    )
    key = np.zeros(len(votes), np.uint64)
    for label in range(votes.n_classes):
        key += mixed_bits((votes.hard == label) @ weights)
    return key


def held_out_scores(
    train: Patterns,
    test: Patterns,
    train_terms: NDArray[np.float64],
    test_terms: NDArray[np.float64],
    log_prior: NDArray[np.float64],
    related: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Score how well labels made without a vote predict that vote, (u,).

    The mean over functions of log P(vote j | the votes of unrelated functions), where
    the class is inferred from these, and what j votes on each class is counted on the
    training half. Any model that adds up terms of its functions can be scored, a plain
    vote among them, and none knows the vote it has to predict.

    Parameters
    ----------
    train_terms, test_terms : (u, m, k) what each function adds to the log posterior.
    log_prior : (k,)
    related : (m, m) functions that say nothing new of one another.
    """
    others = 1.0 - related
    symbols = [_symbols(half.votes) for half in (train, test)]  # (u, m)
    k = train.votes.n_classes
    known, asked = (
        softmax(
            np.einsum("ulk,jl->ujk", terms, others, optimize=True) + log_prior, axis=-1
        )
        for terms in (train_terms, test_terms)
    )
    total = np.zeros(len(test.counts))
    for j in range(len(related)):
        tables = np.zeros((k, k + 1))
        seen = np.bincount(symbols[0][:, j], train.counts, minlength=k + 1) + 1
        for symbol in np.unique(symbols[0][:, j]):
            rows = symbols[0][:, j] == symbol
            tables[:, symbol] = train.counts[rows] @ known[rows, j]
        tables += seen / seen.sum()
        tables /= tables.sum(axis=1, keepdims=True)
        total += np.log((asked[:, j] * tables[:, symbols[1][:, j]].T).sum(axis=1))
    return total / max(1, len(related))


def _symbols(votes: Votes) -> NDArray[np.int64]:
    """Return each vote as one of k + 1 symbols, the last for silence, (u, m)."""
    hard = votes.hard.astype(np.int64)
    return np.where(hard == ABSTAIN, votes.n_classes, hard)
