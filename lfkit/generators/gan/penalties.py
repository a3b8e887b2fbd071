"""What is added to a discriminator's loss, each with its weight in the plan."""

from __future__ import annotations

from functools import partial

import torch

from lfkit.generators.gan.config import OF_PAIRS, GanConfig
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
    labels: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> dict[str, torch.Tensor]:
    """Give the penalties of a step by name, each ().

    Parameters
    ----------
    labels : (n, k) of the real and of the fake ones, where pairs are judged.
    """
    found = {}
    if now.step % plan.r1_every == 0:
        sides = (("r1", plan.r1_gamma, real), ("r2", plan.r2_gamma, fake))
        for number, (name, gamma, side) in enumerate(sides):
            if gamma:
                told = None if labels is None else labels[number].detach()
                score = partial(_judgement, discriminator, plan, told)
                found[name] = r1_penalty(score, side[0], gamma) * plan.r1_every
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


def _judgement(
    discriminator: Discriminator,
    plan: GanConfig,
    labels: torch.Tensor | None,
    images: torch.Tensor,
) -> torch.Tensor:
    """Score images, (n,), as the loss does: alone, and with their labels."""
    if labels is None or plan.conditioning not in OF_PAIRS:
        return discriminator.score(images)
    scores = discriminator(images, labels)
    alone = scores.alone
    if alone.ndim > 1:
        alone = alone.mean(dim=(1, 2))
    return (1 - plan.pair_weight) * alone + plan.pair_weight * scores.pairs
