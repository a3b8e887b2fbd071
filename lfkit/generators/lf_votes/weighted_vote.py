"""Equations 7 and 9: how Θ, Φ and the votes become a label."""

from __future__ import annotations

import torch


def aggregated(
    votes: torch.Tensor,
    theta: torch.Tensor,
    dependencies: torch.Tensor | None,
    prior: torch.Tensor,
) -> torch.Tensor:
    """Weigh the votes; silence takes no part.

    Equation 7 (without dependencies), ỹ = Σ_i θ̃_i Λ_i, and equation 9, ỹ = Θ̃ Φᵀ Λ,
    with what both lack: functions that abstain give their weight to the others, and
    the result sums to 1. An image on which all abstain gets the class prior.

    Parameters
    ----------
    votes : (n, m, k) weights, zeros = abstain.
    theta : (m,) or (n, m), not negative.
    dependencies : (m, m) or (n, m, m), rows summing to 1.
    prior : (k,).

    Returns
    -------
    (n, k), rows summing to 1.
    """
    weights = theta.expand(votes.shape[:2])
    if dependencies is not None:
        weights = torch.einsum(
            "ni,nji->nj",
            weights,
            dependencies.expand(len(votes), *votes.shape[1:2] * 2),
        )
    says = votes.sum(dim=2)  # (n, m): 1, or 0 where it abstains
    total = (weights * says).sum(dim=1, keepdim=True)
    label = torch.einsum("nj,njk->nk", weights, votes) / total.clamp_min(1e-12)
    return torch.where(total > 1e-12, label, prior.expand_as(label))


def perplexity(theta: torch.Tensor) -> torch.Tensor:
    """Tell how many functions share the trust, (n, m) → (): 1 = one has it all."""
    shares = theta / theta.sum(dim=-1, keepdim=True).clamp_min(1e-12)
    entropy = -(shares * shares.clamp_min(1e-12).log()).sum(dim=-1)
    return entropy.exp().mean()
