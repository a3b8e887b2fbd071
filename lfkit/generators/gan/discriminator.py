"""Tells real images from generated ones, alone or together with a label."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn.utils import skip_init

from lfkit.generators.gan.config import CONDITIONINGS
from lfkit.generators.gan.networks.gan_network import Body
from lfkit.generators.plan import check_choice
from lfkit.nn.layers import drawn_linear
from lfkit.nn.spectral_norm import spectral


class DiscriminatorScores(NamedTuple):
    """The scores of a discriminator.

    Attributes
    ----------
    alone : (n,) logits of the images, or (n, h, w) of their pixels.
    pairs : (n,) logits of the pairs, as of the images where there is no label; or
        (n, k) scores of classes; or (n, 2k), of real and of generated ones.
    seen : (n, d) features of the images.
    """

    alone: torch.Tensor
    pairs: torch.Tensor
    seen: torch.Tensor


class Discriminator(nn.Module):
    """Features of images, combined with labels.

    Parameters
    ----------
    n_labels : width of a label.
    conditioning : "projection" (Miyato & Koyama 2018, arXiv:1802.05637, equation 3);
        "concat": the label's own layers, then both together (ADP, section 3.2);
        "classifier" (AC-GAN; Odena et al. 2017, arXiv:1610.09585); "multi-hinge"
        (Kavalerov et al. 2021, arXiv:1912.04216); "coupled": labels alone, by the
        layers that judge images (CoGAN; Liu & Tuzel 2016, arXiv:1606.07536); "none":
        images only.
    n_codes : continuous codes that it finds in an image (InfoGAN).
    is_bounded : its layers will keep norm 1.
    """

    def __init__(
        self,
        body: Body,
        n_labels: int,
        *,
        conditioning: str,
        generator: torch.Generator,
        n_codes: int = 0,
        is_bounded: bool = True,
    ) -> None:
        super().__init__()
        check_choice("conditioning", conditioning, (*CONDITIONINGS, "none"))
        self.body, self.conditioning = body, conditioning
        width = body.n_features
        if not body.scores_pixels and conditioning != "coupled":
            self.alone = spectral(drawn_linear(width, 1, generator), generator)
        if conditioning == "projection":
            rows = skip_init(  # type: ignore[no-untyped-call]
                nn.Linear, n_labels, width, bias=False
            )
            # What is divided by its norm may be of any size.
            size = 1 if is_bounded else width**-0.5
            nn.init.normal_(rows.weight, 0, size, generator=generator)
            self.classes = spectral(rows, generator)
        elif conditioning == "concat":
            self.of_label = nn.Sequential(
                drawn_linear(n_labels, 128, generator), nn.LeakyReLU(0.2),
                drawn_linear(128, 128, generator), nn.LeakyReLU(0.2),
            )  # fmt: skip
            self.together = nn.Sequential(
                drawn_linear(width + 128, 500, generator), nn.LeakyReLU(0.2),
                drawn_linear(500, 1, generator),
            )  # fmt: skip
        elif conditioning == "coupled":
            self.of_label = nn.Sequential(
                drawn_linear(n_labels, 128, generator), nn.LeakyReLU(0.2),
                drawn_linear(128, width, generator), nn.LeakyReLU(0.2),
            )  # fmt: skip
            self.shared = nn.Sequential(
                spectral(drawn_linear(width, 128, generator), generator),
                nn.LeakyReLU(0.2),
                spectral(drawn_linear(128, 1, generator), generator),
            )
        elif conditioning != "none":
            n_scores = n_labels * (2 if conditioning == "multi-hinge" else 1)
            # Not divided by its norm: a certain class needs large scores.
            self.named = drawn_linear(width, n_scores, generator, scale=0.02)
        self.of_codes: nn.Module | None = None
        if n_codes:
            self.of_codes = nn.Sequential(
                drawn_linear(width, 128, generator), nn.LeakyReLU(0.2),
                drawn_linear(128, n_codes, generator),
            )  # fmt: skip

    def forward(
        self, images: torch.Tensor, labels: torch.Tensor | None = None
    ) -> DiscriminatorScores:
        """Score images and pairs.

        Parameters
        ----------
        images : (n, c, h, w) in [0, 1].
        labels : (n, n_labels); rows of zeros = no label.
        """
        seen, pixels = self.body.look(images)
        if pixels is not None:
            alone = pixels
        elif self.conditioning == "coupled":
            alone = self.shared(seen)[:, 0]
        else:
            alone = self.alone(seen)[:, 0]
        if self.conditioning in ("classifier", "multi-hinge"):
            return DiscriminatorScores(alone, self.named(seen), seen)
        whole = alone if pixels is None else alone.mean(dim=(1, 2))
        if labels is None or self.conditioning == "none":
            return DiscriminatorScores(alone, whole, seen)
        labels = labels.to(seen.dtype)
        if self.conditioning == "coupled":
            pairs = self.shared(self.of_label(labels))[:, 0]
            return DiscriminatorScores(alone, pairs, seen)
        if self.conditioning == "projection":
            pairs = whole + (seen * self.classes(labels)).sum(dim=1)
            return DiscriminatorScores(alone, pairs, seen)
        pair = self.together(torch.cat([seen, self.of_label(labels)], dim=1))[:, 0]
        pairs = torch.where(labels.abs().sum(dim=1) > 0, pair, whole)
        return DiscriminatorScores(alone, pairs, seen)

    def score(self, images: torch.Tensor) -> torch.Tensor:
        """Score images alone, (n,)."""
        alone = self(images).alone
        return alone.flatten(1).mean(dim=1) if alone.ndim > 1 else alone
