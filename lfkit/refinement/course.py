"""One pass through the stages: each kept, judged, and undone where it loses."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.analysis import checked_labels
from lfkit.calibration import fit_calibrator
from lfkit.fingerprint import fingerprint
from lfkit.refinement import gate
from lfkit.refinement.experts import as_sure_as
from lfkit.refinement.refined import StageReport
from lfkit.refinement.stage import Progress, Stage, Tools
from lfkit.refinement.task import Task
from lfkit.store import Store

_KIND = "refined"
_CHECKPOINT_STEPS = 200


class Kept:
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
class Checkpoints:
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


class Run:
    """One pass through the stages."""

    def __init__(
        self,
        task: Task,
        stages: Sequence[Stage],
        kept: Kept,
        started: float,
        max_minutes: float | None,
    ) -> None:
        self.task, self.stages, self.kept = task, stages, kept
        self.started, self.max_minutes = started, max_minutes
        self.undone = 0

    def all(
        self, features_key: Sequence[str], truth: ArrayLike | None
    ) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]], list[StageReport]]:
        """Run every stage; gives all arrays, the posteriors and the reports."""
        task = self.task
        key = fingerprint(
            (
                *(task.pixels, features_key, task.proba, task.voted, task.readable),
                *(task.seed_rows, task.seed_labels, task.random_state, task.flip),
                None if task.prior is None else task.prior.shares,
                task.plan,
            )
        )
        scores = self._gate(key)
        wanted = _scored(truth, task)
        known: dict[str, Any] = {"proba": task.proba}
        posteriors = {gate.VOTES: task.clamped(task.proba)}
        reports = [self._report(gate.VOTES, 0.0, task.proba, scores, wanted, "")]
        best, judged = scores.get(gate.VOTES), None
        for position, stage in enumerate(self.stages):
            why_not = stage.why_not(task, known)
            if why_not is not None:
                note = f"skipped: {why_not}"
                reports.append(
                    self._report(stage.name, 0.0, known["proba"], {}, wanted, note)
                )
                continue
            self.kept.say(f"refining: {stage.name}", position, len(self.stages))
            key = fingerprint((key, stage.name, type(stage)))
            if not stage.cheap:
                key = fingerprint((key, self.max_minutes))
            found = self._run(stage, known, key)
            seconds = float(found.pop("seconds"))
            proba = found.get("network_proba", found["proba"])
            now = scores.get(stage.name)
            lost = best is not None and self._lost(stage, proba, now, best)
            note = "undone: clearly worse on the seeds" if lost else ""
            reports.append(
                self._report(stage.name, seconds, proba, scores, wanted, note)
            )
            posteriors[stage.name] = task.clamped(proba)
            if lost:
                self.undone += 1
                continue
            known |= found
            if stage.cheap and now is not None:
                best, judged = now, known["proba"]
        if best is not None and judged is not None:
            known["proba"] = self._calibrated(known["proba"], judged, best)
        self.kept.say("refining", len(self.stages), len(self.stages))
        return known, posteriors, reports

    def _calibrated(
        self,
        proba: NDArray[np.float64],
        judged: NDArray[np.float64],
        held_out: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Make posteriors as sure as the last ones that seeds could judge.

        The network has seen all seeds: how right it is they cannot tell.

        Parameters
        ----------
        proba, judged : (n, k) the final posteriors, and those judged.
        held_out : (s, k) those judged, of seeds that they have not seen.
        """
        calibrator = fit_calibrator(held_out, self.task.seed_labels)
        return as_sure_as(proba, float(calibrator(judged).max(axis=1).mean()))

    def _run(
        self, stage: Stage, known: Mapping[str, Any], key: str
    ) -> dict[str, NDArray[Any]]:
        store = self.kept.store
        tools = Tools(
            remember=lambda name, compute: self.kept.get(key, name, compute),
            checkpoints=Checkpoints(store, key),
            seconds_left=None if self.max_minutes is None else self._seconds_left,
            progress=self.kept.progress,
        )

        def compute() -> dict[str, NDArray[Any]]:
            began = time.perf_counter()
            found = stage.run(self.task, known, tools)
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
        labels = self.task.seed_labels
        if not stage.cheap:
            # It has seen the seeds: more of them than this will not come out right.
            return gate.fewer_right(proba[self.task.seed_rows], best, labels)
        return now is not None and (
            gate.fewer_right(now, best, labels) or gate.less_likely(now, best, labels)
        )

    def _seconds_left(self) -> float:
        assert self.max_minutes is not None
        return 60 * self.max_minutes - (time.perf_counter() - self.started)

    def _gate(self, key: str) -> dict[str, NDArray[np.float64]]:
        if not self.task.has_seeds:
            return {}
        code = [type(stage) for stage in self.stages if stage.cheap]
        return self.kept.get(
            fingerprint((key, "gate", code, gate.held_out)),
            "gate",
            lambda: gate.held_out(self.task, self.stages),
        )

    def _report(
        self,
        name: str,
        seconds: float,
        proba: NDArray[np.float64],
        scores: Mapping[str, NDArray[np.float64]],
        wanted: NDArray[np.int64],
        note: str,
    ) -> StageReport:
        right = {
            stage: float((said.argmax(axis=1) == self.task.seed_labels).mean())
            for stage, said in scores.items()
        }
        held_out, before = right.get(name), right.get(gate.VOTES)
        labels = proba.argmax(axis=1)
        scored = wanted >= 0
        accuracy = float((labels == wanted)[scored].mean()) if scored.any() else None
        gain = None
        if held_out is not None and before is not None:
            gain = held_out - before
        same = labels == self.task.proba.argmax(axis=1)
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


def _scored(truth: ArrayLike | None, task: Task) -> NDArray[np.int64]:
    """Give the classes to score by, (n,): -1 for seeds and where unknown."""
    if truth is None:
        return np.full(len(task.proba), -1)
    found = checked_labels(truth, len(task.proba), "truth").copy()
    found[task.seed_rows] = -1
    return found
