"""The columns of an index of images: ids, keys, and the table that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfkit.data.image_source import KEY_BYTES

_ROWS_AT_ONCE = 1 << 14  # as Python objects, which take five times the bytes

INDEX_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("key", pa.string()),  # content hash, hexadecimal; zeros if never read
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("mode", pa.string()),  # PIL's name of the pixel format
        ("file_size", pa.int64()),  # null for images that are rows of an array
        ("mtime_ns", pa.int64()),
        ("ctime_ns", pa.int64()),  # with the inode, tells files that were swapped
        ("inode", pa.int64()),
        ("problem", pa.string()),  # null where there is none
    ]
)


class TextColumn(Sequence[str]):
    """Text kept as Arrow keeps it: a million paths cost bytes, not Python objects."""

    def __init__(self, column: pa.Array) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> TextColumn: ...
    def __getitem__(self, index: int | slice) -> str | TextColumn:
        if isinstance(index, slice):
            rows = np.arange(*index.indices(len(self)))
            return TextColumn(self._column.take(pa.array(rows, pa.int64())))
        return self._column[int(index)].as_py()

    def __arrow_array__(self, type: Any = None) -> pa.Array:
        return self._column if type is None else self._column.cast(type)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self._column.to_pylist(), dtype=dtype)

    def __repr__(self) -> str:
        return f"TextColumn({self._column.slice(0, 3).to_pylist()}…, n={len(self)})"


class RowNumbers(Sequence[str]):
    """The ids of images that have no names: "0", "1", …, made when asked for."""

    def __init__(self, rows: range) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> RowNumbers: ...
    def __getitem__(self, index: int | slice) -> str | RowNumbers:
        if isinstance(index, slice):
            return RowNumbers(self._rows[index])
        return str(self._rows[index])

    def __arrow_array__(self, type: Any = None) -> pa.Array:
        numbers = pa.array(np.arange(len(self)) * self._rows.step + self._rows.start)
        return numbers.cast(pa.string() if type is None else type)

    def __repr__(self) -> str:
        return f"RowNumbers({self._rows})"


def keys_to_text(keys: NDArray[np.uint8]) -> pa.Array:
    """Write (n, 16) keys as n hexadecimal strings."""
    n_letters = 2 * KEY_BYTES
    offsets = np.arange(len(keys) + 1, dtype=np.int64) * n_letters
    letters = keys.tobytes().hex().encode()
    return pa.LargeStringArray.from_buffers(
        len(keys), pa.py_buffer(offsets), pa.py_buffer(letters)
    ).cast(pa.string())


def text_to_keys(text: pa.Array | pa.ChunkedArray) -> NDArray[np.uint8]:
    """Read n hexadecimal strings back into (n, 16) keys."""
    chunks = text.chunks if isinstance(text, pa.ChunkedArray) else [text]
    keys = bytearray()
    for chunk in chunks:
        for start in range(0, len(chunk), _ROWS_AT_ONCE):
            some = chunk.slice(start, _ROWS_AT_ONCE).to_pylist()
            keys += bytes.fromhex("".join(some))
    return np.frombuffer(keys, np.uint8).reshape(-1, KEY_BYTES)
