"""The contract of an encoder: a frozen network that turns images into vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch

from lfkit.data.image_tensors import as_rgb
from lfkit.errors import DeclarationError
from lfkit.nn.compute import has_bfloat16

# Images at a time: a GPU is idle with fewer. On a CPU a layer's output of more than
# 32 MB is asked of the system anew each time: EfficientNet-Lite0 at side 192 took 27 ms
# of a core an image by 32 images, and 21 by 8.
_AT_ONCE = 32
_AT_ONCE_ON_GPU = 256
_MOST_BYTES = 30e6
_WIDEST = 96  # bytes of the widest layer's output, times the side squared


class Encoder(ABC):
    """A frozen network that turns images into vectors, and perhaps names and texts too.

    One pass gives all that is read of an image (`encode`); embedding and logits are
    parts of it, so that nobody runs the network twice. A member writes `_encode`, and
    what else it can do. On a GPU that has bfloat16 the pass is computed in it.

    Parameters
    ----------
    name : as the user writes it: "efficientnet-lite0", "timm:resnet18".
    side : working size in pixels; images are stretched to the square, gray is repeated.
    download : fetch weights that are not on disk; otherwise they are an error.

    Attributes
    ----------
    reads_text : it embeds texts among the images.
    is_tunable : its last part can be trained on: it has `first_part` and `last_part`.
    usage : how a user writes its name; a part in capitals stands for a choice.
    needs : the extra of lfkit that it needs: "cnn"; "" if none.
    """

    reads_text: bool = False
    is_tunable: ClassVar[bool] = False
    default_side: ClassVar[int] = 224
    usage: ClassVar[str] = ""
    needs: ClassVar[str] = ""

    def __init__(
        self, name: str, *, side: int | None = None, download: bool = False
    ) -> None:
        if side is not None and side < 1:
            raise DeclarationError(f"encoder {name!r} needs side >= 1, got {side}.")
        self.name = name
        self.side = self.default_side if side is None else side
        self.download = download

    def identity(self) -> tuple[object, ...]:
        """Give what its vectors depend on: its code, its weights, its working size."""
        return (type(self), self.name, self.side, *self._settings())

    @property
    def key(self) -> str:
        """What its vectors depend on, as 32 hex digits."""
        # Imported here: a global would be a part of the class's own code, and be hashed
        # with the tables that change meanwhile.
        from lfkit.runs.cache_keys import fingerprint

        return fingerprint(self)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of its own classes, of one class with commas between; () if none."""
        return ()

    @property
    def logit_scale(self) -> float:
        """What the cosine of image and text is multiplied by before a softmax."""
        return 100.0

    @torch.no_grad()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Run the network once: all that is read of (n, c, h, w) in [0, 1], (n, w)."""
        kind = images.device.type
        half = kind == "cuda" and has_bfloat16(str(images.device))
        parts: list[torch.Tensor] = []
        before = images[:0]
        with torch.autocast(kind, torch.bfloat16, enabled=half):
            for chunk in torch.split(images, self.at_once(kind)):
                # Batches are filled up with their last image, which is known by then.
                if parts and torch.equal(chunk, before[-1:].expand_as(chunk)):
                    parts.append(parts[-1][-1:].expand(len(chunk), -1))
                    continue
                before = chunk
                found = self._encode(as_rgb(chunk, self.side)).float()
                if found.ndim != 2 or len(found) != len(chunk):
                    raise DeclarationError(
                        f"encoder {self.name!r} gave shape {tuple(found.shape)} for "
                        f"{len(chunk)} images; expected ({len(chunk)}, d)."
                    )
                parts.append(found)
        return torch.cat(parts)

    def embedding_of(self, encoded: torch.Tensor) -> torch.Tensor:
        """Take the embedding out of what one pass gave: (n, d)."""
        return encoded

    def logits_of(self, encoded: torch.Tensor) -> torch.Tensor:
        """Take the logits of its own classes out of what one pass gave: (n, K)."""
        raise DeclarationError(
            f"encoder {self.name!r} has no classes of its own; choose one that has, "
            'such as "efficientnet-lite0", or ask for its embedding.'
        )

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Embed images, (n, c, h, w) float32 in [0, 1]: (n, d)."""
        return self.embedding_of(self.encode(images))

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Give the logits of its own classes for images: (n, K)."""
        return self.logits_of(self.encode(images))

    def first_part(self, images: torch.Tensor) -> torch.Tensor:
        """Run what stays frozen while the rest is trained: (n, c, h, w) maps.

        Parameters
        ----------
        images : (n, c, h, w) in [0, 1].
        """
        raise self._not_tunable()

    def last_part(self) -> torch.nn.Module:
        """Make a copy of the rest, to be trained: maps → the embedding, (n, d)."""
        raise self._not_tunable()

    def embed_text(self, texts: Sequence[str]) -> torch.Tensor:
        """Embed texts where images of what they say lie: (len(texts), d)."""
        raise DeclarationError(
            f"encoder {self.name!r} reads no text; choose one trained on images with "
            'their captions, such as "open_clip:ViT-B-32/laion2b_s34b_b79k".'
        )

    @abstractmethod
    def _encode(self, images: torch.Tensor) -> torch.Tensor:
        """Encode a few images, (n, 3, side, side) in [0, 1]: (n, w)."""

    def at_once(self, device: str) -> int:
        """Give how many images to run at a time: a power of two, for every batch."""
        if device != "cpu":
            return _AT_ONCE_ON_GPU
        fit = max(1, int(_MOST_BYTES / (_WIDEST * self.side**2)))
        return min(_AT_ONCE, 2 ** (fit.bit_length() - 1))

    def _not_tunable(self) -> DeclarationError:
        return DeclarationError(
            f"encoder {self.name!r} is not known layer by layer and cannot be trained "
            'on; choose one that can, such as "efficientnet-lite0".'
        )

    def _settings(self) -> tuple[object, ...]:
        """Give what its vectors depend on beyond code, name and side."""
        return ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, side={self.side})"
