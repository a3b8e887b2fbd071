"""Residual networks without normalisation, and no other trick."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import skip_init

from lfkit.generators.gan.networks.gan_network import (
    Body,
    GanNetwork,
    ImageGenerator,
    Shape,
    n_doublings,
    start_sides,
)

_WIDTH = 128  # for a CPU, halved where the side doubles; the paper has 768 everywhere
_LEAST_WIDTH = 16
_START = 4  # px
_N_BLOCKS = 2  # of each size
_EXPANSION = 2
_PER_GROUP = 16  # channels


class R3ganGenerator(ImageGenerator):
    """A learned basis of maps, weighed by the noise, then residual blocks.

    Huang et al. 2024, arXiv:2501.05441: grouped convolutions in inverted bottlenecks,
    no normalisation, bilinear doubling. Branches begin at 0 (fixup; Zhang et al. 2019,
    arXiv:1901.09321). A class is added to the noise, as a learned row; there is no
    common block, so a label head sees the noise.
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
        self.z_dim, self.n_common, self.shape = z_dim, z_dim, shape
        doublings = n_doublings(shape, _START)
        widths = _widths(width, doublings)
        self.classes: nn.Parameter | None = None
        if n_classes:
            rows = torch.randn(n_classes, z_dim, generator=generator)
            self.classes = nn.Parameter(rows)
        first = torch.randn(z_dim, widths[0], generator=generator)
        self.weighed = nn.Parameter(first / z_dim**0.5)
        start = start_sides(shape, doublings)
        basis = torch.randn(widths[0], *start, generator=generator)
        self.basis = nn.Parameter(basis)
        stages = [_blocks(widths[0], doublings, generator)]
        for inside, outside in pairwise(widths):
            stages.append(
                nn.Sequential(
                    _Doubled(),
                    _convolution(inside, outside, 1, generator),
                    *_blocks(outside, doublings, generator),
                )
            )
        self.stages = nn.Sequential(*stages)
        self.n_maps = widths[-1]
        self.painted = _convolution(self.n_maps, shape[2], 1, generator)

    def maps(
        self, z: torch.Tensor, condition: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Make the last maps, as large as the image; and the noise with its class."""
        if condition is not None and self.classes is not None:
            z = z + condition @ self.classes
        maps = (z @ self.weighed)[:, :, None, None] * self.basis
        return self.stages(maps.contiguous(memory_format=torch.channels_last)), z


class R3ganBody(Body):
    """The generator's blocks in reverse, and a learned weight for each place."""

    def __init__(
        self, shape: Shape, width: int | None, generator: torch.Generator
    ) -> None:
        super().__init__()
        halvings = n_doublings(shape, _START)
        widths = _widths(width, halvings)[::-1]
        h, w, c = shape
        stages: list[nn.Module] = [_convolution(c, widths[0], 1, generator)]
        for inside, outside in pairwise(widths):
            stages += [
                *_blocks(inside, halvings, generator),
                _Halved(),
                _convolution(inside, outside, 1, generator),
            ]
            h, w = -(-h // 2), -(-w // 2)
        stages += _blocks(widths[-1], halvings, generator)
        self.stages = nn.Sequential(*stages)
        self.n_features = widths[-1]
        places = torch.randn(self.n_features, h, w, generator=generator)
        self.places = nn.Parameter(places / (h * w) ** 0.5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Look at (n, c, h, w) in [0, 1]."""
        return (self.stages(images * 2 - 1) * self.places).sum(dim=(2, 3))


class _Block(nn.Module):
    """Wider, in groups, and narrow again; its last layer begins at 0."""

    def __init__(self, width: int, n_blocks: int, generator: torch.Generator) -> None:
        super().__init__()
        inside = width * _EXPANSION
        groups = inside // _PER_GROUP if inside % _PER_GROUP == 0 else 1
        size = n_blocks**-0.25  # three layers to a branch: L^(-1 / (2 * 3 - 2))
        self.wider = _convolution(width, inside, 1, generator, size=size)
        self.grouped = _convolution(
            inside, inside, 3, generator, groups=groups, size=size
        )
        self.narrow = _convolution(inside, width, 1, generator, size=0.0)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        found = F.leaky_relu(self.wider(maps), 0.2)
        found = F.leaky_relu(self.grouped(found), 0.2)
        return maps + self.narrow(found)


class _Doubled(nn.Module):
    """Doubles the side; a new place is the mean of its neighbours."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return F.conv_transpose2d(
            maps, 4 * _filter(maps), stride=2, padding=1, output_padding=1,
            groups=maps.shape[1],
        )  # fmt: skip


class _Halved(nn.Module):
    """Halves the side, (1 + side) // 2 for an odd one; smooths first."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return F.conv2d(maps, _filter(maps), stride=2, padding=1, groups=maps.shape[1])


def _filter(maps: torch.Tensor) -> torch.Tensor:
    """Give 1 2 1 in both directions, of sum 1, for each channel, (c, 1, 3, 3)."""
    row = maps.new_tensor([0.25, 0.5, 0.25])
    return torch.outer(row, row).expand(maps.shape[1], 1, 3, 3)


def _widths(width: int | None, n_sizes: int) -> list[int]:
    widest = width or _WIDTH
    least = min(_LEAST_WIDTH, widest)
    return [max(least, widest // 2**n) for n in range(n_sizes + 1)]


def _blocks(width: int, n_sizes: int, generator: torch.Generator) -> nn.Sequential:
    n_blocks = _N_BLOCKS * (n_sizes + 1)
    return nn.Sequential(
        *(_Block(width, n_blocks, generator) for _ in range(_N_BLOCKS))
    )


def _convolution(
    inside: int,
    outside: int,
    side: int,
    generator: torch.Generator,
    *,
    groups: int = 1,
    size: float = 1.0,
) -> nn.Conv2d:
    layer: nn.Conv2d = skip_init(  # type: ignore[no-untyped-call]
        nn.Conv2d, inside, outside, side, padding=side // 2, groups=groups
    )
    scale = size * (2 / (inside // groups * side**2)) ** 0.5
    nn.init.normal_(layer.weight, 0, scale, generator=generator)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


R3GAN = GanNetwork(R3ganGenerator, R3ganBody, has_common=False)
