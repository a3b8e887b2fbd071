"""How unlike images are in what share of their votes agree: a test of tables."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lfkit.data.votes import Patterns

_LEAST_VOTES = 3


def spread_of_agreement(
    patterns: Patterns,
    tables: NDArray[np.float64],
    prior: NDArray[np.float64],
    functions: NDArray[np.bool_],
) -> float:
    """Compare the variance of agreement with what tables foretell: 1 if they are right.

    The agreement of an image is the share of pairs of its votes that name one class.
    Of n independent votes for classes with shares p it is a U-statistic (Hoeffding
    1948) with mean s = sum p^2 and variance
    (4 (n - 2) (sum p^3 - s^2) + 2 (s - s^2)) / (n (n - 1)); s differs by class. Where
    one accuracy per function cannot explain the votes, as where images of one class
    are mostly taken for another by most functions but not by all, images are far more
    unlike than that.

    Parameters
    ----------
    patterns : hard votes.
    tables : (m, k, k + 1) P(vote | class), the last symbol silence.
    prior : (k,)
    functions : (m,) True for those whose votes are counted.

    Returns
    -------
    The ratio of the variances; 1.0 where too few images have three votes.
    """
    k = len(prior)
    hard = patterns.votes.hard[:, functions]
    said = np.stack([(hard == label).sum(axis=1) for label in range(k)], axis=1)
    n = said.sum(axis=1).astype(np.float64)
    used = n >= _LEAST_VOTES
    counts = patterns.counts[used]
    if counts.sum() < 2:
        return 1.0
    said, n = said[used], n[used]
    pairs = n * (n - 1)
    agreement = (said * (said - 1)).sum(axis=1) / pairs
    mean = np.average(agreement, weights=counts)
    found = np.average((agreement - mean) ** 2, weights=counts)
    n_votes = patterns.counts @ (hard >= 0)  # (m',)
    spoken = tables[functions][:, :, :k]
    speaks = spoken.sum(axis=2, keepdims=True)
    # Of a class without a share no table says anything.
    spoken = np.divide(spoken, speaks, out=np.zeros_like(spoken), where=speaks > 0)
    shares = np.einsum("j,jyv->yv", n_votes / n_votes.sum(), spoken)  # (k, k)
    squares, cubes = (shares**2).sum(axis=1), (shares**3).sum(axis=1)
    within = 4 * (cubes - squares**2) * np.average((n - 2) / pairs, weights=counts)
    within += 2 * (squares - squares**2) * np.average(1 / pairs, weights=counts)
    between = (squares - prior @ squares) ** 2
    foretold = float(prior @ (within + between))
    return float(found / foretold) if foretold > 0 else 1.0
