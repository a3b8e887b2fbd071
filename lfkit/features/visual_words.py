"""Bags of visual words: what small parts the image has, and roughly where."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.features.dictionary import (
    cell_weights,
    closeness,
    contrast_normalised,
    k_means,
    patches,
    sample_points,
    zca,
)
from lfkit.features.feature import feature
from lfkit.features.gray import SIDE, gray28
from lfkit.features.sift import sift_descriptors

_MOST_POINTS = 10_000
_N_SIFT_WORDS = 64
# 1 + 3x3 gains .006 over 1 + 2x2.
_PYRAMID = (1, 3)

# `NearestMean`, 20 seeds per class of Fashion-MNIST, mean of 3 dictionaries: .806. It
# is no more with 48 or 64 words, 4x4 parts, or patches of 5 or 7 pixels, and .014 less
# at every second pixel.
_N_PATCH_WORDS = 32
_PATCH_PX = 6
_PATCH_CELLS = 3
# The paper's 10, for pixels in 0 ... 255.
_CONTRAST_FLOOR = 1.5e-4
# As much as the variance of one pixel: gentle whitening. With the paper's .1 the words
# are finer than a few seeds can tell apart (.008 less).
_WHITENING_FLOOR = 1.0
_ACTIVATION_FLOOR = 0.5


def learn_sift_words(
    *, unlabeled: tuple[torch.Tensor, ...], rng: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    """Learn 64 words from the unlabeled images' `sift_descriptors`."""
    (descriptors,) = unlabeled
    points = sample_points(descriptors, 2, _MOST_POINTS, rng=rng)
    return {"words": k_means(points, _N_SIFT_WORDS, rng=rng).numpy()}


@feature(batched=True, of=[sift_descriptors], fit=learn_sift_words)
def visual_words(descriptors: torch.Tensor, *, words: torch.Tensor) -> torch.Tensor:
    """Which words its SIFT descriptors are near, in all and in 3x3 parts: (n, 640).

    Bag of visual words (Sivic & Zisserman, 2003,
    https://doi.org/10.1109/ICCV.2003.1238663; Yang et al., 2007,
    https://doi.org/10.1145/1290082.1290111) in a spatial pyramid (Lazebnik et al.,
    2006, https://doi.org/10.1109/CVPR.2006.68). Near words share a descriptor, by the
    "triangle" of Coates, Lee & Ng (2011), https://proceedings.mlr.press/v15/coates11a:
    max(0, mean distance - distance). Counts of the nearest word alone cost .05 of
    accuracy. Working size 28x28.
    """
    n, n_keypoints, _ = descriptors.shape
    near = closeness(descriptors, words)  # (n, 49, 64)
    squares = descriptors.square().sum(dim=2, keepdim=True)
    distances = near.mul_(-2).add_(squares).clamp_(min=0).sqrt_()
    activations = (distances.mean(dim=2, keepdim=True) - distances).clamp_(min=0)
    side = math.isqrt(n_keypoints)
    weights = [cell_weights(side, cells, words.device) for cells in _PYRAMID]
    return (torch.cat(weights) @ activations).view(n, -1)


def learn_patch_words(
    *, unlabeled: tuple[torch.Tensor, ...], rng: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    """Learn 32 words from whitened 6x6 patches of the unlabeled images' `gray28`.

    Returns
    -------
    filters (36, 32) and offsets (32,): what contrast-normalised patches are multiplied
    by and added to; the patch's own mean, the whitening and the words, all in one.
    """
    (gray,) = unlabeled
    points = sample_points(patches(gray, _PATCH_PX), 3, _MOST_POINTS, rng=rng)
    normalised = contrast_normalised(points, _CONTRAST_FLOOR)
    mean, whitening = zca(normalised, _WHITENING_FLOOR)
    words = k_means((normalised - mean) @ whitening, _N_PATCH_WORDS, rng=rng)
    # A word without length, as of blank images, is near nothing.
    directions = words / words.norm(dim=1, keepdim=True).clamp(min=1e-6)
    filters = whitening @ directions.T  # (36, 32)
    offsets = -(mean @ filters) - _ACTIVATION_FLOOR
    # Sums of zero over the patch take its mean out.
    centred = filters - filters.mean(dim=0)
    return {"filters": centred.numpy(), "offsets": offsets.numpy()}


@feature(batched=True, of=[gray28], fit=learn_patch_words)
def patch_words(
    gray: torch.Tensor, *, filters: torch.Tensor, offsets: torch.Tensor
) -> torch.Tensor:
    """Which words its small patches are like, in 3x3 parts of the image: (n, 288).

    Coates, Lee & Ng (2011), https://proceedings.mlr.press/v15/coates11a: k-means on
    whitened, contrast-normalised 6x6 patches, one at every pixel of 28x28. Activations
    are max(0, w·x - .5) with words w of length 1, as in Coates & Ng (2011),
    https://icml.cc/Conferences/2011/papers/485_icmlpaper.pdf, "soft threshold";
    that gains .005 over the triangle. They are averaged in parts that overlap by half;
    the values are square roots of these means.
    """
    cut = patches(gray, _PATCH_PX)  # (n, 23, 23, 6, 6)
    # One pass over the patches, copied and scaled together; their means need no pass,
    # because the filters do not see them.
    scales = _patch_variances(gray).add_(_CONTRAST_FLOOR).rsqrt_()
    points = torch.mul(cut, scales[..., None, None], out=gray.new_empty(cut.shape))
    near = torch.addmm(offsets, points.view(-1, _PATCH_PX**2), filters).clamp_(min=0)
    weights = cell_weights(cut.shape[1], _PATCH_CELLS, gray.device)  # (9, 529)
    sums = weights @ near.view(len(gray), weights.shape[1], -1)
    return sums.flatten(1).sqrt_()


def _patch_variances(gray: torch.Tensor) -> torch.Tensor:
    """Variance of the pixels of every patch: (n, 23, 23)."""
    numbers = torch.arange(SIDE, device=gray.device)
    offset = numbers - numbers[: SIDE - _PATCH_PX + 1, None]
    window = ((offset >= 0) & (offset < _PATCH_PX)).to(gray.dtype) / _PATCH_PX
    means = window @ gray @ window.T
    squares = window @ gray.square() @ window.T
    return (squares - means.square_()).clamp_(min=0)
