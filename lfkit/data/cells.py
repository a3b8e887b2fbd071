"""Text in the cells of a CSV: spreadsheets would run what looks like a formula.

A file name or class may begin with "=", and a spreadsheet that opens the table computes
it. As OWASP advises (https://owasp.org/www-community/attacks/CSV_Injection), such a
cell gets an apostrophe, which spreadsheets read as "this is text". lfkit's readers take
it away again, and every text comes back: what begins with apostrophes before such a
sign gets one more. Numbers stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

_SIGNS = "[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
_FORMULA = re.compile(f"'*{_SIGNS}")
_TEXT = re.compile(f"'+{_SIGNS}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def to_cell(text: str) -> str:
    """Write text so that no spreadsheet takes it for a formula.

    >>> to_cell("=1+1"), to_cell("-1"), to_cell("cat")
    ("'=1+1", '-1', 'cat')
    """
    if _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def from_cell(text: str) -> str:
    """Read what `to_cell` wrote."""
    return text[1:] if _TEXT.match(text) else text


def to_cells(column: pa.Array) -> pa.Array:
    """Write a column of text as `to_cell` does; other columns stay."""
    return _mapped(column, _FORMULA, to_cell)


def table_to_cells(table: pa.Table) -> pa.Table:
    """Write all text of a table as `to_cell` does, names of columns included."""
    columns = [_mapped(column, _FORMULA, to_cell) for column in table.columns]
    return pa.table(columns, [*map(to_cell, table.column_names)])


def table_from_cells(table: pa.Table) -> pa.Table:
    """Read what `table_to_cells` wrote."""
    columns = [_mapped(column, _TEXT, from_cell) for column in table.columns]
    names = [*map(from_cell, table.column_names)]
    return pa.table(columns, names).replace_schema_metadata(table.schema.metadata)


def _mapped(
    column: pa.ChunkedArray | pa.Array,
    pattern: re.Pattern[str],
    function: Callable[[str], str],
) -> pa.ChunkedArray | pa.Array:
    kind = column.type
    is_encoded = pa.types.is_dictionary(kind)
    if not _is_text(kind.value_type if is_encoded else kind):
        return column
    parts = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    held = [part.dictionary for part in parts] if is_encoded else parts
    if not any(
        pc.any(pc.match_substring_regex(part, f"^{pattern.pattern}")).as_py()
        for part in held
    ):
        return column
    text = column.cast(pa.string()).to_pylist()
    made = pa.array(
        [None if value is None else function(value) for value in text], pa.string()
    )
    return made.dictionary_encode().cast(kind) if is_encoded else made


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
