"""Tables that list images: CSV, Parquet or JSON lines, with paths and maybe labels."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as arrow_json
from numpy.typing import NDArray

from lfkit.data.class_names import discover
from lfkit.data.datasets.image_files import Files
from lfkit.data.label_cells import read_cells
from lfkit.data.tables import column_names, read_table, texts
from lfkit.errors import DataError

# What columns may be called, the first choice first; capitals and spaces do not count.
_PATHS = ("path", "file_name", "filename", "file_path", "filepath")
LABELS = ("label", "class", "class_name", "label_name", "category")
_SPLITS = ("split",)
_TABLES = (".csv", ".tsv", ".parquet", ".jsonl")
_JSON_BLOCK_BYTES = 1 << 24  # a line must fit into one


class Listing(NamedTuple):
    """The columns of a table that lists images, as they are written there.

    Attributes
    ----------
    paths : n texts, none empty.
    labels : n labels or None, null where unknown.
    splits : n names such as "train", or None.
    notes : what was decided about the columns.
    """

    paths: pa.Array
    labels: pa.Array | None
    splits: pa.Array | None
    notes: tuple[str, ...]


def is_manifest(path: Path) -> bool:
    """Recognise tables by their names."""
    return path.suffix.lower() in _TABLES


def open_manifest(path: Path, split: str | None) -> Files:
    """Read paths (relative to the manifest's folder, or absolute) and labels.

    Labels are class numbers, or names, which are numbered in alphabetical order, or by
    value where all are numbers; an empty one is unknown.
    """
    if split is not None:
        raise DataError(f"{path} has no splits; leave out ':{split}'.")
    found = read_listing(path)
    if found is None:
        held = _read_json(path).column_names if _is_json(path) else column_names(path)
        raise DataError(
            f"{path} has columns {', '.join(held)}; it must have one "
            "named 'path' (or 'file_name') with the images' paths."
        )
    paths, notes = _with_slashes(found.paths, path)
    _check_unique(paths, path)
    labels, class_names = None, None
    decided: tuple[str, ...] = ()
    if found.labels is not None:
        labels, class_names, decided = number_labels(found.labels, path)
    return Files(
        str(path.parent),
        paths.cast(pa.binary()),
        labels,
        class_names,
        splits=found.splits,
        folders_are_classes=False,
        column=lambda name: read_column(path, name),
        notes=(*found.notes, *notes, *decided),
    )


def read_listing(path: Path) -> Listing | None:
    """Read a table's paths, labels and splits; None if it has no column of paths."""
    lines = _read_json(path) if _is_json(path) else None
    names = column_names(path) if lines is None else lines.column_names
    chosen = {
        what: choose_column(names, candidates, path)
        for what, candidates in (
            ("path", _PATHS),
            ("label", LABELS),
            ("split", _SPLITS),
        )
    }
    if chosen["path"] is None:
        return None
    columns = [name for name in chosen.values() if name is not None]
    table = read_table(path, columns) if lines is None else lines
    try:
        paths = table[chosen["path"]].cast(pa.string()).combine_chunks()
        splits = None
        if chosen["split"] is not None:
            splits = table[chosen["split"]].cast(pa.string()).combine_chunks()
    except (ValueError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    _check_filled(paths, path)
    labels = None
    if chosen["label"] is not None:
        labels = table[chosen["label"]].combine_chunks()
    return Listing(paths, labels, splits, _remarks(chosen["label"], path))


def read_column(path: Path, name: str) -> list[str | None]:
    """Read one column of a table as text, None where it is empty.

    Raises
    ------
    DataError
        If there is none of this name, or if it may hold labels, or paths.
    """
    lines = _read_json(path) if _is_json(path) else None
    names = column_names(path) if lines is None else lines.column_names
    if name not in names:
        raise DataError(
            f"{path} has no column {name!r}; it has {', '.join(names)}. Columns are "
            "named as they are written there."
        )
    if _plain(name) in _PATHS:
        raise DataError(
            f"column {name!r} of {path} holds paths, whose folders may be the labels "
            "that functions are scored by; read metadata.file_name or metadata.folder."
        )
    if _plain(name) in LABELS:
        raise DataError(
            f"column {name!r} of {path} may hold the labels that functions are scored "
            "by; read another column, or rename it if it holds something else."
        )
    table = read_table(path, [name]) if lines is None else lines
    return [text or None for text in texts(table[name])]


def _is_json(path: Path) -> bool:
    return path.suffix.lower() == ".jsonl"


def _read_json(path: Path) -> pa.Table:
    options = arrow_json.ReadOptions(block_size=_JSON_BLOCK_BYTES)
    try:
        return arrow_json.read_json(path, read_options=options)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read as a table: {error}.")


def _plain(name: str) -> str:
    return name.strip().lower()


def choose_column(
    names: list[str], candidates: tuple[str, ...], path: Path
) -> str | None:
    """Find the column of one meaning; the first candidate wins, others must be alone.

    Raises
    ------
    DataError
        If two columns have one name, or several names could be meant.
    """
    held = [name for name in names if _plain(name) in candidates]
    plain = [_plain(name) for name in held]
    twice = [name for name in plain if plain.count(name) > 1]
    if twice:
        raise DataError(f"{path} has two columns named {twice[0]!r}; keep one of them.")
    if candidates[0] in plain:
        return held[plain.index(candidates[0])]
    if len(held) > 1:
        raise DataError(
            f"{path} has columns {' and '.join(held)}, which could all be the "
            f"{candidates[0]}; rename the one that is meant to {candidates[0]!r}."
        )
    return held[0] if held else None


def _remarks(label: str | None, path: Path) -> tuple[str, ...]:
    if label is None or _plain(label) == LABELS[0]:
        return ()
    return (f"the labels are those of column {label!r} of {path.name}",)


def _check_filled(paths: pa.Array, manifest: Path) -> None:
    if len(paths) == 0:
        raise DataError(f"{manifest} lists no images; give one path per row.")
    empty = np.flatnonzero(pc.equal(pc.fill_null(paths, ""), ""))
    if len(empty):
        raise DataError(f"row {empty[0] + 1} of {manifest} has no path; give one.")


def _check_unique(paths: pa.Array, manifest: Path) -> None:
    if pc.count_distinct(paths).as_py() < len(paths):
        counts = pc.value_counts(paths)
        twice = counts.filter(pc.greater(counts.field("counts"), 1))[0]["values"]
        raise DataError(
            f"{manifest} lists {twice.as_py()} more than once; list each image once."
        )


def slashes(path: str) -> str:
    r"""Write a path from Windows as others write it.

    >>> slashes(r"images\cat\1.png")
    'images/cat/1.png'
    """
    return re.sub(r"[\\/]+", "/", path)


def _with_slashes(paths: pa.Array, manifest: Path) -> tuple[pa.Array, tuple[str, ...]]:
    """Turn backslashes into slashes where no file has the name as it stands."""
    odd = np.flatnonzero(pc.match_substring(paths, "\\"))
    if not len(odd):
        return paths, ()
    text = paths.to_pylist()
    changed = [
        int(row)
        for row in odd
        if not os.path.lexists(os.path.join(manifest.parent, text[row]))
    ]
    if not changed:
        return paths, ()
    for row in changed:
        text[row] = slashes(text[row])
    note = (
        f"{len(changed):,} paths of {manifest.name} are written with backslashes; they "
        f"are read with slashes, such as {text[changed[0]]}"
    )
    return pa.array(text, pa.string()), (note,)


def number_labels(
    column: pa.Array, manifest: Path
) -> tuple[NDArray[np.int64], tuple[str, ...] | None, tuple[str, ...]]:
    """Give (n,) class numbers, the names if the manifest gives names, and notes."""
    cells = read_cells(column, f"the column of labels of {manifest}")
    found = discover(
        cells, manifest.name, lambda row: f"row {row + 1} of {manifest} has"
    )
    return found.labels, found.names, found.notes
