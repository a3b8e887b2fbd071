"""Blobs: round spots brighter or darker than what is around them, and how large."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lfkit.features.feature import feature
from lfkit.features.gray import SIDE, gray28

# A disc answers most to sigma = radius / sqrt(2): diameters of 3.4, 5.7, 9 and 14 px.
SIGMAS_PX = (1.2, 2.0, 3.2, 5.0)
THRESHOLD = 0.2  # scikit-image's default; a disc of contrast c answers with .74 c
_GRID = 4
_TRUNCATE = 4.0
# Where a spot lies between pixels, several share its maximum up to rounding. A tilt
# above float32's rounding, per row and per column, makes one of them the highest.
_TILTS = (6e-6, 4e-6)


@feature(batched=True, of=[gray28])
def blob_responses(gray: torch.Tensor) -> torch.Tensor:
    """Laplacian of Gaussian at 4 scales, positive on bright spots: (n, 4, 28, 28).

    Lindeberg (1998), https://doi.org/10.1023/A:1008045108935: -sigma^2 (Lxx + Lyy) for
    sigma = 1.2, 2, 3.2 and 5 px. Working size 28x28, mirrored at the border.
    """
    n = len(gray)
    down, across = _matrices(gray.device)
    scales = len(SIGMAS_PX)
    columns = gray.transpose(0, 1).reshape(SIDE, n * SIDE)  # (y, n x)
    part = (down @ columns).view(scales, 2, SIDE * n, SIDE)  # (s, 2, y n, x)
    # One product adds the two second derivatives: [smooth, curved] x [curved; smooth].
    both = torch.baddbmm(part[:, 0] @ across[:, 0], part[:, 1], across[:, 1])
    return both.view(scales, SIDE, n, SIDE).permute(2, 0, 1, 3)


@feature(batched=True, of=[blob_responses])
def blob_peaks(responses: torch.Tensor) -> torch.Tensor:
    """Spots found at each of 4 scales, 1 bright, -1 dark, 0 none: (n, 4, 28, 28).

    A spot is a pixel and scale whose response is above .2 and highest (lowest, if dark)
    among its 26 neighbors in row, column and scale.
    """
    line = torch.arange(SIDE, dtype=responses.dtype, device=responses.device)
    tilt = _TILTS[0] * line[:, None] + _TILTS[1] * line
    bright = (responses > THRESHOLD) & _is_highest(responses + tilt)
    dark = (responses < -THRESHOLD) & _is_highest(tilt - responses)
    return bright.to(responses.dtype) - dark.to(responses.dtype)


@feature(batched=True, of=[blob_peaks])
def blob_scale_counts(peaks: torch.Tensor) -> torch.Tensor:
    """How many bright spots, then dark ones, at each of 4 scales: (n, 8)."""
    total, magnitude = peaks.sum(dim=(2, 3)), peaks.abs().sum(dim=(2, 3))  # (n, 4)
    return torch.cat([magnitude + total, magnitude - total], dim=1) / 2


@feature(batched=True, of=[blob_scale_counts])
def blob_count(counts: torch.Tensor) -> torch.Tensor:
    """How many spots, bright and dark, of 3 to 14 of the 28 pixels: (n,)."""
    return counts.sum(dim=1)


@feature(batched=True, of=[blob_scale_counts])
def bright_blob_count(counts: torch.Tensor) -> torch.Tensor:
    """How many spots brighter than their surroundings: (n,)."""
    return counts[:, : len(SIGMAS_PX)].sum(dim=1)


@feature(batched=True, of=[blob_scale_counts])
def dark_blob_count(counts: torch.Tensor) -> torch.Tensor:
    """How many spots darker than their surroundings: (n,)."""
    return counts[:, len(SIGMAS_PX) :].sum(dim=1)


@feature(batched=True, of=[blob_scale_counts])
def largest_blob_scale(counts: torch.Tensor) -> torch.Tensor:
    """Sigma of the largest bright, then of the largest dark spot: (n, 2).

    In pixels of 28, one of 1.2, 2, 3.2 and 5 (a disc's diameter is 2.8 times as much);
    0 where there is no spot.
    """
    sigma = torch.tensor(SIGMAS_PX, dtype=counts.dtype, device=counts.device)
    present = (counts > 0).view(-1, 2, len(SIGMAS_PX)).to(counts.dtype)
    return (present * sigma).amax(dim=2)


@feature(batched=True, of=[blob_responses])
def blob_grid(responses: torch.Tensor) -> torch.Tensor:
    """Strongest bright, then dark response in each cell of a 4x4 grid: (n, 2 * 16).

    Over all scales; 0 where a cell has none of that sign.
    """
    cell = SIDE // _GRID
    lead = responses.shape[:2]
    highest, lowest = responses.amax(dim=1), responses.amin(dim=1)  # (n, 28, 28)
    both = torch.stack([highest, -lowest], dim=1)
    rows = both.view(lead[0], 2, _GRID, cell, SIDE).amax(dim=3)
    return F.relu(rows.view(lead[0], 2, _GRID, _GRID, cell).amax(dim=4)).flatten(1)


def _is_highest(values: torch.Tensor) -> torch.Tensor:
    """Tell where (n, s, 28, 28) is not below its neighbors in scale, row and column."""
    highest = values
    for dim in (1, 3, 2):
        most = values.shape[dim] - 1
        wider = highest.clone()
        for here, there in ((0, 1), (1, 0)):
            target = wider.narrow(dim, here, most)
            torch.maximum(target, highest.narrow(dim, there, most), out=target)
        highest = wider
    return values >= highest


@cache
def _matrices(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth and differentiate twice, as matrices for columns and for rows.

    Returns
    -------
    (s * 2 * 28, 28): smoothing, then second derivative, at each of s scales, and
    (s, 2, 28, 28): their transposed partners, times -sigma^2.
    """
    down, across = [], []
    for sigma in SIGMAS_PX:
        smooth, curve = _gaussian_matrix(sigma, 0), _gaussian_matrix(sigma, 2)
        down.append(np.stack([smooth, curve]))
        across.append(-(sigma**2) * np.stack([curve.T, smooth.T]))
    return (
        torch.tensor(np.stack(down), dtype=torch.float32, device=device).view(-1, SIDE),
        torch.tensor(np.stack(across), dtype=torch.float32, device=device),
    )


def _gaussian_matrix(sigma: float, order: int) -> NDArray[np.float64]:
    """Filter 28 mirrored pixels with a Gaussian or its second derivative: (28, 28)."""
    radius = int(_TRUNCATE * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    taps = np.exp(-(offsets**2) / (2 * sigma**2))
    taps /= taps.sum()
    if order == 2:
        taps *= offsets**2 / sigma**4 - 1 / sigma**2
    matrix = np.zeros((SIDE, SIDE))
    for row in range(SIDE):
        period = (row + offsets) % (2 * SIDE)  # ... 1 0 | 0 1 2 ... 27 | 27 26 ...
        np.add.at(matrix[row], np.minimum(period, 2 * SIDE - 1 - period), taps)
    return matrix
