"""scikit-learn's handwritten digits: 1,797 gray images of 8x8, always at hand."""

from __future__ import annotations

import numpy as np

from lfkit.data.datasets.array_source import Arrays
from lfkit.errors import DataError


def open_digits(split: str | None) -> Arrays:
    """Give all digits, their 17 gray levels spread over 0 to 255."""
    from sklearn.datasets import load_digits  # a second to import

    if split is not None:
        raise DataError(f"digits has no splits; leave out ':{split}'.")
    digits = load_digits()
    levels = digits.images  # (n, 8, 8) from 0 to 16
    images = np.round(levels * (255 / 16)).astype(np.uint8)
    return Arrays(images, digits.target, tuple("0123456789"))
