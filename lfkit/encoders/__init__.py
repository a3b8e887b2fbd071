"""Encoders: frozen networks that turn images into vectors."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from lfkit.encoders.efficientnet_encoder import (
    EfficientNetLite0Encoder as EfficientNetLite0Encoder,
)
from lfkit.encoders.efficientnet_encoder import (
    EfficientNetLite1Encoder as EfficientNetLite1Encoder,
)
from lfkit.encoders.efficientnet_encoder import (
    EfficientNetLite2Encoder as EfficientNetLite2Encoder,
)
from lfkit.encoders.encoder import Encoder as Encoder
from lfkit.encoders.function_encoder import FunctionEncoder as FunctionEncoder
from lfkit.encoders.onnx_encoder import OnnxEncoder as OnnxEncoder
from lfkit.encoders.open_clip_encoder import OpenClipEncoder as OpenClipEncoder
from lfkit.encoders.timm_encoder import TimmEncoder as TimmEncoder
from lfkit.encoders.torchvision_encoder import TorchvisionEncoder as TorchvisionEncoder
from lfkit.errors import DeclarationError

# What stands before the first colon of an encoder's name.
ENCODERS: dict[str, type[Encoder]] = {
    "efficientnet-lite0": EfficientNetLite0Encoder,
    "efficientnet-lite1": EfficientNetLite1Encoder,
    "efficientnet-lite2": EfficientNetLite2Encoder,
    "timm": TimmEncoder,
    "torchvision": TorchvisionEncoder,
    "open_clip": OpenClipEncoder,
    "onnx": OnnxEncoder,
}


def open_encoder(
    network: str | Encoder | Callable[..., Any],
    *,
    side: int | None = None,
    download: bool = False,
) -> Encoder:
    """Open an encoder by name; an encoder is given back, a function becomes one.

    Nothing is loaded before it is run; weights that are not on disk are fetched only
    if `download` says so.

    Parameters
    ----------
    network : "efficientnet-lite0", "timm:resnet18" and the like (`lfkit list
        encoders`), an `Encoder`, or a function (n, 3, side, side) → (n, d).
    side : working size in pixels instead of the encoder's own.

    >>> open_encoder("efficientnet-lite0", side=128)
    EfficientNetLite0Encoder('efficientnet-lite0', side=128)
    """
    if isinstance(network, str):
        kind = _kind_of(network)
        return _opened(kind, network, side or kind.default_side, side, download)
    if side is not None and isinstance(network, Encoder):
        raise DeclarationError(
            f"side={side} is given beside {network!r}, which has its own; open the "
            "encoder with that side."
        )
    if isinstance(network, Encoder):
        return network
    if callable(network):
        return FunctionEncoder(network, side=side)
    raise DeclarationError(
        f"an encoder is given by its name, as an Encoder or as a function, got "
        f"{network!r}."
    )


def _kind_of(name: str) -> type[Encoder]:
    kind = ENCODERS.get(name.partition(":")[0])
    if kind is None or (":" in name) != (":" in kind.usage):
        choices = ", ".join(known.usage for known in ENCODERS.values())
        raise DeclarationError(
            f"there is no encoder {name!r}; choose from {choices}, or pass a function."
        )
    return kind


@cache
def _opened(
    kind: type[Encoder], name: str, seen_at: int, side: int | None, download: bool
) -> Encoder:
    # Kept, so that who asks twice shares features and computes each image once. All
    # that it depends on is a key, the side that its kind has now, too: whoever changes
    # that for a while gets other encoders, and leaves none behind.
    return kind(name, side=side, download=download)
