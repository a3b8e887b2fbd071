"""CutMix: scores of a mixed image's pixels are to match those of its two images."""

from __future__ import annotations

from collections.abc import Callable

import torch


def mixing_mask(
    n: int, sides: tuple[int, int], generator: torch.Generator
) -> torch.Tensor:
    """Draw where a mixed image is of the first kind, (n, h, w) of 0 and 1.

    Outside of a rectangle of a uniformly drawn share of the image (Yun et al. 2019,
    arXiv:1905.04899: Beta(1, 1)).
    """
    device = generator.device
    drawn = torch.rand(3, n, generator=generator, device=device)
    inside = []
    for place, side in zip(drawn[1:], sides, strict=True):
        half = (drawn[0].sqrt() * side / 2)[:, None]
        pixel = torch.arange(side, device=device) + 0.5
        inside.append((pixel - (place * side)[:, None]).abs() < half)
    return 1 - (inside[0][:, :, None] & inside[1][:, None, :]).float()


def cutmix_penalty(
    score_pixels: Callable[[torch.Tensor], torch.Tensor],
    real: torch.Tensor,
    fake: torch.Tensor,
    of_real: torch.Tensor,
    of_fake: torch.Tensor,
    mask: torch.Tensor,
) -> torch.Tensor:
    """Give the mean squared difference of scores, ().

    Schönfeld et al. 2020, arXiv:2002.12655, equation 8.

    Parameters
    ----------
    real, fake : (n, c, h, w).
    of_real, of_fake : (n, h, w) logits of their pixels.
    mask : (n, h, w), 1 where a mixed image is real.
    """
    is_real = mask[:, None]
    mixed = score_pixels(is_real * real + (1 - is_real) * fake)
    return (mixed - (mask * of_real + (1 - mask) * of_fake)).square().mean()
