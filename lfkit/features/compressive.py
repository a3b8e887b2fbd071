"""Compressive sensing: a few random sums of pixels, and what they are made of."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.features.feature import feature
from lfkit.features.gray import SIDE, gray28

_SEED = 20180618
_N_SUMS = 96
N_PER_CLASS = 30
N_ATOMS = 10
# Flat from .03 to 1 (Fashion-MNIST, 20 seeds per class): .74 to .76 right.
RIDGE = 0.1
# 1 - cosine of two measurements of one image, rounded to float32 or even to float16,
# is at most 1e-7.
_SAME = 1e-6


@feature(batched=True, of=[gray28])
def random_projections(gray: torch.Tensor) -> torch.Tensor:
    """96 sums of pixels with random signs: (n, 96).

    Working size 28x28. Signs after Achlioptas (2003),
    https://doi.org/10.1016/S0022-0000(03)00025-4: two thirds of the pixels are left
    out of each sum. They are fixed, so the feature is the same everywhere.
    """
    return gray.flatten(1) @ projection_matrix(gray.device)


@cache
def projection_matrix(device: torch.device) -> torch.Tensor:
    """Give the fixed signs, scaled to keep lengths: (784, 96)."""
    rng = np.random.default_rng(_SEED)
    signs = rng.choice(
        [-1.0, 0.0, 1.0], p=[1 / 6, 2 / 3, 1 / 6], size=(SIDE**2, _N_SUMS)
    )
    return torch.tensor(
        signs * np.sqrt(3 / _N_SUMS), dtype=torch.float32, device=device
    )


def learn_dictionary(
    sums: torch.Tensor, *, labels: NDArray[np.int64], rng: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    """Keep up to 30 random seeds of each class, as columns of length 1.

    Parameters
    ----------
    sums : (s, 96) the seeds' `random_projections`.
    labels : (s,) their classes.

    Returns
    -------
    atoms : (k, m, 96) for the k classes that have seeds, in ascending order; zeros
        fill up smaller classes.
    """
    unit = _unit(sums.double()).cpu().numpy()
    kept = []
    for label in np.unique(labels):
        rows: list[int] = []
        for row in rng.permutation(np.flatnonzero(labels == label)):
            # Of equal images one: leaving one atom out then leaves the image out. As
            # angles add up, no image is the same as two atoms 4 times as far apart.
            if (unit[rows] @ unit[row] < 1 - 4 * _SAME).all():
                rows.append(row)
            if len(rows) == N_PER_CLASS:
                break
        kept.append(rows)
    atoms = np.zeros((len(kept), max(map(len, kept)), unit.shape[1]), np.float32)
    for own, rows in zip(atoms, kept, strict=True):
        own[: len(rows)] = unit[rows]
    return {"atoms": atoms}


def learn_gram(
    sums: torch.Tensor, *, labels: NDArray[np.int64], rng: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    """As `learn_dictionary`, with the products of its atoms: (k * m, k * m)."""
    atoms = learn_dictionary(sums, labels=labels, rng=rng)["atoms"]
    flat = atoms.reshape(-1, atoms.shape[2]).astype(np.float64)
    return {"atoms": atoms, "gram": (flat @ flat.T).astype(np.float32)}


def learn_subspaces(
    sums: torch.Tensor, *, labels: NDArray[np.int64], rng: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    """As `learn_dictionary`, with each class's (products + ridge)^-1: (k, m, m)."""
    atoms = learn_dictionary(sums, labels=labels, rng=rng)["atoms"]
    wide = atoms.astype(np.float64)
    inverse = np.linalg.inv(wide @ wide.mT + RIDGE * np.eye(atoms.shape[1]))
    return {"atoms": atoms, "inverse": inverse.astype(np.float32)}


@feature(batched=True, of=[random_projections], fit=learn_gram)
def sparse_residuals(
    sums: torch.Tensor, *, atoms: torch.Tensor, gram: torch.Tensor
) -> torch.Tensor:
    """Measure what a class's part of the sparse code leaves of the image: (n, k).

    Sparse-representation classification (Wright, Yang, Ganesh, Sastry & Ma, 2009),
    https://doi.org/10.1109/TPAMI.2008.79, algorithm 1, of 96 random sums: the image is
    written as a sum of 10 seeds; a column is the share of its length that the seeds
    of one class leave over (equation 13). One column per class that has seeds, in
    ascending order. The code comes from orthogonal matching pursuit in the place of the
    paper's linear program. A seed that is the image itself (or as the image at another
    contrast) is left out; a black image leaves 0.
    """
    image = _unit(sums)
    matches = image @ atoms.flatten(0, 1).T  # (n, k * m)
    code = _pursuit(matches, gram).reshape(-1, *atoms.shape[:2])
    parts = torch.bmm(code.transpose(0, 1), atoms)  # (k, n, 96)
    return torch.linalg.vector_norm(image - parts, dim=2).T


@feature(batched=True, of=[random_projections], fit=learn_subspaces)
def subspace_residuals(
    sums: torch.Tensor, *, atoms: torch.Tensor, inverse: torch.Tensor
) -> torch.Tensor:
    """Measure what the best mixture of a class's seeds leaves of the image: (n, k).

    The cheap stand-in for `sparse_residuals`: ridge regression on all seeds of one
    class at a time. The same columns, and the same images are left out.
    """
    image = _unit(sums)
    matches = image @ atoms.mT  # (k, n, m)
    code = torch.bmm(matches, inverse)  # (k, n, m)
    # The best mixture without atom j is code - code_j / inverse_jj * inverse_j.
    same = matches > 1 - _SAME
    code -= torch.bmm(
        torch.where(same, code / inverse.diagonal(dim1=1, dim2=2)[:, None], 0.0),
        inverse,
    )
    return torch.linalg.vector_norm(image - torch.bmm(code, atoms), dim=2).T


def _pursuit(matches: torch.Tensor, gram: torch.Tensor) -> torch.Tensor:
    """Write images as sums of few atoms by orthogonal matching pursuit: (n, a).

    Batch-OMP (Rubinstein, Zibulevsky & Elad, 2008, Technion CS-2008-08), algorithm 1,
    with a progressive Cholesky factor. It keeps the products of all atoms with the
    orthonormalised chosen ones, so that what remains of every match is updated by one
    subtraction rather than computed anew from the code.

    Parameters
    ----------
    matches : (n, a) products of images and atoms, all of length 1.
    gram : (a, a) products of the atoms.
    """
    n, a = matches.shape
    n_steps = min(N_ATOMS, a)
    free = matches <= 1 - _SAME
    left = matches.clone()
    leaning = matches.new_zeros(n, n_steps, a)  # of every atom on each chosen direction
    factor = matches.new_zeros(n, n_steps, n_steps)
    along = matches.new_zeros(n, n_steps)  # the image's coordinates
    chosen = torch.zeros(n, n_steps, dtype=torch.int64, device=matches.device)
    for step in range(n_steps):
        best = torch.where(free, left.abs(), -1.0).argmax(dim=1, keepdim=True)
        lean = leaning[:, :step].gather(2, best[:, None].expand(-1, step, -1))
        factor[:, step, :step] = lean[:, :, 0]
        new = gram[best[:, 0]] - torch.bmm(lean.mT, leaning[:, :step])[:, 0]
        length = new.gather(1, best)
        # No atom may be left, or only ones that the chosen ones already make up.
        usable = free.gather(1, best) & (length > _SAME)
        free.scatter_(1, best, False)
        chosen[:, step : step + 1] = torch.where(usable, best, a)
        root = torch.where(usable, length, 1.0).sqrt()
        factor[:, step, step] = root[:, 0]
        new = torch.where(usable, new / root, 0.0)
        along[:, step : step + 1] = torch.where(
            usable, left.gather(1, best) / root, 0.0
        )
        leaning[:, step] = new
        left -= new * along[:, step : step + 1]
    weights = torch.linalg.solve_triangular(factor.mT, along[..., None], upper=True)
    code = matches.new_zeros(n, a + 1)  # the last column takes steps without an atom
    return code.scatter_(1, chosen, weights[..., 0])[:, :a]


def _unit(sums: torch.Tensor) -> torch.Tensor:
    length = torch.linalg.vector_norm(sums, dim=1, keepdim=True)
    return sums / length.clamp(min=1e-6)
