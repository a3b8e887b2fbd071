"""Networks of timm and torchvision, whose layers are not known by name."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

from lfkit.data.image_tensors import as_rgb
from lfkit.encoders.encoder import Encoder
from lfkit.errors import DeclarationError

_CHUNK = 32

Loaded = TypeVar("Loaded")


class HookedEncoder(Encoder):
    """What networks of timm and torchvision have in common.

    The embedding is what the last layer reads, if that is linear and gives the logits;
    otherwise it is what the network gives, averaged over pixels, and the logits are the
    same if there are as many as classes.
    """

    needs = "torchvision"

    def __init__(
        self, name: str, *, side: int | None = None, download: bool = False
    ) -> None:
        super().__init__(name, side=side, download=download)
        self.package, _, self.model = name.partition(":")
        if not self.model:
            raise DeclarationError(
                f"encoder {name!r} needs the name of a network after the colon, such "
                f'as "{self.package}:resnet18".'
            )

    @abstractmethod
    def network(self, device: torch.device) -> HookedNetwork:
        """Load the network once per process."""

    def _encode(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images.device).embedding(images)

    def logits_of(self, encoded: torch.Tensor) -> torch.Tensor:
        """Take the logits of the network's classes out of the embedding: (n, K)."""
        classifier = self.network(encoded.device).classifier
        if classifier is None:
            is_logits = encoded.shape[1] == len(self.class_names)
            return encoded if is_logits else super().logits_of(encoded)
        with torch.no_grad():
            found: torch.Tensor = classifier(encoded)
        return found

    def last_convolution(self, images: torch.Tensor) -> torch.Tensor:
        """Give what its last convolution gives: (n, kernels, rows, columns)."""
        network = self.network(images.device)
        chunks = torch.split(as_rgb(images, self.side), _CHUNK)
        return torch.cat([network.last_convolution(chunk) for chunk in chunks])

    def loaded(self, load: Callable[[], Loaded]) -> Loaded:
        """Load with the library, or say which package is missing."""
        try:
            return load()
        except ImportError as error:
            raise DeclarationError(
                f"network {self.name} needs the package {error.name}, which is not "
                'installed; run: pip install "lfkit[torchvision]"'
            ) from error

    def no_such_network(self) -> DeclarationError:
        """Say that the library has no network of this name."""
        return DeclarationError(
            f"{self.package} has no network {self.model!r}; {self.package}'s "
            "list_models() names them."
        )

    def not_on_disk(self, where: str) -> DeclarationError:
        """Say how to fetch weights that are not on disk."""
        return DeclarationError(
            f"the weights of {self.name} are not on disk ({where}); let them be "
            "fetched by giving download=True once."
        )


class HookedNetwork:
    """A frozen network with hooks on its layers.

    Parameters
    ----------
    mean, deviation : of the colors it was trained on, three numbers each.
    side : of the images that it is tried on, to find its last layer.

    Attributes
    ----------
    classifier : the linear layer that gives the logits; None if there is none.
    """

    def __init__(
        self,
        module: nn.Module,
        mean: Any,
        deviation: Any,
        device: torch.device,
        side: int,
    ) -> None:
        self._module = module.eval().requires_grad_(False).to(device)
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(mean, device=device).reshape(shape)
        self._deviation = torch.tensor(deviation, device=device).reshape(shape)
        self._of_thread = threading.local()  # one network serves all threads
        self.classifier = self._find_classifier(torch.zeros(1, 3, side, side))
        for part in module.modules():
            if isinstance(part, nn.Conv2d):
                part.register_forward_hook(self._keep_convolution)
        if self.classifier is not None:
            self.classifier.register_forward_hook(self._keep_input)

    def embedding(self, images: torch.Tensor) -> torch.Tensor:
        """Give what the last layer reads: (n, d)."""
        found = self._run(images)
        if self.classifier is not None:
            found = self._of_thread.read
        return found if found.ndim == 2 else found.flatten(2).mean(dim=2)

    def last_convolution(self, images: torch.Tensor) -> torch.Tensor:
        """Give what the last convolution gives, before what follows it."""
        self._of_thread.seen, self._of_thread.keeps = None, True
        self._run(images)
        self._of_thread.keeps = False
        seen: torch.Tensor | None = self._of_thread.seen
        if seen is None:
            raise DeclarationError(
                f"{type(self._module).__name__} has no convolution over pixels; "
                "choose a convolutional network."
            )
        return seen

    def _run(self, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            found: torch.Tensor = self._module((images - self._mean) / self._deviation)
        return found

    def _find_classifier(self, blank: torch.Tensor) -> nn.Linear | None:
        """Find the linear layer whose output is the network's."""
        given: list[tuple[nn.Linear, torch.Tensor]] = []

        def note(part: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            assert isinstance(part, nn.Linear)
            given.append((part, output))

        linear = [p for p in self._module.modules() if isinstance(p, nn.Linear)]
        hooks = [part.register_forward_hook(note) for part in linear]
        found = self._run(blank.to(self._mean.device))
        for hook in hooks:
            hook.remove()
        is_last = bool(given) and given[-1][1] is found and found.ndim == 2
        return given[-1][0] if is_last else None

    def _keep_input(self, part: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        self._of_thread.read = inputs[0]

    def _keep_convolution(
        self, part: nn.Module, inputs: Any, output: torch.Tensor
    ) -> None:
        if not getattr(self._of_thread, "keeps", False):
            return
        # Cloned: the layer after it may work in place. Squeeze-and-excitation also
        # convolves, but averages of 1x1 only.
        first = self._of_thread.seen is None
        if first or output.shape[2] > 1 or output.shape[3] > 1:
            self._of_thread.seen = output.clone()
