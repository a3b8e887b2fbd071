"""How many labels the functions that need none are worth, by the user's own seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from lfkit.aggregators.fitted_labels import aggregate_once
from lfkit.aggregators.inference.em import TIE_TOLERANCE
from lfkit.commands.refine_labels import FUNCTIONS_FEATURES
from lfkit.commands.vote_sources import VotedImages
from lfkit.data.votes import ABSTAIN
from lfkit.runs.apply_options import ApplyOptions
from lfkit.runs.cache_keys import fingerprint
from lfkit.runs.run_summary import Crossover

if TYPE_CHECKING:
    from lfkit.refinement import Refined, StoredFeatures

_MOST_SEEDS = 1000  # that the worth is judged by


def worth_of_functions(
    options: ApplyOptions,
    voted: VotedImages,
    feature_sets: Mapping[str, Any],
    refined: Refined | None = None,
) -> Crossover | None:
    """Say how many labels the functions that need none are worth, by the seeds.

    Parameters
    ----------
    feature_sets : what refinement looks at; what networks see of the seeds is compared
        with, too.
    refined : what looking at the images has made of their votes without seeds counts,
        if it was made.
    """
    from lfkit.metrics.labels.crossover import crossover
    from lfkit.refinement import PretrainedFeatures, StoredFeatures

    rows, labels = voted.votes.seed_rows, voted.votes.seed_labels
    if voted.lfs is None or rows is None or labels is None:
        return None
    unseeded = None if refined is None else refined.without_seeds
    if unseeded is not None and voted.unseeded is not None:
        votes = voted.unseeded
    else:
        unseeded = None
        free = [j for j, lf in enumerate(voted.lfs) if not lf.learns_from_labels]
        votes = voted.votes.unseeded().select(free)
    n_functions = int(votes.voted.any(axis=0).sum())
    broken = [*voted.images.known_problems, *voted.unreadable]
    readable = ~np.isin(rows, broken)
    rows, labels = rows[readable], labels[readable]
    some = _some_of_each_class(labels, options.seed)
    rows, labels = rows[some], labels[some]
    if not n_functions or not len(rows):
        return None
    if unseeded is not None:
        best = np.sort(unseeded[rows], axis=1)[:, -2:]
        is_tie = best[:, 1] - best[:, 0] <= TIE_TOLERANCE
        said = np.where(is_tie, ABSTAIN, unseeded[rows].argmax(axis=1))
    elif votes.n_functions == 1:
        said = votes.hard[rows, 0]
    else:
        said = aggregate_once(
            voted.store,
            votes,
            "auto",
            options.class_balance,
            options.seed,
            broken,
            keep_as="functions without seeds",
        ).labels[rows]
    source = voted.images
    asked = (source.decoding, source.keys[rows], labels, said, n_functions)
    seen = {
        name: given
        for name, given in feature_sets.items()
        if isinstance(given, StoredFeatures) and name != FUNCTIONS_FEATURES
    }
    by = (unseeded is not None, options.seed, PretrainedFeatures.is_installed())
    by_networks = tuple(given.key for given in seen.values())
    code = (crossover, _features_of_seeds, Crossover)
    key = fingerprint((*asked, *by, *by_networks, *code))
    kept = voted.store.load("fitted", key, "crossover")
    if kept is not None:
        return TypeAdapter(Crossover | None).validate_json(kept["json"].item())
    found = crossover(
        _features_of_seeds(voted, rows, seen),
        labels,
        said,
        n_functions=n_functions,
        is_refined=unseeded is not None,
        random_state=options.seed,
    )
    text = TypeAdapter(Crossover | None).dump_json(found).decode()
    voted.store.save("fitted", key, "crossover", {"json": np.asarray(text, np.str_)})
    return found


def _some_of_each_class(labels: Any, seed: int) -> Any:
    """Give at most a thousand places, as many of each class as there are, sorted."""
    order = np.random.default_rng(seed).permutation(len(labels))
    most = max(2, _MOST_SEEDS // max(1, len(np.unique(labels))))
    each = [order[labels[order] == c][:most] for c in np.unique(labels)]
    return np.sort(np.concatenate([*each, np.zeros(0, np.int64)])).astype(np.int64)


def _features_of_seeds(
    voted: VotedImages, rows: Any, seen: Mapping[str, StoredFeatures]
) -> dict[str, Any]:
    """Give what is seen of the seeds' images, (s, d) each, by features and networks."""
    from lfkit.refinement import PixelFeatures, PretrainedFeatures
    from lfkit.refinement.problem import small_pixels

    pixels, _ = small_pixels(voted.images, rows)
    sets: dict[str, Any] = {"plain features": PixelFeatures(pixels)}
    if PretrainedFeatures.is_installed():
        sets["the ImageNet network"] = PretrainedFeatures(pixels)
    found = {}
    for name, given in sets.items():
        values = np.zeros((len(rows), sum(given.widths)), np.float32)
        for part, numbers in given.chunks():
            values[part] = numbers
        found[name] = values
    for name, stored in seen.items():
        values = np.zeros((len(rows), sum(stored.widths)), np.float32)
        for part, numbers in stored.chunks():
            of_seeds = np.isin(part, rows)
            values[np.searchsorted(rows, part[of_seeds])] = numbers[of_seeds]
        found[f"the network {name}"] = values
    return found
