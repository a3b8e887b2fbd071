"""`LFClassifier`: labeling functions, an aggregator and refinement as an estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted

from lfkit.aggregators.aggregate import make_aggregator
from lfkit.aggregators.vote_model import VoteModel, fit_vote_model
from lfkit.data.datasets.array_source import as_source
from lfkit.data.image_source import ImageSource
from lfkit.data.labels import checked_labels
from lfkit.data.vote_columns import in_places
from lfkit.data.votes import Votes
from lfkit.errors import InputError
from lfkit.labeling.applier import LFApplier
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.labeling.unseeded_votes import unseeded_votes
from lfkit.runs.store import MemoryStore, Store

if TYPE_CHECKING:
    from lfkit.refinement import Refiner

Images = NDArray[np.uint8] | ImageSource


class LFClassifier(ClassifierMixin, BaseEstimator):
    """Labeling functions, an aggregator and maybe refinement as one classifier.

    Fitting needs images, and labels of none, some or all of them: thresholds and
    features are fitted on those whose class is known, and the aggregator learns from
    the votes on all. It clones, goes into `cross_val_score` and is the last step of a
    `Pipeline`.

    Parameters
    ----------
    lfs : labeling functions, Snorkel's among them.
    aggregator : a name in `lfkit.aggregators.AGGREGATORS`; "auto" chooses one.
    refine : improve labels by looking at the images, as `--refine` does; a
        `lfkit.refinement.Refiner` says how: its aggregator is the one named here.
    n_classes : k; None: one more than the largest declared class.
    random_state : for everything that is fitted.

    Attributes
    ----------
    classes_ : (k,) the class numbers 0 to k - 1, also those that y does not show.
    lfs_ : the functions that can vote, fitted. Those that need seeds are left out
        where there are none; `report_` says which and why.
    report_ : faults, images that could not be read, functions left out, when fitted.
    model_ : the aggregator, fitted and calibrated.
    refiner_ : fitted; None without refinement, or if that improved nothing.
    shape_ : (h, w, c) of the images fitted.

    >>> from lfkit import ABSTAIN, LFClassifier, labeling_function
    >>> @labeling_function(classes=[0, 1])
    ... def bright_is_one(image):
    ...     return int(image.mean() > 100)
    >>> images = np.full((4, 8, 8), 20, np.uint8)
    >>> images[1::2] = 200
    >>> LFClassifier([bright_is_one]).fit(images).predict(images)
    array([0, 1, 0, 1])
    """

    def __init__(
        self,
        lfs: Sequence[Any],
        aggregator: str = "auto",
        refine: bool | Refiner = False,
        n_classes: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.lfs = lfs
        self.aggregator = aggregator
        self.refine = refine
        self.n_classes = n_classes
        self.random_state = random_state

    def fit(self, images: Images, y: ArrayLike | None = None) -> Self:
        """Fit functions, aggregator and refinement.

        Parameters
        ----------
        images : (n, h, w) or (n, h, w, c) uint8, or a source of them.
        y : (n,) class numbers, -1 where unknown; None: nothing is known.

        Raises
        ------
        InputError : the images are no images, y has another length or a class that no
            function declares, or no function can run.
        """
        source = as_source(images)
        make_aggregator(self.aggregator, None)  # refuses a wrong name before the work
        applier = LFApplier(self.lfs, self.n_classes)
        k = applier.n_classes
        known = None if y is None else _classes_of(y, len(source), k)
        seeds = np.zeros(0, np.int64) if known is None else np.flatnonzero(known >= 0)
        store = MemoryStore()
        votes = applier.apply(
            source,
            seed_rows=seeds,
            seed_labels=seeds if known is None else known[seeds],
            random_state=self.random_state,
            store=store,
        )
        self.report_ = applier.report_
        self.lfs_: list[LabelingFunction] = applier.lfs_
        self.classes_ = np.arange(k)
        self.shape_ = source.shape
        problems = self.report_.problems
        lost = [row for row, name in enumerate(source.ids) if name in problems]
        self.model_: VoteModel = fit_vote_model(
            votes, self.aggregator, None, self.random_state, lost
        )
        self.refiner_ = (
            self._refined(source, votes, applier, store) if self.refine else None
        )
        return self

    def predict_proba(self, images: Images) -> NDArray[np.float64]:
        """Give the distribution over classes of each image, (n, k).

        Where no function votes it is what the aggregator takes for the shares of the
        classes.
        """
        check_is_fitted(self)
        source = as_source(images)
        if source.shape != self.shape_:
            raise InputError(
                f"these images are {source.shape} (height, width, channels), the "
                f"classifier was fitted on {self.shape_}; resize them before."
            )
        if not len(source):
            return np.zeros((0, len(self.classes_)))
        applier = LFApplier(self.lfs_, len(self.classes_))
        names = tuple(lf.name for lf in self.lfs_)
        votes = in_places(applier.apply(source), names)
        if self.refiner_ is not None:
            return self.refiner_.predict_proba(source, votes)
        return self.model_(votes).proba

    def predict(self, images: Images) -> NDArray[np.int64]:
        """Give the most probable class of each image, (n,); of equal ones the first."""
        return self.predict_proba(images).argmax(axis=1)

    def score(
        self, images: Images, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Give the share of right classes among images whose class is known.

        Parameters
        ----------
        y : (n,) class numbers; where it is -1 an image does not count.
        sample_weight : (n,) how much each image counts; None: all alike.
        """
        check_is_fitted(self)
        known = _classes_of(y, len(images), len(self.classes_))
        rows = np.flatnonzero(known >= 0)
        if not len(rows):
            raise InputError("y names no class at all; give the class of some images.")
        weight = None if sample_weight is None else np.asarray(sample_weight)[rows]
        found = self.predict(images)[rows]
        return float(accuracy_score(known[rows], found, sample_weight=weight))

    def _refined(
        self, source: ImageSource, votes: Votes, applier: LFApplier, store: Store
    ) -> Refiner | None:
        """Refine the labels; None if no stage improved them."""
        from lfkit.refinement import Refiner  # its networks need torch

        refiner = Refiner(random_state=self.random_state)
        if isinstance(self.refine, Refiner):
            refiner = clone(self.refine)
        aggregator = make_aggregator(self.aggregator, None, self.random_state)
        unseeded = None
        if votes.seed_rows is not None:
            unseeded = unseeded_votes(
                applier, source, store=store, random_state=self.random_state
            )
        refiner.set_params(aggregator=aggregator)
        refiner.fit(source, votes, without_seeds=unseeded)
        return refiner if refiner.refined_.is_refined else None

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that it takes images, not tables, and needs no labels."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.target_tags.required = False
        return tags


def _classes_of(y: ArrayLike, n: int, k: int) -> NDArray[np.int64]:
    """Check classes, (n,): 0 to k - 1, or -1 where unknown."""
    given = np.asarray(y)
    if given.dtype.kind not in "biuf":
        raise InputError(
            f"y holds {given.dtype}, such as {given.ravel()[:1].tolist()}; give class "
            "numbers as the labeling functions declare them, -1 where unknown."
        )
    labels = checked_labels(given, n, "y")
    wrong = np.flatnonzero(labels >= k)
    if len(wrong):
        raise InputError(
            f"y of image {wrong[0]} is {labels[wrong[0]]}, and the labeling functions "
            f"declare the classes 0 to {k - 1}; correct it, or pass n_classes."
        )
    return labels
