"""Textons: which of a few learned kinds of local texture is where."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.features.dictionary import (
    cell_weights,
    k_means,
    nearest_word,
    sample_points,
)
from lfkit.features.feature import feature
from lfkit.features.gray import SIDE, gray28

SIGMAS_PX = (1.0, 2.0)
STRIDE_PX = 2
RADIUS_PER_SIGMA = 3
# Weber's law sets in here, at responses of a few gray levels; .03 and .1 cost .01 and
# .02 (Fashion-MNIST).
CONTRAST = 0.01
_N_TEXTONS = 32
_MOST_POINTS = 10_000
_GRID = 4
# Products of a column's and a row's derivative order, with their factors. The three of
# second order are the centre-surround filter and the two that all second derivatives of
# any direction are made of with it.
_FILTERS = (
    ((1.0, 0, 1),),
    ((1.0, 1, 0),),
    ((1.0, 0, 2), (1.0, 2, 0)),
    ((1.0, 0, 2), (-1.0, 2, 0)),
    ((1.0, 1, 1),),
)
_ORDERS = 3


@feature(batched=True, of=[gray28])
def texton_responses(gray: torch.Tensor) -> torch.Tensor:
    """Answers of ten filters at every second pixel: (n, 14, 14, 10).

    At scales of 1 and 2 pixels: derivatives of a Gaussian rightwards and downwards, the
    Laplacian (centre-surround), and the second derivatives' difference and mixed term.
    Derivatives of every other direction are weighted sums of these (Freeman & Adelson,
    1991, https://doi.org/10.1109/34.93808), so they stand for the oriented filters of
    Leung & Malik. Each filter's absolute values sum to 1; lengths are compressed as
    x log(1 + |x| / c) / |x| (Varma & Zisserman, 2005,
    https://doi.org/10.1007/s11263-005-4635-4). Working size 28x28, edge
    pixels repeated. The plain Gaussian is left out: with it, textons tell brightness
    more than texture (.03 less on Fashion-MNIST).
    """
    down, combine = _filter_matrices(gray.device)
    lines = down[:, None] @ gray @ down.transpose(1, 2)[:, None]  # (2, n, 42, 42)
    n_out = SIDE // STRIDE_PX
    lines = lines.view(len(down), len(gray), _ORDERS, n_out, _ORDERS, n_out)
    maps = lines.permute(1, 3, 5, 0, 2, 4).flatten(3)  # (n, 14, 14, 18)
    responses = maps @ combine  # (n, 14, 14, 10)
    length = responses.square().sum(dim=3, keepdim=True).sqrt_()
    return responses * ((length / CONTRAST).log1p_() / length.clamp(min=1e-6))


def learn_textons(
    *, unlabeled: tuple[torch.Tensor, ...], rng: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    """Learn 32 textons from the unlabeled images' `texton_responses`."""
    (responses,) = unlabeled
    points = sample_points(responses, 3, _MOST_POINTS, rng=rng)
    return {"textons": k_means(points, _N_TEXTONS, rng=rng).numpy()}


@feature(batched=True, of=[texton_responses], fit=learn_textons)
def texton_map(responses: torch.Tensor, *, textons: torch.Tensor) -> torch.Tensor:
    """Name the nearest texton at every second pixel by its number: (n, 14, 14).

    Leung & Malik (2001), https://doi.org/10.1023/A:1011126920638: k-means on filter
    responses.
    """
    return nearest_word(responses, textons)


@feature(batched=True, of=[texton_map])
def texton_histogram(numbers: torch.Tensor) -> torch.Tensor:
    """Square roots of the share of each texton in the image: (n, 32).

    Distances of square roots compare histograms as Hellinger's distance does.
    """
    return _shares(numbers, 1).sqrt_()


@feature(batched=True, of=[texton_map])
def texton_grid(numbers: torch.Tensor) -> torch.Tensor:
    """Square roots of the share of each texton in 4x4 overlapping parts: (n, 512)."""
    return _shares(numbers, _GRID).sqrt_()


def _shares(numbers: torch.Tensor, cells: int) -> torch.Tensor:
    """Weigh textons by place: (n, cells * cells * 32)."""
    textons = torch.arange(_N_TEXTONS, dtype=numbers.dtype, device=numbers.device)
    at = (numbers.flatten(1)[:, :, None] == textons).to(torch.float32)  # (n, 196, 32)
    weights = cell_weights(numbers.shape[1], cells, numbers.device)
    return (weights @ at).flatten(1)


@cache
def _filter_matrices(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Every order of derivative along a line, and how their products make filters.

    Returns
    -------
    (2, 3 * 14, 28) and (18, 10): 2 scales of 3 orders, so of 9 products and 5 filters.
    """
    centres = np.arange(0, SIDE, STRIDE_PX)
    n_scales = len(SIGMAS_PX)
    down = np.zeros((n_scales, _ORDERS, len(centres), SIDE))
    combine = np.zeros((n_scales, _ORDERS, _ORDERS, n_scales, len(_FILTERS)))
    for scale, sigma in enumerate(SIGMAS_PX):
        radius = math.ceil(RADIUS_PER_SIGMA * sigma)
        offsets = np.arange(-radius, radius + 1)
        taps = _derivatives(offsets / sigma)
        for row, centre in enumerate(centres):
            pixels = np.clip(centre + offsets, 0, SIDE - 1)
            for order in range(_ORDERS):
                np.add.at(down[scale, order, row], pixels, taps[order])
        for number, terms in enumerate(_FILTERS):
            parts = [f * np.outer(taps[y], taps[x]) for f, y, x in terms]
            size = np.abs(np.sum(parts, axis=0)).sum()
            for factor, y, x in terms:
                combine[scale, y, x, scale, number] = factor / size
    n_filters = n_scales * len(_FILTERS)
    return (
        torch.tensor(
            down.reshape(n_scales, -1, SIDE), dtype=torch.float32, device=device
        ),
        torch.tensor(
            combine.reshape(-1, n_filters), dtype=torch.float32, device=device
        ),
    )


def _derivatives(offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sample a Gaussian and its two derivatives, blind to what is flat: (3, taps)."""
    gaussian = np.exp(-(offsets**2) / 2)
    gaussian /= gaussian.sum()
    second = (offsets**2 - 1) * gaussian
    # Cut off and sampled, it would see brightness.
    return np.stack([gaussian, offsets * gaussian, second - second.sum() * gaussian])
