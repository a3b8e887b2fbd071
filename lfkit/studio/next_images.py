"""Which images to look at next: what functions miss, dispute or get wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr
from sklearn.cluster import MiniBatchKMeans

from lfkit.data.votes import Votes
from lfkit.errors import InputError

UNCOVERED, DISPUTED, CONTRADICTED, RANDOM = (
    "no function covers them",
    "functions disagree",
    "your answer is not what functions vote",
    "drawn at random",
)
_MOST_LOOKS = 8  # groups that uncovered images are divided into
_GROUP_SIZE = 12  # images of a group that are shown together
_LEARNED_FROM = 20_000  # uncovered images that the groups are learned from


@dataclass(frozen=True, eq=False)
class Suggestion:
    """Images to look at together, and why.

    Attributes
    ----------
    rows : (r,) the images, the most telling first.
    why : one of UNCOVERED, DISPUTED, CONTRADICTED, RANDOM.
    n_alike : how many images there are of which these are shown.
    """

    rows: NDArray[np.int64]
    why: str
    n_alike: int

    @property
    def is_random(self) -> bool:
        """True of images that were drawn at random."""
        return self.why == RANDOM


def suggestions(
    votes: Votes | NDArray[np.float32],
    proba: NDArray[np.floating],
    features: NDArray[np.floating] | None,
    seeds: Mapping[int, int],
    *,
    n: int = 60,
    random_share: float = 0.2,
    random_state: int = 0,
    order: NDArray[np.int64] | None = None,
) -> list[Suggestion]:
    """Choose the images to show next.

    A fixed share of them is random, so that accuracy can be estimated from those drawn;
    the others are divided evenly among answers that contradict the votes,
    images on which functions disagree, and images without a vote, grouped by look. No
    image is in two groups. The same arguments give the same images; a random image
    stays until it is answered.

    Parameters
    ----------
    votes : of n images, or (n, k) their `vote_counts`.
    proba : (n, k) posteriors; among equally disputed images the least sure come first.
    features : (n, d) to group by; None: uncovered images are one group.
    seeds : row → class of the images whose class is known.
    n : how many images in all, as far as there are any.
    random_share : of them, from 0 to 1.
    order : (n,) all images in the order in which random ones are drawn; None: one of
        `random_state`.
    """
    if not 0 <= random_share <= 1 or n < 1:
        raise InputError(
            f"n is {n} and random_share {random_share}; n is at least 1, and "
            "random_share from 0 to 1."
        )
    n_images = len(votes)
    for name, given in (("proba", proba), ("features", features)):
        if given is not None and len(given) != n_images:
            raise InputError(
                f"{name} has {len(given)} rows for the votes of {n_images} images; "
                "give one row per image."
            )
    known = np.zeros(n_images, bool)
    known[list(seeds)] = True
    free = ~known
    if order is None:
        order = np.random.default_rng(random_state).permutation(n_images)
    drawn = order[free[order]][: round(n * random_share)]
    free[drawn] = False
    share = (n - len(drawn)) // 3
    counts = vote_counts(votes) if isinstance(votes, Votes) else votes
    found = [_contradicted(counts, seeds, share), _disputed(counts, proba, free, share)]
    taken = sum(len(each.rows) for each in found)
    found += _uncovered(counts, features, free, n - len(drawn) - taken, random_state)
    found.append(Suggestion(drawn, RANDOM, int((~known).sum())))
    return [each for each in found if len(each.rows)]


def vote_counts(votes: Votes) -> NDArray[np.float32]:
    """Add up what functions say for each class, (n, k); one function adds 1 at most.

    A soft vote is divided as it says, a set evenly among its classes.
    """
    counts = np.zeros((len(votes.hard), votes.n_classes), np.float32)
    for column in range(votes.hard.shape[1]):
        hard = votes.hard[:, column]
        rows = np.flatnonzero(hard >= 0)
        if votes.soft is None:
            counts[rows, hard[rows]] += 1
        else:
            counts[rows] += _shares(votes.soft[rows, column])
        if votes.allowed is not None:
            rows = np.flatnonzero(hard < 0)
            counts[rows] += _shares(votes.allowed[rows, column])
    return counts


def disagreement(counts: NDArray[np.float32]) -> NDArray[np.float64]:
    """Give the entropy of the vote in nats: (n, k) → (n,); 0 without votes.

    >>> disagreement(np.asarray([[2, 0], [1, 1], [0, 0]], np.float32)).round(3)
    array([0.   , 0.693, 0.   ])
    """
    return np.asarray(entr(_shares(counts)).sum(axis=1), np.float64)


def _shares(counts: NDArray[np.generic]) -> NDArray[np.float64]:
    values = np.asarray(counts, np.float64)
    total = values.sum(axis=1, keepdims=True)
    return np.divide(values, total, out=np.zeros_like(values), where=total > 0)


def _contradicted(
    counts: NDArray[np.float32], seeds: Mapping[int, int], n: int
) -> Suggestion:
    """Find answers with more votes for another class than for their own."""
    rows = np.asarray(sorted(seeds), np.int64)
    labels = np.asarray([seeds[int(row)] for row in rows], np.int64)
    shares = _shares(counts[rows]).copy()
    own = shares[np.arange(len(rows)), labels].copy()
    shares[np.arange(len(rows)), labels] = 0
    behind = shares.max(axis=1, initial=0) - own
    wrong = np.flatnonzero(behind > 0)
    order = wrong[np.argsort(-behind[wrong], kind="stable")]
    return Suggestion(rows[order[:n]], CONTRADICTED, len(order))


def _disputed(
    counts: NDArray[np.float32],
    proba: NDArray[np.floating],
    free: NDArray[np.bool_],
    n: int,
) -> Suggestion:
    """Find images whose vote has the highest entropy; of equals the least sure."""
    entropy = disagreement(counts)
    rows = np.flatnonzero(free & (entropy > 1e-9))
    order = np.lexsort((np.asarray(proba)[rows].max(axis=1), -entropy[rows].round(6)))
    return Suggestion(rows[order[:n]], DISPUTED, len(rows))


def _uncovered(
    counts: NDArray[np.float32],
    features: NDArray[np.floating] | None,
    free: NDArray[np.bool_],
    n: int,
    random_state: int,
) -> list[Suggestion]:
    """Group images without a vote by look, the largest group first.

    Of each group those nearest to its middle are shown.
    """
    rows = np.flatnonzero(free & (counts.sum(axis=1) <= 0))
    if not len(rows) or n < 1:
        return []
    if features is None:
        return [Suggestion(rows[:n], UNCOVERED, len(rows))]
    values = _comparable(np.asarray(features)[rows])
    n_groups = min(_MOST_LOOKS, -(-n // _GROUP_SIZE), len(rows))
    every = max(1, len(rows) // _LEARNED_FROM)
    means = MiniBatchKMeans(n_groups, n_init=3, random_state=random_state)
    means.fit(values[::every])
    distance = means.transform(values)  # (r, groups)
    own = distance.argmin(axis=1)
    sizes = np.bincount(own, minlength=n_groups)
    found = []
    for number, group in enumerate(np.argsort(-sizes, kind="stable")):
        size = n // n_groups + (number < n % n_groups)
        members = np.flatnonzero(own == group)
        order = members[np.argsort(distance[members, group], kind="stable")]
        found.append(Suggestion(rows[order[:size]], UNCOVERED, int(sizes[group])))
    return found


def _comparable(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Standardise each feature; what is not known becomes the mean."""
    known = np.where(np.isfinite(values), values, 0).astype(np.float32)
    known -= known.mean(axis=0)
    deviation = known.std(axis=0)
    known /= np.where(deviation > 0, deviation, 1)
    return known
