"""Hash 64-bit numbers, all of an array at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mixed_bits(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits of each number: every input bit moves every output bit, (...).

    The finaliser of SplitMix64 (Steele, Lea & Flood 2014,
    https://doi.org/10.1145/2660193.2660195).

    >>> mixed_bits(np.asarray([0x9E3779B97F4A7C15], np.uint64)).tolist() == [
    ...     0xE220A8397B1DCDAF
    ... ]
    True
    """
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
