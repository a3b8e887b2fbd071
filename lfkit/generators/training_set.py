"""What a generator learns from, checked once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.data.votes import Votes
from lfkit.errors import DataError, InputError
from lfkit.labeling.labeling_function import LabelingFunction

Progress = Callable[[int, int], None]  # (done, of how many)


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Images, votes and labels.

    Attributes
    ----------
    images : (n, h, w, c) uint8.
    proba : (n, k) label posteriors; rows of zeros = no label.
    prior : (k,) shares of the classes.
    lfs : fitted, or none.
    seed_proba : (s, k) held-out posteriors of the seeds, or None.
    second : the same of a second domain of the same classes, or None.
    has_common_prior : `prior` is that of two domains, not of these images alone.
    """

    images: NDArray[np.uint8]
    votes: Votes
    proba: NDArray[np.float64]
    prior: NDArray[np.float64]
    lfs: tuple[LabelingFunction, ...]
    seed_proba: NDArray[np.float64] | None
    second: TrainingSet | None = None
    has_common_prior: bool = False

    @property
    def is_labeled(self) -> NDArray[np.bool_]:
        """(n,) which images have a label."""
        return np.asarray(self.proba.any(axis=1))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, c) of the images."""
        _, h, w, c = self.images.shape
        return h, w, c

    @property
    def n_classes(self) -> int:
        """How many classes there are."""
        return self.proba.shape[1]


@dataclass(frozen=True, eq=False)
class Domain:
    """Images of one domain, and what is known of them.

    Attributes
    ----------
    images, votes, proba, lfs, seed_proba : as `JointGenerator.fit` takes them.
    """

    images: NDArray[np.uint8]
    votes: Votes
    proba: ArrayLike
    lfs: Sequence[LabelingFunction] = ()
    seed_proba: ArrayLike | None = None


def checked_domains(
    first: Domain,
    second: Domain | None,
    n_domains: int,
    class_prior: ArrayLike | None = None,
) -> TrainingSet:
    """Check what `JointGenerator.fit` was given.

    Parameters
    ----------
    n_domains : 1 or 2, of the generator.

    Raises
    ------
    InputError : there is a domain too many, or one is missing.
    DataError : images, votes and labels do not fit each other.
    """
    task = checked_task(
        first.images, first.votes, first.proba, first.lfs, class_prior, first.seed_proba
    )
    if (n_domains == 2) != (second is not None):
        raise InputError(
            f"this generator makes images of {n_domains} "
            f"domain{'s' * (n_domains > 1)}; give images of so many."
        )
    return task if second is None else checked_pair(task, second)


def checked_pair(task: TrainingSet, second: Domain) -> TrainingSet:
    """Check a second domain, and put it beside the first.

    Raises
    ------
    DataError : it has other classes, or no class that the first has, too.
    """
    other = checked_task(
        second.images, second.votes, second.proba, second.lfs, None, second.seed_proba
    )
    if other.n_classes != task.n_classes:
        raise DataError(
            f"the first domain has {task.n_classes} classes and the second "
            f"{other.n_classes}; give labels of the same classes."
        )
    # A pair has one label: what only one of them has is never made.
    shares = np.where((task.prior > 0) & (other.prior > 0), task.prior + other.prior, 0)
    if not shares.any():
        raise DataError(
            "no class has labels in both domains, so no pair of images can be made."
        )
    shares = shares / shares.sum()
    other = replace(other, prior=shares, has_common_prior=True)
    return replace(task, prior=shares, second=other, has_common_prior=True)


def checked_task(
    images: NDArray[np.uint8],
    votes: Votes,
    proba: ArrayLike,
    lfs: Sequence[LabelingFunction],
    class_prior: ArrayLike | None,
    seed_proba: ArrayLike | None,
) -> TrainingSet:
    """Check what `JointGenerator.fit` was given of one domain."""
    images, known = np.asarray(images), np.asarray(proba, np.float64)
    _check_images(images)
    if known.shape != (len(images), votes.n_classes):
        raise DataError(
            f"proba has the shape {known.shape}; expected {len(images)} rows, one per "
            f"image, of {votes.n_classes} classes."
        )
    if len(votes) != len(images):
        raise DataError(
            f"there are votes on {len(votes)} images, and {len(images)} images; give "
            "one row of votes per image."
        )
    if not known.any():
        raise DataError("no image has a label; a generator of pairs needs some.")
    shares = known.sum(axis=0) if class_prior is None else np.asarray(class_prior)
    # A class that no image is labeled with is never seen, whatever the posteriors hint.
    named = np.unique(known.argmax(axis=1)[known.any(axis=1)])
    prior = np.zeros(known.shape[1])
    prior[named] = np.asarray(shares, np.float64)[named]
    prior /= prior.sum()
    held_out = None if seed_proba is None else np.asarray(seed_proba, np.float64)
    return TrainingSet(images, votes, known, prior, tuple(lfs), held_out)


def unlabeled_task(
    images: NDArray[np.uint8], prior: NDArray[np.float64]
) -> TrainingSet:
    """Check images of a target domain, of which no label and no vote is known.

    Parameters
    ----------
    prior : (k,) shares of the classes, as the source knows them.
    """
    images = np.asarray(images)
    _check_images(images)
    n, k = len(images), len(prior)
    silent = Votes(np.zeros((n, 0), np.int16), (), k)
    return TrainingSet(images, silent, np.zeros((n, k)), prior, (), None)


def most_confident(
    sure: NDArray[np.float64],
    labels: NDArray[np.int64],
    known: NDArray[np.bool_],
    share: float,
) -> NDArray[np.float64]:
    """Mark the most confident share of images of each class, (n,) of 0 and 1."""
    kept = np.zeros(len(labels))
    for label in np.unique(labels[known]):
        rows = np.flatnonzero(known & (labels == label))
        # Equals stay in the images' order.
        best = np.argsort(-sure[rows], kind="stable")
        kept[rows[best[: max(1, round(share * len(rows)))]]] = 1
    return kept


def _check_images(images: NDArray[Any]) -> None:
    if images.ndim != 4 or images.dtype != np.uint8:
        raise DataError(
            f"images must be (n, h, w, c) uint8, got {images.dtype} of shape "
            f"{images.shape}."
        )
    if len(images) < 2 or min(images.shape[1:3]) < 8:
        raise DataError(
            f"there are {len(images)} images of {images.shape[1]}x{images.shape[2]} "
            "pixels; a generator needs two or more, of 8x8 or more. Give --size to "
            "`lfkit apply` to enlarge them."
        )
