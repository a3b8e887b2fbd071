"""Edges: where they are, and which of them are long."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lfkit.features.feature import feature
from lfkit.features.gray import gray28, grid_means

_GRID = 7
_EDGE = 0.1
# A long edge is at least 9 of the 28 pixels: a running minimum over 2, 4, 8, then 9.
_STEPS_PX = (1, 2, 4, 1)
_LONG_PX = 1 + sum(_STEPS_PX)


@feature(batched=True, of=[gray28])
def sobel(gray: torch.Tensor) -> torch.Tensor:
    """Sobel derivatives across columns and down rows: (n, 2, 28, 28).

    Working size 28x28, edge pixels repeated beyond the border. A step from 0 to 1 gives
    1, as in scikit-image (`sobel_v`, `sobel_h`, up to their sign).
    """
    padded = F.pad(gray[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]  # (n, 30, 30)
    down = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]  # (n, 28, 30)
    across = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    right = down[:, :, 2:] - down[:, :, :-2]
    below = across[:, 2:] - across[:, :-2]
    return torch.stack([right, below], dim=1) / 4


@feature(batched=True, of=[sobel])
def edge_strength(derivatives: torch.Tensor) -> torch.Tensor:
    """Length of the Sobel gradient: (n, 28, 28)."""
    return (derivatives[:, 0].square() + derivatives[:, 1].square()).sqrt_()


@feature(batched=True, of=[edge_strength])
def edge_density(strength: torch.Tensor) -> torch.Tensor:
    """Share of pixels on an edge (gradient above .1): (n,)."""
    return (strength > _EDGE).flatten(1).mean(dim=1, dtype=strength.dtype)


@feature(batched=True, of=[edge_strength])
def edge_grid(strength: torch.Tensor) -> torch.Tensor:
    """Mean edge strength in each cell of a 7x7 grid: (n, 49)."""
    return grid_means(strength, _GRID).flatten(1)


@feature(batched=True, of=[sobel])
def long_edges(derivatives: torch.Tensor) -> torch.Tensor:
    """Straight vertical, then horizontal edges, at least 9 long, on a grid: (n, 98).

    The derivatives' absolute values are opened with a line of 9 pixels, which removes
    whatever is shorter, then averaged in the cells of a 7x7 grid.
    """
    strength = derivatives.abs()
    upright = _open_columns(strength[:, 0])
    # Rows are opened as columns of the transposed image: slices along the last axis
    # would be short and slow.
    lying = _open_columns(strength[:, 1].transpose(1, 2).contiguous())
    grid = torch.stack(
        [grid_means(upright, _GRID), grid_means(lying, _GRID).transpose(1, 2)], dim=1
    )
    return grid.flatten(1)  # (n, 98)


def _open_columns(maps: torch.Tensor) -> torch.Tensor:
    """Keep of (n, 28, 28) what fits an upright line of 9 pixels (opening)."""
    lowest = maps
    for step in _STEPS_PX:
        lowest = torch.minimum(lowest[:, :-step], lowest[:, step:])
    # Strengths are not negative, so the zeros beyond the border never win.
    highest = F.pad(lowest, (0, 0, _LONG_PX - 1, _LONG_PX - 1))
    for step in _STEPS_PX:
        highest = torch.maximum(highest[:, :-step], highest[:, step:])
    return highest
