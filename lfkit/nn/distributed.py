"""Several processes that train the same networks, each on its part of every batch.

`torchrun --nproc-per-node 4 -m lfkit train RUN` starts four of them, one per GPU. Each
draws the whole batch and takes its part, and gradients are averaged before every
update, so that all hold the same weights. One process, the first, writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from lfkit.errors import InputError


class Distributed:
    """One process among several, or alone.

    Attributes
    ----------
    number, count : this process, from 0, of how many.
    device : of this process, if it is not alone.
    """

    def __init__(self, number: int = 0, count: int = 1, device: str = "") -> None:
        self.number, self.count, self.device = number, count, device

    @property
    def is_first(self) -> bool:
        """True for the process that writes."""
        return self.number == 0

    def part(self, whole: torch.Tensor) -> torch.Tensor:
        """Take this process's part of a batch, (n, ...)."""
        if self.count == 1:
            return whole
        size = len(whole) // self.count
        return whole[self.number * size : (self.number + 1) * size]

    def whole(self, part: torch.Tensor) -> torch.Tensor:
        """Put the parts of all processes together, in their order."""
        if self.count == 1:
            return part
        from accelerate.utils import gather

        found: torch.Tensor = gather(part.contiguous())
        return found

    @torch.no_grad()
    def average(self, tensors: Iterable[torch.Tensor]) -> None:
        """Put the mean over the processes in the place of each tensor."""
        if self.count == 1:
            return
        from accelerate.utils import reduce

        known = [tensor for tensor in tensors if tensor.is_floating_point()]
        # One message: each costs more than what is in it.
        flat = reduce(torch.cat([t.reshape(-1).float() for t in known]), "mean")
        parts = torch.split(flat, [t.numel() for t in known])
        for tensor, mean in zip(known, parts, strict=True):
            tensor.copy_(mean.view(tensor.shape))

    def average_gradients(self, weights: Iterable[torch.Tensor]) -> None:
        """Average what the last `backward` of each process has found."""
        if self.count > 1:
            self.average([w.grad for w in weights if w.grad is not None])

    def average_statistics(self, module: nn.Module) -> None:
        """Average what batch normalisation has seen."""
        if self.count > 1:
            self.average(module.buffers())

    def agreed(self, number: int) -> int:
        """Give the first process's number to all."""
        if self.count == 1:
            return number
        from accelerate.utils import broadcast

        told = torch.tensor(number, device=self.device)
        return int(broadcast(told))

    def wait(self) -> None:
        """Let every process come to this line before any goes on."""
        if self.count > 1:
            _state().wait_for_everyone()


@lru_cache(maxsize=1)
def distributed() -> Distributed:
    """Tell which process this is; `torchrun` says so in the environment."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Distributed()
    state = _state()
    return Distributed(state.process_index, state.num_processes, str(state.device))


def _state() -> Any:
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise InputError(
            f"several processes need accelerate, which cannot be imported ({error}); "
            "`pip install 'lfkit[distributed]'`, or start one process."
        ) from error
    return PartialState(cpu=not torch.cuda.is_available())
