"""The label model first, then a class-conditional generator."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.generators.gan import PairGan, RealImages
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan_generator import GanGenerator
from lfkit.generators.training_set import Progress, TrainingSet

_PLAN = GanConfig(unconditional_fraction=0.0)


class TwoStage(GanGenerator):
    """Takes the labels as they are and learns images from them.

    A conditional generator against a projection discriminator (Miyato & Koyama 2018,
    arXiv:1802.05637): what a joint model has to beat. It gives no
    confidence of its own.

    Parameters
    ----------
    plan : how it is trained; pairs are scored from the first step on.
    """

    paper = "projection GAN (Miyato & Koyama 2018)"
    needs = "labels"
    gives = "images of the class asked for"
    label_modes: ClassVar[tuple[str, ...]] = ("condition",)

    def __init__(
        self,
        plan: GanConfig = _PLAN,
        *,
        random_state: int = 0,
        device: str = "cpu",
    ) -> None:
        self.plan = plan
        self.random_state = random_state
        self.device = device

    @property
    def is_conditional(self) -> bool:
        """True: it is class-conditional."""
        return True

    def _begin(self, task: TrainingSet) -> PairGan:

        k = task.n_classes
        real = RealImages(task.images, k, self.device)
        named = np.eye(k)[task.proba.argmax(axis=1)]
        real.set_pairs(named, task.is_labeled.astype(np.float64))
        return PairGan(real, task.shape, self.plan, self.random_state, self.device)

    def _finish(
        self, trained: PairGan, task: TrainingSet, progress: Progress | None
    ) -> None:
        self.gan_ = self._new_gan(task.shape, task.n_classes)
        self.gan_.maker.load_state_dict(trained.average.module.state_dict())
        self.gan_.fit_label_classifier(task, self.random_state, progress)

    def _draw(
        self, classes: NDArray[np.int64], generator: torch.Generator
    ) -> tuple[torch.Tensor, NDArray[np.float64], NDArray[np.float64]]:
        images, labels = self.gan_.draw(classes, generator)
        return images, labels, self.gan_.confidence(classes)
