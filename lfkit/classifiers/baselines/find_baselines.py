"""Baselines of a run, found once and kept in its store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.classifiers.baselines.baseline import Baseline, Inputs
from lfkit.classifiers.baselines.feature_matrix import FeatureMatrix
from lfkit.classifiers.baselines.inputs import (
    SeedInputs,
    batches,
    is_stored,
    usable_keys,
)
from lfkit.classifiers.baselines.scoring import score_baselines
from lfkit.data.image_source import ImageSource
from lfkit.data.labels import scored_images
from lfkit.data.progress import Progress
from lfkit.data.read_images import box_means, read_images
from lfkit.data.votes import Votes
from lfkit.features.feature import Feature
from lfkit.runs.cache_keys import fingerprint
from lfkit.runs.store import RunStore


def find_baselines(
    source: ImageSource,
    votes: Votes,
    truth: NDArray[np.int64],
    store: RunStore,
    features: Mapping[Feature, str],
    *,
    random_state: int,
    unreadable: Collection[int] = (),
    networks: Inputs | None = None,
    progress: Progress | None = None,
) -> list[Baseline]:
    """Score plain classifiers trained on the seeds alone; kept in the store.

    The same few classifiers see the pixels, all features together, each feature of 16
    numbers or more, and each frozen network. A feature that failed on a seed is not
    used; without features in the store, only pixels and networks are.

    Parameters
    ----------
    truth : (n,) for scoring, -1 where unknown.
    features : feature → its key in the store. Those that learned from the seeds are
        left out: a classifier trained on them would be trained twice on one label.
    unreadable : rows that are not scored, as `given_images` takes them.
    networks : (n, d) each: main directions of what frozen networks see, by name.
    """
    rows, labels = votes.seed_rows, votes.seed_labels
    if rows is None or labels is None or len(np.unique(labels)) < 2:
        return []
    networks = networks or {}
    scored = scored_images(source, votes, truth, unreadable)

    def cache_key(keys: Collection[str]) -> str:
        task = (source.decoding, source.keys, rows, labels, votes.n_classes, scored)
        names = sorted((key, node.name) for node, key in features.items())
        absent = sorted(map(int, unreadable))  # seeds among them may be back later
        seen = [(name, fingerprint(array)) for name, array in networks.items()]
        return fingerprint(
            (sorted(keys), names, task, absent, seen, random_state, *_CODE)
        )

    keys = usable_keys(features)
    cached = store.load("fitted", cache_key(keys), "baselines")
    if cached is None and not is_stored(source, store, keys):
        keys = set()  # deleted to save disk space
        cached = store.load("fitted", cache_key(keys), "baselines")
    if cached is not None:
        return _unpack(cached)
    given = SeedInputs(source, rows, labels, store, features, keys, networks)
    wanted = np.flatnonzero(scored >= 0)
    found = score_baselines(
        given.seeds,
        given.labels,
        votes.n_classes,
        (
            (inputs, scored[part])
            for part, inputs in batches(source, given, wanted, progress)
        ),
        blocks=list(given.table.widths.values()),
        networks=networks,
        content=given.content,
        random_state=random_state,
        progress=progress,
    )
    store.save("fitted", cache_key(keys), "baselines", _pack(found))
    return found


def _pack(baselines: Sequence[Baseline]) -> dict[str, NDArray[Any]]:
    numbers = [
        [
            np.nan if value is None else value
            for value in (one.seed_cv_accuracy, one.accuracy, one.n_scored)
        ]
        for one in baselines
    ]
    packed = {
        "names": np.asarray([one.name for one in baselines], np.str_),
        "numbers": np.asarray(numbers, np.float64),
    }
    held_out = [one.held_out for one in baselines if one.held_out is not None]
    if held_out:  # then all have some
        packed["held_out"] = np.asarray(held_out)
    return packed


def _unpack(arrays: Mapping[str, NDArray[Any]]) -> list[Baseline]:
    names, numbers = arrays["names"].tolist(), arrays["numbers"].tolist()
    held_out = arrays.get("held_out", [None] * len(names))
    return [
        Baseline(name, _or_none(on_seeds), _or_none(accuracy), int(n), proba)
        for name, (on_seeds, accuracy, n), proba in zip(
            names, numbers, held_out, strict=True
        )
    ]


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value


# What the figures kept depend on: an edit of it computes them again.
_CODE = (
    *(score_baselines, _pack, SeedInputs, FeatureMatrix),
    *(batches, read_images, box_means),
)
