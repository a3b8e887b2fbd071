"""What most features start from: the image in gray at 28x28, and what is ink in it."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lfkit.errors import DeclarationError
from lfkit.features.feature import feature

SIDE = 28

# ITU-R BT.601, what OpenCV and Pillow use; the rest is green.
_RED, _BLUE = 0.299, 0.114
# .4 of the brightest pixel closes the loops of 8x8 digits without filling them. A
# garment also has dark parts and black around it, so its outline needs a lower cut
# (Fashion-MNIST: .1 to .2 alike).
_INK_SHARE = 0.4
_SILHOUETTE_SHARE = 0.15


@feature(batched=True)
def gray28(images: torch.Tensor) -> torch.Tensor:
    """Brightness at 28x28: (n, 28, 28) in [0, 1].

    Other sizes are stretched to the square, bilinearly and antialiased. Three channels
    are read as RGB; any other number is averaged.
    """
    gray = images
    if images.shape[1] == 3:
        red, green, blue = images[:, :1], images[:, 1:2], images[:, 2:]
        # Exactly the image's own values where the channels are equal: rounding would
        # tip gradients of flat ground into any direction.
        gray = green + (red - green) * _RED + (blue - green) * _BLUE
    elif images.shape[1] != 1:
        gray = images.mean(dim=1, keepdim=True)
    if gray.shape[2:] != (SIDE, SIDE):
        gray = F.interpolate(gray, (SIDE, SIDE), mode="bilinear", antialias=True)
    return gray[:, 0]  # (n, 28, 28)


@feature(batched=True, of=[gray28])
def ink(gray: torch.Tensor) -> torch.Tensor:
    """Pixels brighter than .4 of the brightest one: (n, 28, 28), 0 or 1.

    Working size 28x28, bright strokes on a dark ground. A black image has no ink.
    """
    return _brighter_than(gray, _INK_SHARE)


@feature(batched=True, of=[gray28])
def silhouette(gray: torch.Tensor) -> torch.Tensor:
    """Pixels that are not background: (n, 28, 28), 0 or 1.

    Working size 28x28, an object on black: brighter than .15 of the brightest pixel.
    """
    return _brighter_than(gray, _SILHOUETTE_SHARE)


def _brighter_than(gray: torch.Tensor, share: float) -> torch.Tensor:
    return (gray > share * gray.amax(dim=(1, 2), keepdim=True)).to(gray.dtype)


def check_divisor(what: str, number: int) -> None:
    """Refuse a number of pixels or cells that does not divide the working side."""
    if number < 1 or SIDE % number:
        known = ", ".join(str(n) for n in range(1, SIDE + 1) if SIDE % n == 0)
        raise DeclarationError(
            f"{what} is {number}; images are seen at {SIDE}x{SIDE} here, so it must be "
            f"one of {known}."
        )


def grid_means(maps: torch.Tensor, cells: int) -> torch.Tensor:
    """Average (..., 28, 28) maps over cells x cells squares; `cells` divides 28."""
    side = SIDE // cells
    # Two sums over adjacent axes: three times as fast as avg_pool2d on one core.
    lead = maps.shape[:-2]
    rows = maps.reshape(*lead, cells, side, SIDE).sum(dim=-2)  # (..., cells, 28)
    return rows.view(*lead, cells, cells, side).sum(dim=-1) / side**2
