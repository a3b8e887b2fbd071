"""Histograms of brightness and of color."""

from __future__ import annotations

import torch

from lfkit.features.feature import feature
from lfkit.features.gray import gray28

_BINS = 16


@feature(batched=True, of=[gray28])
def intensity_histogram(gray: torch.Tensor) -> torch.Tensor:
    """Share of the pixels in each of 16 equal ranges of brightness: (n, 16).

    Working size 28x28.
    """
    return _histogram(gray.flatten(1))


@feature(batched=True)
def color_histogram(images: torch.Tensor) -> torch.Tensor:
    """Share of the pixels in each of 16 ranges, channel by channel: (n, c * 16).

    Any size; a gray image gives the histogram of its one channel.
    """
    n, c = images.shape[:2]
    return _histogram(images.reshape(n * c, -1)).reshape(n, c * _BINS)


def _histogram(values: torch.Tensor) -> torch.Tensor:
    bins = (values * _BINS).to(torch.int64).clamp_(0, _BINS - 1)
    counts = values.new_zeros(len(values), _BINS)
    # Whole-number sums are exact, so the order in which a GPU adds does not matter.
    counts.scatter_add_(1, bins, torch.ones_like(values))
    return counts / values.shape[1]
