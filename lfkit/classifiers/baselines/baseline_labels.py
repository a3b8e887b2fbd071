"""Labels of all images by the best baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfkit.classifiers.baselines.baseline import Baseline, Inputs, best_baseline
from lfkit.classifiers.baselines.contenders import contenders
from lfkit.classifiers.baselines.inputs import (
    SeedInputs,
    batches,
    is_stored,
    usable_keys,
)
from lfkit.classifiers.baselines.scoring import deal_seeds
from lfkit.classifiers.classifier import one_hot
from lfkit.data.image_source import ImageSource
from lfkit.data.progress import Progress
from lfkit.data.votes import Votes
from lfkit.features.feature import Feature
from lfkit.runs.store import RunStore


@dataclass(frozen=True, eq=False)
class BaselineLabels:
    """What the baseline says of all images.

    Attributes
    ----------
    name : the classifier's.
    proba : (n, k) posteriors; flat where an image cannot be read.
    seed_rows, seed_labels : (s,) seeds that can be read.
    seed_proba : (s, k) posteriors on them, each by a classifier fitted without it.
    judged_proba : (s, k) likewise, by the classifier that the other folds' seeds
        choose: whoever was chosen by a seed is not judged by it.
    """

    name: str
    proba: NDArray[np.float64]
    seed_rows: NDArray[np.int64]
    seed_labels: NDArray[np.int64]
    seed_proba: NDArray[np.float64]
    judged_proba: NDArray[np.float64]


def baseline_labels(
    source: ImageSource,
    votes: Votes,
    store: RunStore,
    features: Mapping[Feature, str],
    baselines: Sequence[Baseline],
    *,
    random_state: int,
    networks: Inputs | None = None,
    progress: Progress | None = None,
) -> BaselineLabels:
    """Label all images by the best of the baselines that `find_baselines` gave."""
    baseline = best_baseline(baselines)
    assert votes.seed_rows is not None, "baselines are trained on seeds"
    assert votes.seed_labels is not None, "baselines are trained on seeds"
    keys = usable_keys(features)
    if not is_stored(source, store, keys):
        keys = set()
    rows, labels, k = votes.seed_rows, votes.seed_labels, votes.n_classes
    given = SeedInputs(source, rows, labels, store, features, keys, networks or {})
    blocks = list(given.table.widths.values())
    best = contenders(given.seeds, blocks, given.networks)[baseline.name]
    best.classifier.fit(given.seeds[best.input], one_hot(given.labels, k))
    proba = np.full((len(source), k), 1 / k)
    for part, inputs in batches(source, given, np.arange(len(source)), progress):
        proba[part] = best.classifier.predict_proba(inputs[best.input])
    held_out = judged = np.full((len(given.labels), k), 1 / k)
    if baseline.held_out is not None:
        folds = deal_seeds(given.labels, given.content, random_state)
        held_out = baseline.held_out
        judged = _chosen(baselines, given.labels, folds)
    return BaselineLabels(
        baseline.name, proba, given.rows, given.labels, held_out, judged
    )


def _chosen(
    baselines: Sequence[Baseline], labels: NDArray[np.int64], folds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Give each fold's posteriors by the baseline that others choose, (s, k)."""
    held_out = [one.held_out for one in baselines if one.held_out is not None]
    right = np.array([proba.argmax(axis=1) == labels for proba in held_out])
    found = np.zeros_like(held_out[0])
    for fold in np.unique(folds):
        test = folds == fold
        best = int(right[:, ~test].sum(axis=1).argmax())
        found[test] = held_out[best][test]
    return found
