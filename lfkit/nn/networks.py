"""A small convolutional network for small images, on any device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils import skip_init

from lfkit.nn.sending import sent

_DROPOUT = 0.2
_LARGEST_STAGE = 10  # px: maps up to this side are pooled no further
_PREDICTED_AT_ONCE = 256  # 200 MB in the widest layer that knows ImageNet


class Looks(Protocol):
    """A network of features and a last layer."""

    head: nn.Linear

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return what the last layer reads, (n, d), of (n, c, h, w) in [0, 1]."""

    def eval(self) -> Any:
        """Stop training."""


class SmallConvNet(nn.Module):
    """A strided 5x5 convolution, then 3x3 ones and pooling down to 5 pixels or fewer.

    28x28 images with width 24: 1-24-48-48 channels, 432 features, 33,000 parameters.

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
        width: int = 24,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        h, w, c = shape
        # Half the time of a stride of 1 at 28x28, and no less accurate.
        stride = 2 if min(h, w) >= 16 else 1
        layers: list[nn.Module] = _convolution(c, width, 5, stride)
        h, w = -(-h // stride), -(-w // stride)
        inside, outside = width, 2 * width
        while True:
            pool = (min(h, 2), min(w, 2))
            layers += [*_convolution(inside, outside, 3, 1), nn.MaxPool2d(pool)]
            h, w, inside = h // pool[0], w // pool[1], outside
            if max(h, w) <= _LARGEST_STAGE // 2:
                break
        self.layers = nn.Sequential(*layers)
        self.n_features = inside * h * w
        self.head = skip_init(  # type: ignore[no-untyped-call]
            nn.Linear, self.n_features, n_classes
        )
        _draw_weights(self, generator)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return what the last layer reads, (n, d), of (n, c, h, w) in [0, 1]."""
        return torch.flatten(self.layers(images), 1)

    def forward(
        self, images: torch.Tensor, dropped: torch.Generator | None = None
    ) -> torch.Tensor:
        """Return class scores, (n, k); `dropped` draws which features are left out."""
        return self.head(with_dropout(self.features(images), dropped, _DROPOUT))


def with_dropout(
    found: torch.Tensor, dropped: torch.Generator | None, share: float
) -> torch.Tensor:
    """Leave a share of the features out, if a generator draws which."""
    if dropped is None:
        return found
    kept = torch.rand(found.shape, generator=dropped, device=found.device)
    return found * (kept >= share) / (1 - share)


@torch.no_grad()
def look(
    network: Looks, pixels: NDArray[np.uint8]
) -> Iterator[tuple[slice, NDArray[np.float64], torch.Tensor]]:
    """Yield rows, their log posteriors and their features, a batch at a time.

    Parameters
    ----------
    pixels : (n, h, w, c).
    """
    network.eval()
    weight = network.head.weight
    for start in range(0, len(pixels), _PREDICTED_AT_ONCE):
        rows = slice(start, start + _PREDICTED_AT_ONCE)
        images = as_images(pixels[rows], weight.device)
        found = network.features(images)
        scores = F.log_softmax(network.head(found).double(), dim=1)
        yield rows, scores.cpu().numpy(), found.float()


def as_images(pixels: NDArray[np.uint8], device: Any) -> torch.Tensor:
    """Turn (n, h, w, c) uint8 into (n, c, h, w) in [0, 1], channels last in memory."""
    images = sent(pixels, device)
    return images.permute(0, 3, 1, 2).float().div_(255)


def _convolution(inside: int, outside: int, side: int, stride: int) -> list[nn.Module]:
    return [
        skip_init(  # type: ignore[no-untyped-call]
            nn.Conv2d,
            inside,
            outside,
            side,
            stride=stride,
            padding=side // 2,
            bias=False,
        ),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
    ]


def _draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    # torch's own initialisation draws from the global state, hence `skip_init`.
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(
                part.weight, nonlinearity="relu", generator=generator
            )
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)
