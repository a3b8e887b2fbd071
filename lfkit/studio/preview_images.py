"""The images that an edited function is tried on first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lfkit.studio.random_sample import random_order


def preview_rows(n: int, size: int, seed: int) -> NDArray[np.int64]:
    """Draw the same images of n each time, ascending; all of them if there are few.

    They are the first of `random_order`, so that those people are asked about at random
    are among them.

    >>> preview_rows(3, 2000, 0).tolist()
    [0, 1, 2]
    """
    if n <= size:
        return np.arange(n)
    return np.sort(random_order(n, seed)[:size])
