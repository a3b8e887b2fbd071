"""Whether two images show one figure, whatever their colors."""

from __future__ import annotations

import torch
import torch.nn.functional as F

_COMPARED = 16  # px: the side at which structures are compared
_FLAT = 1e-5  # of squared gray levels: images below it have no structure


def same_structure(source: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Tell how far images have figures where others have them, (n,) from 0 to 1.

    The squared correlation of gray levels, seen small: neither color nor brightness
    changes it, nor which of figure and ground is the lighter one.

    Parameters
    ----------
    source, images : (n, c, h, w); sizes and channels may differ.
    """
    one, other = _centered(source), _centered(images)
    spread = one.square().sum(dim=1) * other.square().sum(dim=1)
    return (one * other).sum(dim=1).square() / (spread + _FLAT)


def _centered(images: torch.Tensor) -> torch.Tensor:
    """Give small gray images less their means, (n, pixels)."""
    gray = images[:, :3].mean(dim=1, keepdim=True)
    small = F.interpolate(gray, (_COMPARED, _COMPARED), mode="area").flatten(1)
    return small - small.mean(dim=1, keepdim=True)
