"""What features say of seeds when they have learned without these and any function."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lfkit.data.folds import FOLDS, deal_folds
from lfkit.refinement.lda_model import (
    SharedCovariance,
    discriminant,
    equally_long,
    moments,
)
from lfkit.refinement.problem import RefinementProblem
from lfkit.refinement.product_of_experts import logs, product
from lfkit.refinement.stages.stage import Arrays

_OTHER_IMAGES = 3000


def looks_at_seeds(
    problem: RefinementProblem,
    known: Arrays,
    powers: NDArray[np.float64],
    shrinkage: float,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Give logarithms of what self-training says of each seed, (s, k), held out.

    The seeds of the other folds, by the discriminants that `lda` chose, label some
    thousand images; discriminants learn from these, and look at the seeds of the fold.
    No function takes part: one that has learned from a seed knows the images like it.
    Images labeled by functions, too, teach more, so that too little is made of them
    rather than too much.

    Parameters
    ----------
    known : what the stage `lda` gave.
    powers : of each set of features, in what is said.
    shrinkage : of the discriminants that learn from the images.

    Returns
    -------
    These, and (s,) which seeds it can tell: not those of which no other is a teacher.
    """
    rng = np.random.default_rng([problem.random_state, 5])
    drawn = rng.permutation(len(problem.proba))[:_OTHER_IMAGES]
    others = np.setdiff1d(drawn[problem.readable[drawn]], problem.shown_rows)
    dealt = deal_folds(problem.seed_labels, FOLDS, problem.random_state)
    # What stands in for a class without seeds judges nothing, and always teaches.
    fold_of = np.append(dealt, np.full(len(problem.stand_in_rows), -1))
    is_readable = problem.readable[problem.shown_rows]
    found = np.zeros((len(dealt), problem.n_classes))
    is_told = np.zeros(len(dealt), bool)
    for fold in np.unique(dealt):
        kept, test = (fold_of != fold) & is_readable, problem.seed_rows[dealt == fold]
        teachers, classes = problem.shown_rows[kept], problem.shown_targets[kept]
        labels = _by_seeds(problem, known, teachers, classes, others)
        rows = np.concatenate([others, teachers])
        labels = np.concatenate([labels, classes])
        scores = [
            discriminant(moments(kind[rows], labels), shrinkage)(kind[test])
            for kind in problem.features
        ]
        looked = problem.among_possible(product(scores, powers.tolist()))
        found[dealt == fold] = logs(looked)
        is_told[dealt == fold] = classes.any(axis=0)[problem.seed_labels[dealt == fold]]
    return found, is_told & problem.readable[problem.seed_rows]


def _by_seeds(
    problem: RefinementProblem,
    known: Arrays,
    teachers: NDArray[np.int64],
    classes: NDArray[np.float64],
    rows: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Label rows by discriminants of the teachers, as `lda` made them: (r, k)."""
    scores, powers = [], []
    for at, kind in enumerate(problem.features):
        is_divided = bool(known[f"lda{at}_equal_lengths"])
        taught = equally_long(kind[teachers]) if is_divided else kind[teachers]
        shrinkage, spread = (
            float(known[f"lda{at}_{name}"]) for name in ("shrinkage", "spread")
        )
        classes_of = SharedCovariance(moments(taught, classes), shrinkage)
        classifier = replace(classes_of.discriminant(spread), equal_lengths=is_divided)
        scores.append(classifier(kind[rows]))
        powers.append(float(known[f"lda{at}_power"]))
    return problem.among_possible(product(scores, powers))
