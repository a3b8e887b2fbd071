"""Networks of open_clip, trained on images with their captions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lfkit.encoders.encoder import Encoder
from lfkit.errors import DeclarationError

# Where a model on Hugging Face keeps its weights, if open_clip names no file.
_HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


class OpenClipEncoder(Encoder):
    """Any network of open_clip, with weights by their tag or from a file.

    It embeds images and texts. `side` is 224 if not given; give a model's own if that
    is another ("ViT-L-14-336": 336), or its positions are interpolated.
    """

    usage = "open_clip:NAME/PRETRAINED"
    needs = "clip"
    reads_text = True

    def __init__(
        self, name: str, *, side: int | None = None, download: bool = False
    ) -> None:
        super().__init__(name, side=side, download=download)
        self.model, _, self.weights = name.partition(":")[2].partition("/")
        if not self.model or not self.weights:
            raise DeclarationError(
                f"encoder {name!r} needs a model and its weights, such as "
                '"open_clip:ViT-B-32/laion2b_s34b_b79k".'
            )

    @property
    def logit_scale(self) -> float:
        """What the network learned to multiply cosines by."""
        return float(_network(self, torch.device("cpu")).module.logit_scale.exp())

    def _encode(self, images: torch.Tensor) -> torch.Tensor:
        network = _network(self, images.device)
        found: torch.Tensor = network.module.encode_image(
            (images - network.mean) / network.deviation
        )
        return found

    def embed_text(self, texts: Sequence[str]) -> torch.Tensor:
        """Embed texts: (len(texts), d)."""
        network = _network(self, torch.device("cpu"))
        with torch.no_grad():
            found: torch.Tensor = network.module.encode_text(
                network.tokenizer(list(texts))
            )
        return found.float()


class _ClipNetwork(NamedTuple):
    """A network with its tokenizer, and the colors that it was trained on."""

    module: Any
    tokenizer: Any
    mean: torch.Tensor
    deviation: torch.Tensor


@cache
def _network(encoder: OpenClipEncoder, device: torch.device) -> _ClipNetwork:
    """Load a network once per process: evaluation mode, its weights frozen."""
    try:
        import open_clip
    except ImportError as error:
        raise DeclarationError(
            f"encoder {encoder.name} needs the package {error.name}, which is not "
            'installed; run: pip install "lfkit[clip]"'
        ) from error
    model, weights = encoder.model, encoder.weights
    config = open_clip.get_model_config(model)
    is_file = Path(weights).is_file()
    if config is None or not (is_file or open_clip.is_pretrained_cfg(model, weights)):
        raise DeclarationError(
            f"open_clip has no weights {weights!r} of a network {model!r}; "
            "open_clip.list_pretrained() names them."
        )
    known = {} if is_file else open_clip.get_pretrained_cfg(model, weights)
    module = open_clip.create_model(
        model,
        pretrained=_path_of_weights(encoder, known, config),
        require_pretrained=True,
        force_image_size=encoder.side,
        # By tag alone open_clip would warn, and compute with the wrong rectifier.
        force_quick_gelu=bool(known.get("quick_gelu")),
        device=device,
    )
    module.eval().requires_grad_(False)

    def color(given: Sequence[float]) -> torch.Tensor:
        return torch.tensor(given, device=device).reshape(1, 3, 1, 1)

    return _ClipNetwork(
        module,
        open_clip.get_tokenizer(model),
        color(known.get("mean", open_clip.OPENAI_DATASET_MEAN)),
        color(known.get("std", open_clip.OPENAI_DATASET_STD)),
    )


def _path_of_weights(encoder: OpenClipEncoder, known: Any, config: Any) -> str:
    """Give the file of the weights; their tag if they may be fetched."""
    if encoder.download:
        return encoder.weights
    text = config.get("text_cfg", {})
    if "hf_model_name" in text or "hf_tokenizer_name" in text:
        raise DeclarationError(
            f"the tokenizer of {encoder.name} is asked for at Hugging Face each time "
            "it is loaded; allow that by download=True."
        )
    path = _on_disk(known) if known else encoder.weights
    if path is None:
        raise DeclarationError(
            f"the weights of {encoder.name} are not on disk (~/.cache/clip and the "
            "cache of Hugging Face); let them be fetched by giving download=True once."
        )
    return path


def _on_disk(known: Any) -> str | None:
    """Find weights where open_clip or the user's earlier runs have put them."""
    if known.get("hf_hub"):
        from huggingface_hub import try_to_load_from_cache

        repository, _, file = known["hf_hub"].rpartition("/")
        for name in (file,) if file else _HUB_FILES:
            found = try_to_load_from_cache(repository, name)
            if isinstance(found, str):
                return found
    if known.get("url"):
        path = Path("~/.cache/clip").expanduser() / Path(known["url"]).name
        if path.is_file():
            return str(path)
    return None
