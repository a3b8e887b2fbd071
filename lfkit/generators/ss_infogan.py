"""ss-InfoGAN: codes that become classes with a few labels, and continuous codes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.errors import InputError
from lfkit.generators.classifier_gan import ClassifierGan
from lfkit.generators.gan import RealImages, StepHooks
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.plan import check_number
from lfkit.nn.sending import sent

# Image : class : codes as 1 : 2 : .8, as in the authors' code.
_PLAN = GanConfig(
    unconditional_fraction=0.0,
    conditioning="classifier",
    pair_weight=2 / 3,
    n_codes=2,
    code_weight=0.8 / 3,
)


class SsInfoGan(ClassifierGan):
    """Finds classes and continuous codes in images, guided by some labels.

    Spurr et al. 2017, arXiv:1707.04487. Which code a generated image was made of, the
    discriminator's body must find again; labels of real images tell which code is which
    class. Without them (`real_labels=none`) it is InfoGAN (Chen et al. 2016,
    arXiv:1606.03657), and the run's labels only name the codes in the end.

    Parameters
    ----------
    plan : `n_codes` continuous codes, shown by `lfkit generate --traverse`.
    real_labels : "model": the run's, soft; "seeds": only theirs; "true"; "none".
    anneal : share of the steps in which batches of unlabeled images become as frequent
        as such images are: the first batches are all labeled.
    """

    paper = "ss-InfoGAN (Spurr et al. 2017)"
    needs = "labels of a few images, or none"
    gives = "images of the class asked for, codes, labels of real images"

    def __init__(
        self,
        plan: GanConfig = _PLAN,
        *,
        real_labels: str = "model",
        anneal: float = 0.2,
        random_state: int = 0,
        device: str = "cpu",
    ) -> None:
        self.plan = plan
        self.real_labels = real_labels
        self.anneal = anneal
        self.random_state = random_state
        self.device = device

    def _check_settings(self, has_functions: bool) -> None:
        super()._check_settings(has_functions)
        check_number("anneal", self.anneal, 0, 1)
        if self.real_labels == "none" and self.plan.conditioning == "multi-hinge":
            raise InputError(
                "real_labels is 'none' and conditioning 'multi-hinge', whose scores of "
                "real classes only labels of real images teach. Set conditioning to "
                "'classifier'."
            )

    def _hooks(self, real: RealImages) -> StepHooks:
        labeled = real.weights.cpu().numpy() > 0
        return StepHooks(
            rows=LabeledRows(labeled, self),
            keeps_discriminator=True,
            # Nobody else can teach it: the codes would mean nothing.
            learns_from_fake=not labeled.any(),
        )


class LabeledRows:
    """Draws batches of real images that are wholly labeled, or wholly not.

    Parameters
    ----------
    labeled : (n,) which images have a label.
    """

    def __init__(self, labeled: NDArray[np.bool_], asked: SsInfoGan) -> None:
        self.labeled, self.others = np.flatnonzero(labeled), np.flatnonzero(~labeled)
        self.random_state, self.device = asked.random_state, asked.device
        plan = asked.plan
        self.n_annealed = asked.anneal * plan.n_steps * plan.n_discriminator

    def __call__(self, number: int, batch: int) -> torch.Tensor:
        """Draw rows of the batch of a number, (batch,)."""
        rng = np.random.default_rng([self.random_state, 2, number])
        pool = self.others if rng.random() < self.share(number) else self.labeled
        return sent(rng.choice(pool, batch), self.device)

    def share(self, number: int) -> float:
        """Give the probability of a batch without labels by then."""
        most = len(self.others) / (len(self.others) + len(self.labeled))
        if not len(self.labeled):
            return 1.0
        return min(most, number / self.n_annealed) if self.n_annealed else most
