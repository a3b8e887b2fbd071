"""Images first, then the vote of the functions on each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.aggregators.aggregate import make_aggregator
from lfkit.data.votes import Votes
from lfkit.generators.gan import PairGan, RealImages
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan_generator import GanGenerator
from lfkit.generators.training_set import Progress, TrainingSet
from lfkit.labeling.labeling_function import LabelingFunction

_PLAN = GanConfig(label_mode="none")


class Vote(GanGenerator):
    """Learns images without any label; the functions then label what it makes.

    What the labels of generated images are worth without joint training. After `load`
    it needs `bind`: the functions are code, and are not saved.

    Parameters
    ----------
    aggregator : how the votes on a generated image become its label.
    """

    paper = ""
    needs = "functions"
    gives = "images labeled by the functions"
    label_modes: ClassVar[tuple[str, ...]] = ("none",)
    functions: ClassVar[Literal["never", "may", "must"]] = "must"

    def __init__(
        self,
        plan: GanConfig = _PLAN,
        *,
        aggregator: str = "auto",
        random_state: int = 0,
        device: str = "cpu",
    ) -> None:
        self.plan = plan
        self.aggregator = aggregator
        self.random_state = random_state
        self.device = device

    def bind(self, lfs: Sequence[LabelingFunction], votes: Votes) -> None:
        """Give it the functions and their votes on the real images."""
        super().bind(lfs, votes)
        self._is_soft = votes.soft is not None
        self._by_votes = make_aggregator(self.aggregator, None, self.random_state).fit(
            votes
        )

    def _real(self, task: TrainingSet) -> RealImages:
        return RealImages(task.images, task.n_classes, self.device)

    def _finish(
        self, trained: PairGan, task: TrainingSet, progress: Progress | None
    ) -> None:
        super()._finish(trained, task, progress)
        self.bind(task.lfs, task.votes)

    def _draw(
        self, classes: NDArray[np.int64], generator: torch.Generator
    ) -> tuple[torch.Tensor, NDArray[np.float64], NDArray[np.float64]]:
        block = self.bound
        images, _ = self.gan_.draw(classes, generator)
        votes = block.stored(block(images), is_soft=self._is_soft)
        proba = self._by_votes.predict_proba(votes)
        return images, proba, proba.max(axis=1)

    def _predict_proba(
        self, images: NDArray[np.uint8], votes: Votes | None
    ) -> NDArray[np.float64]:
        if votes is not None and hasattr(self, "_by_votes"):
            return self._by_votes.predict_proba(votes)
        return self.gan_.read(images)
