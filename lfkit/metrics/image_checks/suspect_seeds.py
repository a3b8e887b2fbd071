"""Seeds that look wrong: their class is not what others, without them, say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lfkit.classifiers.logistic import SoftLogisticRegression
from lfkit.data.folds import FOLDS, deal_folds


def held_out_looks(
    values: NDArray[np.floating],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    n_classes: int,
    random_state: int = 0,
) -> NDArray[np.float64]:
    """Say by its look which class each seed is, with a model that has not seen it.

    Logistic regression on the other folds' seeds. Near-duplicates lie in one fold: none
    speaks for its copy.

    Parameters
    ----------
    values : (s, d) of the seeds.
    labels : (s,) their classes.
    groups : (s,) equal for near-duplicates.

    Returns
    -------
    (s, n_classes); 0 for classes that the other folds do not have.
    """
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    folds = deal_folds(labels[first], FOLDS, random_state)[group]
    proba = np.full((len(labels), n_classes), 1 / n_classes)
    scaled = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-6)
    rows = scaled.astype(np.float32)
    for fold in np.unique(folds):
        held_out = folds == fold
        if held_out.all():
            continue
        model = SoftLogisticRegression(C=0.1)
        model.fit(rows[~held_out], np.eye(n_classes)[labels[~held_out]])
        proba[held_out] = model.predict_proba(rows[held_out])
    return proba


def find_suspects(
    labels: NDArray[np.int64], opinions: Sequence[NDArray[np.float64]]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find seeds that held-out opinions are confident are of another class.

    Confident learning (Northcutt, Jiang & Chuang 2021,
    https://doi.org/10.1613/jair.1.12125, equation 1): a seed is of another class if the
    probability of that class, the most probable one, is at least its mean over the
    seeds that have it.

    Parameters
    ----------
    labels : (s,) the seeds' classes.
    opinions : (s, k) each, by whoever has not learned from the seed; their mean counts.

    Returns
    -------
    (t,) positions among the seeds, whose class is least probable first; and (s, k) the
    mean.
    """
    proba = np.mean(opinions, axis=0)
    places, said = np.arange(len(labels)), proba.argmax(axis=1)
    usual = np.ones(proba.shape[1])
    for label in np.unique(labels):
        usual[label] = proba[labels == label, label].mean()
    found = np.flatnonzero((said != labels) & (proba[places, said] >= usual[said]))
    own = proba[places, labels]
    return found[np.argsort(own[found], kind="stable")], proba
