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
from lfkit.aggregators.aggregator import Aggregator, clear_winners
from lfkit.data.image_source import ImageSource
from lfkit.data.labels import checked_labels
from lfkit.data.progress import Progress
from lfkit.data.votes import ABSTAIN, Votes, with_known
from lfkit.errors import InputError
from lfkit.nn import FINE_TUNING, TrainingPlan
from lfkit.nn.compute import best_device
from lfkit.refinement.class_prior import ClassPrior, given_prior
from lfkit.refinement.feature_sets import PixelViews, Views
from lfkit.refinement.pca import Compactor, compact, fit_compactor
from lfkit.refinement.pipeline import Finished, Kept, RefinementPipeline
from lfkit.refinement.pretrained_features import PretrainedViews
from lfkit.refinement.problem import (
    RefinementProblem,
    posteriors_of_seeds,
    small_pixels,
)
from lfkit.refinement.result import ImageModel, Refined, as_views
from lfkit.refinement.stages.align import found_prior
from lfkit.refinement.stages.all_stages import STAGES, chosen_stages
from lfkit.refinement.stages.distill import Distill
from lfkit.runs.cache_keys import fingerprint
from lfkit.runs.store import MemoryStore, Store

# Views, or one (n, ...) array per feature, or several such sets by name.
FeatureSet = Views | Sequence[NDArray[Any]] | NDArray[Any]
Features = FeatureSet | Mapping[str, FeatureSet] | None


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
    store: Store | None = None,
    stages: Sequence[str] = STAGES,
    plan: TrainingPlan | None = None,
    flip: bool | None = None,
    random_state: int = 0,
    max_minutes: float | None = None,
    truth: ArrayLike | None = None,
    device: str | None = None,
    progress: Progress | None = None,
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
    seed_proba : (s, k) what the votes say of their seeds, made as `proba` was by what
        has not seen them; None: `aggregator` is asked, if the votes have been.
    seed_predicted : (s,) the class that these give each seed, -1 = none; None: the most
        probable one, if there is one and there are votes.
    y : (n,) more given classes, -1 where none is. Functions may have learned from them:
        stages do too, but how right votes and labels are is judged by the votes' seeds.
    aggregator : what made `proba`; None: SeedWeightedVote.
    features : one (n, ...) array per feature, or views such as `StoredViews`; none that
        learned from the seeds. None: some are made of the pixels. Several such sets, by
        name, are experts of their own, weighed by the seeds; the best makes the graphs.
    class_prior : (k,) shares of the classes; None: they are estimated from the seeds.
    stages : names of the stages to run.
    flip : whether mirrored images are of the same class; None: as the seeds say.
    max_minutes : time for all stages; it cuts the network's steps.
    truth : (n,) classes for scoring, -1 where unknown.
    device : of networks and neighbours; None: a GPU if there is one.
    progress : called with a text, the parts done and all parts.
    """
    started = time.perf_counter()
    chosen = chosen_stages(stages)
    if max_minutes is not None and not max_minutes > 0:
        raise InputError(f"max_minutes is {max_minutes}; give a number above 0.")
    device = device or best_device()
    aggregator = SeedWeightedVote() if aggregator is None else aggregator
    unrefined = _checked_proba(proba, votes, aggregator)
    pixels, readable = small_pixels(images)
    if len(pixels) != len(votes):
        raise InputError(
            f"there are {len(pixels)} images and votes on {len(votes)}; give one row "
            "of votes per image."
        )
    if not len(pixels):
        raise InputError("there are no images to refine the labels of.")
    views = as_views(features) or {"pixels": PixelViews(pixels)}
    for name, given in views.items():
        if len(given) != len(pixels):
            raise InputError(
                f"{name!r} have {len(given)} rows; expected one for each of the "
                f"{len(pixels)} images."
            )
    task = _task(votes, unrefined, pixels, readable)
    task = _with_seeds(task, votes, aggregator, seed_proba, seed_predicted)
    task = _with_more(task, y)
    named = np.isin(np.arange(votes.n_classes), task.seed_labels)
    told = np.setdiff1d(task.said, [ABSTAIN])
    task = replace(
        task,
        possible=task.possible | named,
        unseeded=tuple(np.setdiff1d(told, task.seed_labels).tolist()),
        unjudged=tuple(np.setdiff1d(told, task.judge_labels).tolist()),
    )
    prior = None if class_prior is None else given_prior(class_prior, votes.n_classes)
    task = replace(
        task,
        prior=prior,
        plan=plan or _plan_for(views),
        random_state=random_state,
        device=device,
        flip=flip,
    )
    kept = Kept(store or MemoryStore(), progress)
    compactors, compacted = {}, []
    for name, given in views.items():
        compactors[name], numbers = _compacted(name, given, random_state, kept)
        compacted.append(numbers)
    task = replace(task, features=tuple(compacted))
    makers = {
        name: type(given) if hasattr(given, "from_pixels") else None
        for name, given in views.items()
    }
    run = RefinementPipeline(task, chosen, kept, started, max_minutes)
    done = run.all([given.key for given in views.values()], truth)
    return _refined(task, done, unrefined, compactors, makers)


def _plan_for(views: Mapping[str, Views]) -> TrainingPlan:
    known = any(isinstance(given, PretrainedViews) for given in views.values())
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
    ) -> Self:
        """Refine the labels of these images.

        Parameters
        ----------
        y : (n,) given classes, -1 where none is; the votes' own seeds stay given. Where
            the votes have seeds, functions may have learned from all of y: only the
            seeds, by their votes out of fold, tell how right votes are. Where they
            have none, no function is taken to have learned from y.
        """
        if y is not None and votes.seed_rows is None:
            labels = _checked_classes(y, len(votes), votes.n_classes)
            rows = np.flatnonzero(labels >= 0)
            votes, y = with_known(votes, rows, labels[rows]), None
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
        )
        return self

    def predict_proba(
        self,
        images: NDArray[np.uint8],
        votes: Votes | None = None,
        *,
        features: Features = None,
    ) -> NDArray[np.float64]:
        """Give the distribution over classes of new images, (n, k)."""
        check_is_fitted(self)
        said = None if votes is None else self.aggregator_.predict_proba(votes)
        return self.refined_.model.predict_proba(images, said, as_views(features))

    def predict(
        self, images: NDArray[np.uint8], votes: Votes | None = None
    ) -> NDArray[np.int64]:
        """Give the most probable class of new images, (n,)."""
        return self.predict_proba(images, votes).argmax(axis=1)


def _checked_proba(
    proba: ArrayLike | None, votes: Votes, aggregator: Aggregator
) -> NDArray[np.float64]:
    if proba is None:
        return clone(aggregator).fit_predict_proba(votes)
    return _checked_shares(proba, (len(votes), votes.n_classes), "proba")


def _checked_shares(
    proba: ArrayLike, shape: tuple[int, int], name: str
) -> NDArray[np.float64]:
    given = np.asarray(proba, np.float64)
    if given.shape != shape:
        raise InputError(
            f"{name} has shape {given.shape}, expected (images, classes) = {shape}."
        )
    total = given.sum(axis=1)
    # Written so that NaN fails too.
    fine = (given >= 0).all(axis=1) & (np.abs(total - 1) < 0.01)
    if not fine.all():
        row = int(fine.argmin())
        raise InputError(
            f"{name} of row {row} is {given[row].tolist()}; expected shares that sum "
            "to 1."
        )
    return given / total[:, None]


def _task(
    votes: Votes,
    unrefined: NDArray[np.float64],
    pixels: NDArray[np.uint8],
    readable: NDArray[np.bool_],
) -> RefinementProblem:
    """Put the votes' posterior beside the images."""
    nothing = np.zeros(0, np.int64)
    return RefinementProblem(
        pixels=pixels,
        features=(),
        proba=unrefined,
        said=clear_winners(unrefined, votes),
        voted=np.asarray(votes.voted.any(axis=1)),
        readable=readable,
        seed_rows=nothing,
        seed_labels=nothing,
        judges=np.zeros(0, bool),
        possible=np.asarray(unrefined.any(axis=0)),
        prior=None,
        plan=TrainingPlan(),
        random_state=0,
        device="cpu",
    )


def _with_seeds(
    task: RefinementProblem,
    votes: Votes,
    aggregator: Aggregator,
    seed_proba: ArrayLike | None,
    seed_predicted: ArrayLike | None,
) -> RefinementProblem:
    """Add the votes' seeds, with what the votes say of them out of fold."""
    if votes.seed_rows is None or votes.seed_labels is None:
        return task
    rows = np.asarray(votes.seed_rows, np.int64)
    found = posteriors_of_seeds(votes, aggregator) if seed_proba is None else seed_proba
    proba, said = task.proba.copy(), task.said.copy()
    proba[rows], said[rows] = 1 / task.n_classes, ABSTAIN
    if found is not None:
        proba[rows] = _checked_shares(found, (len(rows), task.n_classes), "seed_proba")
        fold = votes.seed_out_of_fold or votes.rows(rows)
        said[rows] = clear_winners(proba[rows], fold)
    if seed_predicted is not None:
        said[rows] = checked_labels(seed_predicted, len(rows), "seed_predicted")
    return replace(
        task,
        proba=proba,
        said=said,
        seed_rows=rows,
        seed_labels=np.asarray(votes.seed_labels, np.int64),
        judges=task.readable[rows] & (found is not None),
    )


def _with_more(task: RefinementProblem, y: ArrayLike | None) -> RefinementProblem:
    """Add labels from which the votes may have learned: they judge nothing."""
    if y is None:
        return task
    labels = _checked_classes(y, len(task.proba), task.n_classes)
    given = labels[task.seed_rows]
    wrong = np.flatnonzero((given >= 0) & (given != task.seed_labels))
    if len(wrong):
        row = task.seed_rows[wrong[0]]
        raise InputError(
            f"y says that image {row} is of class {labels[row]}, the votes' seeds say "
            f"{task.seed_labels[wrong[0]]} ({len(wrong)} of the seeds are so); give "
            "each image one class."
        )
    rows = np.setdiff1d(np.flatnonzero(labels >= 0), task.seed_rows)
    all_rows = np.concatenate([task.seed_rows, rows])
    order = np.argsort(all_rows, kind="stable")
    said = task.proba.copy()
    said[rows] = 1 / task.n_classes
    return replace(
        task,
        proba=said,
        seed_rows=all_rows[order],
        seed_labels=np.concatenate([task.seed_labels, labels[rows]])[order],
        judges=np.concatenate([task.judges, np.zeros(len(rows), bool)])[order],
    )


def _checked_classes(y: ArrayLike, n: int, n_classes: int) -> NDArray[np.int64]:
    labels = checked_labels(y, n, "y")
    if labels.max(initial=-1) >= n_classes:
        raise InputError(
            f"y holds class {labels.max()}; the votes have the classes 0.."
            f"{n_classes - 1}."
        )
    return labels


def _compacted(
    name: str, views: Views, random_state: int, kept: Kept
) -> tuple[Compactor, NDArray[np.float16]]:
    code = (fit_compactor, compact, Compactor)
    key = fingerprint((views.key, views.widths, random_state, code))

    def compute() -> dict[str, NDArray[Any]]:
        what = f"looking at images: {name}"
        kept.say(what, 0, len(views))
        learned = fit_compactor(views, random_state)
        rows = compact(views, learned, lambda done, n: kept.say(what, done, n))
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
    views: Views,
    random_state: int,
    store: Store,
    progress: Progress | None = None,
) -> NDArray[np.float16]:
    """Give the few hundred numbers of each image that `refine` makes of views, (n, q).

    They are computed once: `refine` finds them in the store.
    """
    return _compacted(name, views, random_state, Kept(store, progress))[1]


def _refined(
    task: RefinementProblem,
    done: Finished,
    unrefined: NDArray[np.float64],
    compactors: dict[str, Compactor],
    makers: dict[str, Any],
) -> Refined:
    known = done.known
    if "class_prior" in known:
        prior = ClassPrior(known["class_prior"], str(known["class_prior_how"]))
    else:
        prior = found_prior(task, known)
    counted = [r.name for r in done.reports[1:] if not r.note]
    if float(known.get("confirmed", 1)) == 0:
        note = "not refined: the features do not confirm the votes they learned from"
    elif not counted:
        note = "not refined: no stage could do anything, or each was reverted"
    elif counted == [Distill.name]:
        note = "not refined: the network labels new images; `joint` takes it in"
    else:
        note = f"refined by {', '.join(counted)}"
    is_refined = note.startswith("refined")
    proba = np.where(task.readable[:, None], known["proba"], unrefined)
    known["shares"] = prior.shares
    model = ImageModel(
        known,
        compactors,
        makers,
        tuple(task.pixels.shape[1:]),
        task.n_classes,
        task.device,
    )
    return Refined(
        task.clamped(proba if is_refined else unrefined),
        task.clamped(unrefined),
        done.posteriors,
        done.reports,
        prior,
        is_refined,
        note,
        model,
        done.held_out if is_refined else None,
        task.unseeded if len(task.seed_rows) else (),
    )
