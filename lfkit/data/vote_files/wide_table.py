"""A table of votes: one row per image, one column per labeling function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfkit.data.cells import table_to_cells
from lfkit.data.files import written_whole
from lfkit.data.label_cells import joined, read_cells
from lfkit.data.tables import index_columns, names_rows, read_table, texts
from lfkit.data.vote_files.vote_file import VoteFile, numbered
from lfkit.errors import VotesError

_MOST = 2**53  # larger whole numbers are not safe in a table
_ID_COLUMNS = ("image_id", "path", "id")


def read(
    path: Path, n_classes: int | None, class_names: Sequence[str] | None
) -> VoteFile:
    """Read a .csv or .parquet; empty cells abstain.

    What a table library calls its rows is no function: it is left out where it only
    counts them, and names the images where nothing else does.
    """
    table = read_table(path)
    held, notes = _known_names(table.column_names, path)
    named = next((name for name in _ID_COLUMNS if name in held), None)
    left_out = index_columns(table)
    if named is None and left_out and names_rows(table.column(held.index(left_out[0]))):
        named = left_out.pop(0)
        notes.append(f"column {named!r} of {path.name} names the images")
    notes += [
        f"column {name!r} of {path.name} numbers the rows: it is no function"
        for name in left_out
    ]
    others = [name for name in _ID_COLUMNS if name in held and name != named]
    notes += [
        f"column {name!r} of {path.name} is left out: {named!r} names the images"
        for name in others
    ]
    ids = None
    if named is not None:
        found = texts(table.column(held.index(named)))
        if None in found:
            raise VotesError(f"row {found.index(None)} has no {named}; name each.")
        ids = tuple(str(name) for name in found)
    labels = None
    if "label" in held:
        labels = read_cells(table.column(held.index("label")), "column 'label'")
    aside = {named, "label", *left_out, *others}
    kept = [place for place, name in enumerate(held) if name not in aside]
    if not kept:
        raise VotesError(f"it has no column of votes, only {', '.join(held)}.")
    columns = [read_cells(table.column(p), f"column {held[p]!r}") for p in kept]
    return numbered(
        joined(columns, len(table)),
        labels,
        [held[place] for place in kept],
        n_classes,
        class_names,
        ids=ids,
        notes=tuple(notes),
    )


def _known_names(names: Sequence[str], path: Path) -> tuple[list[str], list[str]]:
    """Find ids and labels whatever their capitals; gives the columns' names, notes."""
    held, notes = [], []
    for name in names:
        known = name.lower() if name.lower() in (*_ID_COLUMNS, "label") else name
        if known != name:
            notes.append(f"column {name!r} of {path.name} is read as {known!r}")
        held.append(known)
    for known in (*_ID_COLUMNS, "label"):
        if held.count(known) > 1:
            raise VotesError(f"it has two columns named {known!r}; keep one of them.")
    return held, notes


def write(path: Path, file: VoteFile) -> None:
    """Write a .csv or .parquet, with image_id and label where they are known."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    known = (*_ID_COLUMNS, "label")
    taken = [name for name in file.votes.names if name.lower() in known]
    if taken:
        raise VotesError(
            f"labeling function {taken[0]!r} would be read back as a column of ids or "
            "labels; write .npz, or rename it."
        )
    value = _written(file)
    columns = {}
    if file.ids is not None:
        columns["image_id"] = pa.array(file.ids, pa.string())
    if file.labels is not None:
        columns["label"] = pa.array(value[file.labels])
    for j, name in enumerate(file.votes.names):
        columns[name] = pa.array(value[file.votes.hard[:, j]])
    table = pa.table(columns)
    with written_whole(path) as partial:
        if path.suffix == ".parquet":
            pq.write_table(table, partial)
        else:
            pa_csv.write_csv(table_to_cells(table), partial)


def _written(file: VoteFile) -> NDArray[np.int64]:
    """Give what stands for each class, (k + 1,), and -1 at the end.

    Classes that are named by numbers are written by name, as they are read.
    """
    names = file.class_names or ()
    if names and all(name.isascii() and name.isdecimal() for name in names):
        values = [int(name) for name in names]
        if max(values) < _MOST:
            return np.asarray([*values, -1], np.int64)
    return np.asarray([*range(file.votes.n_classes), -1], np.int64)
