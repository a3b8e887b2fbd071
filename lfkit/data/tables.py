"""Tables of labels and votes, CSV and Parquet, as Arrow columns."""

from __future__ import annotations

import contextlib
import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from lfkit.data.cells import from_cell, table_from_cells
from lfkit.errors import DataError

# Arrow's own handling of Ctrl-C, while it reads a CSV, lost one in six.
pa.enable_signal_handlers(False)

_MOST_HEADER = 1 << 20  # bytes that are looked at for what separates cells
# What pandas, Arrow and R call the numbers of a table's rows when they write them.
_INDEX = re.compile(r"(Unnamed: \d+(\.\d+)*|index|level_\d+|__index_level_\d+__|)")


def column_names(path: Path) -> list[str]:
    """Read the names of a table's columns; spaces around them do not count."""
    return [_plain(path, name) for name in _header(path)[0]]


def _plain(path: Path, name: str) -> str:
    """Give a column's name; in a CSV it is a cell."""
    name = name.strip()
    return name if path.suffix.lower() == ".parquet" else from_cell(name)


def _header(path: Path) -> tuple[list[str], str]:
    """Read the names as they are written, and what separates the cells of a CSV."""
    names, separator = [], ","
    try:
        if path.suffix.lower() == ".parquet":
            names = list(pq.read_schema(path).names)
        else:
            with path.open(newline="", encoding="utf-8-sig") as file:
                # Spreadsheets set to many European languages part cells by semicolons.
                line = re.sub('"[^"]*"', "", file.readline(_MOST_HEADER))
                separator = max(",;\t", key=line.count)
                file.seek(0)
                names = next(csv.reader(file, delimiter=separator), [])
        if not any(names):
            raise ValueError("it is empty")
    except (OSError, ValueError, pa.ArrowException, csv.Error) as error:
        raise _unreadable(path, error) from error
    return names, separator


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read columns of a CSV, all as text ("007" stays), or of a Parquet file.

    Text is read as dictionaries: 15 million strings took 38 s one by one. An empty
    cell is null.

    Parameters
    ----------
    columns : None: all.
    """
    held, separator = _header(path)
    wanted = [n for n in held if columns is None or _plain(path, n) in columns]
    plain = [_plain(path, name) for name in wanted]
    twice = [] if columns is None else [n for n in plain if plain.count(n) > 1]
    if twice:
        raise DataError(f"{path} has two columns named {twice[0]!r}; keep one of them.")
    try:
        if path.suffix.lower() == ".parquet":
            schema = pq.read_schema(path)
            text = [name for name in wanted if _is_text(schema.field(name).type)]
            table = pq.read_table(path, columns=wanted, read_dictionary=text)
        else:
            text_type = pa.dictionary(pa.int32(), pa.string())
            options = pa_csv.ConvertOptions(
                include_columns=None if columns is None else wanted,
                column_types=dict.fromkeys(held, text_type),
                null_values=[""],
                strings_can_be_null=True,
            )
            parsing = pa_csv.ParseOptions(delimiter=separator, newlines_in_values=True)
            read = pa_csv.read_csv(path, convert_options=options, parse_options=parsing)
            table = table_from_cells(read)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    renamed = table.rename_columns([name.strip() for name in table.column_names])
    return renamed.replace_schema_metadata(table.schema.metadata)


def texts(column: pa.ChunkedArray) -> list[str | None]:
    """Give a column's cells as text, None where they are empty."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    found = column.to_pylist()
    return [None if value is None else str(value) for value in found]


def index_columns(table: pa.Table) -> list[str]:
    """List the columns that hold what a table library calls its rows."""
    known: list[Any] = []
    with contextlib.suppress(ValueError, KeyError, TypeError):
        known = json.loads((table.schema.metadata or {})[b"pandas"])["index_columns"]
    return [
        name for name in table.column_names if _INDEX.fullmatch(name) or name in known
    ]


def names_rows(column: pa.ChunkedArray) -> bool:
    """Tell whether an index tells more of its rows than their order."""
    cells = texts(column)
    if None in cells or len(set(cells)) < len(cells):
        return False
    start = cells[0] if cells else None
    if start not in ("0", "1"):
        return bool(cells)
    counted = map(str, range(int(start), int(start) + len(cells)))
    return cells != list(counted)


def _is_text(kind: Any) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read as a table: {error}.")
