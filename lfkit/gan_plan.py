"""How generator and discriminator are trained; imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lfkit.errors import InputError

NETWORKS = ("dcgan", "cogan", "sngan")
LABELS = ("condition", "head", "none")
JOINS = ("projection", "concat")
LOSSES = ("non-saturating", "saturating", "hinge")
POLICIES = ("color", "translation", "cutout")

_Bounds = tuple[float, float]
_NUMBERS: dict[str, _Bounds] = {  # both ends are allowed
    "n_steps": (1, math.inf),
    "images_first": (0, 1),
    "batch": (2, math.inf),  # normalised over the batch
    "z_dim": (1, math.inf),
    "rate_g": (0, 1),
    "rate_d": (0, 1),
    "rate_head": (0, 1),
    "beta1": (0, 0.999),
    "decay_from": (0, 1),
    "average": (0, 0.99999),
    "r1_gamma": (0, math.inf),
    "r1_every": (1, math.inf),
    "pair_weight": (0, 1),
    "reader_steps": (1, math.inf),
}


@dataclass(frozen=True)
class GanPlan:
    """What an adversarial training does; the defaults are for small images on a CPU.

    Attributes
    ----------
    n_steps : updates of generator and discriminator, one each.
    images_first : share of the steps in which only images are judged, no pairs.
    batch : real images per step, and as many generated ones.
    network : a name of GAN_NETWORKS; `width` None is its own default.
    labels : "condition": the generator is told the class; "head": it tells the class
        of what it made; "none": images only.
    join : how the discriminator sees labels, "projection" or "concat".
    loss : "non-saturating", "saturating" or "hinge".
    rate_g, rate_d, rate_head : of Adam; they fall to a tenth after `decay_from`, a
        share of the steps.
    average : decay of the moving average of the generator, which is what is kept.
    r1_gamma : of the penalty on the discriminator's gradient at real images, every
        `r1_every` steps; 0 = none.
    augment : policies of DiffAugment. None by default: in short trainings translation
        and cutout cost 3 points of label fidelity.
    pair_weight : of the judgement on pairs; the rest is the judgement on images.
    reader_steps : of the network that afterwards learns to name the class of real
        images, from them and from generated pairs.
    """

    n_steps: int = 6000
    images_first: float = 0.5
    batch: int = 64
    network: str = "dcgan"
    width: int | None = None
    z_dim: int = 64
    labels: str = "condition"
    join: str = "projection"
    loss: str = "non-saturating"
    rate_g: float = 2e-4
    rate_d: float = 4e-4
    rate_head: float = 1e-3
    beta1: float = 0.5
    decay_from: float = 0.6
    average: float = 0.995
    r1_gamma: float = 0.0
    r1_every: int = 16
    augment: tuple[str, ...] = ()
    pair_weight: float = 0.5
    reader_steps: int = 600

    def __post_init__(self) -> None:
        """Refuse what no training can be done with."""
        for name, allowed in (
            ("network", NETWORKS),
            ("labels", LABELS),
            ("join", JOINS),
            ("loss", LOSSES),
        ):
            check_choice(name, getattr(self, name), allowed)
        for policy in self.augment:
            check_choice("augment", policy, POLICIES)
        for name, (least, most) in _NUMBERS.items():
            check_number(name, getattr(self, name), least, most)
        if self.width is not None:
            check_number("width", self.width, 4)

    @property
    def first_pair(self) -> int:
        """The step from which pairs are judged."""
        return 0 if self.labels == "none" else round(self.n_steps * self.images_first)


def check_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Refuse what is not among the values of a setting."""
    if value not in allowed:
        known = ", ".join(map(str, allowed))
        raise InputError(f"{name} is {value!r}; choose from {known}.")


def check_number(name: str, value: float, least: float, most: float = math.inf) -> None:
    """Refuse a number outside of a setting's bounds, both of which are allowed."""
    if least <= value <= most and math.isfinite(value):
        return
    bounds = f"{least:g} or more" if most == math.inf else f"{least:g} to {most:g}"
    raise InputError(f"{name} is {value:g}; give {bounds}.")
