"""The networks of the ADP paper, which are CoGAN's."""

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
    start_sides,
)
from lfkit.nn.layers import drawn_linear

_WIDTH = 1024
_SMALLEST = 5  # px: the first maps are at most so large


class CoganGenerator(ImageGenerator):
    """The common block, then transposed convolutions of 1024, 512, 256 and 128.

    Liu & Tuzel 2016, arXiv:1606.07536, as ADP uses it (section 4.3): 28x28 grows
    through 4, 7, 13, 25 and 28 pixels, other sizes by doubling. "4x4, stride 1" for
    every layer, as printed, would reach 28 pixels after nine layers.
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
        self.common = Common(z_dim, n_classes, generator, nn.PReLU)
        outside = width or _WIDTH
        as_printed = shape[:2] == (28, 28)
        doublings = 3 if as_printed else 0
        while not as_printed and min(shape[:2]) / 2**doublings > _SMALLEST:
            doublings += 1
        start = (4, 4) if as_printed else start_sides(shape, doublings)
        layers = _layer(N_COMMON, outside, start, 1, 0, generator)
        for _ in range(doublings):
            inside, outside = outside, max(16, outside // 2)
            side = (3, 3) if as_printed else (4, 4)
            layers += _layer(inside, outside, side, 2, 1, generator)
        self.layers = nn.Sequential(*layers)
        self.n_maps = outside
        last = (6, 6) if as_printed else (3, 3)
        self.painted = _transposed(outside, shape[2], last, 1, 1, generator)

    def maps(
        self, z: torch.Tensor, condition: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Make the last maps, as large as the image, and the common block's."""
        common = self.common(z, condition)
        return self.layers(common[:, :, None, None]), common


class CoganBody(Body):
    """Two convolutions of 5x5 with pooling, then one layer of 500."""

    def __init__(
        self, shape: Shape, width: int | None, generator: torch.Generator
    ) -> None:
        super().__init__()
        scale = (width or _WIDTH) / _WIDTH
        few, many = max(4, round(20 * scale)), max(8, round(50 * scale))
        self.n_features = max(32, round(500 * scale))
        h, w, c = shape
        self.layers = nn.Sequential(
            _convolution(c, few, generator), nn.MaxPool2d(2),
            _convolution(few, many, generator), nn.MaxPool2d(2),
        )  # fmt: skip
        self.last = drawn_linear(many * (h // 4) * (w // 4), self.n_features, generator)
        self.slope = nn.Parameter(torch.full((1,), 0.25))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Look at (n, c, h, w) in [0, 1]."""
        return F.prelu(self.last(self.layers(images * 2 - 1).flatten(1)), self.slope)


def _layer(
    inside: int,
    outside: int,
    side: tuple[int, int],
    stride: int,
    padding: int,
    generator: torch.Generator,
) -> list[nn.Module]:
    return [
        _transposed(inside, outside, side, stride, padding, generator),
        nn.BatchNorm2d(outside, affine=False),
        nn.PReLU(),
    ]


def _transposed(
    inside: int,
    outside: int,
    side: tuple[int, int],
    stride: int,
    padding: int,
    generator: torch.Generator,
) -> nn.ConvTranspose2d:
    layer: nn.ConvTranspose2d = skip_init(  # type: ignore[no-untyped-call]
        nn.ConvTranspose2d, inside, outside, side, stride=stride, padding=padding
    )
    fan = inside * side[0] * side[1] / stride**2
    nn.init.normal_(layer.weight, 0, (2 / fan) ** 0.5, generator=generator)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def _convolution(inside: int, outside: int, generator: torch.Generator) -> nn.Conv2d:
    # The paper's are not padded; padding lets images of 8 pixels through.
    layer: nn.Conv2d = skip_init(  # type: ignore[no-untyped-call]
        nn.Conv2d, inside, outside, 5, padding=2
    )
    nn.init.kaiming_normal_(layer.weight, a=0.25, generator=generator)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


COGAN = GanNetwork(CoganGenerator, CoganBody)
