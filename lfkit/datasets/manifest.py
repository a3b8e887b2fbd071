"""A CSV or Parquet file that lists images: column `path`, and `label` if known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from lfkit.data.cells import table_from_cells
from lfkit.data.class_names import discover, read_cells
from lfkit.datasets.files import Files
from lfkit.errors import DataError

_COLUMNS = ("path", "label")


def is_manifest(path: Path) -> bool:
    """Recognise CSV and Parquet files by their names."""
    return path.suffix.lower() in (".csv", ".parquet")


def open_manifest(path: Path, split: str | None) -> Files:
    """Read paths (relative to the manifest's folder, or absolute) and labels.

    Labels are class numbers, or names, which are numbered in alphabetical order, or by
    value where all are numbers; an empty one is unknown.
    """
    if split is not None:
        raise DataError(f"{path} has no splits; leave out ':{split}'.")
    table = _read(path)
    if "path" not in table.column_names:
        raise DataError(
            f"{path} has columns {', '.join(table.column_names)}; it must have one "
            "named 'path' with the images' paths."
        )
    paths = table["path"].combine_chunks().cast(pa.string())
    _check_paths(paths, path)
    labels, class_names = None, None
    notes: tuple[str, ...] = ()
    if "label" in table.column_names:
        labels, class_names, notes = _labels(table["label"].combine_chunks(), path)
    return Files(
        str(path.parent), paths.cast(pa.binary()), labels, class_names, notes=notes
    )


def _read(path: Path) -> pa.Table:
    """Read the two columns, or whichever there are."""
    try:
        if path.suffix.lower() == ".parquet":
            held = parquet.read_schema(path).names
            wanted = [name for name in held if name in _COLUMNS]
            return parquet.read_table(path, columns=wanted if "path" in held else None)
        as_text = csv.ConvertOptions(column_types=dict.fromkeys(_COLUMNS, pa.string()))
        return table_from_cells(csv.read_csv(path, convert_options=as_text))
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as a table: {error}.") from error


def _check_paths(paths: pa.Array, manifest: Path) -> None:
    if len(paths) == 0:
        raise DataError(f"{manifest} lists no images; give one path per row.")
    empty = np.flatnonzero(pc.equal(pc.fill_null(paths, ""), ""))
    if len(empty):
        raise DataError(f"row {empty[0] + 1} of {manifest} has no path; give one.")
    if pc.count_distinct(paths).as_py() < len(paths):
        counts = pc.value_counts(paths)
        twice = counts.filter(pc.greater(counts.field("counts"), 1))[0]["values"]
        raise DataError(
            f"{manifest} lists {twice.as_py()} more than once; list each image once."
        )


def _labels(
    column: pa.Array, manifest: Path
) -> tuple[NDArray[np.int64], tuple[str, ...] | None, tuple[str, ...]]:
    """Give (n,) class numbers, the names if the manifest gives names, and notes."""
    cells = read_cells(column, f"column 'label' of {manifest}")
    found = discover(
        cells, manifest.name, lambda row: f"row {row + 1} of {manifest} has"
    )
    return found.labels, found.names, found.notes
