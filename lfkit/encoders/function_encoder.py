"""A function that turns images into vectors, as an encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from lfkit.encoders.encoder import Encoder
from lfkit.errors import DeclarationError


class FunctionEncoder(Encoder):
    """Any function or torch module from images to vectors.

    Its code and what it holds are part of the key, weights of a torch module too.

    Parameters
    ----------
    embed : (n, 3, side, side) float32 in [0, 1] → (n, d), a tensor or an array.
    name : the function's own name if not given.
    logits : (n, d) embedding → (n, K), the logits of its own classes.
    class_names : of its own classes, K of them.
    embed_text : list of texts → (len(texts), d).
    logit_scale : what the cosine of image and text is multiplied by.
    """

    usage = "(a function)"

    def __init__(
        self,
        embed: Callable[[torch.Tensor], Any],
        *,
        name: str | None = None,
        side: int | None = None,
        logits: Callable[[torch.Tensor], Any] | None = None,
        class_names: Sequence[str] = (),
        embed_text: Callable[[list[str]], Any] | None = None,
        logit_scale: float = 100.0,
    ) -> None:
        own_name = name or getattr(embed, "__name__", None)
        if own_name is None:
            raise DeclarationError(
                f"encoder {embed!r} has no name; give it one: "
                'FunctionEncoder(..., name="...").'
            )
        if bool(class_names) != (logits is not None):
            raise DeclarationError(
                f"encoder {own_name!r} needs logits= and class_names= together, for "
                "classes of its own, or neither."
            )
        super().__init__(own_name, side=side)
        self.reads_text = embed_text is not None
        self._embed, self._logits, self._embed_text = embed, logits, embed_text
        self._class_names, self._logit_scale = tuple(class_names), logit_scale

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of its own classes; () if none."""
        return self._class_names

    @property
    def logit_scale(self) -> float:
        """What the cosine of image and text is multiplied by before a softmax."""
        return self._logit_scale

    def _encode(self, images: torch.Tensor) -> torch.Tensor:
        # A copy: the function may write to it, and images of the right size are those
        # that others read.
        return _as_tensor(self._embed(images.clone()), images.device)

    def logits_of(self, encoded: torch.Tensor) -> torch.Tensor:
        """Take the logits of its own classes out of the embedding: (n, K)."""
        if self._logits is None:
            return super().logits_of(encoded)
        with torch.no_grad():
            return _as_tensor(self._logits(encoded.clone()), encoded.device)

    def embed_text(self, texts: Sequence[str]) -> torch.Tensor:
        """Embed texts: (len(texts), d)."""
        if self._embed_text is None:
            return super().embed_text(texts)
        with torch.no_grad():
            return _as_tensor(self._embed_text(list(texts)), torch.device("cpu"))

    def _settings(self) -> tuple[object, ...]:
        held = (self._embed, self._logits, self._embed_text)
        return (*held, self._class_names, self._logit_scale)


def _as_tensor(found: Any, device: torch.device) -> torch.Tensor:
    if not isinstance(found, torch.Tensor):
        found = torch.from_numpy(np.asarray(found))
    return found.to(device=device, dtype=torch.float32)
