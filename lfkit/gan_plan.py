"""How generator and discriminator are trained; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


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

    @property
    def first_pair(self) -> int:
        """The step from which pairs are judged."""
        return 0 if self.labels == "none" else round(self.n_steps * self.images_first)
