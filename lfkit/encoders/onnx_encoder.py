"""Networks in ONNX files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.encoders.encoder import Encoder
from lfkit.encoders.onnx_files import (
    digest_of,
    existing,
    open_session,
    open_tokenizer,
    run,
)
from lfkit.errors import DeclarationError

# The colors of ImageNet, by which most networks scale their input.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class OnnxEncoder(Encoder):
    """A network in an ONNX file, perhaps with a second file that reads texts.

    It takes (n, 3, side, side). By its name alone ("onnx:network.onnx") its first
    output is the embedding; maps are averaged over pixels.

    Parameters
    ----------
    name : "onnx:" and the path of the file.
    side : 224 if not given; what the file takes, if that is fixed.
    mean, deviation : what the file expects to be subtracted from the colors, in [0, 1],
        and to be divided by: ImageNet's if not given.
    class_names : of its classes. The logits are then the output named so, or the only
        one; the embedding is the first other output, or the logits.
    text : path of the file that embeds tokens: its first input takes their numbers,
        (n, tokens), a second one, if any, 1 where there is a token.
    tokenizer : path of a tokenizer.json, or a function from a list of texts to numbers,
        (n, tokens).
    logit_scale : what the cosine of image and text is multiplied by.
    """

    usage = "onnx:FILE"
    needs = "onnx"

    def __init__(
        self,
        name: str,
        *,
        side: int | None = None,
        download: bool = False,
        mean: Sequence[float] = _MEAN,
        deviation: Sequence[float] = _DEVIATION,
        class_names: Sequence[str] = (),
        text: str | Path | None = None,
        tokenizer: str | Path | Callable[[list[str]], Any] | None = None,
        logit_scale: float = 100.0,
    ) -> None:
        self._path = existing(name, name.partition(":")[2])
        if (text is None) != (tokenizer is None):
            raise DeclarationError(
                f"encoder {name!r} needs text= and tokenizer= together, to read texts, "
                "or neither."
            )
        super().__init__(name, side=side, download=download)
        self.reads_text = text is not None
        self._colors = tuple(map(float, mean)), tuple(map(float, deviation))
        self._class_names = tuple(class_names)
        self._text = None if text is None else existing(name, text)
        self._tokenizer = (
            existing(name, tokenizer)
            if isinstance(tokenizer, (str, Path))
            else tokenizer
        )
        self._logit_scale = logit_scale

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of its own classes; () if none."""
        return self._class_names

    @property
    def logit_scale(self) -> float:
        """What the cosine of image and text is multiplied by before a softmax."""
        return self._logit_scale

    def _encode(self, images: torch.Tensor) -> torch.Tensor:
        # Embedding, then logits; once, where they are the same.
        session = open_session(self.name, self._path, images.device.type)
        self._check_input(session)
        wanted = dict.fromkeys(self._outputs(session))
        mean, deviation = (
            torch.tensor(values, device=images.device).reshape(1, 3, 1, 1)
            for values in self._colors
        )
        given = ((images - mean) / deviation).cpu().numpy()
        parts = [torch.from_numpy(part) for part in run(session, [*wanted], given)]
        flat = [p if p.ndim <= 2 else p.flatten(2).mean(dim=2) for p in parts]
        return torch.cat(flat, dim=-1).to(images.device)

    def embedding_of(self, encoded: torch.Tensor) -> torch.Tensor:
        """Take the embedding out of what one pass gave: (n, d)."""
        embedding, logits = self._outputs(open_session(self.name, self._path, "cpu"))
        is_apart = self._class_names and embedding != logits
        return encoded[:, : -len(self._class_names)] if is_apart else encoded

    def logits_of(self, encoded: torch.Tensor) -> torch.Tensor:
        """Take the logits out of what one pass gave: (n, K)."""
        if not self._class_names:
            return super().logits_of(encoded)
        return encoded[:, -len(self._class_names) :]

    def embed_text(self, texts: Sequence[str]) -> torch.Tensor:
        """Embed texts: (len(texts), d)."""
        if self._text is None:
            return super().embed_text(texts)
        session = open_session(self.name, self._text, "cpu")
        first, *others = session.get_inputs()
        tokens, mask = self._tokens(list(texts), first.shape[1])
        given = {first.name: tokens.astype(_INTEGERS.get(first.type, np.int64))}
        for place in others[:1]:
            given[place.name] = mask.astype(_INTEGERS.get(place.type, np.int64))
        return torch.from_numpy(np.asarray(session.run(None, given)[0], np.float32))

    def _tokens(
        self, texts: list[str], length: Any
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Turn texts into numbers of tokens, and where there are any: (n, tokens)."""
        if callable(self._tokenizer):
            tokens = np.asarray(self._tokenizer(texts), np.int64)
            return tokens, np.ones_like(tokens)
        reader = open_tokenizer(self.name, Path(str(self._tokenizer)))
        # As many tokens as the file takes; any number, if that is open.
        fixed = length if isinstance(length, int) else None
        if fixed is not None:
            reader.enable_truncation(fixed)
        padding = reader.padding or {}
        reader.enable_padding(**{**padding, "length": fixed})
        encodings = reader.encode_batch(texts)
        ids = [encoding.ids for encoding in encodings]
        masks = [encoding.attention_mask for encoding in encodings]
        return np.array(ids, np.int64), np.array(masks, np.int64)

    def _outputs(self, session: Any) -> tuple[str, str]:
        """Name the outputs that give the embedding and the logits."""
        names = [output.name for output in session.get_outputs()]
        if not self._class_names:
            return names[0], names[0]
        logits = "logits" if "logits" in names else names[-1]
        others = [name for name in names if name != logits]
        return (others or [logits])[0], logits

    def _check_input(self, session: Any) -> None:
        shape = session.get_inputs()[0].shape
        expected = (None, 3, self.side, self.side)
        fits = len(shape) == len(expected) and all(
            size == wanted or not isinstance(size, int)
            for size, wanted in zip(shape[1:], expected[1:], strict=True)
        )
        if not fits:
            raise DeclarationError(
                f"the network in {self._path} takes {tuple(shape)}, and {self.name!r} "
                f"gives it (n, 3, {self.side}, {self.side}); give the right side=, or "
                "a file that takes images in this order."
            )

    def _settings(self) -> tuple[object, ...]:
        read = [
            path
            for path in (self._path, self._text, self._tokenizer)
            if isinstance(path, Path)
        ]
        given = self._tokenizer if not isinstance(self._tokenizer, Path) else None
        return (
            *(digest_of(path) for path in read),
            given,
            self._colors,
            self._class_names,
            self._logit_scale,
        )

    def identity(self) -> tuple[object, ...]:
        """Give what its vectors depend on: what is in the files, not where they lie."""
        return (type(self), self.side, *self._settings())


_INTEGERS = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}
