"""Networks of torchvision, with the weights that it calls its best."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch

from lfkit.encoders.hooked_network import HookedEncoder, HookedNetwork
from lfkit.encoders.imagenet_classes import imagenet_classes


class TorchvisionEncoder(HookedEncoder):
    """Any network that torchvision has trained weights for."""

    usage = "torchvision:NAME"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that the weights were trained on."""
        weights = self.loaded(lambda: _weights(self))
        names = tuple(getattr(weights, "meta", {}).get("categories", ()))
        return imagenet_classes() if len(names) == len(imagenet_classes()) else names

    def network(self, device: torch.device) -> HookedNetwork:
        """Load the network once per process."""
        return self.loaded(lambda: _network(self, device))


def _weights(encoder: HookedEncoder) -> Any:
    from torchvision import models

    if encoder.model not in models.list_models(module=models):
        raise encoder.no_such_network()
    return models.get_model_weights(encoder.model).DEFAULT


@cache
def _network(encoder: HookedEncoder, device: torch.device) -> HookedNetwork:
    from torchvision import models

    weights = _weights(encoder)
    path = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    if not path.is_file() and not encoder.download:
        raise encoder.not_on_disk(str(path))
    shown = weights.transforms()
    network = models.get_model(encoder.model, weights=weights)
    return HookedNetwork(network, shown.mean, shown.std, device, encoder.side)
