"""Frozen networks trained on ImageNet: what their last convolutions see."""

from __future__ import annotations

from typing import NamedTuple

import torch

from lfkit.encoders import TimmEncoder, TorchvisionEncoder
from lfkit.encoders.hooked_network import HookedEncoder
from lfkit.errors import DeclarationError
from lfkit.features.feature import Feature, feature
from lfkit.nn.efficientnet_lite import (
    early_maps,
    efficientnet_lite0,
    last_maps,
    network_input,
)

# Clip art of 64x64 in four categories, 20 seeds per class: .58 at 64 pixels, .59 at 96,
# .62 at 128, .63 at 160; each step costs about 1.7 times the one before.
_SIDE = 128
_LIBRARIES: dict[str, type[HookedEncoder]] = {
    "timm": TimmEncoder,
    "torchvision": TorchvisionEncoder,
}


class ImagenetFeatures(NamedTuple):
    """Two features of one network: (n, kernels) each."""

    features: Feature
    kernel_norms: Feature


@feature(batched=True)
def efficientnet_early_maps(images: torch.Tensor) -> torch.Tensor:
    """EfficientNet-Lite0's activations at 1/16 of the side: (n, 112, 8, 8).

    Working size 128x128, RGB; gray is repeated. Trained on ImageNet, frozen (Tan & Le,
    2019, https://arxiv.org/abs/1905.11946). Needs `pip install "lfkit[cnn]"`.
    """
    network = efficientnet_lite0(images.device)
    return early_maps(network, network_input(images, _SIDE))


@feature(batched=True, of=[efficientnet_early_maps])
def efficientnet_maps(early: torch.Tensor) -> torch.Tensor:
    """Activations of EfficientNet-Lite0's last convolution: (n, 1280, 4, 4).

    Working size 128x128.
    """
    return last_maps(efficientnet_lite0(early.device), early)


@feature(batched=True, of=[efficientnet_early_maps])
def efficientnet_early(early: torch.Tensor) -> torch.Tensor:
    """Average of each kernel amid EfficientNet-Lite0, for fine texture: (n, 112)."""
    return early.mean(dim=(2, 3))


@feature(batched=True, of=[efficientnet_maps])
def efficientnet_features(maps: torch.Tensor) -> torch.Tensor:
    """Average of each kernel of EfficientNet-Lite0's last convolution: (n, 1280)."""
    return maps.mean(dim=(2, 3))


@feature(batched=True, of=[efficientnet_maps])
def efficientnet_kernel_norms(maps: torch.Tensor) -> torch.Tensor:
    """Frobenius norm of each kernel's activation map: (n, 1280).

    ADP (Pal & Balasubramanian, CVPR 2018), appendix C, labeling function 4, with
    EfficientNet-Lite0 in the place of AlexNet.
    """
    return torch.linalg.vector_norm(maps, dim=(2, 3))


def pretrained(
    name: str, *, side: int = 224, download: bool = False
) -> ImagenetFeatures:
    """Make features of any network that timm or torchvision has trained weights for.

    They read the output of the last convolution that is run, before what follows it;
    what the last layer reads, and the logits, are `encoder_features` of the same name.

    Parameters
    ----------
    name : the library and its name of the network: "torchvision:alexnet" (the paper's)
        or "timm:resnet18".
    side : working size in pixels; images are stretched to the square, gray is repeated.
    download : fetch weights that are not on disk; otherwise they are an error.

    Returns
    -------
    features : (n, kernels), the average of each kernel's activation map.
    kernel_norms : (n, kernels), its Frobenius norm (ADP's appendix C, function 4).
    """
    library, _, model = name.partition(":")
    if library not in _LIBRARIES or not model:
        raise DeclarationError(
            f"there is no network {name!r}; write the library and its name of the "
            'network, such as "torchvision:alexnet" or "timm:resnet18".'
        )
    network = _LIBRARIES[library](name, side=side, download=download)
    label = f"{library}_{model.replace('.', '_')}_{side}"

    @feature(name=f"{label}_maps", batched=True)
    def maps(images: torch.Tensor) -> torch.Tensor:
        """Output of the network's last convolution: (n, kernels, rows, columns)."""
        return network.last_convolution(images)

    @feature(name=f"{label}_kernels", batched=True, of=[maps])
    def averages(values: torch.Tensor) -> torch.Tensor:
        """Average of each kernel's activation map, of a network trained on ImageNet."""
        return values.mean(dim=(2, 3))

    @feature(name=f"{label}_norms", batched=True, of=[maps])
    def norms(values: torch.Tensor) -> torch.Tensor:
        """Frobenius norm of each kernel's activation map, of a network of ImageNet."""
        return torch.linalg.vector_norm(values, dim=(2, 3))

    return ImagenetFeatures(averages, norms)
