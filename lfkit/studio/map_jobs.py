"""The map's jobs, done where users' functions run: places, and what separates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.commands.vote_sources import FunctionVotes
from lfkit.data.image_source import ImageSource
from lfkit.data.progress import Progress
from lfkit.features import FEATURES
from lfkit.features.feature import Feature, ancestors, extract
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.studio.map_file import save_map
from lfkit.studio.map_layout import map_layout
from lfkit.studio.outcome import Outcome
from lfkit.studio.separating import cheap_features, separating_features, snippet
from lfkit.studio.studio_options import StudioOptions
from lfkit.studio.voting_jobs import options_of

_MOST_SELECTED = 400
_MOST_COMPARED = 1200
_AT_ONCE = 200
_WIDEST = 2000  # numbers of one feature


def lay_out(
    asked: dict[str, Any], job: dict[str, Any], images: ImageSource, progress: Progress
) -> dict[str, Any]:
    """Place every image on the map, by how it looks and the labels there are."""
    folder = _folder(options_of(asked))
    progress("placing the images", 0, 1)
    looks = np.load(folder / "looks.npy", allow_pickle=False)
    labels = np.full(len(images), -1, np.int64)
    for name in ("preview.npz", "all.npz"):
        if (folder / name).exists():
            outcome = Outcome.from_bytes((folder / name).read_bytes())
            labels[outcome.rows] = outcome.labels
    places = map_layout(looks, labels, random_state=options_of(asked).seed)
    save_map(folder, images, places)
    return {}


def separate(
    asked: dict[str, Any], job: dict[str, Any], images: ImageSource, progress: Progress
) -> dict[str, Any]:
    """Find what tells selected images from others, with a rule for each finding.

    `job` has "rows", the selected ones, and "label", the class of the rule.
    """
    options = options_of(asked)
    voters = FunctionVotes(options.of_apply(has_seeds=False))
    names = voters.classes(images).names
    ours = {name: FEATURES[name] for name in cheap_features(images.shape[2])}
    own = _own_features(voters.loaded.lfs)
    chosen = np.asarray(sorted(set(job["rows"])), np.int64)
    rng = np.random.default_rng(options.seed)
    order = rng.permutation(len(images))
    compared = np.sort(order[~np.isin(order, chosen)][:_MOST_COMPARED])
    chosen = np.sort(rng.permutation(chosen)[:_MOST_SELECTED])
    rows = np.concatenate([chosen, compared])
    values = _values(images, rows, ours, own, progress)
    progress("comparing", 0, 1)
    selected = np.arange(len(rows)) < len(chosen)
    label = int(job["label"])
    return {
        "n_selected": len(chosen),
        "n_others": len(compared),
        "found": [
            {
                **asdict(each),
                "snippet": snippet(each, label, names[label]),
            }
            for each in separating_features(values, selected)
        ],
    }


def _folder(options: StudioOptions) -> Path:
    return options.out / "studio"


def _own_features(lfs: Sequence[LabelingFunction]) -> dict[str, Feature]:
    """Find the features of a user's files that can be named there: name → feature."""
    found: dict[str, Feature] = {}
    for lf in lfs:
        module = getattr(lf.fn, "__globals__", {})
        named = {id(v): k for k, v in module.items() if isinstance(v, Feature)}
        for node in ancestors(lf.features):
            name = named.get(id(node))
            is_plain = not node.is_given and node.is_fitted
            if name and is_plain and name not in FEATURES:
                found[name] = node
    return found


def _values(
    images: ImageSource,
    rows: NDArray[np.int64],
    ours: dict[str, Feature],
    own: dict[str, Feature],
    progress: Progress,
) -> dict[str, NDArray[np.float32]]:
    """Compute features of some images; NaN where an image cannot be read.

    Parameters
    ----------
    own : a user's features, each by itself: one that fails is left out.
    """
    parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in [*ours, *own]}
    for start in range(0, len(rows), _AT_ONCE):
        progress("measuring the images", start, len(rows))
        read = images.read(rows[start : start + _AT_ONCE])
        values = extract([*ours.values()], read.pixels)
        found = {name: values[node] for name, node in ours.items()}
        for name, node in own.items():
            try:
                found[name] = extract([node], read.pixels)[node]
            except Exception:  # a user's feature may raise anything
                parts.pop(name, None)
        for name in [*parts]:
            flat = np.asarray(found[name], np.float32).reshape(len(read.pixels), -1)
            flat[[*read.problems]] = np.nan
            parts[name].append(flat)
    return {
        name: np.concatenate(found)
        for name, found in parts.items()
        if len({part.shape[1] for part in found}) == 1 and found[0].shape[1] <= _WIDEST
    }
