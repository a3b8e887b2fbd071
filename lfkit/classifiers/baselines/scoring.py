"""Plain classifiers trained on the seeds, scored there and on other images."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from lfkit.classifiers.baselines.baseline import Baseline, Inputs
from lfkit.classifiers.baselines.contenders import Contender, contenders
from lfkit.classifiers.classifier import one_hot
from lfkit.data.folds import FOLDS, deal_folds
from lfkit.data.labels import checked_labels
from lfkit.data.progress import Progress, Unlike

_TRYING = Unlike("trying plain classifiers")


def score_baselines(
    seeds: Inputs,
    seed_labels: ArrayLike,
    n_classes: int,
    test_batches: Iterable[tuple[Inputs, ArrayLike]] = (),
    *,
    blocks: Sequence[int] = (),
    networks: Collection[str] = (),
    content: NDArray[np.int64] | None = None,
    random_state: int = 0,
    progress: Progress | None = None,
) -> list[Baseline]:
    """Score plain classifiers trained on the seed labels: what lfkit has to beat.

    Returns none where fewer than two classes have a seed.

    Parameters
    ----------
    seeds : what classifiers see of the seeds: "pixels", (s, h, w, c); "features",
        (s, d), not standardised; and (s, d) of single features and networks, by name.
    seed_labels : (s,), -1 = unknown: ignored.
    test_batches : inputs and labels of other images, a batch at a time.
    blocks : widths of the groups of "features", which then count alike; none: every
        number counts alike.
    networks : names of inputs that are principal components: larger ones count more.
    content : (s,) the same for seeds that are copies: they are held out together.
    random_state : seed of the folds.
    progress : called with a text, the classifiers tried and all of them.
    """
    labels = checked_labels(seed_labels, len(next(iter(seeds.values()))), "seed_labels")
    known = np.flatnonzero(labels >= 0)
    labels = labels[known]
    if len(np.unique(labels)) < 2:
        return []
    seeds = {name: rows[known] for name, rows in seeds.items()}
    content = np.arange(len(labels)) if content is None else content[known]
    tried = contenders(seeds, blocks, networks)
    held_out: dict[str, NDArray[np.float64] | None] = {}
    for done, (name, one) in enumerate(tried.items()):
        if progress:
            progress(_TRYING, done, len(tried))
        x = seeds[one.input]
        one.classifier.fit(x, one_hot(labels, n_classes))
        held_out[name] = _held_out(one, x, labels, n_classes, content, random_state)
    if progress:
        progress(_TRYING, len(tried), len(tried))
    n_correct, n_scored = _count_correct(tried, test_batches)
    return [
        Baseline(
            name,
            None if proba is None else float((proba.argmax(axis=1) == labels).mean()),
            n_correct[name] / n_scored if n_scored else None,
            n_scored,
            proba,
        )
        for name, proba in held_out.items()
    ]


def _count_correct(
    tried: Mapping[str, Contender], batches: Iterable[tuple[Inputs, ArrayLike]]
) -> tuple[dict[str, int], int]:
    """Count the test images that each fitted classifier labels right, and all."""
    n_correct, n_scored = dict.fromkeys(tried, 0), 0
    for inputs, labels in batches:
        n = len(next(iter(inputs.values())))
        truth = checked_labels(labels, n, "labels of a test batch")
        scored = np.flatnonzero(truth >= 0)
        n_scored += len(scored)
        for name, one in tried.items():
            predicted = one.classifier.predict(inputs[one.input][scored])
            n_correct[name] += int(np.count_nonzero(predicted == truth[scored]))
    return n_correct, n_scored


def _held_out(
    contender: Contender,
    x: NDArray[Any],
    labels: NDArray[np.int64],
    n_classes: int,
    content: NDArray[np.int64],
    random_state: int,
) -> NDArray[np.float64] | None:
    """Give each seed's held-out posterior, (s, k); None: too few."""
    if (np.bincount(labels) >= 2).sum() < 2:
        return None
    folds = deal_seeds(labels, content, random_state)
    proba = np.zeros((len(labels), n_classes))
    for fold in np.unique(folds):
        test = folds == fold
        if test.all():
            return None
        fitted = clone(contender.classifier)
        fitted.fit(x[~test], one_hot(labels[~test], n_classes))
        proba[test] = fitted.predict_proba(x[test])
    return proba


def deal_seeds(
    labels: NDArray[np.int64], content: NDArray[np.int64], random_state: int
) -> NDArray[np.int64]:
    """Deal seeds to folds, copies together, (s,)."""
    _, first, which = np.unique(content, return_index=True, return_inverse=True)
    return deal_folds(labels, FOLDS, random_state)[first[which]]
