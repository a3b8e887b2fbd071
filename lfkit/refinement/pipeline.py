"""One pass through the stages: each kept, judged, and reverted where it loses."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.aggregators.aggregate import calibrate
from lfkit.aggregators.calibration import fit_calibrator
from lfkit.data.labels import HeldOut, checked_labels
from lfkit.data.progress import Progress
from lfkit.refinement import held_out_check as gate
from lfkit.refinement.held_out_check import HeldOutSeeds
from lfkit.refinement.problem import RefinementProblem
from lfkit.refinement.product_of_experts import as_sure_as
from lfkit.refinement.stages.stage import Stage, StageContext
from lfkit.refinement.without_seeds import WITHOUT_SEEDS, LabelsWithoutSeeds
from lfkit.runs.cache_keys import fingerprint
from lfkit.runs.run_summary import StageReport
from lfkit.runs.store import Store

_KIND = "refined"
_CHECKPOINT_STEPS = 200
_NOTHING = "changed nothing"


class StoredResults:
    """Results in the store: loaded, or computed and saved."""

    def __init__(self, store: Store, progress: Progress | None) -> None:
        self.store, self.progress = store, progress

    def get(
        self, key: str, name: str, compute: Callable[[], Mapping[str, NDArray[Any]]]
    ) -> dict[str, NDArray[Any]]:
        """Give what is kept under a name, or compute and keep it."""
        found = self.store.load(_KIND, key, name)
        if found is None:
            found = dict(compute())
            self.store.save(_KIND, key, name, found)
        return found

    def say(self, text: str, done: int, total: int) -> None:
        """Tell the progress."""
        if self.progress is not None:
            self.progress(text, done, total)


@dataclass(frozen=True)
class StoredCheckpoints:
    """A training's last state, in the store."""

    store: Store
    key: str
    name: str
    every: int = _CHECKPOINT_STEPS

    def load(self) -> Mapping[str, NDArray[Any]] | None:
        """Give what was saved last, or None."""
        return self.store.load(_KIND, self.key, self.name)

    def save(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep this in the place of what was saved before."""
        self.store.save(_KIND, self.key, self.name, arrays)


@dataclass(frozen=True, eq=False)
class Finished:
    """What a pass through the stages gives.

    Attributes
    ----------
    known : what the stages kept gave, "proba" among it, calibrated where seeds can.
    posteriors : stage → (n, k) posterior after it, reverted ones among them.
    held_out : what "proba" is judged by; None where no seed can.
    """

    known: dict[str, Any]
    posteriors: dict[str, NDArray[np.float64]]
    reports: list[StageReport]
    held_out: HeldOut | None


class RefinementPipeline:
    """One pass through the stages.

    Parameters
    ----------
    features_key : hashes of the features.
    truth : (n,) classes for scoring, -1 where unknown.
    started : when the time of `max_minutes` began.
    without_seeds : what is said without any seed; taken in after the cheap stages.
    """

    def __init__(
        self,
        problem: RefinementProblem,
        stages: Sequence[Stage],
        kept: StoredResults,
        *,
        features_key: Sequence[str],
        truth: ArrayLike | None,
        started: float,
        max_minutes: float | None,
        without_seeds: LabelsWithoutSeeds | None = None,
    ) -> None:
        self.problem, self.stages, self.kept = problem, stages, kept
        self._without_seeds = without_seeds
        self.started, self.max_minutes = started, max_minutes
        self._key = _key(problem, features_key)
        self._wanted = _scored(truth, problem)
        self._trial = HeldOutSeeds(problem)
        self._is_judged = problem.has_judges and self._trial.is_possible
        # What the stages kept so far gave, and the last of it that seeds could judge:
        # (n, k), of which stage, and (j, k) on held-out seeds.
        self._known: dict[str, Any] = {"proba": problem.proba}
        self._judged, self._of = problem.proba, gate.VOTES
        self._best = problem.proba[problem.judge_rows] if self._is_judged else None
        self._posteriors = {gate.VOTES: problem.clamped(problem.proba)}
        self._reports: list[StageReport] = []
        self._report(gate.VOTES, 0.0, problem.proba, self._best, "")

    def all(self) -> Finished:
        """Run every stage."""
        for stage in self.stages:
            if not stage.cheap:
                self._take_in()
            why_not = stage.why_not(self.problem, self._known)
            if why_not is not None:
                note = f"skipped: {why_not}"
                self._report(stage.name, 0.0, self._known["proba"], None, note)
                continue
            self.kept.say(f"refining: {stage.name}", 0, 1)
            self._try(stage)
            self.kept.say(f"refining: {stage.name}", 1, 1)
        self._take_in()
        known, held_out = self._known, None
        if self._best is not None:
            known["proba"], held_out = self._calibrated(self._best)
        known["proba"] = self.problem.among_possible(known["proba"])
        return Finished(known, self._posteriors, self._reports, held_out)

    def _try(self, stage: Stage) -> None:
        """Run a stage, and keep what it gives unless the seeds come out worse."""
        key = fingerprint((self._key, stage.name, type(stage)))
        if not stage.cheap:
            key = fingerprint((key, self.max_minutes))
        found = self._run(stage, key)
        seconds = float(found.pop("seconds"))
        proba = found.get("network_proba", found["proba"])
        if proba is found["proba"] and np.array_equal(proba, self._known["proba"]):
            # Held-out folds may have done something: that would judge another answer.
            self._report(stage.name, seconds, proba, self._best, _NOTHING)
            self._posteriors[stage.name] = self.problem.clamped(proba)
            self._known |= found
            return
        now = self._held_out(stage, key) if self._is_judged else None
        note = self._loss(stage, proba, now)
        lost = bool(note)
        self._report(stage.name, seconds, proba, now, note)
        self._posteriors[stage.name] = self.problem.clamped(proba)
        self._key = fingerprint((key, lost))
        if lost:
            return
        self._known |= found
        if now is not None:
            self._trial.keep(stage)
            self._best, self._judged, self._of = now, found["proba"], stage.name

    def _take_in(self) -> None:
        """Multiply by what is said without any seed, once the cheap stages are done."""
        other, self._without_seeds = self._without_seeds, None
        if other is None:
            return
        found, now = other.taken_in(self.problem, self._known["proba"], self._best)
        proba = found["proba"]
        # Its powers are the likeliest; who has learned from seeds is surer of them.
        lost = "" if now is None else self._worse(now, by_likelihood=False)
        self._report(WITHOUT_SEEDS, other.seconds, proba, now, lost)
        self._posteriors[WITHOUT_SEEDS] = self.problem.clamped(proba)
        made = (type(other), found["pool_powers"], other.proba, bool(lost))
        self._key = fingerprint((self._key, *made))
        if lost:
            return
        self._known |= found
        if now is not None:
            self._best, self._judged, self._of = now, proba, WITHOUT_SEEDS

    def _calibrated(
        self, on_seeds: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], HeldOut]:
        """Make posteriors as sure as they are right on the seeds, and give these.

        A network has seen all seeds: how right it is they cannot tell. What it made is
        as sure on the mean as what they could judge before, and not calibrated.

        Parameters
        ----------
        on_seeds : (j, k) the last posteriors that seeds could judge, held out.
        """
        problem, last = self.problem, self._known["proba"]
        proba, held_out = calibrate(
            self._judged,
            on_seeds,
            rows=problem.judge_rows,
            labels=problem.judge_labels,
            of=self._of,
            random_state=problem.random_state,
        )
        if self._of == gate.VOTES:
            proba = self._judged
        elif np.array_equal(last, self._judged):
            return proba, held_out
        confidence = float(proba.max(axis=1).mean())
        return as_sure_as(last, confidence), replace(
            held_out, is_calibrated=False, temperature=None
        )

    def _run(self, stage: Stage, key: str) -> dict[str, NDArray[Any]]:
        store = self.kept.store
        tools = StageContext(
            remember=lambda name, compute: self.kept.get(key, name, compute),
            checkpoints=lambda name: StoredCheckpoints(store, key, name),
            seconds_left=None if self.max_minutes is None else self._seconds_left,
            progress=self.kept.progress,
        )

        def compute() -> dict[str, NDArray[Any]]:
            began = time.perf_counter()
            found = stage.run(self.problem, self._known, tools)
            return {**found, "seconds": np.asarray(time.perf_counter() - began)}

        return self.kept.get(key, "stage", compute)

    def _loss(
        self,
        stage: Stage,
        proba: NDArray[np.float64],
        now: NDArray[np.float64] | None,
    ) -> str:
        """Tell how a stage made the seeds' posteriors clearly worse, or ""."""
        if not stage.cheap:
            # It has seen the seeds: more of them than this will not come out right.
            now = proba[self.problem.judge_rows]
        if now is None:
            return ""
        return self._worse(now, by_likelihood=stage.cheap)

    def _worse(self, now: NDArray[np.float64], *, by_likelihood: bool = True) -> str:
        """Tell how posteriors of the judging seeds, (j, k), are clearly worse."""
        labels, best = self.problem.judge_labels, self._best
        if best is None:
            return ""
        before = self._known["proba"][self.problem.readable].mean(axis=0)
        weights = gate.weights_of_classes(labels, before)
        if gate.fewer_right(now, best, labels, weights):
            return "reverted: clearly fewer seeds are right"
        if not by_likelihood:
            return ""
        # The labels are calibrated at the end: none is worse for being too sure so far.
        now, best = (fit_calibrator(one, labels)(one) for one in (now, best))
        if gate.less_likely(now, best, labels, weights):
            return "reverted: the seeds' classes are clearly less likely"
        return ""

    def _seconds_left(self) -> float:
        assert self.max_minutes is not None
        return 60 * self.max_minutes - (time.perf_counter() - self.started)

    def _held_out(self, stage: Stage, key: str) -> NDArray[np.float64] | None:
        """Give the judging seeds' posteriors after a stage; None: it takes too long."""
        if not stage.cheap:
            return None
        return self.kept.get(
            fingerprint((key, HeldOutSeeds)),
            "gate",
            lambda: {"proba": self._trial.after(stage)},
        )["proba"]

    def _report(
        self,
        name: str,
        seconds: float,
        proba: NDArray[np.float64],
        on_seeds: NDArray[np.float64] | None,
        note: str,
    ) -> None:
        """Add a row to the reports."""
        problem, wanted = self.problem, self._wanted
        held_out = gain = None
        if on_seeds is not None:
            before = float(
                (problem.said[problem.judge_rows] == problem.judge_labels).mean()
            )
            held_out = float((on_seeds.argmax(axis=1) == problem.judge_labels).mean())
            if name == gate.VOTES:
                held_out = before  # ties and no vote are wrong
            gain = held_out - before
        labels = problem.said if name == gate.VOTES else proba.argmax(axis=1)
        scored = wanted >= 0
        accuracy = float((labels == wanted)[scored].mean()) if scored.any() else None
        same = proba.argmax(axis=1) == problem.proba.argmax(axis=1)
        sure = float(proba.max(axis=1).mean())
        agreement = float(same.mean())
        self._reports.append(
            StageReport(name, seconds, held_out, gain, accuracy, agreement, sure, note)
        )


def _key(problem: RefinementProblem, features_key: Sequence[str]) -> str:
    """Hash all that the stages depend on."""
    seen = (
        *(problem.pixels, features_key, problem.proba, problem.said, problem.voted),
        *(problem.readable, problem.seed_rows, problem.seed_labels, problem.judges),
        *(problem.possible, problem.random_state, problem.flip, problem.unseeded),
        *(problem.unjudged, problem.surest),
        *(problem.stand_in_rows, problem.stand_in_labels),
    )
    prior = None if problem.prior is None else problem.prior.shares
    return fingerprint((*seen, prior, problem.plan))


def _scored(truth: ArrayLike | None, problem: RefinementProblem) -> NDArray[np.int64]:
    """Give the classes to score by, (n,): -1 for seeds and where unknown."""
    if truth is None:
        return np.full(len(problem.proba), -1)
    found = checked_labels(truth, len(problem.proba), "truth").copy()
    found[problem.seed_rows] = -1
    return found
