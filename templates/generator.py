# Fill in, and copy to: lfkit/generators/conditional.py
# Table GENERATORS in lfkit/generators/__init__.py, an import and one line:
#   from lfkit.generators.conditional import Conditional as Conditional
#       "conditional": Conditional,
# Check: python -m pytest tests/test_generators.py -k "conditional"
# Try:   lfkit train RUN --with conditional --steps 300
"""A plain conditional GAN, whose discriminator sees the label beside the image."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.generators.gan import PairGan, RealImages
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan_generator import GanGenerator
from lfkit.generators.training_set import Progress, TrainingSet

_PLAN = GanConfig(unconditional_fraction=0.0, conditioning="concat")


class Conditional(GanGenerator):
    """Makes images of a class; the discriminator sees image and class side by side.

    Mirza & Osindero (2014), https://arxiv.org/abs/1411.1784.

    Parameters
    ----------
    plan : how it is trained; pairs are judged from the first step on.
    """

    # The line of `lfkit list generators`.
    paper, needs, gives = "CGAN (Mirza & Osindero 2014)", "labels", "images of a class"
    # The values of the setting `labels` that it can be trained with.
    label_modes: ClassVar[tuple[str, ...]] = ("condition",)
    is_conditional = True

    def __init__(
        self, plan: GanConfig = _PLAN, *, random_state: int = 0, device: str = "cpu"
    ) -> None:
        self.plan = plan
        self.random_state = random_state
        self.device = device

    # Give the networks and optimizers that the training loop steps through.
    def _begin(self, task: TrainingSet) -> PairGan:
        real = RealImages(task.images, task.n_classes, self.device)
        real.set_pairs(task.proba, task.is_labeled.astype(np.float64))
        return PairGan(real, task.shape, self.plan, self.random_state, self.device)

    # Keep what samples are drawn from, in `gan_`: it is saved and loaded.
    def _finish(
        self, trained: PairGan, task: TrainingSet, progress: Progress | None
    ) -> None:
        self.gan_ = self._new_gan(task.shape, task.n_classes)
        self.gan_.maker.load_state_dict(trained.average.module.state_dict())
        self.gan_.fit_label_classifier(task, self.random_state, progress)

    # Images of these classes, their label distributions (n, k), and confidence (n,).
    def _draw(
        self, classes: NDArray[np.int64], generator: torch.Generator
    ) -> tuple[torch.Tensor, NDArray[np.float64], NDArray[np.float64]]:
        images, labels = self.gan_.draw(classes, generator)
        return images, labels, np.full(len(classes), np.nan)  # it does not know
