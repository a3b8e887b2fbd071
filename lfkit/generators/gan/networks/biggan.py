"""Residual networks whose discriminator also judges every pixel."""

from __future__ import annotations

from itertools import pairwise

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
from lfkit.nn.layers import drawn_convolution, drawn_linear
from lfkit.nn.spectral_norm import spectral

_WIDTH = 16  # for a CPU; the papers have 96
_START = 7  # px


class BigganGenerator(ImageGenerator):
    """Residual blocks whose batch norms are set by noise and class.

    Brock et al. 2019, arXiv:1809.11096, figure 15; the common block is its embedding.
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
        self.common = Common(z_dim, n_classes, generator)
        self.n_maps = width or _WIDTH
        self.widest = self.n_maps * 2**doublings
        places = self.start[0] * self.start[1]
        self.first = drawn_linear(N_COMMON + z_dim, self.widest * places, generator)
        widths = [self.n_maps * 2**n for n in range(doublings, -1, -1)]
        self.blocks = nn.ModuleList(
            _BigganUp(inside, outside, N_COMMON + z_dim, generator)
            for inside, outside in pairwise(widths)
        )
        self.end = nn.BatchNorm2d(self.n_maps)
        self.painted = drawn_convolution(self.n_maps, shape[2], 3, generator)

    def maps(
        self, z: torch.Tensor, condition: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Make the last maps, as large as the image, and the common block's."""
        common = self.common(z, condition)
        condition = torch.cat([common, z], dim=1)
        maps = self.first(condition).view(-1, self.widest, *self.start)
        maps = maps.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            maps = block(maps, condition)
        return F.relu(self.end(maps)), common


class UnetBody(Body):
    """An encoder that halves the side, and a decoder that judges every pixel.

    Schönfeld et al. 2020, arXiv:2002.12655: the decoder sees the encoder's maps too.
    """

    scores_pixels = True

    def __init__(
        self, shape: Shape, width: int | None, generator: torch.Generator
    ) -> None:
        super().__init__()
        width = width or _WIDTH
        # Two at least: with one, 8x8 images were judged by their strokes alone.
        n_halvings = max(2, min(3, n_doublings(shape, 3)))
        widths = [width * 2**n for n in range(n_halvings)]
        self.down = nn.ModuleList(
            _BigganDown(inside, outside, generator, is_first=number == 0)
            for number, (inside, outside) in enumerate(
                zip([shape[2], *widths[:-1]], widths, strict=True)
            )
        )
        self.n_features = widths[-1]
        # Each also sees the map of its size: an encoder's, in the end the image.
        beside = [shape[2], *widths[:-1]]
        inside = widths[-1]
        self.up = nn.ModuleList()
        for seen, outside in zip(beside[::-1], [*widths[:-1][::-1], 1], strict=True):
            layer = drawn_convolution(inside + seen, outside, 3, generator)
            is_last = len(self.up) == n_halvings - 1
            # Logits of norm 1 would never reach the margin of a hinge.
            self.up.append(layer if is_last else spectral(layer, generator))
            inside = outside

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Look at (n, c, h, w) in [0, 1]."""
        return self._encoded(images)[1]

    def look(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return features, (n, d), and logits of the pixels, (n, h, w)."""
        maps, seen = self._encoded(images)
        found = maps[-1]
        for number, layer in enumerate(self.up):
            beside = maps[-2 - number]
            found = F.interpolate(found, size=beside.shape[2:], mode="nearest")
            found = layer(torch.cat([found, beside], dim=1))
            if number < len(self.up) - 1:
                found = F.leaky_relu(found, 0.2)
        return seen, found[:, 0]

    def _encoded(self, images: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        maps = [images * 2 - 1]
        for block in self.down:
            maps.append(block(maps[-1]))
        # The mean, not the sum: it is the same for any size of image.
        return maps, F.relu(maps[-1]).mean(dim=(2, 3)) * _SCALE


_SCALE = 64.0  # of the mean over places: a sum, as over 8x8 of them


class _BigganUp(nn.Module):
    def __init__(
        self, inside: int, outside: int, n_inputs: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.before = _Told(inside, n_inputs, generator)
        self.between = _Told(outside, n_inputs, generator)
        self.one = drawn_convolution(inside, outside, 3, generator)
        self.two = drawn_convolution(outside, outside, 3, generator)
        self.short = drawn_convolution(inside, outside, 1, generator)

    def forward(self, maps: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        found = self.one(_doubled(F.relu(self.before(maps, condition))))
        found = self.two(F.relu(self.between(found, condition)))
        # The small map is cheaper to convolve, and gives the same.
        return found + _doubled(self.short(maps))


class _Told(nn.Module):
    """A batch norm whose scale and shift are told."""

    def __init__(self, width: int, n_inputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.scale = drawn_linear(n_inputs, width, generator, scale=0.02)
        self.shift = drawn_linear(n_inputs, width, generator, scale=0.02)

    def forward(self, maps: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        scale, shift = (
            layer(condition)[:, :, None, None] for layer in (self.scale, self.shift)
        )
        return self.norm(maps) * (1 + scale) + shift


class _BigganDown(nn.Module):
    def __init__(
        self, inside: int, outside: int, generator: torch.Generator, *, is_first: bool
    ) -> None:
        super().__init__()
        self.is_first = is_first
        self.one = spectral(drawn_convolution(inside, outside, 3, generator), generator)
        # At full resolution one convolution costs as much as all that follow.
        self.two: nn.Module | None = None
        if not is_first:
            two = drawn_convolution(outside, outside, 3, generator)
            self.two = spectral(two, generator)
        self.short = spectral(_point(inside, outside, generator), generator)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        # No activation on the image itself: half of it would be lost.
        found = self.one(maps if self.is_first else F.relu(maps))
        if self.two is not None:
            found = self.two(F.relu(found))
        return F.avg_pool2d(found, 2) + self.short(F.avg_pool2d(maps, 2))


def _point(inside: int, outside: int, generator: torch.Generator) -> nn.Conv2d:
    layer: nn.Conv2d = skip_init(  # type: ignore[no-untyped-call]
        nn.Conv2d, inside, outside, 1, bias=False
    )
    nn.init.xavier_uniform_(layer.weight, generator=generator)
    return layer


def _doubled(maps: torch.Tensor) -> torch.Tensor:
    return F.interpolate(maps, scale_factor=2, mode="nearest")


BIGGAN = GanNetwork(BigganGenerator, UnetBody)
