"""Adversarial losses on logits, and penalties on the discriminator's gradient."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from lfkit.generators.gan.config import LOSSES
from lfkit.generators.plan import check_choice
from lfkit.nn.compute import repeatable

Discriminate = Callable[[torch.Tensor], torch.Tensor]


def d_loss(
    real: torch.Tensor,
    fake: torch.Tensor,
    kind: str,
    *,
    weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Give the discriminator's loss, ().

    Parameters
    ----------
    real, fake : (n,) logits, or (n, h, w) of pixels.
    kind : one of LOSSES; "saturating" differs for the generator only. "relativistic"
        compares the first real one with the first fake, and so on (Jolicoeur-Martineau
        2019, arXiv:1807.00734; Huang et al. 2024, arXiv:2501.05441).
    weight : (n,) of the real ones; where all are 0 the real side costs nothing.
    """
    check_choice("loss", kind, LOSSES)
    if kind == "relativistic":
        return _weighted(F.softplus(fake - real), weight)
    if kind == "hinge":
        of_real, of_fake = F.relu(1 - real), F.relu(1 + fake)
    elif kind == "wasserstein":
        of_real, of_fake = -real, fake
    else:
        of_real, of_fake = F.softplus(-real), F.softplus(fake)
    return _weighted(of_real, weight) + of_fake.mean()


def g_loss(
    fake: torch.Tensor,
    kind: str,
    *,
    real: torch.Tensor | None = None,
    weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Give the generator's loss, (), of (n,) logits, or (n, h, w) of pixels.

    Parameters
    ----------
    real, weight : logits of real images and their weights (n,), which a relativistic
        loss compares with; others make no use of them.
    """
    check_choice("loss", kind, LOSSES)
    if kind == "relativistic":
        assert real is not None
        return _weighted(F.softplus(real - fake), weight)
    if kind in ("hinge", "wasserstein"):
        return -fake.mean()
    if kind == "saturating":
        return -F.softplus(fake).mean()  # log(1 - sigmoid(D)), as first printed
    return F.softplus(-fake).mean()


def r1_penalty(
    discriminate: Discriminate, images: torch.Tensor, gamma: float
) -> torch.Tensor:
    """Give gamma / 2 times the mean squared gradient at some images, ().

    Mescheder et al. 2018, arXiv:1801.04406, equation 9: R1 at real images, R2 at
    generated ones.
    """
    images = images.detach().requires_grad_(True)
    return gamma / 2 * _slopes(discriminate, images).square().sum(dim=1).mean()


def gradient_penalty(
    discriminate: Discriminate,
    real: torch.Tensor,
    fake: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """Give the mean of (the gradient's norm - 1)² between real and fake, ().

    Gulrajani et al. 2017, arXiv:1704.00028, equation 3: a norm and a place per image.
    """
    place = torch.rand(
        (len(real), *[1] * (real.ndim - 1)), generator=generator, device=real.device
    )
    between = (place * real + (1 - place) * fake).detach().requires_grad_(True)
    slopes = _slopes(discriminate, between)
    return (slopes.norm(dim=1) - 1).square().mean()


def _weighted(values: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    if weight is None:
        return values.mean()
    return (values * weight).sum() / weight.sum().clamp_min(1e-6)


def _slopes(discriminate: Discriminate, images: torch.Tensor) -> torch.Tensor:
    scores = discriminate(images)
    with repeatable():
        (slopes,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return slopes.flatten(1)
