"""Layers whose weights come from a generator: torch's own draw from global state."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import skip_init


def drawn_linear(
    inside: int, outside: int, generator: torch.Generator, *, scale: float | None = None
) -> nn.Linear:
    """Make a linear layer; its bias is 0.

    Parameters
    ----------
    scale : standard deviation of the weights; None: He's for a leaky ReLU.
    """
    layer = skip_init(nn.Linear, inside, outside)  # type: ignore[no-untyped-call]
    _draw(layer, generator, scale)
    return layer


def drawn_convolution(
    inside: int, outside: int, side: int, generator: torch.Generator
) -> nn.Conv2d:
    """Make a convolution that keeps height and width; its bias is 0."""
    layer = skip_init(  # type: ignore[no-untyped-call]
        nn.Conv2d, inside, outside, side, padding=side // 2
    )
    _draw(layer, generator, None)
    return layer


def _draw(layer: nn.Module, generator: torch.Generator, scale: float | None) -> None:
    assert isinstance(layer.weight, torch.Tensor)
    assert isinstance(layer.bias, torch.Tensor)
    if scale is None:
        nn.init.kaiming_normal_(layer.weight, a=0.2, generator=generator)
    else:
        nn.init.normal_(layer.weight, 0, scale, generator=generator)
    nn.init.zeros_(layer.bias)
