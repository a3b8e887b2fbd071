"""Refinement is judged on seeds that it has not seen, and undone where it loses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.folds import deal_folds
from lfkit.refinement.stage import Arrays, Stage, Tools
from lfkit.refinement.task import Task

_FOLDS = 5
_OTHER_IMAGES = 3000
_STANDARD_ERRORS = 2.0
_LEAST = 1e-3  # no single seed decides by a likelihood of 0

VOTES = "votes"


def held_out(task: Task, stages: Sequence[Stage]) -> dict[str, NDArray[np.float64]]:
    """Refine with four fifths of the seeds; tell how right the others come out.

    Only cheap stages, and among some thousand images: their graph is thinner than the
    real one, so that the gain comes out smaller than it is.

    Returns
    -------
    stage → (s, k) posteriors of the seeds; under "votes" what they were before.
    """
    labels, rows = task.seed_labels, task.seed_rows
    found = {VOTES: task.proba[rows]}
    rng = np.random.default_rng([task.random_state, 3])
    others = rng.permutation(len(task.proba))[:_OTHER_IMAGES]
    shown = np.union1d(others, rows)
    folds = deal_folds(labels, _FOLDS, task.random_state)
    places = np.searchsorted(shown, rows)
    for fold in np.unique(folds):
        test = folds == fold
        part = task.part(shown, np.flatnonzero(~test))
        if not part.has_seeds:
            continue
        known: dict[str, NDArray[Any]] = {"proba": part.proba}
        for stage in stages:
            if stage.cheap:
                if stage.why_not(part, known) is None:
                    known |= stage.run(part, known, Tools(_computed))
                after = found.setdefault(stage.name, found[VOTES].copy())
                after[test] = known["proba"][places[test]]
    return found


def fewer_right(
    new: NDArray[np.float64], old: NDArray[np.float64], labels: NDArray[np.int64]
) -> bool:
    """Tell whether seeds lose accuracy, by two standard errors.

    Parameters
    ----------
    new, old : (s, k) posteriors of the seeds.
    """
    right = [(proba.argmax(axis=1) == labels).astype(float) for proba in (new, old)]
    return _drops(right[0] - right[1])


def less_likely(
    new: NDArray[np.float64], old: NDArray[np.float64], labels: NDArray[np.int64]
) -> bool:
    """Tell whether the seeds' classes lose likelihood, by two standard errors."""
    own = [proba[np.arange(len(labels)), labels] for proba in (new, old)]
    logs = [np.log(np.maximum(share, _LEAST)) for share in own]
    return _drops(logs[0] - logs[1])


def _drops(change: NDArray[np.float64]) -> bool:
    error = change.std() / np.sqrt(max(len(change), 1))
    return bool(change.mean() < -_STANDARD_ERRORS * error)


def _computed(name: str, compute: Callable[[], dict[str, NDArray[Any]]]) -> Arrays:
    return compute()
