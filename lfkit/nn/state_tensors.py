"""Weights, statistics and optimizers as named tensors, for checkpoints."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


def begin_state(optimizer: torch.optim.Optimizer) -> None:
    """Make the moments now, not at the first step: a checkpoint is copied into them.

    Parameters
    ----------
    optimizer : Adam, AdamW, or SGD with momentum.
    """
    for group in optimizer.param_groups:
        for weight in group["params"]:
            if isinstance(optimizer, torch.optim.SGD):
                moment = torch.zeros_like(weight)
                optimizer.state[weight] = {"momentum_buffer": moment}
                continue
            device = weight.device if group["fused"] or group["capturable"] else "cpu"
            optimizer.state[weight] = {
                "step": torch.zeros((), device=device),
                "exp_avg": torch.zeros_like(weight),
                "exp_avg_sq": torch.zeros_like(weight),
            }


def named_tensors(
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
) -> dict[str, torch.Tensor]:
    """Name every tensor of modules and of optimizers that `begin_state` has seen."""
    found: dict[str, torch.Tensor] = {}
    for owner, module in modules.items():
        for name, value in module.state_dict().items():
            found[f"{owner}.{name}"] = value
    for owner, optimizer in optimizers.items():
        weights = [w for group in optimizer.param_groups for w in group["params"]]
        for number, weight in enumerate(weights):
            for name, value in optimizer.state[weight].items():
                found[f"{owner}.{number}.{name}"] = value
    return found
