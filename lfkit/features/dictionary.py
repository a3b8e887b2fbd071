"""Dictionaries of words learned by k-means, and the patches they are learned from."""

from __future__ import annotations

import math

import numpy as np
import torch

_N_STEPS = 12


def k_means(
    points: torch.Tensor,
    n_words: int,
    *,
    rng: np.random.Generator,
    n_steps: int = _N_STEPS,
) -> torch.Tensor:
    """Find words that lie close to the points: (n_words, d).

    Lloyd (1982), https://doi.org/10.1109/TIT.1982.1056489, a fixed number of steps from
    distinct random points. A word that no point is nearest to moves to the point
    farthest from its own word. Floats are summed by a matrix product, never scattered,
    so the same generator gives the same words.

    Parameters
    ----------
    points : (p, d), at least one. With fewer than n_words, some words are equal.
    n_words : how many.
    n_steps : how often words move to the mean of their points.
    """
    order = torch.from_numpy(rng.permutation(len(points)))
    words = points[order[torch.arange(n_words) % len(points)]]
    numbers = torch.arange(n_words)
    for _ in range(n_steps):
        near = closeness(points, words)  # (p, n_words)
        best, nearest = near.max(dim=1)
        members = (nearest[:, None] == numbers).to(points.dtype)
        counts = members.sum(dim=0)
        means = (members.T @ points) / counts.clamp(min=1)[:, None]
        empty = torch.nonzero(counts == 0)[:, 0]
        # Half the squared length less the closeness is half the squared distance.
        gaps = 0.5 * points.square().sum(dim=1) - best
        farthest = torch.argsort(gaps, descending=True, stable=True)
        means[empty] = points[farthest[torch.arange(len(empty)) % len(points)]]
        words = means
    return words


def closeness(points: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """How near each point is to each word: (..., d), (k, d) → (..., k).

    x·w - |w|²/2, which orders words as the Euclidean distance does: twice it is |x|²
    less the squared distance.
    """
    offset = -0.5 * words.square().sum(dim=1)
    flat = torch.addmm(offset, points.reshape(-1, points.shape[-1]), words.T)
    return flat.view(*points.shape[:-1], len(words))


def nearest_word(points: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """Give the number of the nearest word; the first of equals: (..., d) → (...)."""
    return closeness(points, words).argmax(dim=-1)


def sample_points(
    values: torch.Tensor, n_axes: int, most: int, *, rng: np.random.Generator
) -> torch.Tensor:
    """Keep up to `most` random points of those along the first axes: (p, d).

    No point is taken twice, and only those kept are copied: all patches of 2,048 images
    would be 150 MB.
    """
    shape = tuple(values.shape[:n_axes])
    n_points = math.prod(shape)
    chosen = rng.permutation(n_points)[:most]
    places = (torch.from_numpy(axis) for axis in np.unravel_index(chosen, shape))
    return values[tuple(places)].flatten(1)


def cell_weights(n_positions: int, cells: int, device: torch.device) -> torch.Tensor:
    """Average a square of positions over a square grid of cells: (cells², positions²).

    A position is shared by the nearest cells, bilinearly, so that a shift by a pixel
    changes little; those near the border belong to the outermost cells alone. Every row
    sums to 1, and one cell gives the plain mean.
    """
    place = (torch.arange(n_positions, device=device) + 0.5) * (cells / n_positions)
    place = place.clamp(0.5, cells - 0.5)
    centres = torch.arange(cells, device=device)[:, None] + 0.5
    line = (1 - (place - centres).abs()).clamp(min=0)  # (cells, n_positions)
    line = line / line.sum(dim=1, keepdim=True)
    return torch.kron(line, line)


def patches(gray: torch.Tensor, side: int) -> torch.Tensor:
    """Show every square of (n, h, w): (n, h - side + 1, w - side + 1, side, side).

    A view: nothing is copied.
    """
    return gray.unfold(1, side, 1).unfold(2, side, 1)


def contrast_normalised(points: torch.Tensor, floor: float) -> torch.Tensor:
    """Give each (..., d) patch mean 0 and variance v / (v + floor)."""
    centred = points - points.mean(dim=-1, keepdim=True)
    variance = centred.square().mean(dim=-1, keepdim=True)
    return centred / (variance + floor).sqrt()


def zca(points: torch.Tensor, floor: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Learn to decorrelate (p, d) points: their mean (d,) and a matrix (d, d).

    (points - mean) @ matrix has nearly unit covariance, and is of all such the one
    nearest to the points (Bell & Sejnowski, 1997,
    https://doi.org/10.1016/S0042-6989(97)00121-1). `floor` is added to the variance of
    every principal direction, so that those without any do not become noise.
    """
    mean = points.mean(dim=0)
    centred = (points - mean).to(torch.float64)
    variances, directions = torch.linalg.eigh(centred.T @ centred / len(points))
    gains = (variances.clamp(min=0) + floor).rsqrt()
    matrix = (directions * gains) @ directions.T
    return mean, matrix.to(points.dtype)
