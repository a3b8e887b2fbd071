"""A few vote patterns that stand for all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lfkit.data.votes import Patterns

_ROWS_AT_ONCE = 2**14


def priority_sample(patterns: Patterns, size: int) -> Patterns:
    """Draw vote patterns that stand for all, with weights; all of them if few enough.

    Priority sampling (Duffield, Lund & Thorup 2007,
    https://doi.org/10.1145/1314690.1314696): weighted sums over the sample are
    unbiased; patterns of many images are always drawn, others by a hash of their votes.
    """
    counts = patterns.counts
    if len(counts) <= size:
        return patterns
    keys = row_hashes(patterns.votes.hard)
    allowed = patterns.votes.allowed
    if allowed is not None:  # rows that differ in a set only must not share a key
        keys ^= row_hashes(np.packbits(allowed.reshape(len(keys), -1), axis=1))
    priority = counts / ((keys >> np.uint64(11)) + np.uint64(1)) * 2.0**53
    ranked = np.lexsort((keys, -priority))
    drawn = ranked[:size]
    weights = np.maximum(counts[drawn], priority[ranked[size]])
    return Patterns(patterns.votes.rows(drawn), weights, np.zeros(0, np.int64))


def row_hashes(rows: NDArray[np.integer]) -> NDArray[np.uint64]:
    """Return a 64-bit number per row, the same for equal rows."""
    factors = np.random.default_rng(0).integers(
        2**64, size=rows.shape[1], dtype=np.uint64
    )
    keys = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), _ROWS_AT_ONCE):  # uint64 is four times as large
        part = slice(start, start + _ROWS_AT_ONCE)
        keys[part] = (rows[part].astype(np.int16) + 1).astype(np.uint64) @ factors
    return (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
