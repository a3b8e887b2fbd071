"""What goes through a step of a `PairGan`, and what a method adds to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

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
    regularizer : adds to the generator's loss where pairs are judged.
    rows : draws which real images are shown: a number, and how many → (batch,).
    labels : gives labels (n, k) and weights (n,) of real images, of their rows and
        pixels (n, c, h, w), and figures; None: those of `RealImages`.
    keeps_judge : the discriminator is averaged, too, and kept.
    learns_from_made : a classifier learns the classes of generated images, too.
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
    keeps_judge: bool = False
    learns_from_made: bool = False


@dataclass(frozen=True)
class MadeBatch:
    """Generated images.

    Attributes
    ----------
    images : (n, c, h, w) in [0, 1].
    meant : (n, k) labels they were made to have; None before pairs are judged.
    shown : (n, k) the same as the discriminator sees them.
    codes : (n, n_codes), or None.
    """

    images: torch.Tensor
    meant: torch.Tensor | None
    shown: torch.Tensor | None
    codes: torch.Tensor | None

    def rows(self, rows: torch.Tensor) -> MadeBatch:
        """Take some of them."""
        parts = (self.images, self.meant, self.shown, self.codes)
        return MadeBatch(*(None if part is None else part[rows] for part in parts))  # type: ignore[arg-type]

    def detached(self) -> MadeBatch:
        """Take them as they are: no gradient passes."""
        parts = (self.images, self.meant, self.shown, self.codes)
        return MadeBatch(*(None if part is None else part.detach() for part in parts))  # type: ignore[arg-type]


@dataclass(frozen=True)
class RealBatch:
    """Real images (n, c, h, w), their labels (n, k), and weights (n,) of these."""

    images: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
