"""The few labels lfkit sees: read from a file, or drawn from a labeled data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfkit.data.class_names import match
from lfkit.data.image_names import find_each
from lfkit.data.image_source import ImageSource
from lfkit.data.label_cells import read_cells
from lfkit.data.label_studio_export import (
    only_choice,
    read_tasks,
    told,
    with_control,
)
from lfkit.data.tables import column_names, read_table, texts
from lfkit.errors import DataError

_IDS = ("image_id", "path", "file_name")
_SHOWN = 5


@dataclass(frozen=True)
class GivenLabels:
    """Rows of the data whose class is given, (s,), their classes, and remarks."""

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    notes: tuple[str, ...] = ()


def draw_seeds(
    source: ImageSource,
    truth: NDArray[np.int64] | None,
    class_names: tuple[str, ...],
    n_per_class: int,
    seed: int,
) -> GivenLabels:
    """Draw random labeled images of each class.

    Parameters
    ----------
    truth : (n,) true classes, -1 where unknown.
    """
    if n_per_class < 1:
        raise DataError(f"--seeds-per-class must be at least 1, got {n_per_class}.")
    if truth is None or not (truth >= 0).any():
        if source.class_names and source.labels is not None:
            theirs, ours = (
                ", ".join(names[:5]) for names in (source.class_names, class_names)
            )
            raise DataError(
                f"none of the classes of {source.name} ({theirs}, …) is in CLASSES "
                f"({ours}, …), so there is no image to draw seeds from."
            )
        raise DataError(
            f"{source.name} has no labels to draw seeds from; give the few you have by "
            "--seed-labels FILE (a CSV with columns image_id and label)."
        )
    rng = np.random.default_rng(seed)
    usable = np.ones(len(truth), bool)
    usable[list(source.known_problems)] = False
    rows, notes = [], []
    for label, name in enumerate(class_names):
        members = np.flatnonzero((truth == label) & usable)
        if len(members) < n_per_class:
            notes.append(
                f"class {name!r} has {len(members)} labeled images, fewer than "
                f"--seeds-per-class {n_per_class}; all are seeds"
            )
        rows.append(rng.permutation(members)[:n_per_class])
    drawn = np.sort(np.concatenate(rows))
    return GivenLabels(drawn, truth[drawn], tuple(notes))


def read_labels(
    path: Path, source_ids: Sequence[str], class_names: tuple[str, ...]
) -> GivenLabels:
    """Read a CSV or Parquet file with columns image_id (or path, file_name) and label.

    Capitals in their names do not count; paths may be written as on Windows. Of Label
    Studio's export, a .json, an image's class is what most people chose.
    """
    file, control = with_control(path)
    if file.suffix.lower() == ".json":
        return _read_majority(file, control, source_ids, class_names)
    column, label = _columns(path)
    table = read_table(path, (column, label))
    cells = read_cells(table.column(label), f"column {label!r} of {path}")
    written = texts(table.column(column))
    asked = {way for name in written for way in _ways(name)}
    # All ids of ten million images would take a gigabyte.
    row_of = {name: row for row, name in enumerate(source_ids) if name in asked}
    ids = [_as_known(name, row_of) for name in written]
    found = match(
        cells, class_names, path.name, lambda row: f"{path} gives image {ids[row]!r}"
    )
    given = np.flatnonzero(found.labels >= 0)
    if not len(given):
        raise DataError(f"{path} gives no image a label; write one row per image.")
    named = [ids[row] for row in given.tolist()]
    if "" in named:
        row = given[named.index("")] + 1
        raise DataError(f"{path} has a label without an image in its row {row}.")
    unknown = [name for name in named if name not in row_of]
    if unknown:
        raise DataError(
            f"{path} names image {unknown[0]!r}, which is not in the data (ids look "
            f"like {source_ids[0]!r}); {len(unknown)} of its {len(named)} rows are so."
        )
    if len(set(named)) != len(named):
        twice, _ = Counter(named).most_common(1)[0]
        raise DataError(f"{path} names image {twice!r} twice.")
    rows = np.asarray([row_of[name] for name in named], np.int64)
    order = np.argsort(rows)
    return GivenLabels(rows[order], found.labels[given][order], found.notes)


def check_label_file(path: Path) -> None:
    """Refuse a file that `read_labels` would, before the images are read."""
    file, _ = with_control(path)
    if file.suffix.lower() != ".json":
        _columns(path)


def _columns(path: Path) -> tuple[str, str]:
    """Give the names of the columns that hold images and labels."""
    if not path.is_file():
        raise DataError(f"there is no file {path} with labels.")
    held = column_names(path)
    plain = {name.lower(): name for name in held}
    column = next((plain[c] for c in _IDS if c in plain), None)
    label = plain.get("label")
    if column is None or label is None:
        raise DataError(
            f"{path} needs the columns image_id and label, it has {', '.join(held)}."
        )
    return column, label


def _ways(name: str | None) -> tuple[str, ...]:
    """Give the ways in which the data may write a path, the likeliest first."""
    return () if name is None else (name, name.strip(), name.replace("\\", "/"))


def _read_majority(
    path: Path,
    control: str | None,
    source_ids: Sequence[str],
    class_names: tuple[str, ...],
) -> GivenLabels:
    """Read the class that most annotators chose; tied images get none."""
    tasks = read_tasks(path, control)
    chosen = [
        (task.image, annotation.annotator, choice)
        for task in tasks
        for annotation in task.annotations
        if (choice := only_choice(annotation)) is not None
    ]
    images = list(dict.fromkeys(image for image, _, _ in chosen))
    rows_of_images = find_each(images, source_ids, str(path)).tolist()
    row_of = dict(zip(images, rows_of_images, strict=True))
    ballots: dict[int, dict[str, set[str]]] = {}
    for image, annotator, choice in chosen:
        row = row_of[image]
        if row < 0:
            raise DataError(
                f"{path} names image {image!r}, which is not in the data (ids "
                f"look like {source_ids[0]!r})."
            )
        ballots.setdefault(row, {}).setdefault(annotator, set()).add(choice)
    rows, labels, tied = [], [], []
    for row, said in sorted(ballots.items()):
        sure = [next(iter(own)) for own in said.values() if len(own) == 1]
        counts = Counter(sure).most_common(2)
        if not counts or (len(counts) > 1 and counts[0][1] == counts[1][1]):
            tied.append(source_ids[row])
            continue
        rows.append(row)
        labels.append(counts[0][0])
    if not rows:
        raise DataError(
            f"{path} gives no image a label: nobody chose one, or all are tied."
        )
    cells = read_cells(labels, f"the choices of {path}")
    found = match(
        cells,
        class_names,
        path.name,
        lambda at: f"{path} gives image {source_ids[rows[at]]!r}",
    )
    notes = told(tasks)
    if tied:
        shown = ", ".join(tied[:_SHOWN]) + (", …" if len(tied) > _SHOWN else "")
        notes += (
            f"images without a label, since people are tied: {len(tied):,}, {shown}",
        )
    known = found.labels >= 0
    if not known.any():
        raise DataError(
            f"{path} gives no image a label: what people chose, such as {labels[0]!r}, "
            "means that there is none."
        )
    return GivenLabels(
        np.asarray(rows, np.int64)[known], found.labels[known], notes + found.notes
    )


def _as_known(name: str | None, known: Container[str]) -> str:
    """Write a path as the data does, if it is one of its; "" where there is none."""
    return next((way for way in _ways(name) if way in known), name or "")
