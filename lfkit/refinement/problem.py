"""What the stages of a refinement work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from lfkit.aggregators.aggregator import Aggregator
from lfkit.data.datasets.array_source import as_source
from lfkit.data.image_source import ImageSource
from lfkit.data.progress import Progress
from lfkit.data.read_images import box_means, read_images
from lfkit.data.votes import Votes
from lfkit.nn import TrainingPlan
from lfkit.refinement.class_prior import ClassPrior
from lfkit.refinement.tunable_images import TunableImages

_LARGEST_SIDE = 64
_PIXEL_BYTES = 2**32  # held at once; a million images of 64x64 would be more


def _no_rows() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class RefinementProblem:
    """Images, what the votes say of them, and the seeds.

    Attributes
    ----------
    pixels : (n, h, w, c) uint8, made small.
    features : for each set of features, (n, d) compact features.
    proba : (n, k) what the votes say; of seeds, by functions fitted without them:
        flat where only functions that have seen them voted.
    said : (n,) the class that the votes give, likewise; -1 on a tie or without a vote.
    voted : (n,) True where a function said something.
    readable : (n,) False where there are no pixels: what the votes say stays.
    seed_rows, seed_labels : (s,) images whose class is certain; maybe none.
    judges : (s,) True for seeds on which there are votes that have not learned from
        them. Only these tell how right votes and labels are; the others are labels to
        learn from, no more.
    possible : (k,) True for classes that some vote or some seed may name.
    prior : shares of the classes, if given.
    plan : how the network is trained.
    unseeded, unjudged : classes of which votes label images and of which there is no
        seed, or no judging one. Who learned or was judged by the other seeds would take
        these classes away: no stage does, unless images stand in.
    stand_in_rows, stand_in_labels : (t,) images that the votes are surest of, for
        `unseeded` classes: features learn from them, and they judge nothing.
    surest : where no seed tells, labels are no surer than this on the mean.
    flip : whether mirrored images are of the same class; None: as seeds or labels say.
    networks : for each set of features, the network that computed it beside the images,
        if it can be trained on; else None.
    """

    pixels: NDArray[np.uint8]
    features: tuple[NDArray[np.float16], ...]
    proba: NDArray[np.float64]
    said: NDArray[np.int64]
    voted: NDArray[np.bool_]
    readable: NDArray[np.bool_]
    seed_rows: NDArray[np.int64]
    seed_labels: NDArray[np.int64]
    judges: NDArray[np.bool_]
    possible: NDArray[np.bool_]
    prior: ClassPrior | None
    plan: TrainingPlan
    random_state: int
    device: str
    unseeded: tuple[int, ...] = ()
    unjudged: tuple[int, ...] = ()
    stand_in_rows: NDArray[np.int64] = field(default_factory=_no_rows)
    stand_in_labels: NDArray[np.int64] = field(default_factory=_no_rows)
    surest: float = 1.0
    flip: bool | None = None
    networks: tuple[TunableImages | None, ...] = ()

    @property
    def n_classes(self) -> int:
        """The number of classes, k."""
        return self.proba.shape[1]

    @property
    def has_seeds(self) -> bool:
        """Tell whether stages learn from the seeds.

        Two classes need two seeds, or nothing can be cross-validated, and every class
        that votes name needs one, or an image that stands in for it.
        """
        return self._shows(self.unseeded) and _enough(self.seed_labels)

    @property
    def has_judges(self) -> bool:
        """Tell the same of the seeds from which the votes have not learned."""
        return self._shows(self.unjudged) and _enough(self.judge_labels)

    def _shows(self, classes: Sequence[int]) -> bool:
        return set(classes) <= set(self.stand_in_labels.tolist())

    @property
    def told(self) -> NDArray[np.bool_]:
        """(n,) images of which votes, or what seeds have taught, say something."""
        return self.readable & (self.voted | self.has_seeds)

    @property
    def judge_rows(self) -> NDArray[np.int64]:
        """(j,) the rows of these seeds."""
        return self.seed_rows[self.judges]

    @property
    def judge_labels(self) -> NDArray[np.int64]:
        """(j,) their classes."""
        return self.seed_labels[self.judges]

    @property
    def seed_targets(self) -> NDArray[np.float64]:
        """(s, k) the seeds' classes as distributions."""
        return np.eye(self.n_classes)[self.seed_labels]

    @property
    def shown_rows(self) -> NDArray[np.int64]:
        """(s + t,) the seeds' rows, then those of the images that stand in."""
        return np.concatenate([self.seed_rows, self.stand_in_rows])

    @property
    def shown_labels(self) -> NDArray[np.int64]:
        """(s + t,) their classes."""
        return np.concatenate([self.seed_labels, self.stand_in_labels])

    @property
    def shown_targets(self) -> NDArray[np.float64]:
        """(s + t, k) these as distributions."""
        return np.eye(self.n_classes)[self.shown_labels]

    def clamped(self, proba: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give seeds their class: (n, k)."""
        found = proba.copy()
        found[self.seed_rows] = self.seed_targets
        return found

    def among_possible(self, proba: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give nothing to classes that no vote and no seed names: (n, k)."""
        if self.possible.all() or not self.possible.any():
            return proba
        found = proba * self.possible
        total = found.sum(axis=1, keepdims=True)
        flat = self.possible / self.possible.sum()
        return np.where(total > 0, found / np.where(total > 0, total, 1), flat)

    def part(self, rows: NDArray[np.int64]) -> RefinementProblem:
        """Give the problem on sorted rows, all seeds among them, without images."""
        stay = np.isin(self.stand_in_rows, rows)
        return replace(
            self,
            pixels=self.pixels[:0],
            networks=(),
            features=tuple(kind[rows] for kind in self.features),
            proba=self.proba[rows],
            said=self.said[rows],
            voted=self.voted[rows],
            readable=self.readable[rows],
            seed_rows=np.searchsorted(rows, self.seed_rows),
            stand_in_rows=np.searchsorted(rows, self.stand_in_rows[stay]),
            stand_in_labels=self.stand_in_labels[stay],
        )

    def with_seeds(self, kept: NDArray[np.bool_]) -> RefinementProblem:
        """Give the problem with some of the seeds only, (s,)."""
        return replace(
            self,
            seed_rows=self.seed_rows[kept],
            seed_labels=self.seed_labels[kept],
            judges=self.judges[kept],
        )


def _enough(labels: NDArray[np.int64]) -> bool:
    return int((np.bincount(labels, minlength=1) >= 2).sum()) >= 2


def posteriors_of_seeds(
    votes: Votes, aggregator: Aggregator
) -> NDArray[np.float64] | None:
    """Give what the votes say of seeds that neither they nor their weights saw, (s, k).

    None without `seed_out_of_fold`: then the votes may have learned from the seeds.
    """
    if votes.seed_out_of_fold is None:
        return None
    return clone(aggregator).fit(votes).out_of_fold_proba(votes)


def small_pixels(
    images: ImageSource | NDArray[Any],
    rows: NDArray[np.int64] | None = None,
    progress: Progress | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read images averaged down to 64 pixels a side or fewer, and 4 GB in all.

    Parameters
    ----------
    rows : of the images; None: all.

    Returns
    -------
    (n, h, w, c) pixels, and (n,) which could be read.
    """
    source = as_source(images)
    h, w, c = source.shape
    n = len(source) if rows is None else len(rows)
    largest = min(_LARGEST_SIDE, int((_PIXEL_BYTES / max(n * c, 1)) ** 0.5))
    ratio = max(-(-side // max(largest, 8)) for side in (h, w))
    down, across = (side // max(1, side // ratio) for side in (h, w))

    def averaged(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return box_means(pixels, down, across).round().astype(np.uint8)

    return read_images(
        source,
        rows,
        shrink=averaged if ratio > 1 else None,
        progress=progress and partial(progress, "reading the images"),
    )
