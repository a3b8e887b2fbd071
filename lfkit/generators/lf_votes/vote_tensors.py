"""Votes on real images as weights of classes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lfkit.data.votes import ABSTAIN, Votes
from lfkit.nn.sending import sent

ROWS_AT_ONCE = 4096  # (rows, m, k) in memory: 11 MB with 66 functions of 10 classes


def weights_of(votes: Votes) -> Iterator[torch.Tensor]:
    """Yield votes as weights, (rows, m, k) float32, a few thousand rows at a time."""
    for start in range(0, len(votes), ROWS_AT_ONCE):
        yield rows_of(votes, slice(start, start + ROWS_AT_ONCE))


def rows_of(votes: Votes, rows: slice | NDArray[np.int64]) -> torch.Tensor:
    """Give some rows of votes as weights, (r, m, k) float32, zeros = abstain."""
    hard, allowed, soft = (
        None if part is None else torch.from_numpy(np.array(part[rows]))
        for part in (votes.hard, votes.allowed, votes.soft)
    )
    assert hard is not None
    return _weights(hard, allowed, soft, votes.n_classes)


class VoteTensors:
    """Votes on real images, kept on a device: rows are taken there, not on the host.

    Parameters
    ----------
    device : that of the images; it holds two bytes for each vote, and one or two more
        for each class of votes that are sets or soft.
    """

    def __init__(self, votes: Votes, device: str) -> None:
        self.n_classes = votes.n_classes
        self._hard = sent(votes.hard, device)
        self._allowed, self._soft = (
            None if part is None else sent(part, device)
            for part in (votes.allowed, votes.soft)
        )

    def rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Give some rows as weights, (r,) → (r, m, k) float32, zeros = abstain."""
        allowed, soft = (
            None if part is None else part[rows] for part in (self._allowed, self._soft)
        )
        return _weights(self._hard[rows], allowed, soft, self.n_classes)


def _weights(
    hard: torch.Tensor,
    allowed: torch.Tensor | None,
    soft: torch.Tensor | None,
    n_classes: int,
) -> torch.Tensor:
    hard = hard.long()
    found = F.one_hot(hard.clamp_min(0), n_classes).float()
    found = found * (hard != ABSTAIN)[..., None]
    if allowed is not None:  # a set of classes: its parts are equally likely
        sets = allowed.float()
        size = sets.sum(dim=2, keepdim=True)
        found = torch.where(size > 1, sets / size.clamp_min(1), found)
    if soft is not None:
        soft = soft.float()
        total = soft.sum(dim=2, keepdim=True)
        found = torch.where(total > 0, soft / total.clamp_min(1e-12), found)
    return found
