"""A discriminator's classifier, to name the class of real images."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import skip_init

from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan.discriminator import Discriminator
from lfkit.generators.gan.networks import GAN_NETWORKS
from lfkit.nn.spectral_norm import without_spectral


class LabelClassifier(nn.Module):
    """The body of a discriminator and its scores of classes.

    Parameters
    ----------
    shape : (h, w, c).
    """

    def __init__(
        self, shape: tuple[int, int, int], n_classes: int, plan: GanConfig
    ) -> None:
        super().__init__()
        nothing = torch.Generator().manual_seed(0)
        self.body = GAN_NETWORKS[plan.network].make_body(
            shape, width=plan.width, generator=nothing
        )
        if not plan.spectral_norm:
            without_spectral(self.body)
        self.head = skip_init(  # type: ignore[no-untyped-call]
            nn.Linear, self.body.n_features, n_classes
        )

    @torch.no_grad()
    def take(self, discriminator: Discriminator) -> None:
        """Copy the weights of a discriminator with a classifier."""
        self.body.load_state_dict(discriminator.body.state_dict())
        k = self.head.out_features  # scores of generated classes come after the real
        self.head.weight.copy_(discriminator.named.weight[:k])
        self.head.bias.copy_(discriminator.named.bias[:k])

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return the last layer's inputs, (n, d), of (n, c, h, w) in [0, 1]."""
        return self.body(images)
