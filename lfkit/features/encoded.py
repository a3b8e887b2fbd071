"""What an encoder says of images: its embedding, and the logits of its own classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import torch

from lfkit.encoders import Encoder, open_encoder
from lfkit.features.feature import Feature, feature


class EncoderFeatures(NamedTuple):
    """The features of one encoder, all from one pass through it.

    Attributes
    ----------
    features : (n, d), the embedding.
    logits : (n, K), the logits of the encoder's own classes.
    encoded : (n, w), all that the pass gives; `Encoder.logits_of` and `.embedding_of`
        read it.
    """

    features: Feature
    logits: Feature
    encoded: Feature


def encoder_features(
    network: str | Encoder | Callable[..., Any],
    *,
    side: int | None = None,
    download: bool = False,
) -> EncoderFeatures:
    """Make the features of an encoder.

    Parameters are those of `lfkit.encoders.open_encoder`. The same encoder has the same
    features, so that functions that share it compute it once.

    >>> encoder_features("efficientnet-lite0").features
    Feature efficientnet_lite0_192
    """
    return _features_of(open_encoder(network, side=side, download=download))


@lru_cache(maxsize=64)
def _features_of(encoder: Encoder) -> EncoderFeatures:
    label = feature_name(encoder)
    is_split = type(encoder).embedding_of is not Encoder.embedding_of

    @feature(name=f"{label}_encoded" if is_split else label, batched=True)
    def seen(images: torch.Tensor) -> torch.Tensor:
        """Give what one pass through a frozen network holds: (n, w)."""
        return encoder.encode(images)

    encoded = replace(seen, encoder=encoder)

    @feature(name=label, batched=True, of=[encoded])
    def part(found: torch.Tensor) -> torch.Tensor:
        """Embed by a frozen network: (n, d)."""
        return encoder.embedding_of(found)

    embedding = replace(part, encoder=encoder)

    @feature(name=f"{label}_logits", batched=True, of=[encoded])
    def logits(found: torch.Tensor) -> torch.Tensor:
        """Give the logits of the classes that a frozen network knows: (n, K)."""
        return encoder.logits_of(found)

    return EncoderFeatures(embedding if is_split else encoded, logits, encoded)


def feature_name(encoder: Encoder) -> str:
    """Make a name of letters, digits and underscores from an encoder's."""
    letters = (c if c.isalnum() else "_" for c in f"{encoder.name}_{encoder.side}")
    return "".join(letters).strip("_")
