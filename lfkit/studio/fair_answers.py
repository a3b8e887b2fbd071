"""Answers that judge fairly: no near-duplicate of theirs was learned from.

Functions and labels are judged on answers that they were fitted without, fold by fold.
Exact copies share a fold; images that are nearly the same may not, and one would then
judge what the other has taught. Answers with such a twin are not counted.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lfkit.studio.outcome import FunctionFacts, Outcome


def has_no_twin(
    rows: NDArray[np.int64], twins: NDArray[np.int64] | None
) -> NDArray[np.bool_]:
    """Tell which answered images are like no other answered one, (a,).

    Parameters
    ----------
    rows : (a,) the answered images.
    twins : (n,) the first of the images that are nearly the same; None: not known yet.

    >>> has_no_twin(np.asarray([0, 2, 3]), np.asarray([0, 1, 0, 3])).tolist()
    [False, False, True]
    """
    if twins is None:
        return np.ones(len(rows), bool)
    _, group, counts = np.unique(twins[rows], return_inverse=True, return_counts=True)
    return np.asarray(counts[group] == 1)


def fair_facts(
    facts: FunctionFacts, outcome: Outcome, twins: NDArray[np.int64] | None
) -> FunctionFacts:
    """Count how often a function is right; all answers judge one that learns nothing.

    Parameters
    ----------
    facts : of a function of the outcome.
    """
    if not facts.learns or twins is None:
        return facts
    votes = outcome.seed_votes[:, outcome.names.index(facts.name)]
    votes = votes[has_no_twin(outcome.seed_rows, twins)]
    right, judged = int((votes == 1).sum()), int((votes >= 0).sum())
    return replace(facts, right=right, judged=judged)


def fair_labels(
    outcome: Outcome, preview: Outcome | None, twins: NDArray[np.int64] | None
) -> tuple[int, int]:
    """Count held-out answers whose label comes out right, and all of them.

    Parameters
    ----------
    preview : has the held-out label of each answer; that of all images does not.
    """
    right, judged = outcome.seed_right, outcome.seed_judged
    if preview is None or has_no_twin(outcome.seed_rows, twins).all():
        return right, judged
    kept = has_no_twin(preview.held_rows, twins)
    label_of = dict(
        zip(preview.seed_rows.tolist(), preview.seed_labels.tolist(), strict=True)
    )
    labels = np.asarray([label_of[row] for row in preview.held_rows[kept].tolist()])
    return int((preview.held_labels[kept] == labels).sum()), int(kept.sum())
