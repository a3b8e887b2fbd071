"""What votes are worth, of what the discriminator sees in an image."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from lfkit.nn.layers import drawn_linear


class VoteAccuracies(nn.Module):
    """What each vote on an image is worth, of the discriminator's features of it.

    Parameters
    ----------
    inside : d, width of the features.
    n_functions : m.
    prior : (k,) shares of the classes.
    generator : the weights are drawn from it.

    Attributes
    ----------
    of_code, of_label : F1 and F2, between codes and labels, k to k scores.
    """

    log_prior: torch.Tensor

    def __init__(
        self,
        inside: int,
        n_functions: int,
        prior: NDArray[np.float64],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        widths = (inside, 256, 128, 64)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [drawn_linear(before, after, generator), nn.LeakyReLU(0.2)]
        # All accuracies begin near .5.
        layers.append(drawn_linear(widths[-1], n_functions, generator, scale=0.02))
        self.layers = nn.Sequential(*layers)
        self.prior_weight = nn.Parameter(torch.zeros(()))
        shares = torch.from_numpy(np.asarray(prior, np.float32)).clamp_min(1e-6)
        self.register_buffer("log_prior", shares.log())
        k = len(prior)
        self.of_code = drawn_linear(k, k, generator)
        self.of_label = drawn_linear(k, k, generator)

    def posterior(
        self, seen: torch.Tensor, votes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give labels (n, k) and accuracies (n, m).

        Parameters
        ----------
        seen : (n, d).
        votes : (n, m, k) weights, zeros = abstain.
        """
        accuracies = torch.sigmoid(self.layers(seen.float()))
        scores = torch.einsum("nm,nmk->nk", accuracies, votes)
        scores = scores + torch.sigmoid(self.prior_weight) * self.log_prior
        return F.softmax(scores, dim=1), accuracies


def alignment(
    accuracies: VoteAccuracies,
    codes: torch.Tensor,
    labels: torch.Tensor,
    voted: torch.Tensor,
) -> torch.Tensor:
    """Give how little codes and labels tell of each other, (), both ways.

    Parameters
    ----------
    codes, labels : (n, k) distributions; each teaches the map from the other.
    voted : (n,) 1 where a function voted, else 0.
    """
    to_labels = F.log_softmax(accuracies.of_code(codes), dim=1)
    to_codes = F.log_softmax(accuracies.of_label(labels), dim=1)
    lost = -(labels.detach() * to_labels + codes.detach() * to_codes).sum(dim=1)
    return (lost * voted).sum() / voted.sum().clamp_min(1)


def unevenness(accuracies: torch.Tensor, k: int, epoch: float) -> torch.Tensor:
    """Give the price of accuracies (n, m) unlike .5, (), which falls with each epoch.

    As in the authors' code, but of accuracies in [0, 1]; there it is of what the
    network gives before the sigmoid.
    """
    weight = k / (1.5 * epoch + 1) / accuracies.shape[1]
    return weight * (accuracies - 0.5).square().mean()
