"""The label model first, then a generator that is told the class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lfkit.gan_plan import GanPlan
from lfkit.generators.generator import JointGenerator, Task
from lfkit.votes import Votes

if TYPE_CHECKING:
    import torch

    from lfkit.generators.made import Made
    from lfkit.nn import PairGan

_PLAN = GanPlan(images_first=0.0)


class TwoStage(JointGenerator):
    """Takes the labels as they are and learns images from them.

    A conditional generator against a projection discriminator (Miyato & Koyama 2018,
    arXiv:1802.05637): what a joint model has to beat.

    Parameters
    ----------
    plan : how it is trained; pairs are judged from the first step on.
    """

    def __init__(
        self,
        plan: GanPlan = _PLAN,
        *,
        random_state: int = 0,
        device: str = "cpu",
    ) -> None:
        self.plan = plan
        self.random_state = random_state
        self.device = device

    @property
    def is_conditional(self) -> bool:
        """True: it is told the class."""
        return True

    def _begin(self, task: Task) -> PairGan:
        from lfkit.nn import PairGan, Real

        k = task.proba.shape[1]
        real = Real(task.images, k, self.device)
        named = np.eye(k)[task.proba.argmax(axis=1)]
        real.set_pairs(named, task.is_labeled.astype(np.float64))
        return PairGan(real, task.shape, self.plan, self.random_state, self.device)

    def _finish(self, trained: PairGan, task: Task) -> None:
        from lfkit.generators.made import Made

        made = Made(task.shape, task.proba.shape[1], trained.plan, self.device)
        made.maker.load_state_dict(trained.average.module.state_dict())
        made.learn_to_read(task, self.random_state)
        self.made_: Made = made

    def _draw(
        self, classes: NDArray[np.int64], generator: torch.Generator
    ) -> tuple[torch.Tensor, NDArray[np.float64], NDArray[np.float64]]:
        images, labels = self.made_.draw(classes, generator)
        return images, labels, self.made_.confidence(classes)

    def _predict_proba(
        self, images: NDArray[np.uint8], votes: Votes | None
    ) -> NDArray[np.float64]:
        return self.made_.read(images)

    def _modules(self) -> Mapping[str, torch.nn.Module]:
        return self.made_.modules()

    def _settings(self) -> dict[str, Any]:
        return self.made_.settings()

    def _restore(self, settings: Mapping[str, Any]) -> None:
        from lfkit.generators.made import Made

        self.made_ = Made(self.shape_, len(self.prior_), self.plan, self.device)
        self.made_.restore(settings)
