"""The label model first, then a class-conditional generator."""

from __future__ import annotations

from typing import ClassVar

from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan_generator import GanGenerator

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
