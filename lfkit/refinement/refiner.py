"""Refinement in one call, and as an estimator."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from lfkit.aggregators import SeedWeightedVote
from lfkit.aggregators.aggregator import Aggregator
from lfkit.data.image_source import ImageSource
from lfkit.data.progress import Progress
from lfkit.data.votes import Votes, with_known
from lfkit.errors import InputError
from lfkit.nn import FINE_TUNING, TrainingPlan
from lfkit.nn.compute import best_device
from lfkit.refinement.build_problem import (
    build_problem,
    checked_classes,
    checked_proba,
    with_more,
    with_seeds,
    with_unseeded,
)
from lfkit.refinement.class_prior import ClassPrior, given_prior
from lfkit.refinement.feature_sets import FeatureSet, PixelFeatures
from lfkit.refinement.pca import Compactor, compact, fit_compactor
from lfkit.refinement.pipeline import Finished, RefinementPipeline, StoredResults
from lfkit.refinement.pretrained_features import PretrainedFeatures
from lfkit.refinement.problem import RefinementProblem, small_pixels
from lfkit.refinement.result import ImageModel, Refined, as_feature_sets
from lfkit.refinement.stages.align import found_prior
from lfkit.refinement.stages.all_stages import STAGES, cheap_stages, chosen_stages
from lfkit.refinement.stages.distill import Distill
from lfkit.refinement.without_seeds import LabelsWithoutSeeds
from lfkit.runs.cache_keys import fingerprint
from lfkit.runs.store import MemoryStore, Store

# A set, or one (n, ...) array per feature, or several of these by name.
_OneSet = FeatureSet | Sequence[NDArray[Any]] | NDArray[Any]
Features = _OneSet | Mapping[str, _OneSet] | None


def refine(
    images: ImageSource | NDArray[np.uint8],
    votes: Votes,
    *,
    proba: ArrayLike | None = None,
    seed_proba: ArrayLike | None = None,
    seed_predicted: ArrayLike | None = None,
    y: ArrayLike | None = None,
    aggregator: Aggregator | None = None,
    features: Features = None,
    class_prior: ArrayLike | None = None,
    surest: float = 1.0,
    store: Store | None = None,
    stages: Sequence[str] = STAGES,
    plan: TrainingPlan | None = None,
    flip: bool | None = None,
    random_state: int = 0,
    max_minutes: float | None = None,
    truth: ArrayLike | None = None,
    device: str | None = None,
    progress: Progress | None = None,
    without_seeds: Refined | None = None,
    started: float | None = None,
    small: tuple[NDArray[np.uint8], NDArray[np.bool_]] | None = None,
) -> Refined:
    """Make labels from votes better by looking at the images.

    The stages are in `STAGES`; each one's docstring says what it does. Seeds are those
    of the votes. What a stage finds is kept in the store: the same call goes on from
    there, and in the middle of the network's training from its last 200 steps.

    Held in memory per image: 1 KB of features, its pixels (at most 64x64, and 4 GB in
    all), three graphs of 80 B each, and 8 k bytes per stage.

    Parameters
    ----------
    images : (n, h, w) or (n, h, w, c) uint8, or a source of them.
    proba : (n, k) what the votes say; None: `aggregator` is asked.
    seed_proba : (s, k) what the votes say of their seeds, held out, else made
        as `proba` was; None: `aggregator` is asked, if the votes have been.
    seed_predicted : (s,) the class that these give each seed, -1 = none; None: the most
        probable one, if there is one and there are votes.
    y : (n,) more given classes, -1 where none is. Functions may have learned from them:
        stages do too, but how right votes and labels are is judged by the votes' seeds.
    aggregator : what made `proba`; None: SeedWeightedVote.
    features : one (n, ...) array per feature, or a set such as `StoredFeatures`; none
        that learned from the seeds. None: some are made of the pixels. Several such
        sets, by name, are experts of their own, weighed by the seeds; the best makes
        the graphs. The network of `EncodedFeatures` can be trained on.
    class_prior : (k,) shares of the classes; None: they are estimated from the seeds.
    surest : without seeds labels start no surer than this on the mean: for votes that
        were multiplied though they lean on one another.
    stages : names of the stages to run.
    flip : whether mirrored images are of the same class; None: as seeds or labels say.
    max_minutes : time for all stages; it cuts the network's steps.
    truth : (n,) classes for scoring, -1 where unknown.
    device : of networks and neighbours; None: a GPU if there is one.
    progress : called with a text, the parts done and all parts.
    without_seeds : the same images as functions without any seed label them: what
        `refine` gives of such votes, by `cheap_stages`. Few seeds then hardly make
        labels worse than none.
    started : of `time.perf_counter`, when the time of `max_minutes` began; None: now.
    small : what `lfkit.refinement.problem.small_pixels` has read of the images, if it
        has.
    """
    started = time.perf_counter() if started is None else started
    chosen = chosen_stages(stages)
    if max_minutes is not None and not max_minutes > 0:
        raise InputError(f"max_minutes is {max_minutes}; give a number above 0.")
    device = device or best_device()
    aggregator = SeedWeightedVote() if aggregator is None else aggregator
    unrefined = checked_proba(proba, votes, aggregator)
    pixels, readable = small or small_pixels(images, progress=progress)
    if len(pixels) != len(votes):
        raise InputError(
            f"there are {len(pixels)} images and votes on {len(votes)}; give one row "
            "of votes per image."
        )
    if not len(pixels):
        raise InputError("there are no images to refine the labels of.")
    feature_sets = as_feature_sets(features) or {"pixels": PixelFeatures(pixels)}
    for name, given in feature_sets.items():
        if len(given) != len(pixels):
            raise InputError(
                f"{name!r} have {len(given)} rows; expected one for each of the "
                f"{len(pixels)} images."
            )
    problem = build_problem(votes, unrefined, pixels, readable)
    problem = with_seeds(problem, votes, aggregator, seed_proba, seed_predicted)
    problem = with_more(problem, y)
    prior = None if class_prior is None else given_prior(class_prior, votes.n_classes)
    problem = replace(
        with_unseeded(problem),
        prior=prior,
        surest=surest,
        plan=plan or _plan_for(feature_sets),
        random_state=random_state,
        device=device,
        flip=flip,
    )
    kept = StoredResults(store or MemoryStore(), progress)
    compactors, compacted = {}, []
    for name, given in feature_sets.items():
        compactors[name], numbers = _compacted(name, given, random_state, kept)
        compacted.append(numbers)
    networks = tuple(getattr(given, "network", None) for given in feature_sets.values())
    problem = replace(problem, features=tuple(compacted), networks=networks)
    makers = {
        name: type(given) if hasattr(given, "from_pixels") else None
        for name, given in feature_sets.items()
    }
    pipeline = RefinementPipeline(
        problem,
        chosen,
        kept,
        features_key=[given.key for given in feature_sets.values()],
        truth=truth,
        started=started,
        max_minutes=max_minutes,
        without_seeds=_labels_of(without_seeds, problem),
    )
    first = None
    if without_seeds is not None and without_seeds.model.has_looked:
        first = without_seeds.model
    found = _refined(problem, pipeline.all(), unrefined, compactors, makers, first)
    if without_seeds is None or not without_seeds.is_refined:
        return found
    return replace(found, without_seeds=without_seeds.proba)


def _labels_of(
    found: Refined | None, problem: RefinementProblem
) -> LabelsWithoutSeeds | None:
    """Give the labels made without seeds, if there are seeds that they stand beside."""
    if found is None or not len(problem.seed_rows):
        return None
    if found.proba.shape != problem.proba.shape:
        raise InputError(
            f"without_seeds has labels of shape {found.proba.shape}, expected (images, "
            f"classes) = {problem.proba.shape}."
        )
    seconds = sum(stage.seconds for stage in found.stages)
    return LabelsWithoutSeeds(found.proba, seconds)


def _plan_for(feature_sets: Mapping[str, FeatureSet]) -> TrainingPlan:
    known = any(
        isinstance(given, PretrainedFeatures) for given in feature_sets.values()
    )
    return FINE_TUNING if known else TrainingPlan()


class Refiner(BaseEstimator):
    """Refinement as an estimator: fit on images and votes, then label new images.

    Parameters
    ----------
    aggregator : what votes say is what it says; None: SeedWeightedVote.
    class_prior, stages, flip, device, random_state : as `refine` takes them.
    n_steps : updates of the network's weights.

    Attributes
    ----------
    refined_ : the labels of the images fitted, and what each stage did.
    aggregator_ : fitted on the votes.
    """

    def __init__(
        self,
        aggregator: Aggregator | None = None,
        *,
        class_prior: ArrayLike | None = None,
        stages: Sequence[str] = STAGES,
        n_steps: int = 1300,
        flip: bool | None = None,
        device: str | None = None,
        random_state: int = 0,
    ) -> None:
        self.aggregator = aggregator
        self.class_prior = class_prior
        self.stages = stages
        self.n_steps = n_steps
        self.flip = flip
        self.device = device
        self.random_state = random_state

    def fit(
        self,
        images: ImageSource | NDArray[np.uint8],
        votes: Votes,
        y: ArrayLike | None = None,
        *,
        features: Features = None,
        store: Store | None = None,
        progress: Progress | None = None,
        without_seeds: Votes | None = None,
    ) -> Self:
        """Refine the labels of these images.

        Parameters
        ----------
        y : (n,) given classes, -1 where none is; the votes' own seeds stay given. Where
            the votes have seeds, functions may have learned from all of y: only the
            seeds, by their votes out of fold, tell how right votes are. Where they
            have none, no function is taken to have learned from y.
        without_seeds : votes on the images by functions that learned from no seed:
            these are refined, too, and taken in, so that few seeds do no harm.
        """
        if y is not None and votes.seed_rows is None:
            labels = checked_classes(y, len(votes), votes.n_classes)
            rows = np.flatnonzero(labels >= 0)
            votes, y = with_known(votes, rows, labels[rows]), None
        first = None
        if without_seeds is not None and votes.seed_rows is not None:
            first = refine(
                images,
                without_seeds.unseeded(),
                aggregator=self.aggregator,
                features=features,
                class_prior=self.class_prior,
                store=store,
                stages=cheap_stages(self.stages),
                flip=self.flip,
                device=self.device,
                random_state=self.random_state,
                progress=progress,
            )
        self.aggregator_ = clone(self.aggregator or SeedWeightedVote()).fit(votes)
        self.refined_ = refine(
            images,
            votes,
            proba=self.aggregator_.predict_proba(votes),
            y=y,
            aggregator=self.aggregator_,
            features=features,
            class_prior=self.class_prior,
            store=store,
            stages=self.stages,
            plan=TrainingPlan(n_steps=self.n_steps),
            flip=self.flip,
            device=self.device,
            random_state=self.random_state,
            progress=progress,
            without_seeds=first,
        )
        return self

    def predict_proba(
        self,
        images: ImageSource | NDArray[np.uint8],
        votes: Votes | None = None,
        *,
        features: Features = None,
    ) -> NDArray[np.float64]:
        """Give the distribution over classes of new images, (n, k)."""
        check_is_fitted(self)
        said = None if votes is None else self.aggregator_.predict_proba(votes)
        return self.refined_.model.predict_proba(
            images, said, as_feature_sets(features)
        )

    def predict(
        self, images: ImageSource | NDArray[np.uint8], votes: Votes | None = None
    ) -> NDArray[np.int64]:
        """Give the most probable class of new images, (n,)."""
        return self.predict_proba(images, votes).argmax(axis=1)


def _compacted(
    name: str, feature_set: FeatureSet, random_state: int, kept: StoredResults
) -> tuple[Compactor, NDArray[np.float16]]:
    code = (fit_compactor, compact, Compactor)
    key = fingerprint((feature_set.key, feature_set.widths, random_state, code))

    def compute() -> dict[str, NDArray[Any]]:
        what = f"looking at images: {name}"
        kept.say(what, 0, len(feature_set))
        learned = fit_compactor(feature_set, random_state)
        rows = compact(feature_set, learned, lambda done, n: kept.say(what, done, n))
        found = {"features": rows}
        parts = {name: part for name, part in vars(learned).items() if part is not None}
        return found | parts

    found = kept.get(key, "features", compute)
    compactor = Compactor(
        found["center"], found["scale"], found["largest"], found.get("basis")
    )
    return compactor, found["features"]


def compacted(
    name: str,
    feature_set: FeatureSet,
    random_state: int,
    store: Store,
    progress: Progress | None = None,
) -> NDArray[np.float16]:
    """Give the few hundred numbers per image that `refine` makes of features, (n, q).

    They are computed once: `refine` finds them in the store.
    """
    return _compacted(name, feature_set, random_state, StoredResults(store, progress))[
        1
    ]


def _refined(
    problem: RefinementProblem,
    done: Finished,
    unrefined: NDArray[np.float64],
    compactors: dict[str, Compactor],
    makers: dict[str, Any],
    first: ImageModel | None,
) -> Refined:
    known = done.known
    if "class_prior" in known:
        prior = ClassPrior(known["class_prior"], str(known["class_prior_how"]))
    else:
        prior = found_prior(problem, known)
    counted = [r.name for r in done.reports[1:] if not r.note]
    if float(known.get("confirmed", 1)) == 0 and "pool_powers" not in known:
        note = "not refined: the features do not confirm the votes they learned from"
    elif not counted:
        note = "not refined: no stage could do anything, or each was reverted"
    elif counted == [Distill.name]:
        note = "not refined: the network labels new images; `joint` takes it in"
    else:
        note = f"refined by {', '.join(counted)}"
    is_refined = note.startswith("refined")
    proba = np.where(problem.readable[:, None], known["proba"], unrefined)
    known["shares"] = prior.shares
    model = ImageModel(
        known,
        problem.networks,
        compactors,
        makers,
        tuple(problem.pixels.shape[1:]),
        problem.n_classes,
        problem.device,
        first if "pool_powers" in known else None,
    )
    return Refined(
        problem.clamped(proba if is_refined else unrefined),
        problem.clamped(unrefined),
        done.posteriors,
        done.reports,
        prior,
        is_refined,
        note,
        model,
        # Seeds do not judge labels of a class that none of them shows.
        done.held_out if is_refined and not problem.unseeded else None,
        problem.unseeded if len(problem.seed_rows) else (),
    )
