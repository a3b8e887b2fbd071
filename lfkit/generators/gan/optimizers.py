"""Updates of adversarial networks: the same each time, over all processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from lfkit.errors import InputError
from lfkit.generators.gan.config import GanConfig
from lfkit.nn.compute import repeatable
from lfkit.nn.distributed import distributed
from lfkit.nn.state_tensors import begin_state


def check_batch(batch: int) -> None:
    """Refuse a batch that the processes cannot share."""
    count = distributed().count
    if batch % count or batch < 2 * count:
        raise InputError(
            f"batch is {batch} and there are {count} processes; give a multiple of "
            f"{count}, {2 * count} or more."
        )


def adam(
    weights: Iterable[torch.Tensor] | list[dict[str, Any]], rate: float, plan: GanConfig
) -> torch.optim.Adam:
    """Make an optimizer whose state can be written over; groups hold their `rate`."""
    groups = [*weights]
    if not isinstance(groups[0], dict):
        groups = [{"params": groups, "rate": rate}]
    optimizer = torch.optim.Adam(groups, lr=rate, betas=(plan.beta1, 0.999), fused=True)
    begin_state(optimizer)
    return optimizer


def backward(loss: torch.Tensor, module: nn.Module) -> None:
    """Find a module's gradients, the same each time, over all processes."""
    with repeatable():
        loss.backward()  # type: ignore[no-untyped-call]
    distributed().average_gradients(module.parameters())
