"""What votes say about classes: one likelihood for every kind of vote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import logsumexp

from lfkit.data.votes import ABSTAIN, Votes

# Votes as distributions are kept in memory up to this size, else made when needed.
_KEPT_BYTES = 2**28
# Cells (pattern, function, symbol) from which on they are float32: 60,000 soft votes of
# 83 functions took 1.0 s a pass as float64.
_MANY_CELLS = 2**22
# float64 cells (image, function, class) held at once: 4 MB stay in the cache.
_CHUNK_CELLS = 2**19


def row_chunks(votes: Votes) -> Iterator[slice]:
    """Yield ranges of images whose votes, as distributions, are held at once."""
    cells_per_image = max(1, votes.n_functions * (votes.n_classes + 1))
    size = max(1, _CHUNK_CELLS // cells_per_image)
    for start in range(0, len(votes), size):
        yield slice(start, start + size)


def vote_distributions(votes: Votes) -> NDArray[np.float64]:
    """Return each vote as a distribution over classes, (n, m, k); abstain is zeros.

    A hard vote is one-hot, a soft vote its distribution, a set is uniform over it.
    """
    weights = np.zeros((*votes.hard.shape, votes.n_classes))
    if votes.allowed is not None:
        weights += votes.allowed & (votes.hard == ABSTAIN)[:, :, None]
    if votes.soft is not None:
        weights += votes.soft
    # What is left is hard, or soft with weights so small that float16 lost them.
    image, function = np.nonzero((votes.hard != ABSTAIN) & ~weights.any(axis=2))
    weights[image, function, votes.hard[image, function]] = 1
    total = weights.sum(axis=2, keepdims=True)
    return np.divide(weights, total, out=weights, where=total > 0)


class VoteLikelihood:
    """The likelihood of u vote patterns under tables of P(vote | class).

    A table row is a distribution over k + 1 symbols: the classes, then "abstains". A
    vote q is uncertain evidence of the symbol meant: P(vote | y) = sum_v q[v] T[y, v].
    A hard vote has one v, a soft vote its distribution, a set is uniform over its
    classes, no vote is the symbol k.

    Attributes
    ----------
    n_functions, n_classes : m, k.
    graded : (g,) the functions with a vote that names more than one class.
    """

    def __init__(self, votes: Votes) -> None:
        u, m, k = len(votes), votes.n_functions, votes.n_classes
        self.n_patterns, self.n_functions, self.n_classes = u, m, k
        several = _names_several(votes)
        self.graded = np.flatnonzero(several)
        plain = np.flatnonzero(~several)
        hard = _single_votes(votes, plain)
        row, position = np.nonzero(hard != ABSTAIN)
        cell = plain[position] * k + hard[row, position]
        self._voted = sparse.csr_array(
            (np.ones(len(row)), (row, cell)), shape=(u, m * k)
        )
        self._plain = plain
        self._soft = votes.select(self.graded) if len(self.graded) else None
        n_cells = u * len(self.graded) * (k + 1)
        self._dtype = np.float64 if n_cells < _MANY_CELLS else np.float32
        self._kept: NDArray[Any] | None = None
        if len(self.graded) and n_cells * np.dtype(self._dtype).itemsize <= _KEPT_BYTES:
            parts = [self._symbols(rows) for rows in row_chunks(self._soft_votes)]
            self._kept = np.concatenate(parts, axis=1)

    @property
    def _soft_votes(self) -> Votes:
        assert self._soft is not None
        return self._soft

    def vote_sums(self) -> NDArray[np.float64]:
        """Return what the vote gives each class, (u, k): the sum of distributions."""
        sums = self._voted @ np.tile(np.eye(self.n_classes), (self.n_functions, 1))
        for rows, symbols in self._graded_chunks():
            sums[rows] += symbols[:, :, :-1].sum(axis=0)
        return sums

    def symbol_counts(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how often each function emits each symbol, (m, k + 1)."""
        weighted = counts[:, None]
        found = np.zeros((self.n_functions, self.n_classes + 1))
        for rows, symbols in self._graded_chunks():
            found[self.graded] += np.einsum("gcv,c->gv", symbols, counts[rows])
        plain = (self._voted.T @ weighted).reshape(self.n_functions, self.n_classes)
        found[self._plain, :-1] = plain[self._plain]
        found[self._plain, -1] = counts.sum() - plain[self._plain].sum(axis=1)
        return np.maximum(found, 0)

    def log_likelihoods(
        self, tables: NDArray[np.float64], powers: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Return log P(votes | class), (u, k), up to a constant of each pattern.

        Parameters
        ----------
        tables : (m, k, k + 1) [j, y, v], positive.
        powers : (m,) what each function's log likelihood is multiplied by; None: 1.
        """
        logs = np.log(tables)
        if powers is not None:
            logs *= powers[:, None, None]
        silence = logs[self._plain, :, -1].sum(axis=0)  # (k,)
        change = logs[:, :, :-1] - logs[:, :, -1:]  # of speaking, beside silence
        flat = change.transpose(0, 2, 1).reshape(-1, self.n_classes)
        found = self._voted @ flat + silence
        small = tables[self.graded].transpose(0, 2, 1).astype(self._dtype)
        weight = np.ones(len(tables)) if powers is None else powers
        weight = weight[self.graded].astype(self._dtype)
        for rows, symbols in self._graded_chunks():
            terms = symbols @ small  # (g, c, k)
            found[rows] += np.einsum("gck,g->ck", np.log(terms), weight)
        return found

    def terms(
        self, tables: NDArray[np.float64], powers: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Return each function's log P(vote | class), (u, m, k): for few patterns."""
        logs = np.log(tables).transpose(0, 2, 1)  # (m, k + 1, k)
        k = self.n_classes
        found = np.empty((self.n_patterns, self.n_functions, k))
        dense = self._voted.toarray().reshape(self.n_patterns, -1, k)
        symbol = np.where(dense.any(axis=2), dense.argmax(axis=2), k)
        for j in self._plain:
            found[:, j] = logs[j][symbol[:, j]]
        small = tables[self.graded].transpose(0, 2, 1).astype(self._dtype)
        for rows, symbols in self._graded_chunks():
            found[rows, self.graded] = np.log(symbols @ small).transpose(1, 0, 2)
        return found if powers is None else found * powers[:, None]

    def posterior(
        self,
        tables: NDArray[np.float64],
        prior: NDArray[np.float64],
        powers: NDArray[np.float64] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """E-step: P(class | votes), (u, k), and log P(votes), (u,)."""
        with np.errstate(divide="ignore"):
            log_prior = np.log(prior)  # -inf for a class that the prior rules out
        joint = self.log_likelihoods(tables, powers) + log_prior
        total = logsumexp(joint, axis=1)
        return np.exp(joint - total[:, None]), total

    def expected_votes(
        self, weighted: NDArray[np.float64], tables: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """M-step's counts: how often function j emits v on images of y, (m, k, k + 1).

        A vote for several classes is shared by them as the current tables would.

        Parameters
        ----------
        weighted : (u, k) posterior times counts.
        """
        m, k = self.n_functions, self.n_classes
        found = np.zeros((m, k, k + 1))
        named = (self._voted.T @ weighted).reshape(m, k, k)  # [j, v, y]
        found[:, :, :-1] = named.transpose(0, 2, 1)
        rest = weighted.sum(axis=0) - found[:, :, :-1].sum(axis=2)
        found[:, :, -1] = np.maximum(rest, 0)
        if len(self.graded):
            found[self.graded] = 0
        small = tables[self.graded].transpose(0, 2, 1).astype(self._dtype)
        for rows, symbols in self._graded_chunks():
            terms = symbols @ small  # (g, c, k)
            shares = weighted[rows].astype(self._dtype) / terms
            found[self.graded] += shares.transpose(0, 2, 1) @ symbols
        found[self.graded] *= tables[self.graded]
        return found

    def _graded_chunks(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Yield rows and their graded votes as symbols, (g, c, k + 1)."""
        if self._soft is None:
            return
        for rows in row_chunks(self._soft):
            kept = self._kept
            yield rows, self._symbols(rows) if kept is None else kept[:, rows]

    def _symbols(self, rows: slice) -> NDArray[Any]:
        weights = vote_distributions(self._soft_votes.rows(rows))  # (c, g, k)
        silent = ~weights.any(axis=2, keepdims=True)
        symbols = np.concatenate([weights, silent], axis=2).transpose(1, 0, 2)
        return np.ascontiguousarray(symbols, dtype=self._dtype)


def _names_several(votes: Votes) -> NDArray[np.bool_]:
    """Tell which functions ever name more than one class in a vote, (m,)."""
    found = np.zeros(votes.n_functions, bool)
    for rows in row_chunks(votes):
        part = votes.rows(rows)
        if part.soft is not None:
            found |= (np.count_nonzero(part.soft, axis=2) > 1).any(axis=0)
        if part.allowed is not None:
            n_allowed = np.count_nonzero(part.allowed, axis=2)
            found |= ((n_allowed > 1) & (part.hard == ABSTAIN)).any(axis=0)
    return found


def _single_votes(votes: Votes, functions: NDArray[np.int64]) -> NDArray[np.int16]:
    """Return the votes of functions that name one class at a time, (u, p)."""
    hard = votes.hard[:, functions]
    if votes.allowed is None:
        return hard
    # A set of one class is that class, even where `hard` does not say so.
    sets = votes.allowed[:, functions]
    alone = (hard == ABSTAIN) & sets.any(axis=2)
    return np.where(alone, sets.argmax(axis=2), hard).astype(np.int16)
