"""Which images stand for a label and for a labeling function."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from lfkit.data.votes import ABSTAIN, Votes


def mark(truth: int, named: Collection[int]) -> str:
    """Compare the classes named with the true one: "right", "wrong", "" if unknown."""
    return "" if truth < 0 else "right" if truth in named else "wrong"


def label_examples(
    labels: NDArray[np.int64],
    proba: NDArray[np.float64],
    usable: NDArray[np.bool_],
    *,
    n_classes: int,
    per_side: int,
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Choose the most and the least confident images of each class.

    Parameters
    ----------
    labels : (n,) classes, -1 = no label.
    proba : (n, k) confidence is the largest of a row.
    usable : (n,) images that may be shown.
    n_classes : the first of them.
    """
    sure = proba.max(axis=1)
    chosen = []
    for label in range(n_classes):
        rows = np.flatnonzero(usable & (labels == label))
        rows = rows[np.argsort(-sure[rows], kind="stable")]
        chosen.append((rows[:per_side], rows[per_side:][-per_side:][::-1]))
    return chosen


def vote_examples(
    votes: Votes, j: int, usable: NDArray[np.bool_], n: int
) -> NDArray[np.int64]:
    """Choose at most n images that function j voted on, the most confident first.

    They are spread over the classes that it named, and over all degrees of confidence;
    hard votes are equally confident.

    Parameters
    ----------
    usable : (n,) images that may be shown.
    """
    rows = np.flatnonzero(votes.voted[:, j] & usable)
    labels = votes.hard[rows, j]
    if votes.allowed is not None:
        is_set = labels == ABSTAIN
        labels = np.where(is_set, votes.allowed[rows, j].argmax(axis=1), labels)
    confidence = np.ones(len(rows))
    if votes.soft is not None:
        confidence = votes.soft[rows, j].max(axis=1).astype(np.float64)
    picked = _spread(labels, confidence, n)
    return rows[picked[np.argsort(-confidence[picked], kind="stable")]]


def _spread(
    labels: NDArray[np.integer], confidence: NDArray[np.float64], n: int
) -> NDArray[np.int64]:
    """Choose votes over all classes, and over all degrees of confidence: positions.

    A class's votes, most confident first, are cut into as many parts as it gets
    images; from each part comes one image, from further back in each class than in the
    one before.
    """
    classes = np.unique(labels)
    if len(classes) > n:
        classes = classes[np.linspace(0, len(classes) - 1, n).round().astype(np.int64)]
    members = [np.flatnonzero(labels == label) for label in classes]
    members = [own[np.argsort(-confidence[own], kind="stable")] for own in members]
    shares = _shares([len(own) for own in members], n)
    last = max(1, len(classes) * max(shares, default=0) - 1)
    picked = [
        part[round((turn * len(classes) + i) / last * (len(part) - 1))]
        for i, (own, share) in enumerate(zip(members, shares, strict=True))
        for turn, part in enumerate(np.array_split(own, share))
    ]
    return np.asarray(picked, np.int64)


def _shares(counts: Sequence[int], n: int) -> list[int]:
    """Deal n places out, one to each class that has an image left, in turns."""
    shares = [0] * len(counts)
    left = min(n, sum(counts))
    while left:
        for i, count in enumerate(counts):
            if left and shares[i] < count:
                shares[i] += 1
                left -= 1
    return shares
