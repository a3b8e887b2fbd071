"""One step of ADP in two domains at once: shared noise, two images, one label."""

from __future__ import annotations

from dataclasses import replace

import torch

from lfkit.generators.adp.adp_step import AdpStep
from lfkit.generators.adp.settings import AdpSettings
from lfkit.generators.gan import GeneratorNetwork
from lfkit.generators.training_set import TrainingSet
from lfkit.nn import StepContext


class DomainPair:
    """Two steps of ADP whose generators share noise, class and common block.

    Pal & Balasubramanian 2018, figure 7, with a discriminator for each domain. Each
    domain has its own functions and its own Θ and Φ: functions rarely read both kinds
    of image. The common block learns from both discriminators, one after the other.

    Parameters
    ----------
    task : with its `second`; both have one prior.
    """

    def __init__(self, task: TrainingSet, settings: AdpSettings) -> None:
        assert task.second is not None
        self.first = AdpStep(replace(task, second=None), settings)
        self.second = AdpStep(task.second, settings, self.first)
        # Twins are of one class, whatever rounding or noise does to the shares.
        self.second.gan.shares = self.first.gan.shares
        # One moving average, too: what is kept has one common block.
        first, second = (each.gan.average.module for each in (self.first, self.second))
        assert isinstance(first, GeneratorNetwork)
        assert isinstance(second, GeneratorNetwork)
        second.images.common = first.images.common

    def step(self, now: StepContext) -> dict[str, torch.Tensor]:
        """Take one step of each domain, with the same draws."""
        again = torch.Generator(now.generator.device)
        again.set_state(now.generator.get_state())
        first = self.first.step(now)
        second = self.second.step(replace(now, generator=again))
        return first | {f"second_{name}": value for name, value in second.items()}

    def tensors(self) -> dict[str, torch.Tensor]:
        """Give all that the next step depends on."""
        return {
            f"{domain}.{name}": value
            for domain, of in (("first", self.first), ("second", self.second))
            for name, value in of.tensors().items()
        }
