"""How generator and discriminator are trained."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from lfkit.errors import InputError
from lfkit.generators.gan.networks import GAN_NETWORKS
from lfkit.generators.plan import GeneratorPlan, check_choice, check_number

LABEL_MODES = ("condition", "head", "none")
CONDITIONINGS = ("projection", "concat", "classifier", "multi-hinge", "coupled")
LOSSES = ("non-saturating", "saturating", "hinge", "wasserstein", "relativistic")
# These judge a label and its image together.
OF_PAIRS = ("projection", "concat")
POLICIES = ("color", "translation", "cutout")

_Bounds = tuple[float, float]
_NUMBERS: dict[str, _Bounds] = {  # both ends are allowed
    "unconditional_fraction": (0, 1),
    "z_dim": (1, math.inf),
    "rate_g": (0, 1),
    "rate_d": (0, 1),
    "rate_head": (0, 1),
    "beta1": (0, 0.999),
    "decay_from": (0, 1),
    "average": (0, 0.99999),
    "r1_gamma": (0, math.inf),
    "r2_gamma": (0, math.inf),
    "r1_every": (1, math.inf),
    "gp_weight": (0, math.inf),
    "cutmix": (0, math.inf),
    "n_discriminator": (1, math.inf),
    "draw_factor": (1, math.inf),
    "n_codes": (0, math.inf),
    "code_weight": (0, math.inf),
    "pair_weight": (0, 1),
}


@dataclass(frozen=True, kw_only=True)
class GanConfig(GeneratorPlan):
    """What an adversarial training does; the defaults are for small images on a CPU.

    Attributes
    ----------
    n_steps : updates of generator and discriminator, one each.
    unconditional_fraction : share of the steps, the first ones, in which the
        discriminator sees images only, no pairs.
    batch : real images per step, and as many generated ones.
    network : a name of GAN_NETWORKS; `width` None is its own default.
    label_mode : "condition": the generator is class-conditional; "head": a head of it
        predicts the class; "none": images only.
    head_on : what a label head sees: "common", the common block; "maps", the last
        maps of the image, through two layers with dropout (JGAN).
    conditioning : what the discriminator does with labels. "projection", "concat": it
        judges pairs; "classifier": it names the class, of real images and for
        generated ones (AC-GAN); "multi-hinge": it has two scores for each class, real
        and generated; "coupled": it judges labels alone, by the layers that judge
        images (CoGAN).
    loss : "non-saturating", "saturating", "hinge", "wasserstein" or "relativistic": how
        much more real a real image looks than a generated one (R3GAN).
    rate_g, rate_d, rate_head : of Adam; they fall to a tenth after `decay_from`, a
        share of the steps.
    average : decay of the moving average of the generator, which is what is kept.
    r1_gamma, r2_gamma : of the penalties on the discriminator's gradient at real and
        at generated images, every `r1_every` steps; 0 = none.
    gp_weight : of the gradient penalty between real and generated images; 0 = none.
    cutmix : price of judging the pixels of a mixed image unlike those of the two that
        it is made of; for a network that judges pixels.
    spectral_norm : keep the discriminator's layers at norm 1.
    n_discriminator : its updates for each of the generator.
    draw_factor, stratify : draw so many times as many generated images, and keep those
        that fool the discriminator best, of each class its share.
    n_codes, code_weight : continuous codes that the generator is told, and the price
        of their not being found in its images (InfoGAN).
    augment : policies of DiffAugment. None by default: in short trainings translation
        and cutout cost 3 points of label fidelity.
    pair_weight : of the judgement on pairs; the rest is the judgement on images.
    reader_steps, precision, compile : as of every `GeneratorPlan`.
    """

    rates: ClassVar[tuple[str, ...]] = ("rate_g", "rate_d", "rate_head")

    unconditional_fraction: float = 0.5
    network: str = "dcgan"
    width: int | None = None
    z_dim: int = 64
    label_mode: str = "condition"
    head_on: str = "common"
    conditioning: str = "projection"
    loss: str = "non-saturating"
    rate_g: float = 2e-4
    rate_d: float = 4e-4
    rate_head: float = 1e-3
    beta1: float = 0.5
    decay_from: float = 0.6
    average: float = 0.995
    r1_gamma: float = 0.0
    r2_gamma: float = 0.0
    r1_every: int = 16
    gp_weight: float = 0.0
    cutmix: float = 0.0
    spectral_norm: bool = True
    n_discriminator: int = 1
    draw_factor: int = 1
    stratify: bool = True
    n_codes: int = 0
    code_weight: float = 0.25
    augment: tuple[str, ...] = ()
    pair_weight: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what no training can be done with."""
        super().__post_init__()
        for name, allowed in (
            ("network", tuple(GAN_NETWORKS)),
            ("label_mode", LABEL_MODES),
            ("head_on", ("common", "maps")),
            ("conditioning", CONDITIONINGS),
            ("loss", LOSSES),
        ):
            check_choice(name, getattr(self, name), allowed)
        for policy in self.augment:
            check_choice("augment", policy, POLICIES)
        for name, (least, most) in _NUMBERS.items():
            check_number(name, getattr(self, name), least, most)
        if self.width is not None:
            check_number("width", self.width, 4)
        for is_senseless, reason in self._contradictions():
            if is_senseless:
                raise InputError(reason)

    def _contradictions(self) -> tuple[tuple[bool, str], ...]:
        """Give combinations of settings that make no sense, and why."""
        return (
            (
                self.compile
                and any((self.r1_gamma, self.r2_gamma, self.gp_weight, self.cutmix)),
                "compile is true with r1_gamma, r2_gamma, gp_weight or cutmix: torch "
                "compiles no gradient of a gradient, nor two looks at images for one. "
                "Set compile to false, or these to 0.",
            ),
            (
                self.loss == "wasserstein" and not self.gp_weight,
                "loss is 'wasserstein' and gp_weight 0: without a penalty nothing "
                "bounds the critic's scores. Set gp_weight, to 10 as a rule.",
            ),
            (
                self.loss == "wasserstein" and self.conditioning == "multi-hinge",
                "loss is 'wasserstein' and conditioning 'multi-hinge': a critic has no "
                "margin to keep. Set conditioning to 'classifier', or loss to 'hinge'.",
            ),
            (
                self.loss == "wasserstein"
                and self.label_mode != "none"
                and self.conditioning in (*OF_PAIRS, "coupled"),
                f"loss is 'wasserstein' and conditioning {self.conditioning!r}: the "
                "penalty bounds the critic of images, not that of labels. Set "
                "conditioning to 'classifier'.",
            ),
            (
                self.unconditional_fraction == 1 and self.label_mode != "none",
                "unconditional_fraction is 1: no pair would ever be judged. Set it "
                "lower, or label_mode to 'none'.",
            ),
            *(
                (
                    getattr(self, name) == 0,
                    f"{name} is 0: nothing would be learned. Give a number above 0, "
                    f"{getattr(GanConfig, name):g} as a rule.",
                )
                for name in self.rates
                if name != "rate_head" or self.label_mode == "head"
            ),
            (
                self.pair_weight == 0 and self.label_mode != "none",
                "pair_weight is 0: labels would teach nothing. Give a number above 0.",
            ),
            (
                self.n_codes > 0 and self.code_weight == 0,
                "code_weight is 0: images would not follow the codes. Give a number "
                "above 0, or set n_codes to 0.",
            ),
            (
                self.cutmix > 0 and not GAN_NETWORKS[self.network].body.scores_pixels,
                f"cutmix is {self.cutmix:g} and network {self.network!r}, whose "
                "discriminator does not judge pixels. Set network to "
                "'biggan', or cutmix to 0.",
            ),
            (
                self.conditioning == "coupled" and self.label_mode == "condition",
                "conditioning is 'coupled' and label_mode 'condition': a judgement of "
                "labels alone teaches nothing where labels are requested. Set "
                "label_mode to 'head', or conditioning to 'projection'.",
            ),
            (
                self.conditioning == "coupled"
                and self.label_mode == "head"
                and GAN_NETWORKS[self.network].body.scores_pixels,
                f"conditioning is 'coupled' and network {self.network!r}, whose "
                "discriminator judges pixels: it has no layers to judge labels by. Set "
                "network to 'dcgan'.",
            ),
            (
                self.pair_weight == 1
                and self.label_mode != "none"
                and self.conditioning in ("classifier", "coupled"),
                f"pair_weight is 1 and conditioning {self.conditioning!r}: nothing "
                "would judge the images. Set pair_weight to 0.5.",
            ),
            (
                self.pair_weight == 1
                and self.label_mode != "none"
                and self.conditioning in ("concat", "multi-hinge")
                and bool(self.gp_weight or self.cutmix or self.draw_factor > 1),
                f"pair_weight is 1 and conditioning {self.conditioning!r}: nothing "
                "judges images alone, which gp_weight, cutmix and draw_factor need. "
                "Set pair_weight to 0.5, or leave these out.",
            ),
        )

    def doubts(self, given: Collection[str]) -> list[str]:
        """Say which settings will probably break a training, or change nothing.

        Parameters
        ----------
        given : names of those that were asked for.
        """
        idle = [
            f"{name} changes nothing where {because}."
            for name, because, is_idle in (
                ("rate_head", "label_mode is not 'head'", self.label_mode != "head"),
                ("head_on", "label_mode is not 'head'", self.label_mode != "head"),
                (
                    "unconditional_fraction",
                    "label_mode is 'none'",
                    self.label_mode == "none",
                ),
                ("pair_weight", "label_mode is 'none'", self.label_mode == "none"),
                (
                    "r1_every",
                    "r1_gamma and r2_gamma are 0",
                    not (self.r1_gamma or self.r2_gamma),
                ),
                ("code_weight", "n_codes is 0", not self.n_codes),
                ("stratify", "draw_factor is 1", self.draw_factor == 1),
            )
            if is_idle and name in given
        ]
        return super().doubts(given) + idle

    @property
    def first_pair(self) -> int:
        """The step from which pairs are judged."""
        return (
            0
            if self.label_mode == "none"
            else round(self.n_steps * self.unconditional_fraction)
        )
