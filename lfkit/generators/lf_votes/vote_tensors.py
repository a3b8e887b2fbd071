"""Votes on real images as weights of classes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lfkit.data.votes import ABSTAIN, Votes

ROWS_AT_ONCE = 4096  # (rows, m, k) in memory: 11 MB with 66 functions of 10 classes


def weights_of(votes: Votes) -> Iterator[torch.Tensor]:
    """Yield votes as weights, (rows, m, k) float32, a few thousand rows at a time."""
    for start in range(0, len(votes), ROWS_AT_ONCE):
        yield rows_of(votes, slice(start, start + ROWS_AT_ONCE))


def rows_of(votes: Votes, rows: slice | NDArray[np.int64]) -> torch.Tensor:
    """Give some rows of votes as weights, (r, m, k) float32, zeros = abstain."""
    hard = torch.from_numpy(np.asarray(votes.hard[rows], np.int64))
    found = F.one_hot(hard.clamp_min(0), votes.n_classes).float()
    found = found * (hard != ABSTAIN)[..., None]
    if votes.allowed is not None:  # a set of classes: its parts are equally likely
        sets = torch.from_numpy(np.asarray(votes.allowed[rows], np.float32))
        size = sets.sum(dim=2, keepdim=True)
        found = torch.where(size > 1, sets / size.clamp_min(1), found)
    if votes.soft is not None:
        soft = torch.from_numpy(np.asarray(votes.soft[rows], np.float32))
        total = soft.sum(dim=2, keepdim=True)
        found = torch.where(total > 0, soft / total.clamp_min(1e-12), found)
    return found
