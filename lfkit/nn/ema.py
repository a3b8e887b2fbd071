"""A moving average of a network."""

from __future__ import annotations

import copy

import torch
from torch import nn

from lfkit.nn.spectral_norm import Spectral


class Average:
    """The exponential moving average of a network's weights and statistics.

    The single largest gain in image quality for nothing: FID 12 to 13 became 8 to 9.

    Parameters
    ----------
    decay : how much of the average stays at each update.
    warmup : remember less at first, when weights are noise.
    """

    def __init__(self, module: nn.Module, decay: float, warmup: bool = True) -> None:
        self.module = copy.deepcopy(module).requires_grad_(False).eval()
        self.decay, self.warmup = decay, warmup
        self.spectral = [m for m in self.module.modules() if isinstance(m, Spectral)]

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards the network after a step; the first step is 0.

        Statistics of batch normalisation are averaged like weights: those of the last
        batches belong to weights that the average does not have.
        """
        memory = self.decay
        if self.warmup:
            memory = min(memory, (step + 1) / (step + 10))
        kept, new = [], []
        pairs = zip(
            self.module.state_dict().values(),
            module.state_dict().values(),
            strict=True,
        )
        for old, fresh in pairs:
            if old.is_floating_point():
                kept.append(old)
                new.append(fresh.detach())
            else:
                old.copy_(fresh)
        torch._foreach_lerp_(kept, new, 1 - memory)
        # Vectors that turn get shorter by averaging, and norms with them too small.
        for layer in self.spectral:
            layer.refresh()
