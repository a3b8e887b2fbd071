"""A small pair for a CPU: no convolution at full resolution."""

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

_WIDTH = 96
_START = 7  # px: the side of the first maps
_LEAST_WIDTH = 16


class DcganGenerator(ImageGenerator):
    """Transposed convolutions from 7x7 maps; the noise enters twice.

    At 28x28 a step with this pair takes 65 to 80 ms on one core; one more convolution
    at full resolution doubles that.
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
        doublings = n_doublings(shape, _START)
        self.start = start_sides(shape, doublings)
        self.width = width or _WIDTH
        self.common = Common(z_dim, n_classes, generator)
        self.first = nn.Sequential(
            drawn_linear(
                N_COMMON + z_dim, self.width * self.start[0] * self.start[1], generator
            ),
            nn.BatchNorm1d(self.width * self.start[0] * self.start[1]),
            nn.ReLU(),
        )
        layers: list[nn.Module] = []
        inside = self.width
        for _ in range(doublings - 1):
            outside = max(_LEAST_WIDTH, inside // 2)
            layers += [
                _doubling(inside, outside, generator, bias=False),
                nn.BatchNorm2d(outside),
                nn.ReLU(),
            ]
            inside = outside
        self.layers = nn.Sequential(*layers)
        self.n_maps = inside
        self.painted = _doubling(inside, shape[2], generator, bias=True)

    def maps(
        self, z: torch.Tensor, condition: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Make the last maps, half as large as the image, and the common block's."""
        common = self.common(z, condition)
        maps = self.first(torch.cat([common, z], dim=1))
        maps = maps.view(-1, self.width, *self.start)
        return self.layers(maps.contiguous(memory_format=torch.channels_last)), common


class DcganBody(Body):
    """Convolutions that halve the side, then one layer of 128."""

    def __init__(
        self, shape: Shape, width: int | None, generator: torch.Generator
    ) -> None:
        super().__init__()
        h, w, inside = shape
        outside = max(_LEAST_WIDTH, (width or _WIDTH) // 3)
        layers: list[nn.Module] = []
        for _ in range(max(2, n_doublings(shape, _START))):
            if min(h, w) < 4:
                break
            layer = skip_init(  # type: ignore[no-untyped-call]
                nn.Conv2d, inside, outside, 4, stride=2, padding=1
            )
            _draw(layer, generator)
            layers += [spectral(layer, generator), nn.LeakyReLU(0.2)]
            h, w, inside, outside = h // 2, w // 2, outside, 2 * outside
        self.layers = nn.Sequential(*layers)
        self.n_features = 128
        self.last = spectral(
            drawn_linear(inside * h * w, self.n_features, generator), generator
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Look at (n, c, h, w) in [0, 1]."""
        maps = self.layers(images * 2 - 1)
        return F.leaky_relu(self.last(maps.flatten(1)), 0.2)


def _doubling(
    inside: int, outside: int, generator: torch.Generator, *, bias: bool
) -> nn.ConvTranspose2d:
    layer: nn.ConvTranspose2d = skip_init(  # type: ignore[no-untyped-call]
        nn.ConvTranspose2d, inside, outside, 4, stride=2, padding=1, bias=bias
    )
    nn.init.normal_(layer.weight, 0, (2 / (4 * inside)) ** 0.5, generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _draw(layer: nn.Conv2d, generator: torch.Generator) -> None:
    nn.init.kaiming_normal_(layer.weight, a=0.2, generator=generator)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)


DCGAN = GanNetwork(DcganGenerator, DcganBody)
