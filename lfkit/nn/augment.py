"""Random changes of images that leave their class alone, a whole batch at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Augmentation:
    """How strongly images are changed; each image draws its own amounts.

    The defaults are those of small registered pictures. Mirroring is off: on
    Fashion-MNIST, whose shoes all point left, it cost five points.

    Attributes
    ----------
    rotation_deg : largest angle, either way.
    zoom, aspect, shear : largest change, as a share.
    shift : largest move, as a share of the side.
    gamma : largest exponent's logarithm.
    contrast : largest change, as a share.
    noise : largest standard deviation of the noise; pixels go from 0 to 1.
    cutout : smallest and largest side of the square left blank, as shares.
    flip : mirror every second image left to right.
    """

    rotation_deg: float = 7.5
    zoom: float = 0.075
    aspect: float = 0.05
    shear: float = 0.075
    shift: float = 0.05
    gamma: float = 0.25
    contrast: float = 0.15
    noise: float = 0.04
    cutout: tuple[float, float] = (0.07, 0.22)
    flip: bool = False


def augment(
    images: torch.Tensor, how: Augmentation, generator: torch.Generator
) -> torch.Tensor:
    """Change images at random, (n, c, h, w) in [0, 1] → the same shape.

    Parameters
    ----------
    generator : on the images' device; all randomness comes from it.
    """
    moved = _moved(images, how, generator)
    n, shape = len(images), (len(images), 1, 1, 1)

    def uniform(most: float) -> torch.Tensor:
        drawn = torch.rand(n, generator=generator, device=images.device)
        return ((drawn * 2 - 1) * most).view(shape)

    # x^gamma has no gradient to lose here; the baseline keeps 0 from becoming NaN.
    changed = moved.clamp(1e-4, 1) ** torch.exp(uniform(how.gamma))
    changed = changed * (1 + uniform(how.contrast))
    grain = torch.randn(images.shape, generator=generator, device=images.device)
    changed = changed + grain * uniform(how.noise).abs()
    return _cut_out(changed, how.cutout, generator)


def _moved(
    images: torch.Tensor, how: Augmentation, generator: torch.Generator
) -> torch.Tensor:
    n, device = len(images), images.device
    drawn = torch.rand(7, n, generator=generator, device=device) * 2 - 1
    angle = drawn[0] * torch.pi / 180 * how.rotation_deg
    scale, aspect = torch.exp(drawn[1] * how.zoom), torch.exp(drawn[2] * how.aspect)
    shear = drawn[3] * how.shear
    # A whole side is 2 in the coordinates of grid_sample.
    across, down = drawn[4] * 2 * how.shift, drawn[5] * 2 * how.shift
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    mirror = (
        torch.where(drawn[6] < 0, -1.0, 1.0)
        if how.flip
        else torch.ones(n, device=device)
    )
    first = torch.stack([cosine * aspect * mirror, shear - sine, across], dim=1)
    second = torch.stack([sine * mirror, cosine / aspect, down], dim=1)
    grid = F.affine_grid(
        torch.stack([first, second], dim=1), list(images.shape), align_corners=False
    )
    # The border goes on: black margins would be a new edge on bright backgrounds.
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _cut_out(
    images: torch.Tensor, sides: tuple[float, float], generator: torch.Generator
) -> torch.Tensor:
    """Blank one rectangle per image (DeVries & Taylor 2017, arXiv:1708.04552)."""
    n, _, *shape = images.shape
    drawn = torch.rand(4, n, generator=generator, device=images.device)
    inside = []
    for axis, side in enumerate(shape):
        place = torch.arange(side, device=images.device) + 0.5
        half = (sides[0] + drawn[axis] * (sides[1] - sides[0])) * side / 2
        gap = (place - (drawn[2 + axis] * side)[:, None]).abs()
        inside.append(gap < half[:, None])
    blank = inside[0][:, :, None] & inside[1][:, None, :]  # (n, h, w)
    return images.masked_fill(blank[:, None], 0.0)
