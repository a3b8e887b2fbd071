"""Canny edges: thin lines where the brightness changes most."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lfkit.features.feature import feature
from lfkit.features.gray import SIDE, gray28, grid_means

SIGMA_PX = 1.0
# Of a step from 0 to 1, which gives 1 before it is smoothed. Twice scikit-image's
# defaults, which are on 4 times this scale and let the weave of clothes pass.
LOW_THRESHOLD = 0.05
HIGH_THRESHOLD = 0.1
_GRID = 7
_DIRECTIONS = 8
# Both pixels beside a symmetric edge are its maximum; rounding must not choose.
_TIE = 1e-5
# To compare with the round before makes a GPU wait, so it is done now and then.
_ROUNDS_PER_CHECK = 8


@feature(batched=True, of=[gray28])
def smoothed_sobel(gray: torch.Tensor) -> torch.Tensor:
    """Sobel derivatives, across and down, after a Gaussian of 1 px: (n, 2, 28, 28).

    Working size 28x28. The Gaussian leaves out what is beyond the border; a step from 0
    to 1 would give 1 if it were not smoothed.
    """
    n = len(gray)
    down, across = _sobel_matrices(gray.device)
    columns = gray.transpose(0, 1).reshape(SIDE, n * SIDE)
    part = (down @ columns).view(2, SIDE * n, SIDE)  # (2, y n, x)
    both = (part @ across).view(2, SIDE, n, SIDE)
    return both.permute(2, 0, 1, 3)


@feature(batched=True, of=[smoothed_sobel])
def canny_edges(derivatives: torch.Tensor) -> torch.Tensor:
    """Pixels on an edge, 1 pixel thin: (n, 28, 28), 0 or 1.

    Canny (1986), https://doi.org/10.1109/TPAMI.1986.4767851, as in scikit-image: a
    Gaussian of 1 px, Sobel's gradient, pixels not weaker than the two points a pixel
    away along it (interpolated), those above .05 that touch, in steps, one above .1.
    The outermost pixels are never edges.
    """
    right, below = derivatives.transpose(0, 1).contiguous()
    squared = right.square() + below.square()
    strength = squared.sqrt()
    thin = _is_ridge(strength, right, below) & (squared >= LOW_THRESHOLD**2)
    thin = F.pad(thin[:, 1:-1, 1:-1], (1, 1, 1, 1))
    strong = thin & (squared >= HIGH_THRESHOLD**2)
    return _touching(strong, thin).to(derivatives.dtype)


@feature(batched=True, of=[canny_edges])
def canny_density(edges: torch.Tensor) -> torch.Tensor:
    """Share of pixels on a Canny edge: (n,)."""
    return edges.mean(dim=(1, 2))


@feature(batched=True, of=[canny_edges])
def canny_grid(edges: torch.Tensor) -> torch.Tensor:
    """Share of pixels on a Canny edge in each cell of a 7x7 grid: (n, 49)."""
    return grid_means(edges, _GRID).flatten(1)


@feature(batched=True, of=[canny_edges, smoothed_sobel])
def edge_orientation_histogram(
    edges: torch.Tensor, derivatives: torch.Tensor
) -> torch.Tensor:
    """Share of the Canny edge pixels that run in each of 8 directions: (n, 8).

    Bin k is centred on a gradient of k * 22.5 degrees, clockwise from the right: bin 0
    holds upright edges, bin 4 lying ones. All zero where there is no edge.
    """
    right, below = derivatives.unbind(dim=1)
    # Angles in (-180, 180]; opposite gradients are one direction.
    turn = torch.atan2(below, right).mul_(_DIRECTIONS / math.pi)
    direction = turn.round_().remainder_(_DIRECTIONS)
    # -1 where there is no edge. A comparison per bin: no scatter, which GPUs reorder.
    direction = torch.where(edges > 0, direction, -1).flatten(1)
    counts = [(direction == k).sum(dim=1) for k in range(_DIRECTIONS)]
    counted = torch.stack(counts, dim=1).to(edges.dtype)
    return counted / counted.sum(dim=1, keepdim=True).clamp(min=1)


def _is_ridge(
    strength: torch.Tensor, right: torch.Tensor, below: torch.Tensor
) -> torch.Tensor:
    """Tell where no interpolated neighbor along the gradient is stronger."""
    padded = F.pad(strength, (1, 1, 1, 1))

    def at(down: int, across: int) -> torch.Tensor:
        return padded[:, 1 + down : 29 + down, 1 + across : 29 + across]

    wide, tall = right.abs(), below.abs()
    lying = wide > tall  # the gradient, not the edge
    falling = right * below > 0  # to the right and down, or back
    share = torch.minimum(wide, tall) / torch.maximum(wide, tall).clamp_(min=1e-12)
    ridge = torch.ones_like(lying)
    for side in (1, -1):
        # Between the next pixel of the axis nearest to the gradient and a diagonal one.
        straight = torch.where(lying, at(0, side), at(side, 0))
        rising = torch.where(lying, at(-side, side), at(side, -side))
        diagonal = torch.where(falling, at(side, side), rising)
        ridge &= torch.lerp(straight, diagonal, share) <= strength + _TIE
    return ridge


def _touching(seeds: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """Keep the connected parts (with diagonals) of `allowed` that hold a seed."""
    shape = seeds.shape
    width = shape[2]
    # Flat: shifts by 1 and by a row are then one contiguous, fast operation. The
    # outermost pixels are not allowed, so that nothing wraps around.
    inside = allowed.view(torch.uint8).flatten()
    reached = seeds.view(torch.uint8).flatten()
    while True:
        before = reached
        for _ in range(_ROUNDS_PER_CHECK):
            beside = reached.clone()
            beside[1:] |= reached[:-1]
            beside[:-1] |= reached[1:]
            reached = beside.clone()
            reached[width:] |= beside[:-width]
            reached[:-width] |= beside[width:]
            reached &= inside
        if torch.equal(before, reached):
            return reached.view(shape)


@cache
def _sobel_matrices(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Gaussian and Sobel in one, for columns (2 * 28, 28) and for rows (2, 28, 28)."""
    line = np.arange(SIDE)
    distance = np.abs(line[:, None] - line)
    gaussian = np.exp(-(distance**2) / (2 * SIGMA_PX**2))
    gaussian[distance > int(4 * SIGMA_PX + 0.5)] = 0
    gaussian /= gaussian.sum(axis=1, keepdims=True)
    smooth = _three_taps((0.25, 0.5, 0.25)) @ gaussian
    change = _three_taps((-1, 0, 1)) @ gaussian
    return (
        torch.tensor(
            np.concatenate([smooth, change]), dtype=torch.float32, device=device
        ),
        torch.tensor(
            np.stack([change.T, smooth.T]), dtype=torch.float32, device=device
        ),
    )


def _three_taps(taps: tuple[float, float, float]) -> NDArray[np.float64]:
    """Filter 28 pixels, edge pixels repeated, as a matrix: (28, 28)."""
    matrix = np.zeros((SIDE, SIDE))
    for row in range(SIDE):
        np.add.at(matrix[row], np.clip(row + np.arange(-1, 2), 0, SIDE - 1), taps)
    return matrix
