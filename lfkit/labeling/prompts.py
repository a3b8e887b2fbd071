"""Votes by texts: which class's description lies nearest to the image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lfkit.errors import DeclarationError
from lfkit.labeling.encoder_votes import encoder_function, texts_by_class
from lfkit.labeling.labeling_function import LabelingFunction

if TYPE_CHECKING:
    import torch

    from lfkit.encoders import Encoder


def prompts(
    network: str | Encoder | Callable[..., Any],
    texts: Mapping[str, str | Sequence[str]],
    *,
    classes: Sequence[str],
    side: int | None = None,
    download: bool = False,
    name: str | None = None,
) -> LabelingFunction:
    """Vote for the classes whose description is nearest to the image.

    Zero-shot classification of Radford et al. (2021), https://arxiv.org/abs/2103.00020,
    section 3.1: the softmax of the cosines of image and texts, times the encoder's
    scale. Several texts of a class are averaged. It is soft and needs no seeds.

    Parameters
    ----------
    network : an encoder of images and texts: "open_clip:ViT-B-32/laion2b_s34b_b79k".
    texts : class → a text or several: {"cat": "a photo of a cat", ...}.
    classes : the names of all classes of the run, in order (CLASSES).
    side : working size in pixels, if not the encoder's own.
    download : fetch weights that are not on disk.
    name : of the labeling function, if not the network's with `_prompts`.
    """
    from lfkit.encoders import open_encoder
    from lfkit.features.encoded import feature_name

    encoder = open_encoder(network, side=side, download=download)
    if not encoder.reads_text:
        encoder.embed_text([])  # says what to choose instead
    given = texts_by_class("prompts", texts, classes)
    if len(given) < 2:
        raise DeclarationError(
            "prompts weighs classes against each other; give texts for two or more."
        )
    several = tuple(given.values())

    def vote(encoded: torch.Tensor) -> torch.Tensor:
        """Weigh each class by how near its description lies to the image."""
        from torch.nn.functional import normalize

        images = normalize(encoder.embedding_of(encoded), dim=1)  # (n, d)
        cosines = images @ _directions(encoder, several).to(images.device).T  # (n, k)
        return (encoder.logit_scale * cosines).softmax(dim=1)

    label = name or f"{feature_name(encoder)}_prompts"
    return encoder_function(encoder, vote, [*given], label)


@lru_cache(maxsize=64)
def _directions(encoder: Encoder, texts: tuple[tuple[str, ...], ...]) -> torch.Tensor:
    """Embed the texts of each class and average them: (k, d), each of length one."""
    import torch
    from torch.nn.functional import normalize

    every = encoder.embed_text([text for several in texts for text in several])
    parts = torch.split(normalize(every.float(), dim=1), [len(part) for part in texts])
    means = torch.stack([part.mean(dim=0) for part in parts])
    return normalize(means, dim=1)
