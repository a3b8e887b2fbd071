"""A step of training with a classifier beside the pair of networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch

from lfkit.generators.gan import PairGan
from lfkit.generators.gan.optimizers import backward
from lfkit.generators.trained_maker import CLASSIFIER_WIDTH
from lfkit.nn import SmallConvNet, StepContext
from lfkit.nn.distributed import distributed
from lfkit.nn.ema import Average
from lfkit.nn.state_tensors import named_tensors
from lfkit.nn.training_loop import mixed_seed


class ClassifierStep(ABC):
    """One step: that of a `PairGan`, then one of a classifier.

    Members make `gan` and `optimizer`, and write `_classify`.

    Parameters
    ----------
    shape : (h, w, c).
    average : share of itself that the moving average keeps in a step.

    Attributes
    ----------
    classifier, average : the network and its moving average, which is kept.
    """

    name: ClassVar[str] = "classifier"  # in checkpoints
    gan: PairGan
    optimizer: torch.optim.Optimizer

    def __init__(
        self,
        shape: tuple[int, int, int],
        n_classes: int,
        *,
        average: float,
        random_state: int,
        device: str,
    ) -> None:
        drawn = torch.Generator().manual_seed(mixed_seed(random_state, 7))
        self.classifier = SmallConvNet(
            shape, n_classes, width=CLASSIFIER_WIDTH, generator=drawn
        ).to(device)
        self.average = Average(self.classifier, average)

    @abstractmethod
    def _classify(self, now: StepContext) -> dict[str, torch.Tensor]:
        """Let the classifier learn; returns figures."""

    def step(self, now: StepContext) -> dict[str, torch.Tensor]:
        """Take a step of the pair of networks, then one of the classifier."""
        return self.gan.step(now) | self._classify(now)

    def show(
        self, classes: torch.Tensor, generator: torch.Generator, *, paired: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Make images of classes (n,) as the averaged generator does by now."""
        return self.gan.show(classes, generator, paired=paired)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Give all that the next step depends on."""
        return self.gan.tensors() | named_tensors(
            {self.name: self.classifier, f"{self.name}_average": self.average.module},
            {f"{self.name}_optimizer": self.optimizer},
        )

    def _learn(self, loss: torch.Tensor, rate: float, now: StepContext) -> None:
        """Take a step of the classifier down its loss, at a rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        backward(loss, self.classifier)
        self.optimizer.step()
        distributed().average_statistics(self.classifier)
        self.average.update(self.classifier, now.step)
