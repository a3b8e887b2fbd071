"""The few labels lfkit sees: read from a file, or drawn from a labeled data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfkit.data.class_names import match
from lfkit.data.image_source import ImageSource
from lfkit.data.label_cells import read_cells
from lfkit.data.tables import column_names, read_table, texts
from lfkit.errors import DataError

_IDS = ("image_id", "path", "file_name")


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

    Capitals in their names do not count; paths may be written as on Windows.
    """
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
    table = read_table(path, (column, label))
    cells = read_cells(table.column(label), f"column {label!r} of {path}")
    row_of = {name: row for row, name in enumerate(source_ids)}
    ids = [_as_known(name, row_of) for name in texts(table.column(column))]
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


def _as_known(name: str | None, known: Container[str]) -> str:
    """Write a path as the data does, if it is one of its; "" where there is none."""
    if name is None or name in known:
        return name or ""
    return next(
        (p for p in (name.strip(), name.replace("\\", "/")) if p in known), name
    )
