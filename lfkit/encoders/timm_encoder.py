"""Networks of timm."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch

from lfkit.encoders.hooked_network import HookedEncoder, HookedNetwork
from lfkit.encoders.imagenet_classes import imagenet_classes


class TimmEncoder(HookedEncoder):
    """Any network that timm has trained weights for."""

    usage = "timm:NAME"

    @property
    def class_names(self) -> tuple[str, ...]:
        """ImageNet's 1,000 classes, if the weights were trained on these."""
        settings = self.loaded(lambda: _settings(self))
        n_classes = getattr(settings, "num_classes", None)
        return imagenet_classes() if n_classes == len(imagenet_classes()) else ()

    def network(self, device: torch.device) -> HookedNetwork:
        """Load the network once per process."""
        return self.loaded(lambda: _network(self, device))


def _settings(encoder: HookedEncoder) -> Any:
    import timm

    if not timm.is_model(encoder.model):
        raise encoder.no_such_network()
    return timm.get_pretrained_cfg(encoder.model)


@cache
def _network(encoder: HookedEncoder, device: torch.device) -> HookedNetwork:
    import timm

    settings = _settings(encoder)
    if encoder.download:
        network = timm.create_model(encoder.model, pretrained=True)
    else:
        path = _path_of_weights(settings)
        if path is None:
            raise encoder.not_on_disk("the caches of PyTorch and Hugging Face")
        # A file given by name is read without asking the network for a newer one.
        overlay = {"file": path}
        network = timm.create_model(
            encoder.model, pretrained=True, pretrained_cfg_overlay=overlay
        )
    shown = network.pretrained_cfg
    return HookedNetwork(network, shown["mean"], shown["std"], device, encoder.side)


def _path_of_weights(settings: Any) -> str | None:
    """Find a model's weights where timm or the user's earlier runs have put them."""
    url = getattr(settings, "url", "")
    if url:
        path = Path(torch.hub.get_dir(), "checkpoints", Path(url).name)
        if path.is_file():
            return str(path)
    hub_name = getattr(settings, "hf_hub_id", "")
    if hub_name:
        from huggingface_hub import try_to_load_from_cache

        for file in ("model.safetensors", "pytorch_model.bin"):
            found = try_to_load_from_cache(hub_name, file)
            if isinstance(found, str):
                return found
    return None
