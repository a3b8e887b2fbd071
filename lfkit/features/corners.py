"""Corners and strokes: where lines turn, end and cross, and how thick they are."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

from lfkit.features.edges import sobel
from lfkit.features.feature import feature
from lfkit.features.gray import SIDE, ink

SIGMA_PX = 1.0
HARRIS_K = 0.05
# Of the response's fourth root, which grows as the contrast does: the corner of a
# square that is 1 brighter than its ground has .53.
CORNER_STRENGTH = 0.15
_GRID = 4
_BANDS = 7
# On a symmetric corner several pixels share the maximum up to rounding. A tilt, per row
# and per column, makes one of them the highest.
_TILTS = (3e-5, 2e-5)
# To compare with the round before makes a GPU wait, so it is done now and then.
_ROUNDS_PER_CHECK = 4


@feature(batched=True, of=[sobel])
def corner_strength(derivatives: torch.Tensor) -> torch.Tensor:
    """Fourth root of Harris' response, 0 where it is negative: (n, 28, 28).

    Harris & Stephens (1988), https://doi.org/10.5244/C.2.23: det - .05 trace^2 of the
    products of Sobel derivatives, averaged by a Gaussian of 1 px, edge pixels repeated.
    Working size 28x28. The root grows in proportion to the contrast.
    """
    right, below = derivatives.transpose(0, 1)
    products = torch.stack([right * right, right * below, below * below])
    smooth = _gaussian_matrix(derivatives.device)
    xx, xy, yy = smooth @ products @ smooth.T
    response = xx * yy - xy.square() - HARRIS_K * (xx + yy).square()
    return F.relu(response).sqrt_().sqrt_()


@feature(batched=True, of=[corner_strength])
def corner_count(strength: torch.Tensor) -> torch.Tensor:
    """How many corners: local maxima of their strength above .15: (n,)."""
    line = torch.arange(SIDE, dtype=strength.dtype, device=strength.device)
    tilted = strength + _TILTS[0] * line[:, None] + _TILTS[1] * line
    highest = F.max_pool2d(tilted[:, None], 3, stride=1, padding=1)[:, 0]
    found = (tilted >= highest) & (strength > CORNER_STRENGTH)
    return found.sum(dim=(1, 2))


@feature(batched=True, of=[corner_strength])
def corner_grid(strength: torch.Tensor) -> torch.Tensor:
    """Strongest corner in each cell of a 4x4 grid: (n, 16)."""
    cell = SIDE // _GRID
    rows = strength.view(-1, _GRID, cell, SIDE).amax(dim=2)
    return rows.view(-1, _GRID, _GRID, cell).amax(dim=3).flatten(1)


@feature(batched=True, of=[ink])
def skeleton(mask: torch.Tensor) -> torch.Tensor:
    """Middle lines of the ink, one pixel thin: (n, 28, 28), 0 or 1.

    Zhang & Suen (1984), https://doi.org/10.1145/357994.358023. Working size 28x28. A
    square of 2x2 pixels vanishes, as the method has it.
    """
    # A row is the bits of one number: 28 pixels thinned by one operation.
    column = torch.arange(SIDE, dtype=torch.int32, device=mask.device)
    rows = (mask.to(torch.int32) << column).sum(dim=2, dtype=torch.int32)  # (n, 28)
    while True:
        before = rows
        for _ in range(_ROUNDS_PER_CHECK):
            rows = _thinned(rows, first=True)
            rows = _thinned(rows, first=False)
        if torch.equal(before, rows):
            break
    return (rows[:, :, None] >> column & 1).to(mask.dtype)


@feature(batched=True, of=[skeleton])
def line_ends(thin: torch.Tensor) -> torch.Tensor:
    """Loose ends of the ink's middle lines: (n,).

    Skeleton pixels with exactly one of 8 neighbors: 2 for a 1, 2 or 3, none for an 0.
    """
    return ((_neighbors(thin) == 1) & (thin > 0)).sum(dim=(1, 2))


@feature(batched=True, of=[ink, skeleton])
def stroke_width(mask: torch.Tensor, thin: torch.Tensor) -> torch.Tensor:
    """Thickness of the ink's strokes in pixels of 28: (n,), 0 without ink.

    The width w of a rectangle with the ink's area and w + the skeleton's length as its
    other side, because thinning takes half a width off each end; diagonal steps count
    sqrt(2). An 0, which has no ends, comes out some 5 % too thin.
    """
    straight = [thin[:, 1:] * thin[:, :-1], thin[:, :, 1:] * thin[:, :, :-1]]
    falling = thin[:, 1:, 1:] * thin[:, :-1, :-1]
    rising = thin[:, 1:, :-1] * thin[:, :-1, 1:]
    # A diagonal step with a pixel in its corner has been counted as two straight ones.
    falling = falling * (1 - torch.maximum(thin[:, 1:, :-1], thin[:, :-1, 1:]))
    rising = rising * (1 - torch.maximum(thin[:, 1:, 1:], thin[:, :-1, :-1]))
    length = sum(step.sum(dim=(1, 2)) for step in straight) + math.sqrt(2) * (
        falling.sum(dim=(1, 2)) + rising.sum(dim=(1, 2))
    )
    return ((length.square() + 4 * mask.sum(dim=(1, 2))).sqrt() - length) / 2


@feature(batched=True, of=[ink])
def crossing_counts(mask: torch.Tensor) -> torch.Tensor:
    """Strokes crossed by a line across, then by one down: (n, 7 + 7).

    The number of runs of ink along a row (column) of 28 pixels, averaged over bands of
    4 rows (columns): 2 through the middle of an 0, 1 through a 1.
    """
    across = F.relu(mask.diff(dim=2)).sum(dim=2) + mask[:, :, 0]  # (n, 28)
    down = F.relu(mask.diff(dim=1)).sum(dim=1) + mask[:, 0]
    both = torch.cat([across, down], dim=1)
    return both.view(-1, 2 * _BANDS, SIDE // _BANDS).mean(dim=2)


def _thinned(rows: torch.Tensor, *, first: bool) -> torch.Tensor:
    """Remove border pixels: one half of a round of Zhang & Suen, on (n, 28) bits."""
    above, below = F.pad(rows[:, :-1], (1, 0)), F.pad(rows[:, 1:], (0, 1))
    # Clockwise from the top, P2 ... P9 in the paper; a lower bit is farther left.
    around = torch.stack(
        [
            above,
            above >> 1,
            rows >> 1,
            below >> 1,
            below,
            below << 1,
            rows << 1,
            above << 1,
        ]
    )
    after = around.roll(-1, dims=0)
    top, right, bottom, left = around[::2]
    near, far = (right & bottom, top | left) if first else (top & left, right | bottom)
    # One arc of neighbors (A = 1), of 2 to 6 pixels (B): somewhere around the pixel two
    # that follow one another are both ink, and two are both ground.
    pairs, grounds = _any(around & after), _any(~(around | after))
    return rows & ~(_exactly_one(~around & after) & pairs & grounds & ~(near & far))


def _any(bits: torch.Tensor) -> torch.Tensor:
    while len(bits) > 1:
        half = len(bits) // 2
        bits = bits[:half] | bits[half:]
    return bits[0]


def _exactly_one(bits: torch.Tensor) -> torch.Tensor:
    several = torch.zeros_like(bits)
    while len(bits) > 1:
        half = len(bits) // 2
        several = several[:half] | several[half:] | (bits[:half] & bits[half:])
        bits = bits[:half] | bits[half:]
    return (bits & ~several)[0]


def _neighbors(thin: torch.Tensor) -> torch.Tensor:
    """Count the set pixels among each pixel's 8 neighbors: (n, 28, 28)."""
    padded = F.pad(thin, (1, 1, 1, 1))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] - thin


@cache
def _gaussian_matrix(device: torch.device) -> torch.Tensor:
    """Smooth 28 pixels, edge pixels repeated, as a matrix: (28, 28)."""
    radius = int(4 * SIGMA_PX + 0.5)
    offsets = np.arange(-radius, radius + 1)
    taps = np.exp(-(offsets**2) / (2 * SIGMA_PX**2))
    matrix = np.zeros((SIDE, SIDE))
    for row in range(SIDE):
        columns = np.clip(row + offsets, 0, SIDE - 1)
        np.add.at(matrix[row], columns, taps / taps.sum())
    return torch.tensor(matrix, dtype=torch.float32, device=device)
