"""Histograms of oriented gradients."""

from __future__ import annotations

import math

import torch

from lfkit.errors import DeclarationError
from lfkit.features.feature import Feature, feature
from lfkit.features.gray import SIDE, check_divisor, gray28, grid_means

_EPS = 1e-5
_CLIP = 0.2


def hog(*, cell: int = 7, bins: int = 9, block: int = 2) -> Feature:
    """Make a HOG feature (Dalal & Triggs, 2005), scikit-image's definition.

    Working size 28x28. Central differences inside, zero on the border; unsigned
    orientations, each pixel in one bin; blocks normalised by L2-Hys. The values are
    those of `skimage.feature.hog`, up to pixels whose angle falls on a bin's edge.

    Parameters
    ----------
    cell : side of a cell in pixels, a divisor of 28.
    bins : orientations over 180 degrees.
    block : side of a block in cells.

    Returns
    -------
    Feature `hog<cell>`: (n, blocks * blocks * block * block * bins),
    where blocks = 28 / cell - block + 1.
    """
    check_divisor("cell of hog", cell)
    if not 1 <= block <= SIDE // cell or bins < 1:
        raise DeclarationError(
            f"hog has block {block} and bins {bins}; with cell {cell} a block has 1 to "
            f"{SIDE // cell} cells a side, and there is at least one bin."
        )

    @feature(name=f"hog{cell}", batched=True, of=[gray28])
    def oriented_gradients(gray: torch.Tensor) -> torch.Tensor:
        """Histograms of gradient orientation in overlapping blocks of cells."""
        return _normalised(_cell_histograms(gray, cell, bins), block)

    return oriented_gradients


def _cell_histograms(gray: torch.Tensor, cell: int, bins: int) -> torch.Tensor:
    """Sum gradient lengths by orientation: (n, cells, cells, bins)."""
    right, down = torch.zeros_like(gray), torch.zeros_like(gray)
    torch.sub(gray[:, :, 2:], gray[:, :, :-2], out=right[:, :, 1:-1])
    torch.sub(gray[:, 2:], gray[:, :-2], out=down[:, 1:-1])
    length = (right.square() + down.square()).sqrt_()
    # Angles in (-180, 180] degrees; adding half a turn to negative ones makes them
    # unsigned, and 180 itself is 0.
    bin_of = torch.atan2(down, right).mul_(bins / math.pi).floor_()  # -bins … bins
    bin_of = torch.where(bin_of < 0, bin_of + bins, bin_of)
    bin_of = torch.where(bin_of >= bins, bin_of - bins, bin_of)
    # A comparison per bin, not a scatter: GPUs would add floats in any order.
    one_hot = bin_of == torch.arange(bins, device=gray.device).view(-1, 1, 1, 1)
    votes = torch.where(one_hot, length, 0.0)  # (bins, n, 28, 28)
    sums = grid_means(votes, SIDE // cell)  # (bins, n, cells, cells)
    return sums.permute(1, 2, 3, 0)


def _normalised(cells: torch.Tensor, block: int) -> torch.Tensor:
    blocks = cells.unfold(1, block, 1).unfold(2, block, 1)  # (n, b, b, bins, by, bx)
    blocks = blocks.permute(0, 1, 2, 4, 5, 3).flatten(3)  # (n, b, b, by * bx * bins)
    blocks = (blocks / _l2(blocks)).clamp_(max=_CLIP)
    return (blocks / _l2(blocks)).flatten(1)


def _l2(blocks: torch.Tensor) -> torch.Tensor:
    return (blocks.square().sum(dim=3, keepdim=True) + _EPS**2).sqrt_()
