"""The image itself, small."""

from __future__ import annotations

import torch

from lfkit.features.feature import Feature, feature
from lfkit.features.gray import check_divisor, gray28, grid_means


def thumbnail(side: int = 7) -> Feature:
    """Make a feature of the pixels at side x side, by averaging: (n, side * side).

    Working size 28x28, so `side` divides 28.
    """
    check_divisor("side of thumbnail", side)

    @feature(name=f"thumbnail{side}", batched=True, of=[gray28])
    def pixels(gray: torch.Tensor) -> torch.Tensor:
        """Give the image's pixels after averaging them in squares."""
        return grid_means(gray, side).flatten(1)

    return pixels
