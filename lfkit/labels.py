"""From votes to labels, and how right they are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators import AGGREGATORS
from lfkit.aggregators.aggregator import clear_winners
from lfkit.errors import InputError
from lfkit.folds import deal_folds
from lfkit.images import ImageSource, content_groups
from lfkit.votes import ABSTAIN, Votes

_FOLDS = 5


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels made of votes.

    Attributes
    ----------
    labels : (n,) classes, -1 = no label.
    proba : (n, k) posterior; seeds have their given class.
    is_seed : (n,) True where the label was given.
    """

    labels: NDArray[np.int64]
    proba: NDArray[np.float64]
    is_seed: NDArray[np.bool_]


@dataclass(frozen=True)
class Accuracy:
    """How many labels are right, of readable images whose class is known, not given.

    Attributes
    ----------
    of_all : share of these images with the right label; no label counts as wrong.
    of_labeled : share among those that have a label.
    n : number of these images.
    """

    of_all: float
    of_labeled: float
    n: int


def make_aggregator(name: str, class_balance: Sequence[float] | None) -> Any:
    """Make an aggregator by its name in AGGREGATORS."""
    if name not in AGGREGATORS:
        raise InputError(
            f"there is no aggregator {name!r}; choose from {', '.join(AGGREGATORS)}."
        )
    return AGGREGATORS[name](class_balance=class_balance)


def aggregate(
    votes: Votes, name: str, class_balance: Sequence[float] | None = None
) -> Labels:
    """Turn votes into labels; the seeds keep the labels they were given."""
    proba = make_aggregator(name, class_balance).fit_predict_proba(votes)
    labels = clear_winners(proba, votes)
    is_seed = np.zeros(len(votes), bool)
    if votes.seed_rows is not None and votes.seed_labels is not None:
        is_seed[votes.seed_rows] = True
        labels[votes.seed_rows] = votes.seed_labels
        proba[votes.seed_rows] = np.eye(votes.n_classes)[votes.seed_labels]
    return Labels(labels, proba, is_seed)


def seed_accuracy(
    votes: Votes, name: str, class_balance: Sequence[float] | None = None
) -> float | None:
    """Score an aggregator on the seeds, by votes of functions that have not seen them.

    One that learns from the seeds is scored on those it has not seen, fold by fold.
    Returns None without out-of-fold votes. No vote counts as wrong.
    """
    fold, labels = votes.seed_out_of_fold, votes.seed_labels
    if fold is None or labels is None:
        return None
    aggregator = make_aggregator(name, class_balance)
    if not aggregator.learns_from_seeds:
        return float((aggregator.fit(votes).predict(fold) == labels).mean())
    right = np.zeros(len(labels), bool)
    folds = deal_folds(np.asarray(labels), _FOLDS, 0)
    for part in np.unique(folds):
        test = folds == part
        train = np.flatnonzero(~test)
        known = replace(
            fold, seed_out_of_fold=fold.rows(train), seed_labels=labels[train]
        )
        predicted = aggregator.fit(known).predict(fold.rows(np.flatnonzero(test)))
        right[test] = predicted == labels[test]
    return float(right.mean())


def score(
    labels: NDArray[np.int64], truth: NDArray[np.int64], given: NDArray[np.bool_]
) -> Accuracy | None:
    """Compare labels with the truth.

    Parameters
    ----------
    truth : (n,) -1 where unknown.
    given : (n,) images not to be scored; see `given_images`.
    """
    rows = (truth >= 0) & ~given
    if not rows.any():
        return None
    right, labeled = labels[rows] == truth[rows], labels[rows] != ABSTAIN
    of_labeled = float(right[labeled].mean()) if labeled.any() else float("nan")
    return Accuracy(float(right.mean()), of_labeled, int(rows.sum()))


def given_images(
    source: ImageSource, votes: Votes, unreadable: Collection[int] = ()
) -> NDArray[np.bool_]:
    """Find what is not scored: every image with a seed's content or without pixels.

    Parameters
    ----------
    unreadable : rows that could not be read, beside those the source knows.
    """
    given = same_content(source.keys, votes.seed_rows)
    given[[*source.known_problems, *unreadable]] = True
    return given


def scored_images(
    source: ImageSource,
    votes: Votes,
    truth: NDArray[np.int64],
    unreadable: Collection[int] = (),
) -> NDArray[np.int64]:
    """Give the classes to score by, (n,); -1 = unknown, given or unreadable.

    Labels and floors are scored on the same images, copies of one another among them.
    """
    return np.where(given_images(source, votes, unreadable), -1, truth)


def same_content(
    keys: NDArray[np.uint8], rows: NDArray[np.int64] | None
) -> NDArray[np.bool_]:
    """Tell which of n images have the content of one in `rows`, (n,)."""
    if rows is None:
        return np.zeros(len(keys), bool)
    _, group = content_groups(keys)
    return np.isin(group, group[rows])
