"""CoGAN: two coupled generators, one of images and one of labels."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from lfkit.generators.gan import PairGan, RealImages
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan_generator import GanGenerator
from lfkit.generators.training_set import Progress, TrainingSet

_PLAN = GanConfig(
    unconditional_fraction=0.0,
    label_mode="head",
    conditioning="coupled",
    rate_head=1e-4,  # as JGAN's
)


class CoGan(GanGenerator):
    """Makes an image and a label of one noise; no pair is ever judged.

    Liu & Tuzel 2016, arXiv:1606.07536: the generators of two domains share
    their first layers, their discriminators the last ones; what the domains have in
    common should follow from that alone. ADP (Pal & Balasubramanian 2018, section 4.4)
    compares with it after a "change of the use case setup" that it does not describe.
    Taken here: the second domain is the labels. One discriminator judges images, the
    other labels, real ones being the run's posteriors, so that neither side is surer
    than the other. Nothing says which label belongs to which image.

    Parameters
    ----------
    plan : how it is trained.
    """

    paper = "CoGAN (Liu & Tuzel 2016)"
    needs = "labels of some images"
    gives = "labels beside images, not tied to them"
    has_sample_confidence = True
    label_modes: ClassVar[tuple[str, ...]] = ("head",)
    conditionings: ClassVar[tuple[str, ...]] = ("coupled",)

    def __init__(
        self, plan: GanConfig = _PLAN, *, random_state: int = 0, device: str = "cpu"
    ) -> None:
        self.plan = plan
        self.random_state = random_state
        self.device = device

    def _real(self, task: TrainingSet) -> RealImages:
        real = RealImages(task.images, task.n_classes, self.device, fixed=True)
        real.set_pairs(task.proba, task.is_labeled.astype(np.float64))
        return real

    def _finish(
        self, trained: PairGan, task: TrainingSet, progress: Progress | None
    ) -> None:
        self.gan_ = self._new_gan(task.shape, task.n_classes)
        self.gan_.maker.load_state_dict(trained.average.module.state_dict())
        # Its own pairs would teach a reader what they do not know.
        self.gan_.fit_label_classifier(
            task, self.random_state, progress, learns_from_fake=False
        )
