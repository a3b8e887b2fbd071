"""What tells selected images from others, measured where users' functions run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_source import ImageSource
from lfkit.data.progress import Progress
from lfkit.features import FEATURES
from lfkit.features.feature import Feature, ancestors, extract
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.studio.array_files import load_arrays, save_arrays
from lfkit.studio.separating import Separation, cheap_features, separating_features

_MOST_SELECTED = 800
_MOST_MEASURED = 50_000  # images whose measures are kept
_AT_ONCE = 256
_WIDEST = 2000  # numbers of a user's feature that are compared

Table = dict[str, NDArray[np.float32]]


def tell_apart(
    images: ImageSource,
    selected: NDArray[np.int64],
    n_others: int,
    lfs: Sequence[LabelingFunction],
    *,
    kept: Path,
    progress: Progress,
    random_state: int = 0,
) -> tuple[list[Separation], frozenset[str]]:
    """Rank features by how well they tell some images from others.

    They are those of lfkit that are quick to compute, and those that the user's
    functions read, by the names that they have in the user's file.

    Parameters
    ----------
    selected : rows of the images; of many a sample is compared.
    n_others : how many others they are compared with, drawn from all that are not
        selected.
    kept : a file for what is measured, so that no image is measured twice.

    Returns
    -------
    The features, the best first, and the names of those that are the user's own.
    """
    selected, others = compared_rows(len(images), selected, n_others, random_state)
    rows = np.concatenate([selected, others])
    table = _quick(images, rows, kept, progress)
    own = _users(images, rows, own_features(lfs), progress)
    progress("comparing", 0, 1)
    is_selected = np.arange(len(rows)) < len(selected)
    return separating_features(table | own, is_selected), frozenset(own)


def compared_rows(
    n: int, selected: NDArray[np.int64], n_others: int, random_state: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw which of the selected images are compared, and with which of the n others.

    Whatever is selected, they come first in the same order: most are measured already.
    """
    order = np.random.default_rng(random_state).permutation(n)
    is_selected = np.zeros(n, bool)
    is_selected[selected] = True
    mine = order[is_selected[order]][:_MOST_SELECTED]
    return np.sort(mine), np.sort(order[~is_selected[order]][:n_others])


def own_features(lfs: Sequence[LabelingFunction]) -> dict[str, Feature]:
    """Find a user's features that can be named in the file of the functions.

    Returns
    -------
    The name in that file → the feature, where it needs no fitting and is not lfkit's.
    """
    found: dict[str, Feature] = {}
    for lf in lfs:
        module = getattr(lf.fn, "__globals__", {})
        named = {id(v): k for k, v in module.items() if isinstance(v, Feature)}
        for node in ancestors(lf.features):
            name = named.get(id(node))
            is_ours = node.fn.__module__.partition(".")[0] == "lfkit"
            if name and node.is_fitted and not node.is_given and not is_ours:
                found[name] = node
    return found


def _quick(
    images: ImageSource, rows: NDArray[np.int64], kept: Path, progress: Progress
) -> Table:
    """Measure lfkit's quick features, or read what was measured before."""
    names = cheap_features(images.shape[2])
    held = load_arrays(kept)
    if set(held) != {*names, "rows"}:
        held = {"rows": np.zeros(0, np.int64)}
    fresh = np.setdiff1d(rows, held["rows"])
    if len(fresh):
        # By the table's names: a feature made by a function has another of its own.
        found = _measured(images, fresh, {n: FEATURES[n] for n in names}, progress)
        grown = {"rows": fresh, **found}
        if len(held["rows"]):
            grown = {name: np.concatenate([held[name], grown[name]]) for name in grown}
        held = grown
        if len(held["rows"]) <= _MOST_MEASURED:
            save_arrays(kept, held)
    order = np.argsort(held["rows"])
    at = order[np.searchsorted(held["rows"], rows, sorter=order)]
    return {name: held[name][at] for name in names}


def _users(
    images: ImageSource,
    rows: NDArray[np.int64],
    nodes: dict[str, Feature],
    progress: Progress,
) -> Table:
    found: Table = {}
    for name, node in nodes.items():
        try:
            values = _measured(images, rows, {name: node}, progress)[name]
        except Exception:  # a user's feature may raise anything: it is not compared
            continue
        if 0 < values.size <= _WIDEST * len(values):
            found[name] = values
    return found


def _measured(
    images: ImageSource,
    rows: NDArray[np.int64],
    nodes: dict[str, Feature],
    progress: Progress,
) -> Table:
    """Compute features of images; NaN where an image cannot be read."""
    parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in nodes}
    for start in range(0, len(rows), _AT_ONCE):
        progress("measuring the images", start, len(rows))
        read = images.read(rows[start : start + _AT_ONCE])
        values = extract([*nodes.values()], read.pixels)
        for name, node in nodes.items():
            flat = np.array(values[node], np.float32).reshape(len(read.pixels), -1)
            flat[[*read.problems]] = np.nan
            parts[name].append(flat)
    return {name: np.concatenate(found) for name, found in parts.items()}
