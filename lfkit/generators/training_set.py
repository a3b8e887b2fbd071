"""What a generator learns from, checked once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.data.votes import Votes
from lfkit.errors import DataError
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
    """

    images: NDArray[np.uint8]
    votes: Votes
    proba: NDArray[np.float64]
    prior: NDArray[np.float64]
    lfs: tuple[LabelingFunction, ...]
    seed_proba: NDArray[np.float64] | None

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


def checked_task(
    images: NDArray[np.uint8],
    votes: Votes,
    proba: ArrayLike,
    lfs: Sequence[LabelingFunction],
    class_prior: ArrayLike | None,
    seed_proba: ArrayLike | None,
) -> TrainingSet:
    """Check what `JointGenerator.fit` was given."""
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
