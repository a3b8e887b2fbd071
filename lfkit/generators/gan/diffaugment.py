"""Random changes of real and generated images alike, through which gradients pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from lfkit.generators.gan.config import POLICIES
from lfkit.generators.plan import check_choice


def diffaugment(
    images: torch.Tensor,
    policy: Sequence[str],
    generator: torch.Generator,
    strength: float = 1.0,
) -> torch.Tensor:
    """Change each image by amounts of its own, (n, c, h, w) in [0, 1].

    Zhao et al. 2020, arXiv:2006.10738: brightness ± .5, saturation times 0 to 2,
    contrast times .5 to 1.5, moved by an eighth of the side, half of it blanked.

    Parameters
    ----------
    policy : some of POLICIES, in this order.
    strength : 0 = unchanged.
    """
    for name in policy:
        check_choice("augment", name, POLICIES)
    if not strength:
        return images
    if "color" in policy:
        images = _recolored(images, generator, strength)
    if "translation" in policy:
        images = _moved(images, generator, strength)
    if "cutout" in policy:
        images = _cut_out(images, generator, strength)
    return images


def _recolored(
    images: torch.Tensor, generator: torch.Generator, strength: float
) -> torch.Tensor:
    drawn = torch.rand(3, len(images), generator=generator, device=images.device)
    brightness, saturation, contrast = (
        (row * 2 - 1).view(-1, 1, 1, 1) * strength for row in drawn
    )
    images = images + brightness / 2
    gray = images.mean(dim=1, keepdim=True)
    images = gray + (images - gray) * (1 + saturation)
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    return level + (images - level) * (1 + contrast / 2)


def _moved(
    images: torch.Tensor, generator: torch.Generator, strength: float
) -> torch.Tensor:
    n, _, h, w = images.shape
    most = [round(side * strength / 8) for side in (h, w)]
    drawn = torch.rand(2, n, generator=generator, device=images.device)
    by = [
        (row * (2 * far + 1)).floor().long()
        for row, far in zip(drawn, most, strict=True)
    ]
    padded = F.pad(images, (most[1], most[1], most[0], most[0]))
    rows = by[0][:, None] + torch.arange(h, device=images.device)
    columns = by[1][:, None] + torch.arange(w, device=images.device)
    each = torch.arange(n, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[
        each, rows[:, :, None], columns[:, None, :]
    ].permute(0, 3, 1, 2)


def _cut_out(
    images: torch.Tensor, generator: torch.Generator, strength: float
) -> torch.Tensor:
    n, _, h, w = images.shape
    drawn = torch.rand(2, n, generator=generator, device=images.device)
    inside = []
    for row, side in zip(drawn, (h, w), strict=True):
        place = torch.arange(side, device=images.device) + 0.5
        inside.append((place - (row * side)[:, None]).abs() < side * strength / 4)
    blank = inside[0][:, :, None] & inside[1][:, None, :]
    return images.masked_fill(blank[:, None], 0.0)
