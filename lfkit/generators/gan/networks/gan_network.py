"""The contract of the networks that make images and look at them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from lfkit.errors import InputError
from lfkit.nn.layers import drawn_linear

N_COMMON = 128
_CHANNELS = (1, 3, 4)
Shape = tuple[int, int, int]


class Common(nn.Module):
    """Three layers of 128 from noise: what image and label have in common.

    A class is added to the noise, as a learned row.

    Parameters
    ----------
    n_classes : k; 0 = no classes.
    activation : makes the activation after each layer.
    """

    def __init__(
        self,
        z_dim: int,
        n_classes: int,
        generator: torch.Generator,
        activation: Callable[[], nn.Module] = lambda: nn.LeakyReLU(0.2),
    ) -> None:
        super().__init__()
        self.classes = None
        if n_classes:
            self.classes = nn.Parameter(
                torch.randn(n_classes, z_dim, generator=generator)
            )
        layers: list[nn.Module] = []
        inside = z_dim
        for _ in range(3):
            layers += [
                drawn_linear(inside, N_COMMON, generator),
                nn.BatchNorm1d(N_COMMON),
                activation(),
            ]
            inside = N_COMMON
        self.layers = nn.Sequential(*layers)

    def forward(self, z: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
        """Turn (n, z_dim) noise and (n, k) classes into (n, 128)."""
        if condition is not None and self.classes is not None:
            z = z + condition @ self.classes
        return self.layers(z)


class ImageGenerator(nn.Module, ABC):
    """Makes images of noise.

    It has two parts. The common block: three layers of 128 from the noise, with a
    learned row for each class; a class reaches the image by no other way, and a label
    head sees what this block gives. The image branch: all that follows, which most
    networks also give the noise itself.

    Attributes
    ----------
    shape : (h, w, c).
    common : the common block; missing where the network's `has_common` is false.
    z_dim, n_common : width of the noise, and of what the common block gives.
    n_maps : how many maps the image is painted from.
    painted : turns them into logits of pixels, of the image's size or larger.
    start : the sides of the first maps, where `first` makes them.
    """

    shape: Shape
    common: Common
    z_dim: int
    n_maps: int
    painted: nn.Module
    start: tuple[int, int]
    n_common: int = N_COMMON

    @abstractmethod
    def maps(
        self, z: torch.Tensor, condition: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Make the last maps, (n, n_maps, ·, ·); and the common block's (n, 128)."""

    def paint(self, maps: torch.Tensor) -> torch.Tensor:
        """Make (n, c, h, w) images in [0, 1] of the last maps."""
        return torch.sigmoid(cropped(self.painted(maps), self.shape))

    def forward(
        self, z: torch.Tensor, condition: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Make (n, c, h, w) images in [0, 1]; and the common block's (n, 128)."""
        maps, common = self.maps(z, condition)
        return self.paint(maps), common

    def image_branch(self) -> list[nn.Parameter]:
        """Give the weights of the image branch: all but the common block's."""
        common = {*self.common.parameters()}
        return [weight for weight in self.parameters() if weight not in common]

    @torch.no_grad()
    def take(self, source: ImageGenerator) -> None:
        """Begin with the weights of such a network for images of another shape.

        Where the first maps are larger or smaller, the weights that make them are
        interpolated between places; where gray becomes color, every channel of the
        last layer begins as the gray one, and where color becomes gray, as the mean.

        Raises
        ------
        InputError : the layers between do not fit.
        """
        own, theirs = self.state_dict(), source.state_dict()
        fits = type(self) is type(source) and own.keys() == theirs.keys()
        for name, value in own.items() if fits else ():
            found = theirs[name]
            if found.shape != value.shape and name.startswith("painted."):
                found = _recolored(found, value, self.painted)
            elif found.shape != value.shape and name.startswith("first."):
                found = _resized(found, value, source.start, self.start)
            if found.shape != value.shape:
                fits = False
                break
            value.copy_(found)
        if not fits:
            raise InputError(
                f"the layers of a {type(source).__name__} for images of "
                f"{_sides(source.shape)} and of a {type(self).__name__} for "
                f"{_sides(self.shape)} do not fit each other; give --size to `lfkit "
                "apply`, so that both runs have images of about the same size."
            )


class Body(nn.Module, ABC):
    """Looks at images, (n, c, h, w) in [0, 1].

    Attributes
    ----------
    n_features : d.
    judges_pixels : it also gives a logit for each pixel.
    """

    n_features: int
    scores_pixels: bool = False

    @abstractmethod
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return features, (n, d)."""

    def look(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return features, (n, d), and logits of the pixels, (n, h, w), or None."""
        return self(images), None


@dataclass(frozen=True)
class GanNetwork:
    """A generator and the body of a discriminator that fit each other.

    Attributes
    ----------
    generator : (shape, n_classes, z_dim, width, generator) → ImageGenerator.
    body : made of (shape, width, generator).
    has_common : the generator has a common block, which can be shared or kept.
    """

    generator: Callable[[Shape, int, int, int | None, torch.Generator], ImageGenerator]
    body: type[Body]
    has_common: bool = True

    def make_generator(
        self,
        shape: Shape,
        *,
        n_classes: int = 0,
        z_dim: int = 64,
        width: int | None = None,
        generator: torch.Generator,
    ) -> ImageGenerator:
        """Make a generator of images of one shape, (h, w, c), of 8x8 or more."""
        check_shape(shape)
        return self.generator(shape, n_classes, z_dim, width, generator)

    def make_body(
        self, shape: Shape, *, width: int | None = None, generator: torch.Generator
    ) -> Body:
        """Make what looks at such images."""
        check_shape(shape)
        return self.body(shape, width, generator)


def check_shape(shape: Shape) -> None:
    """Refuse images that are too small, or neither gray, RGB nor RGBA."""
    if len(shape) != 3 or min(shape[:2]) < 8 or shape[2] not in _CHANNELS:
        raise InputError(
            f"images have the shape {tuple(shape)}; a generator needs (h, w, c) with "
            "8 pixels a side or more, and 1, 3 or 4 channels."
        )


def n_doublings(shape: Shape, start: int) -> int:
    """Tell how often a side of about `start` doubles to reach the shorter side."""
    n = 1
    while min(shape[:2]) / 2 ** (n + 1) >= start * 0.75:
        n += 1
    return n


def start_sides(shape: Shape, doublings: int) -> tuple[int, int]:
    """Give the sides that reach the shape, or just exceed it, after doubling."""
    h, w = (-(-side // 2**doublings) for side in shape[:2])
    return h, w


def cropped(images: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Cut the middle of (n, c, h, w) to the shape."""
    h, w = shape[:2]
    top, left = (images.shape[2] - h) // 2, (images.shape[3] - w) // 2
    return images[:, :, top : top + h, left : left + w]


def _recolored(
    weights: torch.Tensor, wanted: torch.Tensor, layer: nn.Module
) -> torch.Tensor:
    """Turn the weights of gray into those of colors, or back; others stay."""
    of_kernels = isinstance(layer, nn.ConvTranspose2d) and weights.ndim == 4
    axis = 1 if of_kernels else 0
    pair = weights.shape[axis], wanted.shape[axis]
    if pair == (1, 3):
        return weights.repeat_interleave(3, dim=axis)
    if pair == (3, 1):
        return weights.mean(dim=axis, keepdim=True)
    return weights


def _resized(
    weights: torch.Tensor,
    wanted: torch.Tensor,
    sides: tuple[int, int],
    new_sides: tuple[int, int],
) -> torch.Tensor:
    """Interpolate what makes maps, (channels · h · w, …), to maps of other sides."""
    if weights.shape[1:] != wanted.shape[1:] or len(weights) % (sides[0] * sides[1]):
        return weights
    maps = weights.reshape(-1, *sides, weights.shape[1:].numel())
    maps = F.interpolate(
        maps.permute(0, 3, 1, 2), new_sides, mode="bilinear", align_corners=False
    )
    return maps.permute(0, 2, 3, 1).reshape(-1, *weights.shape[1:])


def _sides(shape: Shape) -> str:
    """Show (h, w, c)."""
    return f"{shape[0]}x{shape[1]} pixels and {shape[2]} channels"
