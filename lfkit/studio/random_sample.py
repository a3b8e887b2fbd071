"""Images drawn at random: answers to these tell how right labels are.

All images stand in one order that never changes. People are asked about the first ones
without an answer, and what was drawn so far is a beginning of the order. An image that
had an answer before its turn came is drawn, too: left out, what is disputed, and so
answered first, would be missing in the sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lfkit.studio.next_images import RANDOM

N_DRAWN = 12  # images without an answer that people are asked about at a time


@dataclass(frozen=True, eq=False)
class RandomSample:
    """What was drawn so far.

    Attributes
    ----------
    rows : the images with an answer, in the order in which they were drawn.
    n_open : how many of those drawn have none.
    """

    rows: NDArray[np.int64]
    n_open: int


@lru_cache(maxsize=4)  # each look at the page asks for it
def random_order(n: int, seed: int) -> NDArray[np.int64]:
    """Put n images into an order that never changes, (n,); nobody may write into it."""
    order = np.random.default_rng([seed, 2]).permutation(n)
    order.flags.writeable = False
    return order


def to_ask(order: NDArray[np.int64], answered: NDArray[np.int64]) -> NDArray[np.int64]:
    """List the images that people are asked about now.

    Parameters
    ----------
    order : (n,) rows as `random_order` gives them.
    answered : (a,) rows with an answer.
    """
    is_open = np.ones(len(order), bool)
    is_open[answered] = False
    return order[is_open[order]][:N_DRAWN]


def sample_so_far(order: NDArray[np.int64], why: Mapping[int, str]) -> RandomSample:
    """Find the images that were drawn so far.

    They end with the last one that was answered because it was drawn. Before it, no
    more than are asked about at a time can lie open: what a file says of images further
    on is not believed.

    Parameters
    ----------
    order : (n,) rows as `random_order` gives them.
    why : row → why it was asked, of all answered images.
    """
    answered = np.zeros(len(order), bool)
    answered[list(why)] = True
    has_answer = answered[order]
    n_open = np.cumsum(~has_answer)
    drawn = np.zeros(len(order), bool)
    drawn[[row for row, reason in why.items() if reason == RANDOM]] = True
    ends = np.flatnonzero(drawn[order] & (n_open < N_DRAWN))
    if not len(ends):
        return RandomSample(np.zeros(0, np.int64), 0)
    end = int(ends[-1]) + 1
    return RandomSample(order[:end][has_answer[:end]], int(n_open[end - 1]))
