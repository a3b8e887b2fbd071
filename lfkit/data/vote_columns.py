"""Stored votes of single functions, put together as the vote matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_source import content_groups
from lfkit.data.votes import ABSTAIN, Votes


def place_votes(
    lf: Any,
    votes: NDArray[Any],
    rows: NDArray[np.int64],
    column: int,
    hard: NDArray[np.int16],
    soft: NDArray[np.float16] | None,
) -> None:
    """Write one function's votes on some rows into the matrices.

    Parameters
    ----------
    lf : anything with `soft` and `classes`.
    votes : (r,) classes, or (r, classes) weights, as they are stored.
    hard, soft : (n, m) and (n, m, k), written in place.
    """
    if lf.soft:
        assert soft is not None
        classes = np.asarray(lf.classes, np.int64)
        order = np.argsort(classes, kind="stable")
        if (order != np.arange(len(order))).any():
            # The first of equal weights in class order, whatever order was declared.
            classes, votes = classes[order], votes[:, order]
        if len(classes) == soft.shape[2]:
            soft[rows, column] = votes  # twice as fast as naming every class
        else:
            soft[rows[:, None], column, classes] = votes
        # Weights are never negative, so their bits order as they do; ints are faster.
        bits = np.ascontiguousarray(votes, np.float16).view(np.uint16)
        best = classes[bits.argmax(axis=1)]
        hard[rows, column] = np.where(bits.any(axis=1), best, ABSTAIN)
        return
    hard[rows, column] = votes
    if soft is not None:
        spoke = votes != ABSTAIN
        soft[rows[spoke], column, votes[spoke]] = 1


def place_out_of_fold(
    votes: Votes, lfs: Sequence[Any], found: Mapping[str, NDArray[Any]]
) -> Votes:
    """Give the votes on the seeds with some functions' replaced, as they are stored.

    Parameters
    ----------
    votes : with `seed_rows`.
    lfs : per column, anything with `name`, `soft` and `classes`.
    found : function name → its out-of-fold votes; the others learn nothing.
    """
    assert votes.seed_rows is not None
    on_seeds = votes.rows(votes.seed_rows)
    hard = on_seeds.hard.copy()
    soft = None if on_seeds.soft is None else on_seeds.soft.copy()
    for j, lf in enumerate(lfs):
        if lf.name in found:
            hard[:, j] = ABSTAIN
            if soft is not None:
                soft[:, j] = 0
            place_votes(lf, found[lf.name], np.arange(len(hard)), j, hard, soft)
    return Votes(hard, votes.names, votes.n_classes, soft=soft)


def originals(keys: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Give, per image, the row of the first image with the same content, (n,)."""
    first, group = content_groups(keys)
    return first[group]
