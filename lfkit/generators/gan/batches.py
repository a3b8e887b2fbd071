"""What goes through a step of a `PairGan`, and what a method adds to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from lfkit.generators.gan.networks.gan_network import Common
from lfkit.nn.training_loop import StepContext

# (images, labels) of a generated batch → what is added to the generator's loss.
Regularizer = Callable[
    [torch.Tensor, torch.Tensor], tuple[torch.Tensor, dict[str, torch.Tensor]]
]


@dataclass(frozen=True)
class StepHooks:
    """What a method adds to the step that all share.

    Attributes
    ----------
    regularizer : adds to the generator's loss where pairs are scored.
    rows : draws which real images the discriminator sees: a number, and how many →
        (batch,).
    labels : gives labels (n, k) and weights (n,) of real images, of their rows and
        pixels (n, c, h, w), and figures; None: those of `RealImages`.
    counterfeits : makes more pairs that the discriminator is to tell from real ones,
        images (n, c, h, w) and labels (n, k), and their share among such pairs.
    keeps_discriminator : the discriminator is averaged, too, and kept.
    learns_from_fake : a classifier learns the classes of generated images, too.
    common : the common block of another generator, which this one shares.
    """

    regularizer: Regularizer | None = None
    rows: Callable[[int, int], torch.Tensor] | None = None
    labels: (
        Callable[
            [torch.Tensor, torch.Tensor, StepContext],
            tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]],
        ]
        | None
    ) = None
    counterfeits: (
        Callable[[StepContext], tuple[torch.Tensor, torch.Tensor, float]] | None
    ) = None
    keeps_discriminator: bool = False
    learns_from_fake: bool = False
    common: Common | None = None


@dataclass(frozen=True)
class FakeBatch:
    """Generated images.

    Attributes
    ----------
    images : (n, c, h, w) in [0, 1].
    target : (n, k) labels they were generated for; None before pairs are scored.
    visible_labels : (n, k) the same as the discriminator sees them.
    codes : (n, n_codes), or None.
    """

    images: torch.Tensor
    target: torch.Tensor | None
    visible_labels: torch.Tensor | None
    codes: torch.Tensor | None

    def rows(self, rows: torch.Tensor) -> FakeBatch:
        """Take some of them."""
        parts = (self.images, self.target, self.visible_labels, self.codes)
        return FakeBatch(*(None if part is None else part[rows] for part in parts))  # type: ignore[arg-type]

    def detached(self) -> FakeBatch:
        """Take them as they are: no gradient passes."""
        parts = (self.images, self.target, self.visible_labels, self.codes)
        return FakeBatch(*(None if part is None else part.detach() for part in parts))  # type: ignore[arg-type]


@dataclass(frozen=True)
class RealBatch:
    """Real images (n, c, h, w), their labels (n, k), and weights (n,) of these."""

    images: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
