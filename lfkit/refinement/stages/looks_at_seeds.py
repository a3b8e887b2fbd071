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
_SHRINKAGE = 0.5


def looks_at_seeds(
    problem: RefinementProblem, known: Arrays, powers: NDArray[np.float64]
) -> NDArray[np.float64]:
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
    """
    rng = np.random.default_rng([problem.random_state, 5])
    drawn = rng.permutation(len(problem.proba))[:_OTHER_IMAGES]
    others = np.setdiff1d(drawn[problem.readable[drawn]], problem.shown_rows)
    n_seeds = len(problem.seed_rows)
    dealt = deal_folds(problem.seed_labels, FOLDS, problem.random_state)
    # What stands in for a class without seeds judges nothing, and always teaches.
    fold_of = np.append(dealt, np.full(len(problem.stand_in_rows), -1))
    found = np.zeros((n_seeds, problem.n_classes))
    for fold in np.unique(dealt):
        kept, test = fold_of != fold, problem.seed_rows[dealt == fold]
        teachers, classes = problem.shown_rows[kept], problem.shown_targets[kept]
        labels = _by_seeds(problem, known, teachers, classes, others)
        rows = np.concatenate([others, teachers])
        labels = np.concatenate([labels, classes])
        scores = [
            discriminant(moments(kind[rows], labels), _SHRINKAGE)(kind[test])
            for kind in problem.features
        ]
        found[dealt == fold] = logs(product(scores, powers.tolist()))
    return found


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
    return product(scores, powers)
