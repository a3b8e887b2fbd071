"""G_parameter and D_LFB: Θ and Φ from noise, and their discriminator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from lfkit.nn.layers import drawn_convolution, drawn_linear


class ParameterHeads(nn.Module):
    """The generator's Θ and Φ for each image (figure 2a).

    Parameters
    ----------
    n_common : width of what the common block gives.
    """

    def __init__(self, n_common: int, n_lfs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            drawn_linear(n_common, 128, generator),
            nn.BatchNorm1d(128),
            nn.LeakyReLU(0.2),
        )
        self.theta = drawn_linear(128, n_lfs, generator, scale=0.02)
        self.phi = drawn_linear(128, n_lfs * n_lfs, generator, scale=0.02)
        self.n_lfs = n_lfs

    def forward(self, common: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return Θ̃ (n, m), rows summing to 1, and Φ (n, m, m) in [0, 1].

        A softmax takes the place of θ / Σθ, which is undefined for mixed signs; Φ is
        symmetric with 1 on the diagonal, as agreements are.
        """
        hidden = self.hidden(common)
        theta = F.softmax(self.theta(hidden), dim=1)
        raw = torch.sigmoid(self.phi(hidden)).view(-1, self.n_lfs, self.n_lfs)
        even = (raw + raw.transpose(1, 2)) / 2
        itself = torch.eye(self.n_lfs, dtype=torch.bool, device=raw.device)
        return theta, even.masked_fill(itself, 1.0)


class DependencyDiscriminator(nn.Module):
    """D_LFB: distinguishes measured dependencies from generated ones.

    Parameters
    ----------
    literal : two convolutions over the matrix, as printed, though functions have no
        neighbours; otherwise a sum over functions, which no order changes.
    """

    def __init__(
        self, n_lfs: int, generator: torch.Generator, *, literal: bool = False
    ) -> None:
        super().__init__()
        self.literal = literal
        if literal:
            self.convolutions = nn.Sequential(
                drawn_convolution(1, 16, 3, generator), nn.LeakyReLU(0.2),
                drawn_convolution(16, 16, 3, generator), nn.LeakyReLU(0.2),
            )  # fmt: skip
            self.last = drawn_linear(16 * n_lfs * n_lfs, 1, generator)
        else:
            self.entry = nn.Sequential(
                drawn_linear(1, 16, generator), nn.LeakyReLU(0.2),
                drawn_linear(16, 32, generator), nn.LeakyReLU(0.2),
            )  # fmt: skip
            self.row = nn.Sequential(drawn_linear(32, 32, generator), nn.LeakyReLU(0.2))
            self.last = drawn_linear(32, 1, generator)

    def forward(self, phi: torch.Tensor) -> torch.Tensor:
        """Score matrices, (n, m, m) → (n,) logits."""
        if self.literal:
            return self.last(self.convolutions(phi[:, None]).flatten(1))[:, 0]
        rows = self.entry(phi[..., None]).mean(dim=2)  # (n, m, 32)
        return self.last(self.row(rows).mean(dim=1))[:, 0]
