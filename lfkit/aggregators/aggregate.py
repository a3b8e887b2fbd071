"""From votes to labels, and how right they are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators import AGGREGATORS, Aggregator
from lfkit.aggregators.aggregator import clear_winners
from lfkit.aggregators.calibration import (
    Calibrator,
    cross_calibrated,
    fit_calibrator,
    precise_enough,
)
from lfkit.aggregators.inference.em import TIE_TOLERANCE
from lfkit.data.labels import HeldOut, Labels
from lfkit.data.votes import ABSTAIN, Votes
from lfkit.errors import InputError

_CHUNK_ROWS = 1 << 16
_ENOUGH_SEEDS = 10  # to say how far confidence can be believed


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What makes posteriors as sure as they are right, and keeps absent classes so.

    Attributes
    ----------
    absent : (k,) classes that have no share in any posterior.
    """

    calibrator: Calibrator
    absent: NDArray[np.bool_]

    def __call__(self, proba: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return calibrated posteriors, (n, k)."""
        found = np.empty(proba.shape)
        for start in range(0, len(proba), _CHUNK_ROWS):  # one holds six copies of it
            rows = slice(start, start + _CHUNK_ROWS)
            found[rows] = self.within(self.calibrator(proba[rows]))
        return found

    def within(self, proba: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take from absent classes what they were given, (n, k)."""
        return _without(proba, self.absent)


def make_aggregator(
    name: str, class_balance: Sequence[float] | None, random_state: int = 0
) -> Aggregator:
    """Make an aggregator by its name in AGGREGATORS."""
    if name not in AGGREGATORS:
        raise InputError(
            f"there is no aggregator {name!r}; choose from {', '.join(AGGREGATORS)} "
            "(`lfkit apply` also takes baseline)."
        )
    return AGGREGATORS[name](class_balance=class_balance, random_state=random_state)


def aggregate(
    votes: Votes,
    name: str,
    class_balance: Sequence[float] | None = None,
    random_state: int = 0,
    unreadable: Collection[int] = (),
) -> Labels:
    """Turn votes into labels; the seeds keep the labels they were given.

    Where there are votes on the seeds by functions fitted without them, and enough
    seeds, posteriors are calibrated: as sure as they are right there.

    Parameters
    ----------
    unreadable : rows without pixels: seeds among them keep their label, and judge
        nothing.
    """
    aggregator = make_aggregator(name, class_balance, random_state)
    return aggregate_with(aggregator, votes, name, unreadable)


def aggregate_with(
    aggregator: Aggregator,
    votes: Votes,
    name: str,
    unreadable: Collection[int] = (),
) -> Labels:
    """Do as `aggregate` with an aggregator, which is fitted by it."""
    given, votes = votes, without_seeds(votes, unreadable)
    proba = aggregator.fit_predict_proba(votes)
    labels = clear_winners(proba, votes)
    on_seeds = aggregator.out_of_fold_proba(votes)
    held_out = None
    if on_seeds is not None:
        fold, rows = votes.seed_out_of_fold, votes.seed_rows
        assert fold is not None, "posteriors on seeds are made of votes on them"
        proba, held_out = calibrate(
            proba,
            on_seeds,
            rows=np.full(len(fold), -1) if rows is None else np.asarray(rows, np.int64),
            labels=np.asarray(votes.seed_labels, np.int64),
            predicted=clear_winners(on_seeds, fold),
            basis=getattr(aggregator, "seed_proba_", None),
            random_state=aggregator.random_state,
        )
    is_seed = np.zeros(len(votes), bool)
    if given.seed_rows is not None and given.seed_labels is not None:
        is_seed[given.seed_rows] = True
        labels[given.seed_rows] = given.seed_labels
        proba[given.seed_rows] = np.eye(votes.n_classes)[given.seed_labels]
    return Labels(
        labels,
        proba,
        is_seed,
        vote_labels=labels,
        vote_confidence=proba.max(axis=1, initial=0.0),
        held_out=held_out,
        chosen=getattr(aggregator, "chosen_", name),
        reason=getattr(aggregator, "reason_", ""),
        class_shares=getattr(aggregator, "prior_source_", ""),
        warnings=aggregator.warnings_,
    )


def plain_labels(
    votes: Votes, class_balance: Sequence[float] | None = None
) -> NDArray[np.int64]:
    """Give the labels of `aggregate(votes, "majority-vote")`, and hold no posterior."""
    model = make_aggregator("majority-vote", class_balance)
    labels = model.fit(votes).predict(votes)
    if votes.seed_rows is not None and votes.seed_labels is not None:
        labels[votes.seed_rows] = votes.seed_labels
    return labels


def without_seeds(votes: Votes, rows: Collection[int]) -> Votes:
    """Take images from among the seeds."""
    seeds, fold = votes.seed_rows, votes.seed_out_of_fold
    if seeds is None or votes.seed_labels is None:
        return votes
    kept = np.flatnonzero(~np.isin(seeds, list(rows)))
    if len(kept) == len(seeds):
        return votes
    if not len(kept):
        return votes.unseeded()
    return replace(
        votes,
        seed_rows=seeds[kept],
        seed_labels=votes.seed_labels[kept],
        seed_out_of_fold=None if fold is None else fold.rows(kept),
    )


def calibrate(
    proba: NDArray[np.float64],
    on_seeds: NDArray[np.float64],
    *,
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    predicted: NDArray[np.int64] | None = None,
    basis: NDArray[np.float64] | None = None,
    of: str = "votes",
    random_state: int = 0,
) -> tuple[NDArray[np.float64], HeldOut]:
    """Make posteriors as sure as they are right on held-out seeds; give that evidence.

    To be called once, after the last stage that changes the posteriors. They stay as
    they are where there are fewer than ten seeds, or none of a class that labels have:
    such seeds do not tell how far confidence can be believed.

    Parameters
    ----------
    proba : (n, k) of all images.
    on_seeds : (s, k) of the seeds, likewise made, by what has not learned from them.
    rows, labels : (s,) the seeds' row numbers and classes.
    predicted : (s,) the class each would have got; None: its most probable one.
    basis : (s, k) what the calibration is learned from, if a model was chosen by the
        seeds: its posteriors on them; `on_seeds` are those of a choice without each.
    of : the stage that made the posteriors.
    random_state : of the folds in which the seeds' own posteriors are calibrated.
    """
    calibration = calibration_of(proba, on_seeds, labels=labels, basis=basis)
    if isinstance(calibration, str):
        return proba, HeldOut(
            rows=rows,
            labels=labels,
            proba=on_seeds,
            predicted=on_seeds.argmax(axis=1) if predicted is None else predicted,
            of=of,
            too_few=calibration,
        )
    found = calibration.within(cross_calibrated(on_seeds, labels, random_state))
    return calibration(proba), HeldOut(
        rows=rows,
        labels=labels,
        proba=found,
        predicted=found.argmax(axis=1) if predicted is None else predicted,
        of=of,
        is_calibrated=True,
        temperature=calibration.calibrator.temperature,
    )


def calibration_of(
    proba: NDArray[np.float64],
    on_seeds: NDArray[np.float64],
    *,
    labels: NDArray[np.int64],
    basis: NDArray[np.float64] | None = None,
) -> Calibrated | str:
    """Learn what `calibrate` applies; where seeds tell too little, say which they are.

    Parameters
    ----------
    proba, on_seeds, labels, basis : as `calibrate` takes them.
    """
    too_few = _too_few(proba, labels)
    if too_few:
        return too_few
    calibrator = fit_calibrator(on_seeds if basis is None else basis, labels)
    # A class without any share gets none: 0 is not a small number there.
    none = np.asarray(~(proba.any(axis=0) | on_seeds.any(axis=0)))
    return Calibrated(calibrator, none)


def _too_few(proba: NDArray[np.float64], labels: NDArray[np.int64]) -> str:
    """Say which seeds tell too little of the labels by these posteriors; or ""."""
    if len(labels) < _ENOUGH_SEEDS:
        return f"fewer than {_ENOUGH_SEEDS} seeds"
    best = proba >= proba.max(axis=1, keepdims=True, initial=0.0) - TIE_TOLERANCE
    named = best[best.sum(axis=1) == 1].any(axis=0)
    if (
        len(np.unique(labels)) < 2
        or named[np.setdiff1d(np.arange(len(named)), labels)].any()
    ):
        return "seeds that do not show every class"
    return ""


def _without(
    proba: NDArray[np.float64], classes: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Take what some classes, (k,), were given for others: (n, k)."""
    if not classes.any():
        return proba
    left = np.where(classes, 0, proba)
    return np.asarray(left / left.sum(axis=1, keepdims=True))


def keep_precise(labels: Labels, target: float) -> Labels:
    """Take back the labels that are not sure enough; seeds stay.

    As many are kept as have a mean confidence of at least the target.
    """
    own = (labels.labels != ABSTAIN) & ~labels.is_seed
    kept = labels.is_seed.copy()
    confidence = labels.proba[own].max(axis=1, initial=0.0)
    kept[np.flatnonzero(own)[precise_enough(confidence, target)]] = True
    return replace(labels, labels=np.where(kept, labels.labels, ABSTAIN))


def seed_accuracy(
    votes: Votes,
    name: str,
    class_balance: Sequence[float] | None = None,
    random_state: int = 0,
) -> float | None:
    """Score an aggregator on held-out seeds.

    Returns None without out-of-fold votes. No vote and ties count as wrong.
    """
    held_out = aggregate(votes, name, class_balance, random_state).held_out
    return None if held_out is None else held_out.accuracy
