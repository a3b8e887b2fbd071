"""Connected parts of the ink: components, holes, and stems beside a loop."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from lfkit.features.feature import feature
from lfkit.features.gray import SIDE, ink

# Specks are neither pieces nor holes, and a spur of the loop is not a stem.
_SMALLEST_PIECE = 4
_SMALLEST_HOLE = 3
_SMALLEST_STEM = 14
# The hole grows by this window, so by half of it: a little more than a stroke.
_LOOP = 13
# To compare with the round before makes a GPU wait, so it is done now and then.
_ROUNDS_PER_CHECK = 8


@feature(batched=True, of=[ink])
def component_count(mask: torch.Tensor) -> torch.Tensor:
    """Pieces of ink that touch nowhere, not even at a corner: (n,).

    Working size 28x28; pieces of fewer than 4 pixels are not counted.
    """
    sizes = _sizes(connected_components(mask > 0, diagonals=True))
    return (sizes >= _SMALLEST_PIECE).sum(dim=(1, 2))


@feature(batched=True, of=[ink])
def hole_sizes(mask: torch.Tensor) -> torch.Tensor:
    """Area in pixels at every pixel of a hole in the ink, 0 elsewhere: (n, 28, 28).

    A hole is background that ink encloses; corners do not let it out. Working size
    28x28; holes of fewer than 3 pixels are dropped.
    """
    # With a frame of background around, all that is not enclosed is one component, the
    # one of the frame's last pixel.
    background = F.pad(mask == 0, (1, 1, 1, 1), value=True)
    label = connected_components(background, diagonals=False)
    enclosed = (label >= 0) & (label < label[:, -1:, -1:])
    label = torch.where(enclosed, label, -1)
    sizes = _sizes(label).flatten(1).gather(1, label.clamp(min=0).flatten(1))
    sizes = (sizes.view_as(label) * enclosed)[:, 1:-1, 1:-1]
    return sizes * (sizes >= _SMALLEST_HOLE)


@feature(batched=True, of=[hole_sizes])
def hole_count(sizes: torch.Tensor) -> torch.Tensor:
    """How many holes the ink has: (n,)."""
    # Every pixel of a hole of s pixels counts 1 / s.
    return (1 / sizes).nan_to_num(posinf=0).sum(dim=(1, 2)).round()


@feature(batched=True, of=[hole_sizes])
def hole_diameter(sizes: torch.Tensor) -> torch.Tensor:
    """Diameter of a disc as large as the largest hole, in image sides: (n,)."""
    return (sizes.amax(dim=(1, 2)) * (4 / math.pi)).sqrt() / SIDE


@feature(batched=True, of=[ink, hole_sizes])
def stem_count(mask: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """Strokes that stick out of the loops: (n,), 0 where there is no hole.

    Pieces of what is left of the ink without its loops, which are the holes grown by
    6 pixels, about the thickness of a stroke. Working size 28x28; fewer than 14 pixels
    are a spur, not a stem.
    """
    inside = (sizes > 0).to(mask.dtype)[:, None]
    loop = F.max_pool2d(inside, _LOOP, stride=1, padding=_LOOP // 2)[:, 0]
    label = connected_components((mask > 0) & (loop == 0), diagonals=True)
    stems = (_sizes(label) >= _SMALLEST_STEM).sum(dim=(1, 2))
    return stems * inside.amax(dim=(1, 2, 3))


def connected_components(mask: torch.Tensor, *, diagonals: bool) -> torch.Tensor:
    """Label every connected part of each mask, exactly.

    Parameters
    ----------
    mask : (n, h, w) bool.
    diagonals : pixels that touch at a corner are connected.

    Returns
    -------
    (n, h, w) int64: the number (row * w + column) of the last pixel of the part that
    each pixel belongs to, -1 outside the mask.
    """
    h, w = mask.shape[1:]
    # Narrow numbers, because the time goes into moving them. 0 is outside the mask.
    number_type = torch.int16 if h * w < 2**15 else torch.int32
    inside = mask.to(number_type)
    number = torch.arange(1, h * w + 1, dtype=number_type, device=mask.device)
    label = number.view(h, w) * inside
    while True:
        before = label
        for _ in range(_ROUNDS_PER_CHECK):
            label = _spread(label, dim=2)
            if not diagonals:
                label *= inside
            label = _spread(label, dim=1).mul_(inside)
        # Equal after a round that changed nothing anywhere: every part has one label.
        if torch.equal(before, label):
            return label.to(torch.int64) - 1


def _spread(label: torch.Tensor, *, dim: int) -> torch.Tensor:
    """Take the highest of each pixel and its two neighbors along `dim`."""
    highest = label.clone()
    most = label.shape[dim] - 1
    for here, there in ((0, 1), (1, 0)):
        target = highest.narrow(dim, here, most)
        torch.maximum(target, label.narrow(dim, there, most), out=target)
    return highest


def _sizes(label: torch.Tensor) -> torch.Tensor:
    """Area of each part at its last pixel, 0 at all others: (n, h, w) float32."""
    inside = (label >= 0).to(torch.float32).flatten(1)
    sizes = torch.zeros_like(inside)
    # Whole-number sums are exact, in whatever order a GPU adds.
    sizes.scatter_add_(1, label.clamp(min=0).flatten(1), inside)
    return sizes.view(label.shape)
