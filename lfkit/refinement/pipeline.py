"""One pass through the stages: each kept, judged, and reverted where it loses."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.aggregators.aggregate import calibrate
from lfkit.data.labels import HeldOut, checked_labels
from lfkit.data.progress import Progress
from lfkit.refinement import held_out_check as gate
from lfkit.refinement.held_out_check import HeldOutSeeds
from lfkit.refinement.problem import RefinementProblem
from lfkit.refinement.product_of_experts import as_sure_as
from lfkit.refinement.stages.stage import Stage, StageContext
from lfkit.runs.cache_keys import fingerprint
from lfkit.runs.run_summary import StageReport
from lfkit.runs.store import Store

_KIND = "refined"
_CHECKPOINT_STEPS = 200


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
    every: int = _CHECKPOINT_STEPS

    def load(self) -> Mapping[str, NDArray[Any]] | None:
        """Give what was saved last, or None."""
        return self.store.load(_KIND, self.key, "checkpoint")

    def save(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep this in the place of what was saved before."""
        self.store.save(_KIND, self.key, "checkpoint", arrays)


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
    """One pass through the stages."""

    def __init__(
        self,
        problem: RefinementProblem,
        stages: Sequence[Stage],
        kept: StoredResults,
        started: float,
        max_minutes: float | None,
    ) -> None:
        self.problem, self.stages, self.kept = problem, stages, kept
        self.started, self.max_minutes = started, max_minutes

    def all(self, features_key: Sequence[str], truth: ArrayLike | None) -> Finished:
        """Run every stage."""
        problem = self.problem
        key = fingerprint(
            (
                *(
                    problem.pixels,
                    features_key,
                    problem.proba,
                    problem.said,
                    problem.voted,
                    problem.readable,
                ),
                *(
                    problem.seed_rows,
                    problem.seed_labels,
                    problem.judges,
                    problem.possible,
                ),
                *(
                    problem.random_state,
                    problem.flip,
                    problem.unseeded,
                    problem.unjudged,
                ),
                None if problem.prior is None else problem.prior.shares,
                problem.plan,
            )
        )
        trial = HeldOutSeeds(problem)
        is_judged = problem.has_judges and trial.is_possible
        best = problem.proba[problem.judge_rows] if is_judged else None
        judged, of = problem.proba, gate.VOTES
        wanted = _scored(truth, problem)
        known: dict[str, Any] = {"proba": problem.proba}
        posteriors = {gate.VOTES: problem.clamped(problem.proba)}
        reports = [self._report(gate.VOTES, 0.0, problem.proba, best, wanted, "")]
        for position, stage in enumerate(self.stages):
            why_not = stage.why_not(problem, known)
            if why_not is not None:
                note = f"skipped: {why_not}"
                reports.append(
                    self._report(stage.name, 0.0, known["proba"], None, wanted, note)
                )
                continue
            self.kept.say(f"refining: {stage.name}", position, len(self.stages))
            key = fingerprint((key, stage.name, type(stage)))
            if not stage.cheap:
                key = fingerprint((key, self.max_minutes))
            found = self._run(stage, known, key)
            seconds = float(found.pop("seconds"))
            proba = found.get("network_proba", found["proba"])
            now = self._held_out(trial, stage, key) if is_judged else None
            lost = best is not None and self._lost(stage, proba, now, best)
            note = "reverted: clearly worse on the seeds" if lost else ""
            reports.append(self._report(stage.name, seconds, proba, now, wanted, note))
            posteriors[stage.name] = problem.clamped(proba)
            key = fingerprint((key, lost))
            if lost:
                continue
            known |= found
            if now is not None:
                trial.keep(stage)
                best, judged, of = now, known["proba"], stage.name
        held_out = None
        if best is not None:
            known["proba"], held_out = self._calibrated(known, judged, best, of)
        known["proba"] = problem.among_possible(known["proba"])
        self.kept.say("refining", len(self.stages), len(self.stages))
        return Finished(known, posteriors, reports, held_out)

    def _calibrated(
        self,
        known: Mapping[str, Any],
        judged: NDArray[np.float64],
        on_seeds: NDArray[np.float64],
        of: str,
    ) -> tuple[NDArray[np.float64], HeldOut]:
        """Make posteriors as sure as they are right on the seeds, and give these.

        A network has seen all seeds: how right it is they cannot tell. What it made is
        as sure on the mean as what they could judge before, and not calibrated.

        Parameters
        ----------
        judged : (n, k) the last posteriors that held-out seeds could judge.
        on_seeds : (j, k) those of the seeds, held out.
        of : the stage that made them.
        """
        problem = self.problem
        proba, held_out = calibrate(
            judged,
            on_seeds,
            rows=problem.judge_rows,
            labels=problem.judge_labels,
            of=of,
            random_state=problem.random_state,
        )
        if of == gate.VOTES:
            proba = judged
        elif np.array_equal(known["proba"], judged):
            return proba, held_out
        confidence = float(proba.max(axis=1).mean())
        return as_sure_as(known["proba"], confidence), replace(
            held_out, is_calibrated=False, temperature=None
        )

    def _run(
        self, stage: Stage, known: Mapping[str, Any], key: str
    ) -> dict[str, NDArray[Any]]:
        store = self.kept.store
        tools = StageContext(
            remember=lambda name, compute: self.kept.get(key, name, compute),
            checkpoints=StoredCheckpoints(store, key),
            seconds_left=None if self.max_minutes is None else self._seconds_left,
            progress=self.kept.progress,
        )

        def compute() -> dict[str, NDArray[Any]]:
            began = time.perf_counter()
            found = stage.run(self.problem, known, tools)
            return {**found, "seconds": np.asarray(time.perf_counter() - began)}

        return self.kept.get(key, "stage", compute)

    def _lost(
        self,
        stage: Stage,
        proba: NDArray[np.float64],
        now: NDArray[np.float64] | None,
        best: NDArray[np.float64],
    ) -> bool:
        """Tell whether a stage made the seeds' posteriors clearly worse."""
        labels = self.problem.judge_labels
        if not stage.cheap:
            # It has seen the seeds: more of them than this will not come out right.
            return gate.fewer_right(proba[self.problem.judge_rows], best, labels)
        return now is not None and (
            gate.fewer_right(now, best, labels) or gate.less_likely(now, best, labels)
        )

    def _seconds_left(self) -> float:
        assert self.max_minutes is not None
        return 60 * self.max_minutes - (time.perf_counter() - self.started)

    def _held_out(
        self, trial: HeldOutSeeds, stage: Stage, key: str
    ) -> NDArray[np.float64] | None:
        """Give the judging seeds' posteriors after a stage; None: it takes too long."""
        if not stage.cheap:
            return None
        return self.kept.get(
            fingerprint((key, HeldOutSeeds)),
            "gate",
            lambda: {"proba": trial.after(stage)},
        )["proba"]

    def _report(
        self,
        name: str,
        seconds: float,
        proba: NDArray[np.float64],
        on_seeds: NDArray[np.float64] | None,
        wanted: NDArray[np.int64],
        note: str,
    ) -> StageReport:
        problem = self.problem
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
        return StageReport(
            name,
            seconds,
            held_out,
            gain,
            accuracy,
            float(same.mean()),
            float(proba.max(axis=1).mean()),
            note,
        )


def _scored(truth: ArrayLike | None, problem: RefinementProblem) -> NDArray[np.int64]:
    """Give the classes to score by, (n,): -1 for seeds and where unknown."""
    if truth is None:
        return np.full(len(problem.proba), -1)
    found = checked_labels(truth, len(problem.proba), "truth").copy()
    found[problem.seed_rows] = -1
    return found
