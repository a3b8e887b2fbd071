"""Haar wavelets."""

from __future__ import annotations

import torch

from lfkit.features.feature import feature
from lfkit.features.gray import gray28


@feature(batched=True, of=[gray28])
def haar(gray: torch.Tensor) -> torch.Tensor:
    """Haar transform, coarse brightness and details: (n, 4 * 49 + 3 * 49).

    Working size 28x28, two levels, orthonormal. The second level as it is (average,
    right, down and diagonal differences, 7x7 each); of the first, finer level only how
    much detail there is around each of the 7x7 places, since its signs are noise.
    """
    average, *fine = _split(gray)
    coarse = torch.stack(_split(average), dim=1)  # (n, 4, 7, 7)
    amount = torch.stack(fine, dim=1).abs_()  # (n, 3, 14, 14)
    return torch.cat([coarse, _around(amount)], dim=1).flatten(1)


def _around(maps: torch.Tensor) -> torch.Tensor:
    """Average squares of 2x2."""
    average, *_ = _split(maps.flatten(0, 1))
    return average.view(*maps.shape[:2], *average.shape[1:]) / 2


def _split(maps: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """One level: average, right, down, diagonal, each half the side."""
    top, bottom = maps[:, ::2], maps[:, 1::2]
    both, change = top + bottom, top - bottom
    left, right = slice(None, None, 2), slice(1, None, 2)
    return (
        (both[:, :, left] + both[:, :, right]) / 2,
        (both[:, :, left] - both[:, :, right]) / 2,
        (change[:, :, left] + change[:, :, right]) / 2,
        (change[:, :, left] - change[:, :, right]) / 2,
    )
