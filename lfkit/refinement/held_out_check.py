"""Evaluates refinement on held-out seeds, and reverts it if it makes them worse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.folds import FOLDS, deal_folds
from lfkit.data.image_source import content_groups
from lfkit.refinement.problem import RefinementProblem
from lfkit.refinement.stages.stage import Arrays, Stage, StageContext

_OTHER_IMAGES = 3000
_STANDARD_ERRORS = 2.0
_LEAST = 1e-3  # no single seed decides by a likelihood of 0
_MOST_WEIGHT = 3.0  # of a seed, in those of the mean
_LEAST_LOSS = 0.02  # of mean log likelihood: 2 % less sure of each

VOTES = "votes"


class HeldOutSeeds:
    """Refines with four fifths of the judging seeds, and tells how the others come out.

    Only cheap stages, and among some thousand images: their graph is thinner than the
    real one, so that the gain comes out smaller than it is. It goes stage by stage, as
    the refinement does: a stage that is reverted there is reverted here, so that what
    is judged is what makes the labels. Copies of a seed vote as functions do that have
    learned from it: no stage may see them.

    Parameters
    ----------
    problem : seeds that are no judges are learned from, by every fold.
    """

    def __init__(self, problem: RefinementProblem) -> None:
        self._problem = problem
        self._stages: list[Stage] = []

    def after(self, stage: Stage) -> NDArray[np.float64]:
        """Give the judging seeds' posteriors after this stage, (j, k)."""
        found = np.zeros((len(self._problem.judge_rows), self._problem.n_classes))
        for fold in self._folds:
            fold.catch_up(self._stages)
            fold.last = stage, fold.run(stage)
            known = fold.known | fold.last[1]
            found[fold.test] = known["proba"][fold.rows]
        return found

    def keep(self, stage: Stage) -> None:
        """Let later stages go on from this one."""
        self._stages.append(stage)

    @cached_property
    def _folds(self) -> list[_Fold]:
        part = self._seen()
        labels, judges = part.seed_labels, np.flatnonzero(part.judges)
        _, content = content_groups(
            _bytes(self._problem.pixels[self._problem.seed_rows])
        )
        of_seed = np.full(len(labels), -1)
        dealt = deal_folds(labels[judges], FOLDS, part.random_state)
        # Copies of a seed are all in its fold.
        _, first, which = np.unique(
            content[judges], return_index=True, return_inverse=True
        )
        of_seed[judges] = dealt[first[which]]
        folds = []
        for fold in np.unique(of_seed[judges]):
            test = of_seed == fold
            told = ~np.isin(content, content[test])
            rows = part.seed_rows[test]
            folds.append(_Fold(part.with_seeds(told), test[judges], rows))
        return folds

    @property
    def is_possible(self) -> bool:
        """Tell whether the seeds of every fold's rest are enough to learn from."""
        return all(fold.problem.has_seeds for fold in self._folds)

    def _seen(self) -> RefinementProblem:
        """Give the problem on seeds and some thousand images that copy none of them."""
        problem = self._problem
        rng = np.random.default_rng([problem.random_state, 3])
        others = rng.permutation(len(problem.proba))[:_OTHER_IMAGES]
        shown = np.union1d(others, problem.seed_rows)
        _, content = content_groups(_bytes(problem.pixels[shown]))
        is_seed = np.isin(shown, problem.seed_rows)
        copies = ~is_seed & np.isin(content, content[is_seed])
        return problem.part(shown[~copies])


@dataclass(eq=False)
class _Fold:
    """The problem without a fold's seeds, and what the stages so far gave.

    Attributes
    ----------
    test : (j,) True for the fold's seeds, which lie in `rows` of the problem.
    last : the stage run last and what it gave, not yet among `known`.
    n_done : stages of those kept that are.
    """

    problem: RefinementProblem
    test: NDArray[np.bool_]
    rows: NDArray[np.int64]
    known: dict[str, NDArray[Any]] = field(default_factory=dict)
    last: tuple[Stage | None, dict[str, NDArray[Any]]] = (None, {})
    n_done: int = 0

    def __post_init__(self) -> None:
        self.known["proba"] = self.problem.proba

    def run(self, stage: Stage) -> dict[str, NDArray[Any]]:
        if stage.why_not(self.problem, self.known) is not None:
            return {}
        return stage.run(self.problem, self.known, StageContext(_computed))

    def catch_up(self, stages: Sequence[Stage]) -> None:
        """Run the stages kept since; what they told may have been in the store."""
        for stage in stages[self.n_done :]:
            ran, found = self.last
            self.known |= found if ran is stage else self.run(stage)
        self.n_done = len(stages)


def _bytes(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels.reshape(len(pixels), -1)


def weights_of_classes(
    labels: NDArray[np.int64], shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weigh seeds so that classes count as they do among all images, (s,), mean 1.

    Seeds are often drawn class by class. Unweighted they would call it a loss where
    labels of a frequent class become more.

    Parameters
    ----------
    shares : (k,) of the classes among all images, as far as known.
    """
    counts = np.bincount(labels, minlength=len(shares))
    found = (shares / np.maximum(counts, 1))[labels]
    total = found.sum()
    if total <= 0:
        return np.ones(len(labels))
    # No single seed decides: a frequent class may have but one.
    found = np.minimum(found * len(labels) / total, _MOST_WEIGHT)
    return found / found.mean()


def fewer_right(
    new: NDArray[np.float64],
    old: NDArray[np.float64],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64] | None = None,
) -> bool:
    """Tell whether seeds lose accuracy, by two standard errors.

    Parameters
    ----------
    new, old : (s, k) posteriors of the seeds.
    weights : (s,) of the seeds; None: each counts the same.
    """
    right = [(proba.argmax(axis=1) == labels).astype(float) for proba in (new, old)]
    return _drops(right[0] - right[1], weights)


def less_likely(
    new: NDArray[np.float64],
    old: NDArray[np.float64],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64] | None = None,
) -> bool:
    """Tell whether the seeds' classes lose likelihood, by two standard errors.

    Less than `_LEAST_LOSS` is nothing: all seeds may be right, and a little less sure.
    """
    own = [proba[np.arange(len(labels)), labels] for proba in (new, old)]
    logs = [np.log(np.maximum(share, _LEAST)) for share in own]
    return _drops(logs[0] - logs[1], weights, least=_LEAST_LOSS)


def _drops(
    change: NDArray[np.float64],
    weights: NDArray[np.float64] | None,
    least: float = 0.0,
) -> bool:
    weights = np.ones(len(change)) if weights is None else weights
    mean = float((weights * change).mean())
    error = float(np.std(weights * (change - mean))) / np.sqrt(max(len(change), 1))
    return bool(mean < -_STANDARD_ERRORS * error and mean < -least)


def _computed(name: str, compute: Callable[[], dict[str, NDArray[Any]]]) -> Arrays:
    return compute()
