"""Tells real images from generated ones, alone or together with a label."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import skip_init

from lfkit.errors import InputError
from lfkit.nn.gan_networks.gan_network import Body
from lfkit.nn.layers import drawn_linear
from lfkit.nn.spectral import spectral

JOINS = ("projection", "concat", "none")


class Discriminator(nn.Module):
    """A body that looks at images, and a join with labels.

    Parameters
    ----------
    join : "projection" (Miyato & Koyama 2018, arXiv:1802.05637, equation 3);
        "concat": the label's own layers, then both together (ADP, section 3.2);
        "none": images only.
    """

    def __init__(
        self, body: Body, n_classes: int, *, join: str, generator: torch.Generator
    ) -> None:
        super().__init__()
        if join not in JOINS:
            raise InputError(f"join is {join!r}; choose from {', '.join(JOINS)}.")
        self.body, self.join = body, join
        width = body.n_features
        self.alone = spectral(drawn_linear(width, 1, generator), generator)
        if join == "projection":
            rows = skip_init(  # type: ignore[no-untyped-call]
                nn.Linear, n_classes, width, bias=False
            )
            nn.init.normal_(rows.weight, 0, 1, generator=generator)
            self.classes = spectral(rows, generator)
        elif join == "concat":
            self.of_label = nn.Sequential(
                drawn_linear(n_classes, 128, generator), nn.LeakyReLU(0.2),
                drawn_linear(128, 128, generator), nn.LeakyReLU(0.2),
            )  # fmt: skip
            self.together = nn.Sequential(
                drawn_linear(width + 128, 500, generator), nn.LeakyReLU(0.2),
                drawn_linear(500, 1, generator),
            )  # fmt: skip

    def forward(
        self, images: torch.Tensor, labels: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Judge images and pairs.

        Parameters
        ----------
        images : (n, c, h, w) in [0, 1].
        labels : (n, k) one-hot or soft; rows of zeros = no label.

        Returns
        -------
        (n,) logits of the images alone, and (n,) of the pairs: the same where there is
        no label.
        """
        seen = self.body(images)
        alone = self.alone(seen)[:, 0]
        if labels is None or self.join == "none":
            return alone, alone
        labels = labels.to(seen.dtype)
        if self.join == "projection":
            return alone, alone + (seen * self.classes(labels)).sum(dim=1)
        pair = self.together(torch.cat([seen, self.of_label(labels)], dim=1))[:, 0]
        return alone, torch.where(labels.sum(dim=1) > 0, pair, alone)
