"""A small U-Net that says which way an image lies from a noisy one."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from lfkit.nn.layers import drawn_convolution, drawn_linear

_SMALLEST = 8  # px: maps up to this side are halved no further
_FREQUENCIES = 16  # of the time
_HEADS = 4
_GROUPS = 8  # of channels that are normalised together


class VelocityNetwork(nn.Module):
    """Velocity of a noisy image, by its time and class.

    Pixels are taken four at a time, as channels: most of the work of a U-Net is done at
    full resolution, where images of 28 pixels have little to say. Maps are halved until
    they have 8 pixels a side or fewer, with attention there (Ho et al. 2020,
    arXiv:2006.11239).
    28x28 with width 32: 14x14x32 and 7x7x64, 0.4 million parameters.

    Parameters
    ----------
    shape : (h, w, c) of the images.
    generator : the weights are drawn from it.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        n_classes: int,
        *,
        width: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        h, w, c = shape
        self.n_classes = n_classes
        n_halvings = max(0, math.ceil(math.log2(max(h, w) / 2 / _SMALLEST)))
        self.multiple = 2 ** (n_halvings + 1)
        embedding = 4 * width
        self.time = drawn_linear(2 * _FREQUENCIES, embedding, generator)
        self.label = nn.Parameter(
            torch.randn(n_classes + 1, embedding, generator=generator)
        )
        self.entry = drawn_convolution(4 * c, width, 3, generator)
        widths = [width, *[2 * width] * n_halvings]
        before = [width, *widths]
        self.down = nn.ModuleList(
            _TimedBlock(inside, outside, embedding, generator)
            for inside, outside in zip(before, widths, strict=False)
        )
        self.attention = _Attention(widths[-1], generator)
        self.middle = _TimedBlock(widths[-1], widths[-1], embedding, generator)
        after = [*widths[1:], widths[-1]]
        self.up = nn.ModuleList(
            _TimedBlock(inside + outside, outside, embedding, generator)
            for inside, outside in zip(after, widths, strict=True)
        )
        self.exit = drawn_convolution(width, 4 * c, 3, generator)
        self.last = _normed(width)
        nn.init.zeros_(self.exit.weight)

    def forward(
        self, images: torch.Tensor, time: torch.Tensor, classes: torch.Tensor
    ) -> torch.Tensor:
        """Give velocities, (n, c, h, w).

        Parameters
        ----------
        images : (n, c, h, w), noise and image mixed.
        time : (n,) from 0, noise, to 1, an image.
        classes : (n,) int64; k: none is told.
        """
        h, w = images.shape[2:]
        padded = F.pad(images, (0, -w % self.multiple, 0, -h % self.multiple))
        # A product: the gradient of looking rows up adds up in any order.
        named = F.one_hot(classes, self.n_classes + 1).to(images) @ self.label
        embedding = F.silu(self.time(_waves(time)) + named)
        maps = self.entry(F.pixel_unshuffle(padded, 2))
        seen = []
        for number, block in enumerate(self.down):
            maps = block(F.avg_pool2d(maps, 2) if number else maps, embedding)
            seen.append(maps)
        maps = self.middle(self.attention(maps), embedding)
        for number in reversed(range(len(self.up))):
            maps = self.up[number](torch.cat([maps, seen[number]], dim=1), embedding)
            if number:
                maps = _doubled(maps)
        found = F.pixel_shuffle(self.exit(F.silu(self.last(maps))), 2)
        return found[:, :, :h, :w]


class _TimedBlock(nn.Module):
    """Two convolutions beside the identity, told time and class between them."""

    def __init__(
        self, inside: int, outside: int, embedding: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.first, self.second = _normed(inside), _normed(outside)
        self.one = drawn_convolution(inside, outside, 3, generator)
        self.two = drawn_convolution(outside, outside, 3, generator)
        self.embedding = drawn_linear(embedding, 2 * outside, generator)
        self.skip: nn.Module = nn.Identity()
        if inside != outside:
            self.skip = drawn_convolution(inside, outside, 1, generator)
        nn.init.zeros_(self.two.weight)  # it begins as the identity

    def forward(self, maps: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        scale, shift = self.embedding(embedding)[:, :, None, None].chunk(2, dim=1)
        found = self.one(F.silu(self.first(maps)))
        found = self.second(found) * (1 + scale) + shift
        added: torch.Tensor = self.skip(maps) + self.two(F.silu(found))
        return added


class _Attention(nn.Module):
    """Every place of the smallest maps looks at every other."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.n_heads = math.gcd(_HEADS, width)
        self.norm = _normed(width)
        self.asked = drawn_convolution(width, 3 * width, 1, generator)
        self.found = drawn_convolution(width, width, 1, generator)
        nn.init.zeros_(self.found.weight)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        n, _, h, w = maps.shape
        asked = self.asked(self.norm(maps)).reshape(n, 3, self.n_heads, -1, h * w)
        query, key, value = asked.transpose(-1, -2).unbind(dim=1)
        near = (query @ key.transpose(-1, -2)) / math.sqrt(query.shape[-1])
        seen = torch.softmax(near, dim=-1) @ value
        added: torch.Tensor = self.found(seen.transpose(-1, -2).reshape(maps.shape))
        return maps + added


def _normed(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(_GROUPS, width), width)


def _doubled(maps: torch.Tensor) -> torch.Tensor:
    """Repeat every place, (n, c, h, w) → (n, c, 2h, 2w); its gradient is a plain sum.

    That of torch's own adds up in another order each time on a GPU.
    """
    n, c, h, w = maps.shape
    wide = maps[:, :, :, None, :, None].expand(n, c, h, 2, w, 2)
    return wide.reshape(n, c, 2 * h, 2 * w)


def _waves(time: torch.Tensor) -> torch.Tensor:
    """Write times (n,) as waves of many lengths, (n, 32)."""
    lengths = torch.logspace(0, 3, _FREQUENCIES, device=time.device)
    angle = time[:, None] * lengths
    return torch.cat([angle.sin(), angle.cos()], dim=1)
