# Fill in, and copy to: lfkit/encoders/color_means.py
# Table ENCODERS in lfkit/encoders/__init__.py, one line and its import:
#   from lfkit.encoders.color_means import ColorMeans
#       "color-means": ColorMeans,
# Check: python -m pytest tests/test_encoders.py -k color-means
"""Color means: an encoder without weights."""

from __future__ import annotations

from functools import cache

import torch

from lfkit.encoders.encoder import Encoder


class ColorMeans(Encoder):
    """The mean of each color in each quarter: 12 numbers."""

    usage = "color-means"  # with a part in capitals, if names of it differ: "hub:NAME"
    default_side = 64

    @property
    def class_names(self) -> tuple[str, ...]:
        """The colors; () where a network has no classes of its own."""
        return ("red", "green", "blue")

    # Images are (n, 3, side, side) float32 in [0, 1] on any device, a few at a time.
    # What is loaded is loaded here, once per process and device, never at import.
    def _encode(self, images: torch.Tensor) -> torch.Tensor:
        quarters = torch.nn.functional.adaptive_avg_pool2d(images, 2)
        return quarters.flatten(1) * _weights(images.device)

    # Of what `_encode` gave, for networks that have classes.
    def logits_of(self, encoded: torch.Tensor) -> torch.Tensor:
        """Take the logits of the colors out of the embedding: (n, 3)."""
        return encoded.reshape(-1, 3, 4).mean(dim=2)

    # Beyond code, name and side; a file of weights by its content or its version.
    def _settings(self) -> tuple[object, ...]:
        return ("weights of 2026",)


@cache
def _weights(device: torch.device) -> torch.Tensor:
    """Load the network; packages are imported in here."""
    return torch.ones(12, device=device)
