"""What is added to a discriminator's loss, each with its weight in the plan."""

from __future__ import annotations

import torch

from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan.cutmix import cutmix_penalty, mixing_mask
from lfkit.generators.gan.discriminator import Discriminator
from lfkit.generators.gan.losses import gradient_penalty, r1_penalty
from lfkit.nn.training_loop import StepContext

# Images as they are, the same as the discriminator saw them, and what it said of these.
_Side = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def weighted_penalties(
    discriminator: Discriminator,
    plan: GanConfig,
    now: StepContext,
    *,
    real: _Side,
    fake: _Side,
) -> dict[str, torch.Tensor]:
    """Give the penalties of a step by name, each ()."""
    found = {}
    if plan.r1_gamma and now.step % plan.r1_every == 0:
        slope = r1_penalty(discriminator.score, real[0], plan.r1_gamma)
        found["r1"] = slope * plan.r1_every
    if plan.gp_weight:
        slope = gradient_penalty(discriminator.score, real[0], fake[0], now.generator)
        found["gradient_penalty"] = plan.gp_weight * slope
    if plan.cutmix:
        n, _, h, w = real[1].shape
        mask = mixing_mask(n, (h, w), now.generator)
        unlike = cutmix_penalty(
            lambda images: discriminator(images).alone.float(),
            real[1],
            fake[1],
            real[2],
            fake[2],
            mask,
        )
        found["cutmix"] = plan.cutmix * unlike
    return found
