"""A trained generator whose image branch learns to make images of another domain."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any, cast

import torch
import torch.nn.functional as F

from lfkit.generators.adp.structure import same_structure
from lfkit.generators.gan import (
    GeneratorNetwork,
    PairGan,
    RealImages,
    StepHooks,
    make_images,
)
from lfkit.generators.gan.batches import FakeBatch
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan.generator_network import autocast
from lfkit.nn.distributed import distributed
from lfkit.nn.training_loop import StepContext


class TunedGan(PairGan):
    """One step of transfer: images of the target domain, without labels or votes.

    Pal & Balasubramanian 2018, section 5: the common block and the label part stay as
    the source domain has taught them, their statistics too; the image branch begins
    at the source's weights and is trained on. The discriminator is new and sees
    images only, so nothing but the frozen part ties a class to its images. What is
    ours: `hold`, a price for images without the structure of those that the source
    generator makes of the same noise and class.

    Parameters
    ----------
    real : images of the target; their labels are not read.
    source : the trained generator of the source domain.
    shares : (k,) of the classes it is conditioned on.
    plan : of the source; what it says of labels tells how the generator is made.
    hold : that price; 0: none, as in the paper.
    """

    def __init__(
        self,
        real: RealImages,
        shape: tuple[int, int, int],
        source: GeneratorNetwork,
        shares: torch.Tensor,
        plan: GanConfig,
        random_state: int,
        device: str,
        hold: float,
    ) -> None:
        # The caller's own stays as it was, and where it was.
        self.source = deepcopy(source).to(device).eval().requires_grad_(False)
        self.made_as, self.hold = plan, hold
        self._twins = torch.zeros(0)
        super().__init__(
            real,
            shape,
            replace(plan, label_mode="none"),  # as the discriminator sees it
            random_state,
            device,
            StepHooks(self._lost_structure if hold else None),
        )
        self.shares = shares.to(device, torch.float32)

    def _new_maker(
        self, shape: tuple[int, int, int], drawn: torch.Generator
    ) -> GeneratorNetwork:
        maker = _HalfFrozen(
            shape, self.source.n_labels, self.made_as, drawn, group=self.source.group
        )
        maker.images.take(self.source.images)
        if maker.head is not None:
            assert self.source.head is not None
            maker.head.load_state_dict(self.source.head.state_dict())
        maker.requires_grad_(False)
        for weight in maker.images.image_branch():
            weight.requires_grad_(True)
        return maker

    def _groups(self) -> list[dict[str, Any]]:
        weights = self.maker.images.image_branch()
        return [{"params": weights, "rate": self.plan.rate_g}]

    def _make(self, now: StepContext, paired: bool) -> FakeBatch:
        """Generate a batch, and what the source makes of the same noise and class."""
        plan, of_all = self.plan, distributed()
        z = of_all.part(self._normal(plan.batch, now.generator))
        classes = of_all.part(self._classes(now))
        codes = None
        if plan.n_codes:
            drawn = torch.rand(
                plan.batch, plan.n_codes, generator=now.generator, device=self.device
            )
            codes = of_all.part(drawn * 2 - 1)
        asked = classes if self.made_as.label_mode == "condition" else None
        with autocast(self.device, plan.precision):
            images, _ = self.maker(z, asked, codes)
        if self.hold:
            self._twins, _ = make_images(self.source, z, asked, codes)
        return FakeBatch(images.float(), classes, None, codes)

    def _lost_structure(
        self, images: torch.Tensor, classes: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        kept = same_structure(self._twins, images).mean()
        return self.hold * (1 - kept), {"structure_kept": kept}

    def show(
        self, classes: torch.Tensor, generator: torch.Generator, *, paired: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Make images of classes (n,) as the averaged generator does by now."""
        z = self._normal(len(classes), generator)
        asked = None
        if self.made_as.label_mode == "condition":
            asked = F.one_hot(classes, self.maker.n_labels).float()
        codes = z.new_zeros(len(z), self.plan.n_codes) if self.plan.n_codes else None
        return make_images(cast(GeneratorNetwork, self.average.module), z, asked, codes)


class _HalfFrozen(GeneratorNetwork):
    """A generator whose common block and label head keep their statistics, too."""

    def train(self, mode: bool = True) -> _HalfFrozen:
        super().train(mode)
        self.images.common.eval()
        if self.head is not None:
            self.head.eval()
        return self
