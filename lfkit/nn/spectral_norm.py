"""Layers whose weight is divided by its largest singular value."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Spectral(nn.Module):
    """A convolution or linear layer with spectral norm 1.

    Miyato et al. 2018, arXiv:1802.05957. One turn of the power iteration per call in
    training mode, none in evaluation. torch's own draws its first vector from global
    state and turns twice where a discriminator looks at real and fake at once.

    Parameters
    ----------
    layer : with `weight` and, perhaps, `bias`.
    generator : the first vector is drawn from it.
    """

    u: torch.Tensor

    def __init__(
        self, layer: nn.Conv2d | nn.Linear, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.layer = layer
        first = torch.randn(layer.weight.shape[0], generator=generator)
        self.register_buffer("u", F.normalize(first, dim=0))
        for _ in range(10):  # a first guess of the norm that is not far off
            self._turn(layer.weight.flatten(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer with the divided weight."""
        weight = self.layer.weight / self.norm()
        if isinstance(self.layer, nn.Conv2d):
            return F.conv2d(
                x,
                weight,
                self.layer.bias,
                self.layer.stride,
                self.layer.padding,
                self.layer.dilation,
                self.layer.groups,
            )
        return F.linear(x, weight, self.layer.bias)

    def refresh(self) -> None:
        """Turn the vector once, after the weight was changed by other means."""
        self._turn(self.layer.weight.flatten(1))

    def norm(self) -> torch.Tensor:
        """Estimate the largest singular value, ()."""
        flat = self.layer.weight.flatten(1)
        # Half precision would lose the vector's turns, and `dot` refuses mixed types.
        with torch.autocast(flat.device.type, enabled=False):
            v = self._turn(flat) if self.training else self._right(flat)
            # A copy: the vector turns again before the gradient is asked for.
            return torch.dot(self.u.clone(), flat @ v)

    @torch.no_grad()
    def _turn(self, flat: torch.Tensor) -> torch.Tensor:
        v = self._right(flat)
        self.u.copy_(F.normalize(flat @ v, dim=0))
        return v

    @torch.no_grad()
    def _right(self, flat: torch.Tensor) -> torch.Tensor:
        return F.normalize(flat.T @ self.u, dim=0)


def spectral(layer: nn.Conv2d | nn.Linear, generator: torch.Generator) -> Spectral:
    """Divide a layer's weight by its largest singular value."""
    return Spectral(layer, generator)


def without_spectral(module: nn.Module) -> None:
    """Put the bare layers in the place of those with norm 1, in all that is inside."""
    for name, child in module.named_children():
        if isinstance(child, Spectral):
            setattr(module, name, child.layer)
        else:
            without_spectral(child)
