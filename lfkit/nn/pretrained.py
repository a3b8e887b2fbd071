"""A network trained on ImageNet, to be trained on with other labels."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils import skip_init

from lfkit.nn.efficientnet_lite import N_EARLY_BLOCKS, efficientnet_lite0, network_input
from lfkit.nn.networks import SmallConvNet, with_dropout

_DROPOUT = 0.3
_CHANNELS = 112
SIDE = 64


class FineTuned(nn.Module):
    """The first eleven blocks of EfficientNet-Lite0 and a new last layer.

    Images are resized to 64 pixels a side; what the last layer reads are the 4x4 maps
    with their place kept, 1,792 numbers. Needs `pip install "lfkit[cnn]"`.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        trained = copy.deepcopy(efficientnet_lite0(torch.device("cpu")))
        self.stem = trained._conv_stem
        self.blocks = nn.Sequential(*trained._blocks[:N_EARLY_BLOCKS])
        self.n_features = _CHANNELS * (SIDE // 16) ** 2
        self.head = skip_init(  # type: ignore[no-untyped-call]
            nn.Linear, self.n_features, n_classes
        )
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.requires_grad_(True)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return what the last layer reads, (n, d), of (n, c, h, w) in [0, 1]."""
        shown = network_input(images, SIDE)
        shown = shown.contiguous(memory_format=torch.channels_last)
        maps = self.blocks(nn.functional.relu6(self.stem(shown)))
        return torch.flatten(maps, 1)

    def forward(
        self, images: torch.Tensor, dropped: torch.Generator | None = None
    ) -> torch.Tensor:
        """Return class scores, (n, k); `dropped` draws which features are left out."""
        return self.head(with_dropout(self.features(images), dropped, _DROPOUT))


class Tuned(nn.Module):
    """The last part of an encoder and a new last layer: maps to class scores.

    Parameters
    ----------
    last_part : maps → embedding; it is trained.
    width : of the embedding.
    """

    def __init__(self, last_part: nn.Module, width: int, n_classes: int) -> None:
        super().__init__()
        self.last_part = last_part
        self.head = skip_init(nn.Linear, width, n_classes)  # type: ignore[no-untyped-call]
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(
        self, maps: torch.Tensor, dropped: torch.Generator | None = None
    ) -> torch.Tensor:
        """Return class scores, (n, k); `dropped` draws which features are left out."""
        return self.head(with_dropout(self.last_part(maps), dropped, _DROPOUT))


Network = SmallConvNet | FineTuned


def make_network(
    shape: tuple[int, int, int],
    n_classes: int,
    *,
    width: int,
    pretrained: bool,
    generator: torch.Generator,
) -> Network:
    """Make a network whose last layer knows nothing yet.

    Parameters
    ----------
    shape : (h, w, c) of the images.
    width : channels of the first layer of a network from scratch.
    generator : the weights of a network from scratch are drawn from it.
    """
    if pretrained:
        return FineTuned(n_classes)
    return SmallConvNet(shape, n_classes, width=width, generator=generator)
