"""The gist of a scene: Gabor energies on a coarse grid."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

from lfkit.features.feature import feature
from lfkit.features.gray import SIDE, gray28

WAVELENGTHS_PX = (3.0, 5.0, 8.0)
N_ORIENTATIONS = 4
STRIDE_PX = 2
_GRID = 4
# Envelopes are round: then a Gabor filter is the product of a row and a column filter.
SIGMA_PER_WAVELENGTH = 0.5
RADIUS_PER_SIGMA = 2.5


@feature(batched=True, of=[gray28])
def gist(gray: torch.Tensor) -> torch.Tensor:
    """How much of each direction and wavelength is in each part: (n, 12 * 16).

    After Oliva & Torralba (2001), https://doi.org/10.1023/A:1011139631724. Working size
    28x28. Complex Gabor filters (wavelengths 3, 5 and 8 px, 4 directions, round
    envelopes of sigma = half the wavelength, edge pixels repeated) at every second
    pixel; their magnitudes averaged on a 4x4 grid.
    """
    return F.adaptive_avg_pool2d(gabor_magnitudes(gray), _GRID).flatten(1)


def gabor_magnitudes(gray: torch.Tensor) -> torch.Tensor:
    """Filter (n, 28, 28) and take magnitudes at every second pixel: (n, 12, 14, 14)."""
    n = len(gray)
    down, across = _gabor_matrices(gray.device)
    n_filters, _, n_out = across.shape
    n_out //= 2
    # Two matrix products instead of a convolution: 9 times as fast on one core.
    columns = gray.transpose(0, 1).reshape(SIDE, n * SIDE)  # (y, n x)
    part = (down @ columns).view(n_filters, -1, SIDE)  # (f, 2 y' n, x)
    both = (part @ across).view(n_filters, 2, n_out, n, 2, n_out)
    real = both[:, 0, :, :, 0] - both[:, 1, :, :, 1]  # (f, y', n, x')
    imaginary = both[:, 0, :, :, 1] + both[:, 1, :, :, 0]
    return (real.square_() + imaginary.square_()).sqrt_().permute(2, 0, 1, 3)


@cache
def _gabor_matrices(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Every filter as a matrix down the columns and one across the rows.

    Returns
    -------
    (f * 2 * 14, 28) and (f, 28, 2 * 14), where the 2 are real and imaginary part.
    """
    down, across = [], []
    for wavelength in WAVELENGTHS_PX:
        for k in range(N_ORIENTATIONS):
            angle = math.pi * k / N_ORIENTATIONS
            frequency = 2 * math.pi / wavelength
            sigma = SIGMA_PER_WAVELENGTH * wavelength
            column = _band_matrix(frequency * math.sin(angle), sigma)  # (14, 28)
            row = _band_matrix(frequency * math.cos(angle), sigma)
            down += [column.real, column.imag]
            across.append(np.concatenate([row.real.T, row.imag.T], axis=1))
    return (
        torch.tensor(np.concatenate(down), dtype=torch.float32, device=device),
        torch.tensor(np.stack(across), dtype=torch.float32, device=device),
    )


def _band_matrix(frequency: float, sigma: float) -> np.ndarray:
    """Correlate 28 pixels with a windowed wave, at every second pixel: (14, 28)."""
    radius = math.ceil(RADIUS_PER_SIGMA * sigma)
    offsets = np.arange(-radius, radius + 1)
    envelope = np.exp(-(offsets**2) / (2 * sigma**2))
    taps = envelope / envelope.sum() * np.exp(1j * frequency * offsets)
    centres = np.arange(0, SIDE, STRIDE_PX)
    matrix = np.zeros((len(centres), SIDE), dtype=complex)
    for row, centre in enumerate(centres):
        np.add.at(matrix[row], np.clip(centre + offsets, 0, SIDE - 1), taps)
    return matrix
