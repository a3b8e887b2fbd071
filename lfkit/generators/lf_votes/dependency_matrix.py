"""Φ as it is seen in votes: Algorithm 1 as printed, and the form that holds water."""

from __future__ import annotations

import torch


def algorithm_1(votes: torch.Tensor) -> torch.Tensor:
    """Count agreements as printed: Algorithm 1 of the paper.

    The identity, plus for i < j the images on which the one-hot votes are equal; each
    row divided by its sum; then completed by symmetry. θ_i > 0 changes no one-hot, so
    Θ takes no part. Since rows are divided before they are completed, the answer
    depends on the order of the functions and rows sum to more than 1: kept for
    comparison with the paper; `agreement` is what works.

    Parameters
    ----------
    votes : (n, m, k) weights, zeros = abstain.

    Returns
    -------
    (m, m)
    """
    hard = _one_hot(votes)
    counts = torch.einsum("nik,njk->ij", hard, hard)
    upper = torch.triu(counts, diagonal=1)
    phi = torch.eye(votes.shape[1], device=votes.device) + upper
    phi = phi / phi.sum(dim=1, keepdim=True)
    return phi + phi.T - torch.diag(torch.diagonal(phi))


def agreement(votes: torch.Tensor) -> torch.Tensor:
    """Give how often two functions agree where both vote.

    Reordering the functions reorders rows and columns, and nothing else.

    Parameters
    ----------
    votes : (n, m, k) weights, zeros = abstain.

    Returns
    -------
    (m, m) in [0, 1], symmetric, 1 on the diagonal, 0 where two never vote together.
    """
    says = votes.sum(dim=2)  # (n, m)
    both = says.T @ says  # (m, m)
    equal = torch.einsum("nik,njk->ij", votes, votes)
    rate = equal / both.clamp_min(1e-12)
    return rate.masked_fill(
        torch.eye(len(rate), dtype=torch.bool, device=rate.device), 1
    )


def row_stochastic(agreements: torch.Tensor) -> torch.Tensor:
    """Divide each row, (..., m, m), by its sum."""
    return agreements / agreements.sum(dim=-1, keepdim=True).clamp_min(1e-12)


def _one_hot(votes: torch.Tensor) -> torch.Tensor:
    """Keep the strongest class of each vote, the first of equals."""
    best = torch.nn.functional.one_hot(votes.argmax(dim=2), votes.shape[2])
    return best * (votes.sum(dim=2, keepdim=True) > 0)
