"""Names of the folders above images, without those that tell the labels."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.label_cells import spelling
from lfkit.errors import DataError


def names_of_folders(
    ids: Sequence[str],
    labels: NDArray[np.int64] | None,
    class_names: Sequence[str] | None,
    *,
    are_classes: bool,
) -> NDArray[Any]:
    """Give the names of the folders above each image as one path, (n,) objects.

    What tells the labels that functions are scored by is left out: folders that are
    called as a class is; where folders are the classes, all that hold images of one
    class only; elsewhere, a level whose names are the classes by other names.

    Parameters
    ----------
    ids : n paths, relative to the data or absolute.
    labels : (n,) true classes, -1 where unknown, or None.
    are_classes : whether labels are names of folders.

    >>> ids, labels = ["2021/cat/a/1.png", "2022/dog/a/2.png"], np.array([0, 1])
    >>> names_of_folders(ids, labels, ["cat", "dog"], are_classes=False).tolist()
    ['a', 'a']
    """
    # There are fewer folders than images: a million names are not taken apart.
    position: dict[str, int] = {}
    rows = np.fromiter(
        (position.setdefault(i.rpartition("/")[0], len(position)) for i in ids),
        np.int64,
        len(ids),
    )
    paths = [_parts(folder) for folder in position]
    if all(folder.startswith("/") for folder in position):
        shared = len(_parts(os.path.commonpath(position)))
        paths = [parts[shared:] for parts in paths]
    pairs = np.zeros((0, 2), np.int64)  # folder and label of some image
    if labels is not None:
        known = labels >= 0
        pairs = np.unique(np.stack([rows, labels], axis=1)[known], axis=0)
    told = {spelling(name).casefold() for name in class_names or ()}
    if class_names is None:
        told = {str(label) for label in pairs[:, 1].tolist()}
    tells = _of_one_class if are_classes else _other_names_of_classes
    left_out = tells(paths, pairs)
    names = [
        "/".join(
            part
            for place, part in enumerate(parts)
            if spelling(part).casefold() not in told and (folder, place) not in left_out
        )
        for folder, parts in enumerate(paths)
    ]
    return np.asarray(names, object)[rows]


def check_tells_no_labels(
    column: Sequence[str | None], labels: NDArray[np.int64] | None, what: str
) -> None:
    """Refuse a column that is the labels by other names.

    Parameters
    ----------
    column : n texts.
    labels : (n,) true classes, -1 where unknown, or None.
    what : names the column, to begin an error with.
    """
    if labels is None:
        return
    rows = np.flatnonzero(labels >= 0).tolist()
    pairs = {(column[row], int(labels[row])) for row in rows}
    n_labels = len({label for _, label in pairs})
    is_one_to_one = len(pairs) == n_labels == len({text for text, _ in pairs})
    if is_one_to_one and 1 < n_labels <= len(rows) // 2:
        raise DataError(
            f"{what} goes with the labels one to one, and a function that read it "
            "would be scored by what it reads; read another column."
        )


def _parts(folder: str) -> list[str]:
    return [part for part in folder.split("/") if part not in ("", ".", "..")]


def _of_one_class(
    paths: Sequence[Sequence[str]], pairs: NDArray[np.int64]
) -> set[tuple[int, int]]:
    """Find folders, as (path, place in it), whose name stands for one class only."""
    labels_of = defaultdict(set)
    for folder, label in pairs.tolist():
        for part in paths[folder]:
            labels_of[part].add(label)
    if len(np.unique(pairs[:, 1])) < 2:
        return set()
    return {
        (folder, place)
        for folder, parts in enumerate(paths)
        for place, part in enumerate(parts)
        if len(labels_of[part]) == 1
    }


def _other_names_of_classes(
    paths: Sequence[Sequence[str]], pairs: NDArray[np.int64]
) -> set[tuple[int, int]]:
    """Find levels, from the top or bottom, whose names go with labels one to one."""
    deepest = max(map(len, paths), default=0)
    found = set()
    for level in [*range(deepest), *range(-deepest, 0)]:
        place = [level if level >= 0 else len(parts) + level for parts in paths]
        has = [0 <= at < len(parts) for at, parts in zip(place, paths, strict=True)]
        both = {
            (paths[folder][place[folder]] if has[folder] else "", label)
            for folder, label in pairs.tolist()
        }
        if 1 < len(both) == len({a for a, _ in both}) == len({b for _, b in both}):
            found |= {(f, place[f]) for f in range(len(paths)) if has[f]}
    return found
