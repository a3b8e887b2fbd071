"""A network that has learned to vote as the functions do, through which gradients pass.

Functions cost tens of milliseconds a batch, and most have no gradient. A small network
distilled from their votes costs one, and has: what the functions would say of a
generated image can then teach the generator.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from lfkit.nn.networks import SmallConvNet

_WIDTH = 16


class Surrogate(nn.Module):
    """Votes of m functions at once; each is one of k classes, or to abstain.

    Parameters
    ----------
    shape : (h, w, c) of the images.
    n_memory : images, with the functions' own votes on them, that are remembered.
    """

    images: torch.Tensor
    votes: torch.Tensor

    def __init__(
        self,
        shape: tuple[int, int, int],
        n_lfs: int,
        n_classes: int,
        *,
        n_memory: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.n_lfs, self.n_classes = n_lfs, n_classes
        self.network = SmallConvNet(
            shape, n_lfs * (n_classes + 1), width=_WIDTH, generator=generator
        )
        h, w, c = shape
        self.register_buffer("images", torch.zeros(n_memory, c, h, w))
        self.register_buffer("votes", torch.zeros(n_memory, n_lfs, n_classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Vote on (n, c, h, w) images in [0, 1].

        Returns
        -------
        (n, m, k) weights in [0, 1]; what is missing to a sum of 1 is to abstain.
        """
        return F.softmax(self._scores(images), dim=2)[..., :-1]

    def loss(self, images: torch.Tensor, votes: torch.Tensor) -> torch.Tensor:
        """Give the cross-entropy with votes (n, m, k), zeros = abstain."""
        logs = F.log_softmax(self._scores(images), dim=2)
        return -(_with_abstain(votes) * logs).sum(dim=2).mean()

    @torch.no_grad()
    def agreement(self, images: torch.Tensor, votes: torch.Tensor) -> torch.Tensor:
        """Tell how often a function's vote, or its silence, is foreseen, ()."""
        self.eval()
        found = _with_abstain(self(images)).argmax(dim=2)
        return (found == _with_abstain(votes).argmax(dim=2)).float().mean()

    @torch.no_grad()
    def remember(self, images: torch.Tensor, votes: torch.Tensor) -> None:
        """Keep images with the functions' own votes; the oldest go."""
        self.images.copy_(torch.cat([images, self.images])[: len(self.images)])
        self.votes.copy_(torch.cat([votes, self.votes])[: len(self.votes)])

    def remembered(
        self, n: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw n of those images, and the votes on them."""
        rows = torch.randint(
            len(self.images), (n,), generator=generator, device=self.images.device
        )
        return self.images[rows], self.votes[rows]

    def _scores(self, images: torch.Tensor) -> torch.Tensor:
        found = self.network(images)
        return found.view(len(images), self.n_lfs, self.n_classes + 1)


def _with_abstain(votes: torch.Tensor) -> torch.Tensor:
    """Add a column, (n, m, k) → (n, m, k + 1): the weight of abstaining."""
    silence = (1 - votes.sum(dim=2, keepdim=True)).clamp_min(0)
    return torch.cat([votes, silence], dim=2)
