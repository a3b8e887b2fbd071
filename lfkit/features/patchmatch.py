"""PatchMatch: how well the pieces of each class's exemplars make up the image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lfkit.features.feature import feature
from lfkit.features.gray import SIDE, gray28

N_EXEMPLARS = 10
# 6x6 patches cover 28x28 exactly. 7x7 pixels at every third one cost 1.8 times as much
# and gain nothing by NearestMean (20 Fashion-MNIST seeds per class, as all numbers
# here).
PATCH_PX = 8
STRIDE_PX = 4
_GRID = (SIDE - PATCH_PX) // STRIDE_PX + 1
_PLACES = SIDE - PATCH_PX + 1  # rows, or columns, where an exemplar's patch may start
_N_COMPONENTS = 13
# Gray levels, summed over a patch, that a pixel of displacement is worth. At 0 a sleeve
# matches a trouser leg anywhere: 7x7 patches, searched exhaustively, are right for .62
# of the images instead of .70.
PLACE_WEIGHT = 0.15
# The distances found are 66, 30, 25 and 21 % above the exact ones after 0, 2, 3 and 4
# iterations; .63, .65, .66 and .66 of the images are then right by NearestMean.
_N_ITERATIONS = 3
_SEARCH_RADII_PX = (2, 1)
# The field starts from prior information, as section 3.1 allows: random places near the
# patch's own, since PLACE_WEIGHT makes far ones poor. It halves the excess distance.
_START_RADIUS_PX = 3
_WINDOW_PX = 1
# The places of an exemplar are followed by margins that match nothing. So an entry of
# the field is one number, a step is one addition, and a step out of the exemplar, which
# the paper clips, is never taken.
_MARGIN = max(*_SEARCH_RADII_PX, STRIDE_PX, _WINDOW_PX)
_LINE = _PLACES + _MARGIN
_LEAD = _MARGIN * (_LINE + 1)
_SAME_RMS = 1e-3  # a quarter of a gray level: rounding, not another picture

_Learned = dict[str, NDArray[np.float32] | NDArray[np.int32]]


def learn_exemplars(
    gray: torch.Tensor, *, labels: NDArray[np.int64], rng: np.random.Generator
) -> _Learned:
    """Keep up to 10 random seeds per class as exemplars, and describe their patches.

    Parameters
    ----------
    gray : (s, 28, 28) the seeds' `gray28`.
    labels : (s,) their classes.

    Returns
    -------
    exemplars : (k, e, 784) pixels; a class with fewer seeds repeats them.
    filters, shift : (13, 64) and (13,), the principal components of their patches.
    table : (k, rows, 16) for each place in each exemplar the patch's components, place
        and squared length; infinite length in the margins.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    e = min(N_EXEMPLARS, max(len(rows) for rows in members))
    kept = np.stack([np.resize(rng.permutation(rows), e) for rows in members])
    exemplars = gray.cpu()[torch.from_numpy(kept)]  # (k, e, 28, 28)
    patches = exemplars.unfold(2, PATCH_PX, 1).unfold(3, PATCH_PX, 1).flatten(4)
    some = patches[:, :, ::2, ::2].flatten(0, 3).double().numpy()
    filters, shift = _principal_components(some)
    described = patches @ torch.from_numpy(filters).T - torch.from_numpy(shift)
    return {
        "exemplars": exemplars.flatten(2).numpy(),
        "filters": filters,
        "shift": shift,
        "table": _table(described).numpy(),
    }


def learn_patchmatch(
    gray: torch.Tensor, *, labels: NDArray[np.int64], rng: np.random.Generator
) -> _Learned:
    """As `learn_exemplars`, and draw the random numbers that all images will share.

    Returns
    -------
    draws : (k, 36, e) table rows: for each patch a place in every exemplar.
    jumps : (iterations, k, 36, 1) table rows anywhere in the class.
    steps : (iterations, radii, k, 36, 1) the random search's steps in the table.
    """
    learned = learn_exemplars(gray, labels=labels, rng=rng)
    k, e = learned["exemplars"].shape[:2]
    own = _own_places()[:, None, :, None]  # (2, 1, 36, 1)
    near = rng.integers(
        np.maximum(own - _START_RADIUS_PX, 0),
        np.minimum(own + _START_RADIUS_PX, _PLACES - 1) + 1,
        size=(2, k, _GRID**2, e),
    )
    anywhere = (_N_ITERATIONS, k, _GRID**2, 1)
    radii = np.reshape(_SEARCH_RADII_PX, (-1, 1, 1, 1))
    down, right = rng.integers(
        -radii, radii + 1, size=(2, _N_ITERATIONS, len(radii), k, _GRID**2, 1)
    )
    jumps = _table_rows(
        rng.integers(e, size=anywhere), *rng.integers(_PLACES, size=(2, *anywhere))
    )
    return {
        **learned,
        "draws": _table_rows(np.arange(e), *near).astype(np.int32),
        "jumps": jumps.astype(np.int32),
        "steps": (down * _LINE + right).astype(np.int32),
    }


@feature(batched=True, of=[gray28], fit=learn_patchmatch)
def patchmatch_distances(
    gray: torch.Tensor,
    *,
    exemplars: torch.Tensor,
    filters: torch.Tensor,
    shift: torch.Tensor,
    table: torch.Tensor,
    draws: torch.Tensor,
    jumps: torch.Tensor,
    steps: torch.Tensor,
) -> torch.Tensor:
    """Mean distance of patches to near ones that PatchMatch finds in a class: (n, k).

    Barnes, Shechtman, Finkelstein & Goldman (2009),
    https://doi.org/10.1145/1531326.1531330, section 3, over up to 10 exemplars of each
    of the k classes that have seeds, in ascending order. Working size 28x28, 6x6
    patches of 8x8 pixels, compared by 13 principal components and by where they lie.
    The field starts from the best of one random place in every exemplar. Each of three
    iterations takes over the left and upper neighbors' entries, or the right and lower
    ones', then tries a random place anywhere and two at radii 2 and 1. All patches take
    over at once, as GPU versions do, not in scan order, and the random numbers are the
    same for every image.

    An exemplar that is the image itself is left out. A class without another one is
    compared with a black image.
    """
    query, lengths = _queries(gray, filters, shift)
    barred = _barred(gray, exemplars)
    # One buffer for all found descriptors: several megabytes that stay where they are.
    buffer = query.new_empty(query.shape[0] * len(gray), query.shape[2])
    distances = []
    for c, rows in enumerate(table):  # class by class: their rows stay in the cache
        scores = _shared_costs(query, rows, draws[c])  # (36, e, n)
        cost, choice = scores.add_(barred[c]).min(dim=1)
        field = draws[c].gather(1, choice)
        for iteration in range(len(jumps)):
            for found in _moved_neighbors(field, sign=-1 if iteration % 2 else 1):
                _keep_better(field, cost, found, _own_costs(query, rows, found, buffer))
            jump = jumps[iteration, c]
            far = _shared_costs(query, rows, jump)[:, 0]
            far += barred[c, (jump[:, 0] - _LEAD) // _LINE**2]
            _keep_better(field, cost, jump, far)
            for step in steps[iteration, :, c]:
                found = field + step
                _keep_better(field, cost, found, _own_costs(query, rows, found, buffer))
        distances.append(_mean_distance(cost, lengths))
    return _or_black(torch.stack(distances, dim=1), query, shift, barred)


@feature(batched=True, of=[gray28], fit=learn_exemplars)
def window_patch_distances(
    gray: torch.Tensor,
    *,
    exemplars: torch.Tensor,
    filters: torch.Tensor,
    shift: torch.Tensor,
    table: torch.Tensor,
) -> torch.Tensor:
    """Mean distance of patches to the nearest ones of a class close by: (n, k).

    As `patchmatch_distances`, but each patch is compared with all those of the class
    that lie up to one pixel from its own place, and with no others: the cheap stand-in.
    """
    query, lengths = _queries(gray, filters, shift)
    barred = _barred(gray, exemplars)
    e = exemplars.shape[1]
    window = _window(e, gray.device)  # (36, e * 9)
    distances = []
    for c, rows in enumerate(table):
        scores = _shared_costs(query, rows, window)
        cost = (
            scores.view(len(query), e, -1, len(gray))
            .amin(dim=2)
            .add_(barred[c])
            .amin(dim=1)
        )
        distances.append(_mean_distance(cost, lengths))
    return _or_black(torch.stack(distances, dim=1), query, shift, barred)


def _queries(
    gray: torch.Tensor, filters: torch.Tensor, shift: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Describe each patch so that query . table row = squared distance - own length.

    Returns
    -------
    (36, n, 16) queries, minus twice the description and a one, and (36, n) lengths.
    """
    weight = filters.view(-1, 1, PATCH_PX, PATCH_PX)
    described = F.conv2d(gray[:, None], weight, -shift, stride=STRIDE_PX)
    n, d = described.shape[:2]
    line = torch.arange(_GRID, device=gray.device) * (PLACE_WEIGHT * STRIDE_PX)
    query = gray.new_empty(_GRID, _GRID, n, d + 3)
    query[..., :d] = described.permute(2, 3, 0, 1)
    query[..., d] = line[:, None, None]
    query[..., d + 1] = line[:, None]
    query[..., -1] = 0
    lengths = query.square().sum(dim=3)
    query *= -2
    query[..., -1] = 1
    return query.flatten(0, 1), lengths.flatten(0, 1)


def _barred(gray: torch.Tensor, exemplars: torch.Tensor) -> torch.Tensor:
    """Infinity where an exemplar is the image itself, else 0: (k, e, n)."""
    own, others = gray.flatten(1), exemplars.flatten(0, 1)
    gaps = others.square().sum(dim=1)[:, None] + own.square().sum(dim=1)
    gaps -= 2 * others @ own.T  # (k * e, n)
    same = gaps < SIDE**2 * _SAME_RMS**2
    return torch.where(same, math.inf, 0.0).view(*exemplars.shape[:2], -1)


def _shared_costs(
    query: torch.Tensor, rows: torch.Tensor, candidates: torch.Tensor
) -> torch.Tensor:
    """Compare each patch of all images with the same (36, r) table rows: (36, r, n)."""
    return rows[candidates] @ query.transpose(1, 2)


def _own_costs(
    query: torch.Tensor, rows: torch.Tensor, found: torch.Tensor, buffer: torch.Tensor
) -> torch.Tensor:
    """Compare each patch of each image with a table row of its own: (36, n)."""
    torch.index_select(rows, 0, found.flatten(), out=buffer)
    return buffer.view(query.shape).mul_(query).sum(dim=2)


def _moved_neighbors(field: torch.Tensor, *, sign: int) -> Iterator[torch.Tensor]:
    """Give what the patches above, then left, found (below, right for -1), moved on."""
    for axis, step in ((0, _LINE * STRIDE_PX), (1, STRIDE_PX)):
        found = field.view(_GRID, _GRID, -1).roll(sign, axis) + sign * step
        found.select(
            axis, 0 if sign == 1 else -1
        ).zero_()  # no neighbor: matches nothing
        yield found.flatten(0, 1)


def _keep_better(
    field: torch.Tensor,
    cost: torch.Tensor,
    found: torch.Tensor,
    found_cost: torch.Tensor,
) -> None:
    torch.where(found_cost < cost, found, field, out=field)
    torch.minimum(cost, found_cost, out=cost)


def _mean_distance(cost: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    return (cost + lengths).clamp_(min=0).sqrt_().mean(dim=0)


def _or_black(
    distances: torch.Tensor,
    query: torch.Tensor,
    shift: torch.Tensor,
    barred: torch.Tensor,
) -> torch.Tensor:
    """Replace distances to classes that have no exemplar but the image: (n, k)."""
    # A black patch is described by -shift.
    gaps = query[..., :-3] / -2 + shift
    black = torch.linalg.vector_norm(gaps, dim=2).mean(dim=0)
    return torch.where(barred.isinf().all(dim=1).T, black[:, None], distances)


def _principal_components(
    patches: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    mean = patches.mean(axis=0)
    _, vectors = np.linalg.eigh((patches - mean).T @ (patches - mean))
    filters = vectors[:, ::-1][:, :_N_COMPONENTS].T
    return filters.astype(np.float32), (filters @ mean).astype(np.float32)


def _table(described: torch.Tensor) -> torch.Tensor:
    """Lay out (k, e, 21, 21, 13) descriptions with margins: (k, rows, 16)."""
    k, e, *_, d = described.shape
    line = torch.arange(_PLACES) * PLACE_WEIGHT
    laid = torch.zeros(k, e, _LINE, _LINE, d + 3)
    laid[..., -1] = math.inf
    places = laid[:, :, :_PLACES, :_PLACES]
    places[..., :d] = described
    places[..., d] = line[:, None]
    places[..., d + 1] = line
    places[..., -1] = places[..., :-1].square().sum(dim=-1)
    lead = torch.zeros(k, _LEAD, d + 3)
    lead[..., -1] = math.inf
    return torch.cat([lead, laid.flatten(1, 3), lead], dim=1)


def _table_rows(exemplar: Any, row: Any, column: Any) -> Any:
    return _LEAD + exemplar * _LINE**2 + row * _LINE + column


def _own_places() -> NDArray[np.int64]:
    """Row and column of each patch: (2, 36)."""
    line = np.arange(_GRID) * STRIDE_PX
    return np.stack(np.meshgrid(line, line, indexing="ij")).reshape(2, -1)


@cache
def _window(e: int, device: torch.device) -> torch.Tensor:
    """Table rows of all places within a pixel of each patch's own: (36, e * 9)."""
    near = np.arange(-_WINDOW_PX, _WINDOW_PX + 1)
    row, column = _own_places()[..., None, None, None]  # (36, 1, 1, 1)
    rows = _table_rows(np.arange(e)[:, None, None], row + near[:, None], column + near)
    return torch.from_numpy(rows.reshape(_GRID**2, -1)).to(device)
