"""CGAN: generator and discriminator both see the label beside the image."""

from __future__ import annotations

from typing import ClassVar

from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan_generator import GanGenerator

_PLAN = GanConfig(unconditional_fraction=0.0, conditioning="concat", pair_weight=1.0)


class Cgan(GanGenerator):
    """Makes images of a class; the discriminator sees image and class side by side.

    Mirza & Osindero 2014, arXiv:1411.1784, equation 2: only pairs are judged, so images
    without a label teach nothing. The class enters the generator as a learned row that
    is added to the noise, which is what its first layer does with a one-hot class
    beside the noise; labels are the run's, its likeliest classes.

    Parameters
    ----------
    plan : how it is trained; with `pair_weight` below 1 images are also judged alone.
    """

    paper = "CGAN (Mirza & Osindero 2014)"
    needs = "labels"
    gives = "images of the class asked for"
    label_modes: ClassVar[tuple[str, ...]] = ("condition",)
    conditionings: ClassVar[tuple[str, ...]] = ("concat",)

    def __init__(
        self, plan: GanConfig = _PLAN, *, random_state: int = 0, device: str = "cpu"
    ) -> None:
        self.plan = plan
        self.random_state = random_state
        self.device = device
