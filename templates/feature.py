# Fill in, and copy to: lfkit/features/brightness.py
# Table FEATURES in lfkit/features/__init__.py, one line (file: names of its features):
#       "brightness": "middle_brightness brightness_contrast",
# Check: python -m pytest tests/test_features.py -k "batch or bits or finite"
"""Brightness: how light the middle of an image is, and how far it differs."""

from __future__ import annotations

import torch

from lfkit.features.feature import feature
from lfkit.features.gray import gray28


# Batched: a float32 tensor of images in, one number or vector an image out. `of` names
# the features it is computed from; without it, images arrive as (n, c, h, w) in [0, 1].
@feature(batched=True, of=[gray28])
def middle_brightness(gray: torch.Tensor) -> torch.Tensor:
    """Mean gray level of the middle half of the image: (n,)."""
    return gray[:, 7:21, 7:21].mean(dim=(1, 2))


@feature(batched=True, of=[gray28, middle_brightness])
def brightness_contrast(gray: torch.Tensor, middle: torch.Tensor) -> torch.Tensor:
    """How much lighter the middle is than the whole image: (n,)."""
    return middle - gray.mean(dim=(1, 2))
