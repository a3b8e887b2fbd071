"""Residual networks with spectral norm, for a GPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import skip_init

from lfkit.generators.gan.networks.gan_network import (
    N_COMMON,
    Body,
    Common,
    GanNetwork,
    ImageGenerator,
    Shape,
    n_doublings,
    start_sides,
)
from lfkit.nn.layers import drawn_linear
from lfkit.nn.spectral_norm import spectral

_WIDTH = 256
_START = 4  # px


class SnganGenerator(ImageGenerator):
    """Residual blocks that double the side, 256 channels each.

    Miyato et al. 2018, arXiv:1802.05957, table 4, with the common block before it.
    """

    def __init__(
        self,
        shape: Shape,
        n_classes: int,
        z_dim: int,
        width: int | None,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.z_dim, self.shape = z_dim, shape
        self.width = width or _WIDTH
        doublings = n_doublings(shape, _START)
        self.start = start_sides(shape, doublings)
        self.common = Common(z_dim, n_classes, generator)
        places = self.start[0] * self.start[1]
        self.first = drawn_linear(N_COMMON + z_dim, self.width * places, generator)
        self.blocks = nn.Sequential(
            *(_SnganUp(self.width, generator) for _ in range(doublings))
        )
        self.end = nn.BatchNorm2d(self.width)
        self.n_maps = self.width
        self.painted = _convolution(self.width, shape[2], 3, generator)

    def maps(
        self, z: torch.Tensor, condition: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Make the last maps, as large as the image, and the common block's."""
        common = self.common(z, condition)
        maps = self.first(torch.cat([common, z], dim=1))
        maps = maps.view(-1, self.width, *self.start)
        maps = maps.contiguous(memory_format=torch.channels_last)
        return F.relu(self.end(self.blocks(maps))), common


class SnganBody(Body):
    """Four residual blocks, the first two halve the side; summed over the image."""

    def __init__(
        self, shape: Shape, width: int | None, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.n_features = (width or _WIDTH) // 2
        inside = shape[2]
        blocks: list[nn.Module] = []
        for number in range(4):
            blocks.append(
                _SnganDown(
                    inside,
                    self.n_features,
                    generator,
                    is_first=number == 0,
                    halves=number < 2,
                )
            )
            inside = self.n_features
        self.blocks = nn.Sequential(*blocks)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Look at (n, c, h, w) in [0, 1]."""
        return F.relu(self.blocks(images * 2 - 1)).sum(dim=(2, 3))


class _SnganUp(nn.Module):
    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.before, self.between = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.one = _convolution(width, width, 3, generator)
        self.two = _convolution(width, width, 3, generator)
        self.short = _convolution(width, width, 1, generator)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        found = _doubled(F.relu(self.before(maps)))
        found = self.two(F.relu(self.between(self.one(found))))
        return found + _doubled(self.short(maps))


class _SnganDown(nn.Module):
    def __init__(
        self,
        inside: int,
        outside: int,
        generator: torch.Generator,
        *,
        is_first: bool,
        halves: bool,
    ) -> None:
        super().__init__()
        self.is_first, self.halves = is_first, halves
        self.one = spectral(_convolution(inside, outside, 3, generator), generator)
        self.two = spectral(_convolution(outside, outside, 3, generator), generator)
        self.short: nn.Module | None = None
        if halves or inside != outside:
            self.short = spectral(
                _convolution(inside, outside, 1, generator), generator
            )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        # No activation on the image itself: half of it would be lost.
        found = self.one(maps if self.is_first else F.relu(maps))
        found = self.two(F.relu(found))
        if self.halves:
            found, maps = F.avg_pool2d(found, 2), F.avg_pool2d(maps, 2)
        return found + (maps if self.short is None else self.short(maps))


def _doubled(maps: torch.Tensor) -> torch.Tensor:
    return F.interpolate(maps, scale_factor=2, mode="nearest")


def _convolution(
    inside: int, outside: int, side: int, generator: torch.Generator
) -> nn.Conv2d:
    layer: nn.Conv2d = skip_init(  # type: ignore[no-untyped-call]
        nn.Conv2d, inside, outside, side, padding=side // 2
    )
    nn.init.xavier_uniform_(layer.weight, generator=generator)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


SNGAN = GanNetwork(SnganGenerator, SnganBody)
