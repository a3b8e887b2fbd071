"""Compressive sensing: a few random sums of pixels."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from lfkit.features.feature import feature
from lfkit.features.gray import SIDE, gray28

_SEED = 20180618
_N_SUMS = 96


@feature(batched=True, of=[gray28])
def random_projections(gray: torch.Tensor) -> torch.Tensor:
    """96 sums of pixels with random signs: (n, 96).

    Working size 28x28. Signs after Achlioptas (2003),
    https://doi.org/10.1016/S0022-0000(03)00025-4: two thirds of the pixels are left
    out of each sum. They are fixed, so the feature is the same everywhere.
    """
    return gray.flatten(1) @ projection_matrix(gray.device)


@cache
def projection_matrix(device: torch.device) -> torch.Tensor:
    """Give the fixed signs, scaled to keep lengths: (784, 96)."""
    rng = np.random.default_rng(_SEED)
    signs = rng.choice(
        [-1.0, 0.0, 1.0], p=[1 / 6, 2 / 3, 1 / 6], size=(SIDE**2, _N_SUMS)
    )
    return torch.tensor(
        signs * np.sqrt(3 / _N_SUMS), dtype=torch.float32, device=device
    )
