"""AC-GAN: a discriminator that also classifies; adversarial sampling."""

from __future__ import annotations

from lfkit.generators.classifier_gan import ClassifierGan
from lfkit.generators.gan import RealImages, StepHooks
from lfkit.generators.gan.config import GanConfig

_PLAN = GanConfig(unconditional_fraction=0.0, conditioning="classifier")


class Acgan(ClassifierGan):
    """Learns classes from labeled images, and images from all of them.

    Odena et al. 2017, arXiv:1610.09585, without the classifier's loss on generated
    images, as active learning for class-conditional GANs has it (Xie & Huang 2019).
    That paper's adversarial sampling is `draw_factor=4`, and off: on digits it cost 20
    points of fidelity in 2,000 steps. Which images a person should label next, `lfkit
    active` asks its classifier. As in the paper also with `network=sngan`, or as
    WGAN-GP: `loss=wasserstein gp_weight=10 spectral_norm=false n_discriminator=5`.

    Parameters
    ----------
    real_labels : "model": the run's; "seeds": only theirs; "true", for comparison.
    """

    paper = "ALCG (Xie & Huang 2019)"
    needs = "labels of some images"
    real_label_kinds = ("model", "true", "seeds")  # who else would teach it?
    gives = "images of the class asked for, labels of real images"

    def __init__(
        self,
        plan: GanConfig = _PLAN,
        *,
        real_labels: str = "model",
        random_state: int = 0,
        device: str = "cpu",
    ) -> None:
        self.plan = plan
        self.real_labels = real_labels
        self.random_state = random_state
        self.device = device

    def _hooks(self, real: RealImages) -> StepHooks:
        return StepHooks(keeps_discriminator=True)
