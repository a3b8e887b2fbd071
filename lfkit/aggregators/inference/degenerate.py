"""Fits that cannot be right, whatever the truth is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators.inference.em import TIE_TOLERANCE
from lfkit.aggregators.inference.equal_trust import shared_sums
from lfkit.data.votes import Votes

# A class that so many images' votes are won by does not keep so little of them.
_LEAST_SHARE, _LEAST_IMAGES, _KEPT = 0.01, 5.0, 0.1
_ALMOST_ALL, _MOST_BEFORE = 0.99, 0.9


def find_degeneracy(
    proba: NDArray[np.float64],
    votes: Votes,
    counts: NDArray[np.float64],
    strengths: NDArray[np.float64] | None = None,
) -> str:
    """Say what is wrong with posteriors, (u, k), of patterns with (u,) images; or "".

    Degenerate are fits in which one class has swallowed the others, a class has
    vanished that many votes are won by, or classes are exchanged: images of which all
    votes name a class are given another.

    Parameters
    ----------
    strengths : (m, m) how strongly functions depend on each other, for copies to share
        one vote; None: all count in full.
    """
    sums = shared_sums(votes, strengths)
    total = sums.sum(axis=1)
    counts = np.where(total > 0, counts, 0)
    n = counts.sum()
    if not n or votes.n_classes < 2:
        return ""
    winners = sums >= sums.max(axis=1, keepdims=True) - TIE_TOLERANCE
    won = counts @ (winners / winners.sum(axis=1, keepdims=True)) / n  # (k,)
    given = counts @ proba / n
    most = int(given.argmax())
    if given[most] > _ALMOST_ALL and won[most] < _MOST_BEFORE:
        return (
            f"it gives {100 * given[most]:.0f} % of the images class {most}, which "
            f"wins {100 * won[most]:.0f} % of the votes"
        )
    lost = (won >= _LEAST_SHARE) & (won * n >= _LEAST_IMAGES) & (given < _KEPT * won)
    if lost.any():
        label = int(np.where(lost, won, 0).argmax())
        return (
            f"it leaves class {label} {100 * given[label]:.1f} % of the images, of "
            f"which it wins the vote on {100 * won[label]:.0f} %"
        )
    united = (sums.max(axis=1) > total - TIE_TOLERANCE) & (total > 1.5)
    theirs = (counts * united)[:, None] * winners  # (u, k)
    agreed = theirs.sum(axis=0)
    for label in np.flatnonzero(agreed >= _LEAST_IMAGES).tolist():
        means = theirs[:, label] @ proba / agreed[label]
        if means.argmax() != label:
            return (
                f"images of which all votes say class {label} it gives class "
                f"{means.argmax()}"
            )
    return ""
