"""Local binary patterns: fine texture, whatever the contrast."""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F

from lfkit.features.feature import feature
from lfkit.features.gray import SIDE, gray28

_GRID = 4
_CODES = 10
# A circle of radius 1 passes between pixels on the diagonals: weights of the bilinear
# interpolation there, for the corner, each of its two neighbors, and the centre.
_CORNER = 0.5
_BESIDE = math.sqrt(0.5) - 0.5
_CENTRE = 1.5 - math.sqrt(2)
# Far below a gray level (.004), far above the rounding of float32: on flat ground the
# interpolated neighbor must count as equal.
_TIE = 1e-5


@feature(batched=True, of=[gray28])
def lbp_codes(gray: torch.Tensor) -> torch.Tensor:
    """Uniform local binary pattern of every pixel, 8 neighbors at radius 1.

    Ojala et al. (2002), https://doi.org/10.1109/TPAMI.2002.1017623: (n, 28, 28) codes,
    the number of neighbors that are as bright, or 9 when they do not form one arc.
    Working size 28x28, zero beyond the border: scikit-image's "uniform" method.
    """
    padded = F.pad(gray, (1, 1, 1, 1))
    baseline = gray - _TIE

    def at(down: int, right: int) -> torch.Tensor:
        return padded[:, 1 + down : 29 + down, 1 + right : 29 + right]

    code = torch.zeros_like(gray, dtype=torch.uint8)
    inner = baseline - _CENTRE * gray
    circle = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))
    for bit, (down, right) in enumerate(circle):
        if down and right:
            beside = at(down, 0) + at(0, right)
            brighter = _CORNER * at(down, right) + _BESIDE * beside >= inner
        else:
            brighter = at(down, right) >= baseline
        code |= brighter.to(torch.uint8) << bit
    return _uniform_codes(gray.device)[code.to(torch.int32)]


@feature(batched=True, of=[lbp_codes])
def lbp_grid(codes: torch.Tensor) -> torch.Tensor:
    """Share of each pattern in each cell of a 4x4 grid: (n, 16 * 10)."""
    cell = SIDE // _GRID
    line = torch.arange(SIDE, device=codes.device) // cell
    first = (line[:, None] * _GRID + line) * _CODES  # (28, 28): the cell's first bin
    bins = (codes.to(torch.int64) + first).flatten(1)
    counts = codes.new_zeros(len(codes), _GRID * _GRID * _CODES)
    counts.scatter_add_(1, bins, torch.ones_like(codes).flatten(1))
    return counts / cell**2


@cache
def _uniform_codes(device: torch.device) -> torch.Tensor:
    """Look-up table of the 256 patterns: (256,)."""

    def code(pattern: int) -> int:
        bits = [pattern >> i & 1 for i in range(8)]
        changes = sum(bits[i] != bits[i - 1] for i in range(8))
        return sum(bits) if changes <= 2 else 9

    return torch.tensor([float(code(p)) for p in range(256)], device=device)
