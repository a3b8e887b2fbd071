"""Θ and Φ that hold for every image, anchored to what is known without them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from lfkit.data.votes import Votes
from lfkit.generators.lf_votes.dependency_matrix import agreement, row_stochastic
from lfkit.generators.lf_votes.vote_tensors import ROWS_AT_ONCE, weights_of
from lfkit.generators.lf_votes.weighted_vote import aggregated, perplexity

_FLOOR = 1e-4  # of a share: a class that no function names is not impossible
# How much of the block's word is mixed into the label model's, to choose from.
_MIXTURES = (0.0, 0.25, 0.5, 1.0, 2.0)
FEWEST_SEEDS = 10  # fewer bear out nothing
_SURE = 2.0  # standard errors of a gain


class LFWeights(nn.Module):
    """One trust per function and one matrix of dependencies: Θ̄ and Φ̄.

    They begin at the label model: Θ at the log odds with which each function agrees
    with its labels, Φ at the agreements on real images. Training moves them, on
    images whose class is known because they were generated for it, and on real ones; a
    penalty holds them near where they began. What they say is mixed into the label
    model's posteriors only as far as held-out seeds bear it out, `choose_mixture`: not
    at all where there are none.

    Parameters
    ----------
    votes : on real images.
    proba : (n, k) the label model's posteriors of them.
    """

    theta_start: torch.Tensor
    phi_start: torch.Tensor
    prior: torch.Tensor
    mixture: torch.Tensor

    def __init__(self, votes: Votes, proba: NDArray[np.floating]) -> None:
        super().__init__()
        accuracy, phi = _first_look(votes, proba)
        k = votes.n_classes
        odds = (accuracy * max(k - 1, 1) / (1 - accuracy)).log().clamp_min(0.05)
        self.register_buffer("theta_start", (odds / odds.sum()).float())
        self.register_buffer("phi_start", phi.clamp(0.02, 0.98).float())
        prior = np.asarray(proba, np.float64).mean(axis=0)
        shares = torch.from_numpy(prior / max(prior.sum(), 1e-12))
        self.register_buffer("prior", shares.float())
        self.register_buffer("mixture", torch.zeros(()))
        self.theta_raw = nn.Parameter(self.theta_start.log())
        self.phi_raw = nn.Parameter(torch.logit(self.phi_start))

    @property
    def theta(self) -> torch.Tensor:
        """(m,) Θ̄, summing to 1."""
        return F.softmax(self.theta_raw, dim=0)

    @property
    def phi(self) -> torch.Tensor:
        """(m, m) Φ̄ in [0, 1], symmetric, 1 on the diagonal."""
        raw = torch.sigmoid(self.phi_raw)
        itself = torch.eye(len(raw), dtype=torch.bool, device=raw.device)
        return ((raw + raw.T) / 2).masked_fill(itself, 1.0)

    @property
    def has_moved(self) -> bool:
        """Whether Θ and Φ have learned since they began at the label model."""
        pairs = (
            (self.theta_raw, self.theta_start.log()),
            (self.phi_raw, torch.logit(self.phi_start)),
        )
        return not all(torch.allclose(now, start) for now, start in pairs)

    @property
    def perplexity(self) -> torch.Tensor:
        """How many functions share the trust."""
        return perplexity(self.theta)

    def forward(self, votes: torch.Tensor, *, fixed: bool = False) -> torch.Tensor:
        """Label by equation 9, (n, m, k) votes → (n, k).

        Parameters
        ----------
        fixed : no gradient reaches Θ and Φ.
        """
        theta, phi = self.theta, row_stochastic(self.phi)
        if fixed:
            theta, phi = theta.detach(), phi.detach()
        return aggregated(votes, theta, phi, self.prior)

    def loss(
        self, votes: torch.Tensor, target: torch.Tensor, anchor: float
    ) -> torch.Tensor:
        """Give the cross-entropy of the block's labels, and the price of moving away.

        Parameters
        ----------
        target : (n, k).
        anchor : weight of that price.
        """
        says = votes.sum(dim=(1, 2)) > 0
        logs = self(votes).clamp_min(_FLOOR).log()
        wrong = -(target * logs).sum(dim=1)
        fit = (wrong * says).sum() / says.sum().clamp_min(1)
        theta = self.theta
        moved = (theta * (theta / self.theta_start).clamp_min(1e-12).log()).sum()
        bent = (self.phi - self.phi_start).square().mean()
        return fit + anchor * (moved + bent)

    @torch.no_grad()
    def labels(self, votes: Votes) -> NDArray[np.float64]:
        """Label real images by their votes, (n, k)."""
        device = self.theta_raw.device
        parts = [self(part.to(device)).cpu() for part in weights_of(votes)]
        return torch.cat(parts).double().numpy()

    @torch.no_grad()
    def evidence(self, votes: Votes) -> NDArray[np.float64]:
        """Say what the votes alone say, (n, k): even where no function votes."""
        device, k = self.theta_raw.device, votes.n_classes
        found = []
        for part in weights_of(votes):
            said = self(part.to(device)).cpu().double().numpy()
            silent = (part.sum(dim=(1, 2)) == 0).numpy()
            found.append(np.where(silent[:, None], 1 / k, said))
        return np.concatenate(found) if found else np.zeros((0, k))

    def mixed(
        self, proba: NDArray[np.floating], labels: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """Mix the block's labels into the label model's posteriors, both (n, k)."""
        return _mixed(proba, labels, float(self.mixture))

    def choose_mixture(
        self, votes: Votes, proba: NDArray[np.floating], seeds: NDArray[np.int64]
    ) -> float:
        """Mix in as much as makes the seeds' classes clearly likelier; else nothing.

        Parameters
        ----------
        votes : (s, m) on the seeds, by functions refitted without them.
        proba : (s, k) the label model's posteriors of the seeds, likewise held out.
        seeds : (s,) their classes.
        """
        labels, rows = self.evidence(votes), np.arange(len(seeds))
        self.mixture.fill_(0.0)
        if len(seeds) < FEWEST_SEEDS:
            return 0.0
        losses = {
            share: -np.log(_mixed(proba, labels, share)[rows, seeds])
            for share in _MIXTURES
        }
        best = min(_MIXTURES, key=lambda share: float(losses[share].mean()))
        gain = losses[0.0] - losses[best]
        error = float(gain.std(ddof=1)) / len(gain) ** 0.5
        if gain.mean() > _SURE * error:
            self.mixture.fill_(best)
        return float(self.mixture)


def _first_look(
    votes: Votes, proba: NDArray[np.floating]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give (m,) the agreement of each function with the labels, and (m, m) Φ."""
    m, k = len(votes.names), votes.n_classes
    right, said = torch.zeros(m, dtype=torch.float64), torch.zeros(m).double()
    both, equal = torch.zeros(m, m).double(), torch.zeros(m, m).double()
    for number, part in enumerate(weights_of(votes)):
        start = number * ROWS_AT_ONCE
        known = torch.from_numpy(np.array(proba[start : start + len(part)], np.float32))
        says = part.sum(dim=2)
        right += torch.einsum("nmk,nk->m", part, known).double()
        said += (says * (known.sum(dim=1, keepdim=True) > 0)).sum(dim=0).double()
        both += (says.T @ says).double()
        equal += (agreement(part) * (says.T @ says)).double()
    # As if each had been right once and wrong k - 1 times before.
    accuracy = (right + 1) / (said + max(k, 2))
    return accuracy.clamp(0.01, 0.99), equal / both.clamp_min(1)


def _mixed(
    proba: NDArray[np.floating], labels: NDArray[np.floating], share: float
) -> NDArray[np.float64]:
    logs = np.log(np.maximum(np.asarray(proba, np.float64), _FLOOR))
    logs = logs + share * np.log(np.maximum(np.asarray(labels, np.float64), _FLOOR))
    logs -= logs.max(axis=1, keepdims=True)
    weights = np.exp(logs)
    return weights / weights.sum(axis=1, keepdims=True)
