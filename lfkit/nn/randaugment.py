"""A few strong random changes of each image, all at one strength."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

_MOST = 30  # the strength at which a change is as large as it gets


def randaugment(
    images: torch.Tensor,
    generator: torch.Generator,
    *,
    n_changes: int = 2,
    strength: int = 9,
) -> torch.Tensor:
    """Change each image by `n_changes` drawn ways, (n, c, h, w) in [0, 1].

    Cubuk et al. 2020, arXiv:1909.13719, with the ways that work on gray and on color:
    none, turn, shear and move along either side, brightness, contrast, solarize,
    posterize.

    Parameters
    ----------
    strength : of 30; each image draws the sign.
    """
    how_far = strength / _MOST
    for _ in range(n_changes):
        way = torch.randint(
            len(_WAYS), (len(images),), generator=generator, device=images.device
        )
        drawn = torch.rand(len(images), generator=generator, device=images.device)
        sign = torch.where(drawn < 0.5, -1.0, 1.0) * how_far
        images = _moved(images, way, sign)
        for number, change in _COLORS.items():
            chosen = way == number
            if images.device.type == "cpu":  # half the time of changing all of them
                rows = chosen.nonzero()[:, 0]
                if len(rows):
                    changed = change(images[rows], sign[rows])
                    images = images.index_copy(0, rows, changed)
            else:  # how many there are, a GPU would be waited for to say
                changed = change(images, sign)
                images = torch.where(chosen[:, None, None, None], changed, images)
    return images


def _moved(images: torch.Tensor, way: torch.Tensor, sign: torch.Tensor) -> torch.Tensor:
    """Turn, shear and move, each image in its way."""

    def amount(name: str, most: float) -> torch.Tensor:
        return sign * most * (way == _WAYS.index(name))

    angle = amount("turn", torch.pi / 6)
    across, down = amount("shear across", 0.3), amount("shear down", 0.3)
    # The height of an image is 2 in the coordinates of grid_sample: .45 of the side.
    right, below = amount("move across", 0.9), amount("move down", 0.9)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    first = torch.stack([cosine, across - sine, right], dim=1)
    second = torch.stack([sine + down, cosine, below], dim=1)
    grid = F.affine_grid(
        torch.stack([first, second], dim=1), list(images.shape), align_corners=False
    )
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def _brighter(images: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    return (images * (1 + 0.9 * by[:, None, None, None])).clamp(0, 1)


def _contrasted(images: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    return (level + (images - level) * (1 + 0.9 * by[:, None, None, None])).clamp(0, 1)


def _solarized(images: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    bar = 1 - by.abs()[:, None, None, None]
    return torch.where(images >= bar, 1 - images, images)


def _posterized(images: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    levels = 2 ** (8 - (4 * by.abs()).round())[:, None, None, None]
    return (images * (levels - 1)).round() / (levels - 1)


_WAYS = (
    "none", "turn", "shear across", "shear down", "move across", "move down",
    "brightness", "contrast", "solarize", "posterize",
)  # fmt: skip
_COLORS: dict[int, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    _WAYS.index("brightness"): _brighter,
    _WAYS.index("contrast"): _contrasted,
    _WAYS.index("solarize"): _solarized,
    _WAYS.index("posterize"): _posterized,
}
