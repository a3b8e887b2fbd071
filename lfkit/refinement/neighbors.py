"""Graphs of images that look alike: nearest neighbours, and diffusion over them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import sparse

from lfkit.errors import InputError

# Similarities held at once: 128 MB as float32.
_BLOCK_CELLS = 2**25
_KMEANS_ROUNDS = 8
# Cells are learned from this many points each.
_POINTS_PER_CELL = 40


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The most similar images of each image, best first; never the image itself.

    Attributes
    ----------
    index : (n, g) int32 rows.
    similarity : (n, g) float32 cosines.
    """

    index: NDArray[np.int32]
    similarity: NDArray[np.float32]


def nearest_neighbors(
    points: NDArray[np.floating],
    n_neighbors: int = 10,
    *,
    exact_up_to: int = 100_000,
    n_probes: int = 32,
    random_state: int = 0,
    device: str = "cpu",
) -> Neighbors:
    """Find the neighbours of highest cosine similarity.

    Every pair is compared up to `exact_up_to` images. Beyond, images are divided into
    4 sqrt(n) cells by k-means, and those of a cell are compared with those of the
    `n_probes` nearest cells (an inverted file: Sivic & Zisserman 2003,
    https://doi.org/10.1109/ICCV.2003.1238663). Memory: the points, the answer and
    128 MB.

    Parameters
    ----------
    points : (n, d) finite; a row of zeros is similar to nothing.
    """
    points = np.asarray(points)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise InputError(
            f"points of shape {points.shape} must be (n, d) finite numbers to have "
            "neighbours; replace NaN and infinity before."
        )
    if n_neighbors < 1 or n_probes < 1:
        raise InputError(
            f"n_neighbors is {n_neighbors} and n_probes {n_probes}; both must be at "
            "least 1."
        )
    n = len(points)
    unit = F.normalize(torch.from_numpy(points.astype(np.float32)).to(device), dim=1)
    g = max(min(n_neighbors, n - 1), 0)
    index = np.zeros((n, g), np.int32)
    similarity = np.zeros((n, g), np.float32)
    if g == 0:
        return Neighbors(index, similarity)
    if n <= exact_up_to:
        everyone = torch.arange(n, device=device)
        groups: Iterator[tuple[torch.Tensor, torch.Tensor]] = iter([(everyone,) * 2])
    else:
        groups = _cells(unit, g, n_probes, random_state)
    for queries, candidates in groups:
        _search(unit, queries, candidates, index, similarity)
    return Neighbors(index, similarity)


def affinity(neighbors: Sequence[Neighbors]) -> sparse.csr_array:
    """Turn neighbours into one symmetric graph, (n, n), with eigenvalues up to 1.

    Each W = max(W, W') is normalised to D^-1/2 W D^-1/2 (Zhou et al. 2004,
    https://proceedings.neurips.cc/paper/2003/hash/87682805257e619d49b8e0dfdc14affa-Abstract.html,
    step 2); several graphs are averaged.
    """
    graphs = []
    for found in neighbors:
        n, g = found.index.shape
        weights = np.maximum(found.similarity, 0).ravel()
        starts = np.arange(0, n * g + 1, max(g, 1))[: n + 1]
        if g == 0:
            starts = np.zeros(n + 1, np.int64)
        one_way = sparse.csr_array((weights, found.index.ravel(), starts), shape=(n, n))
        both = one_way.maximum(one_way.T).tocsr()
        degree = np.asarray(both.sum(axis=1)).ravel()
        root = np.where(degree > 0, 1 / np.sqrt(np.where(degree > 0, degree, 1)), 0)
        scale = sparse.dia_array((root[None].astype(np.float32), [0]), shape=(n, n))
        graphs.append((scale @ both @ scale).tocsr())
    return (sum(graphs[1:], graphs[0]) / len(graphs)).astype(np.float32).tocsr()


def diffuse(
    graph: sparse.csr_array,
    start: NDArray[np.floating],
    *,
    alpha: float = 0.8,
    n_steps: int = 30,
) -> NDArray[np.float64]:
    """Spread distributions over a graph: F = alpha S F + (1 - alpha) F0, again.

    Zhou et al. (2004), step 3. Rows sum to 1 afterwards.

    Parameters
    ----------
    start : (n, k) F0.
    """
    if not 0 <= alpha < 1:
        raise InputError(f"alpha is {alpha}; it must be from 0 to less than 1.")
    origin = np.asarray(start, np.float32)
    spread = origin
    for _ in range(n_steps):
        spread = alpha * (graph @ spread) + (1 - alpha) * origin
    proba = spread.astype(np.float64)
    return proba / proba.sum(axis=1, keepdims=True)


def _search(
    unit: torch.Tensor,
    queries: torch.Tensor,
    candidates: torch.Tensor,
    index: NDArray[np.int32],
    similarity: NDArray[np.float32],
) -> None:
    """Write the best of the sorted candidates for each query."""
    size = max(1, _BLOCK_CELLS // len(candidates))
    others = unit[candidates].T
    for rows in torch.split(queries, size):
        cosines = unit[rows] @ others
        own = torch.searchsorted(candidates, rows)
        cosines[torch.arange(len(rows), device=rows.device), own] = -torch.inf
        best, place = cosines.topk(index.shape[1], dim=1)
        written = rows.cpu().numpy()
        index[written] = candidates[place].to(torch.int32).cpu().numpy()
        similarity[written] = best.cpu().numpy()


def _cells(
    unit: torch.Tensor, g: int, n_probes: int, random_state: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the rows of each cell, and the sorted rows they are compared with."""
    n = len(unit)
    n_cells = min(n, 4 * math.isqrt(n))
    rng = np.random.default_rng(random_state)
    sample = rng.permutation(n)[: n_cells * _POINTS_PER_CELL]
    # On the CPU, where sums come in the rows' order: a GPU's differ from run to run.
    learned = unit[torch.from_numpy(sample).to(unit.device)].cpu()
    centers = learned[:n_cells].clone()
    for _ in range(_KMEANS_ROUNDS):
        sums = torch.zeros_like(centers)
        sums.index_add_(0, _nearest(learned, centers), learned)
        norms = sums.norm(dim=1, keepdim=True)
        centers = torch.where(norms > 0, sums / norms.clamp(min=1e-12), centers)
    centers = centers.to(unit.device)
    cell = _nearest(unit, centers)
    order = torch.argsort(cell, stable=True)
    counts = torch.bincount(cell, minlength=n_cells)
    members = torch.split(order, counts.tolist())
    for number in range(n_cells):
        if not len(members[number]):
            continue
        near = torch.argsort(centers @ centers[number], descending=True, stable=True)
        # Small cells alone could hold fewer than the neighbours asked for.
        enough = int((counts[near].cumsum(0) <= g).sum()) + 1
        probed = near[: max(n_probes, enough)].tolist()
        # A mean of near-opposite points may lie nearer to another cell than its own.
        probed = list({number, *probed})
        candidates = torch.cat([members[c] for c in probed]).sort().values
        yield members[number], candidates


def _nearest(points: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    size = max(1, _BLOCK_CELLS // len(centers))
    return torch.cat(
        [(part @ centers.T).argmax(1) for part in torch.split(points, size)]
    )
