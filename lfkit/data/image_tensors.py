"""Images on their way to torch and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch


def to_unit_range(pixels: NDArray[np.uint8], device: str = "cpu") -> torch.Tensor:
    """Turn (n, h, w, c) uint8 into the (n, c, h, w) float32 in [0, 1] features see."""
    import torch

    images = torch.from_numpy(np.ascontiguousarray(pixels)).to(device)
    return images.permute(0, 3, 1, 2).to(torch.float32).div_(255)  # (n, c, h, w)


def to_pixels(images: torch.Tensor) -> NDArray[np.uint8]:
    """Turn (n, c, h, w) in [0, 1] back into (n, h, w, c) uint8."""
    import torch

    scaled = images.detach().clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).cpu().numpy())


def as_rgb(images: torch.Tensor, side: int) -> torch.Tensor:
    """Resize (n, c, h, w) to three channels and a square: (n, 3, side, side).

    Bilinear, stretched to the square; anything but three channels is averaged to gray.
    """
    from torch.nn.functional import interpolate

    if images.shape[1] != 3:
        images = images.mean(dim=1, keepdim=True)
    if images.shape[2:] != (side, side):
        images = interpolate(images, (side, side), mode="bilinear", antialias=True)
    return images.expand(-1, 3, -1, -1)
