"""What separates a house number from the wall: ink against ground of any color."""

from functools import cache

import torch
import torch.nn.functional as F

from lfkit import feature, image
from lfkit.features.gray import SIDE, gray28

_RING_PX = 3
_ROUNDS = 3
# What differs from the ground by less than so many deviations of the ring is ground.
_NOISE = 1.5


@feature(batched=True, of=[image])
def colors28(images):
    """The image in color at 28x28: (n, 3, 28, 28); gray ones have three equal channels.

    Other sizes are stretched to the square, bilinearly and antialiased.
    """
    if images.shape[1] != 3:
        images = images.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    if images.shape[2:] != (SIDE, SIDE):
        images = F.interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=True)
    return images


@feature(batched=True, of=[colors28])
def strokes(colors):
    """How far each pixel's color is from the ground's: (n, 28, 28) in [0, 1].

    The ground is a plane through the colors of a ring 3 px wide at the border, fitted
    anew with less weight on what lies far from it, such as parts of other digits. So a
    digit is bright on black whether it is lighter or darker than the wall.
    """
    n = len(colors)
    plane, ring = _plane(colors.device)  # (784, 3), (784,)
    flat = colors.flatten(2).transpose(1, 2)  # (n, 784, 3)
    weight = ring.expand(n, -1)
    for _ in range(_ROUNDS):
        weighted = plane * weight[:, :, None]  # (n, 784, 3)
        normal = weighted.transpose(1, 2) @ plane + 1e-3 * _eye(colors.device)
        ground = plane @ torch.linalg.solve(normal, weighted.transpose(1, 2) @ flat)
        distance = torch.linalg.vector_norm(flat - ground, dim=2)  # (n, 784)
        spread = (distance * weight).sum(dim=1) / weight.sum(dim=1) + 0.01
        weight = ring / (1 + (distance / spread[:, None]).square())
    above = (distance - _NOISE * spread[:, None]).clamp(min=0)
    brightest = above.view(n, SIDE, SIDE)[:, 4:-4, 4:-4].amax(dim=(1, 2))
    return (above / brightest.clamp(min=0.02)[:, None]).clamp(max=1).view(n, SIDE, SIDE)


@cache
def _plane(device):
    """One, row and column of each pixel, and whether it is in the ring."""
    line = torch.linspace(-1, 1, SIDE, device=device)
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    plane = torch.stack([torch.ones_like(rows), rows, columns], dim=2).view(-1, 3)
    ring = torch.ones(SIDE, SIDE, device=device)
    ring[_RING_PX:-_RING_PX, _RING_PX:-_RING_PX] = 0
    return plane, ring.flatten()


@cache
def _eye(device):
    return torch.eye(3, device=device)


@feature(batched=True, of=[strokes])
def middle_strokes(contrast):
    """The strokes without what lies at the sides, as other digits do: (n, 28, 28)."""
    line = torch.linspace(-1, 1, SIDE, device=contrast.device)
    window = ((0.95 - line.abs()) / 0.25).clamp(0, 1)
    return contrast * window


@feature(batched=True, of=[gray28, middle_strokes])
def bright_ink(gray, contrast):
    """Gray, turned over where ink is darker than the ground: (n, 28, 28) in [0, 1]."""
    weight = contrast.sum(dim=(1, 2)).clamp(min=1e-3)
    ink = (gray * contrast).sum(dim=(1, 2)) / weight
    rest = ((1 - contrast) * gray).sum(dim=(1, 2)) / (1 - contrast).sum(
        dim=(1, 2)
    ).clamp(min=1e-3)
    is_dark = (ink < rest)[:, None, None]
    turned = torch.where(is_dark, 1 - gray, gray)
    low = turned.amin(dim=(1, 2), keepdim=True)
    high = turned.amax(dim=(1, 2), keepdim=True)
    return (turned - low) / (high - low).clamp(min=1e-3)
