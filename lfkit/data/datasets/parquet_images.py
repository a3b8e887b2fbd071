"""Parquet files with images in a column, as Hugging Face's `datasets` writes them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lfkit.data.class_names import checked_names
from lfkit.data.datasets.disk_cache import spill
from lfkit.data.datasets.manifest import (
    LABELS,
    choose_column,
    number_labels,
    read_column,
)
from lfkit.data.datasets.packed_images import Content, Packed
from lfkit.errors import DataError

IMAGE = "image"  # the column that holds images
IMAGE_ID = "image_id"  # the column of their names, where there is one
_NO_BYTES = DataError("there are no bytes of an image in this row")
_FOLDERS = (".", "data")  # where a data set of the Hub has its files


def is_parquet_images(path: Path) -> bool:
    """Recognise a Parquet file with a column of images, or a folder of such files."""
    files = _files_of(path)
    if not files:
        return False
    try:
        schema = pq.read_schema(files[0])
    except (OSError, pa.ArrowException):
        return False  # other formats say what is wrong with it
    return IMAGE in schema.names and _holds_bytes(schema.field(IMAGE).type)


def open_parquet_images(path: Path, split: str | None) -> Packed:
    """Read images, their names, and labels if a column has them.

    The encoded images are copied to a temporary file, in TMPDIR. Class names are those
    of the `ClassLabel` in the file's metadata; labels of another column are numbers or
    names as in a table. A folder's files that begin with a split's name, as in
    "test-00000-of-00001.parquet", are that split.
    """
    files = _files_of(path)
    if split is not None:
        files = [file for file in files if _split_of(file) == split]
        if not files:
            held = sorted({_split_of(file) for file in _files_of(path)})
            raise DataError(f"{path} has no split {split!r}; it has {', '.join(held)}.")
    first = _schema(files[0])
    label = choose_column(first.names, LABELS, files[0])
    ids: list[str | None] = []
    contents: list[Sequence[Content]] = []
    labels: list[pa.ChunkedArray] = []
    for file in files:
        if label is not None and label not in _schema(file).names:
            raise DataError(
                f"{file} has no column {label!r}, and {files[0]} has; give files of "
                "the same columns."
            )
        for table in _groups(file, [label] if label is not None else []):
            names, encoded = encoded_images(table, str(file))
            ids += names
            contents.append(_on_disk(encoded, str(file)))
            if label is not None:
                labels.append(table[label])
    if not ids:
        raise DataError(f"{path} holds no images; give data with at least one.")
    found = Packed(
        unique_ids([name or str(row) for row, name in enumerate(ids)]),
        _Chain(contents),
        files=tuple(map(str, files)),
        column=lambda name: _column(files, name),
    )
    return found if label is None else _labeled(found, labels, label, first, path)


def _column(files: Sequence[Path], name: str) -> list[str | None]:
    """Read another column as text."""
    if name == IMAGE:
        raise DataError(f"column {IMAGE!r} holds the images; read another column.")
    return [text for file in files for text in read_column(file, name)]


def encoded_images(
    table: pa.Table, where: str
) -> tuple[list[str | None], list[bytes | None]]:
    """Give names and encoded bytes of the images in a table, None where there is none.

    Parameters
    ----------
    table : with a column `image`, binary or a struct of bytes and path, and maybe one
        of names, `image_id`.
    where : what it is, to begin an error with.
    """
    if IMAGE not in table.column_names:
        raise lacks_images(where, table.column_names)
    cells = _plain(table[IMAGE].combine_chunks())
    names: list[str | None] = [None] * len(cells)
    if pa.types.is_struct(cells.type):
        fields = [field.name for field in cells.type]
        if "path" in fields:
            names = _texts(pc.struct_field(cells, "path"), f"{IMAGE}.path", where)
        if "bytes" in fields:
            cells = _plain(pc.struct_field(cells, "bytes"))
    if not _holds_bytes(cells.type):
        raise DataError(
            f"the column {IMAGE!r} of {where} is {cells.type}; it must hold encoded "
            "images, binary or a struct of bytes and path."
        )
    if IMAGE_ID in table.column_names:
        names = _texts(table[IMAGE_ID], IMAGE_ID, where)
    return names, cells.to_pylist()


def lacks_images(where: str, columns: Sequence[str]) -> DataError:
    """Say that a Parquet file has no column of images."""
    return DataError(
        f"{where} has columns {', '.join(columns)}; it must have one named {IMAGE!r} "
        "with encoded images."
    )


def _plain(cells: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(cells, pa.ChunkedArray):
        cells = cells.combine_chunks()
    is_encoded = pa.types.is_dictionary(cells.type)
    return cells.dictionary_decode() if is_encoded else cells


def _texts(
    cells: pa.Array | pa.ChunkedArray, column: str, where: str
) -> list[str | None]:
    try:
        return list(cells.cast(pa.string()).to_pylist())
    except (pa.ArrowException, ValueError) as error:
        raise DataError(
            f"the column {column!r} of {where} is {cells.type}; it must hold texts or "
            "numbers."
        ) from error


def as_contents(encoded: Sequence[bytes | None]) -> list[Content]:
    """Say what is wrong where there are no bytes."""
    return [_NO_BYTES if data is None else data for data in encoded]


def unique_ids(ids: Sequence[str]) -> Sequence[str]:
    """Give ids that occur twice, as a tar file may hold them, a number."""
    if len(set(ids)) == len(ids):
        return ids
    seen: dict[str, int] = {}
    found = []
    for name in ids:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return (
        found
        if len(set(found)) == len(found)
        else [f"{i}:{n}" for i, n in enumerate(ids)]
    )


def _files_of(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if path.suffix.lower() == ".parquet" else []
    for name in _FOLDERS:
        folder = path / name
        if not folder.is_dir():
            continue
        found = [
            folder / file
            for file in sorted(os.listdir(folder))
            if file.lower().endswith(".parquet") and not file.startswith(".")
        ]
        if found:
            return found
    return []


def _split_of(file: Path) -> str:
    return file.stem.split("-")[0]


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _holds_bytes(kind.field(place).type)
    if pa.types.is_dictionary(kind):
        return _holds_bytes(kind.value_type)
    kinds = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return any(is_kind(kind) for is_kind in kinds)


def _schema(file: Path) -> pa.Schema:
    try:
        return pq.read_schema(file)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(file, error) from error


def _groups(file: Path, more: Sequence[str]) -> Iterator[pa.Table]:
    """Read a file a row group at a time: it may be larger than memory."""
    try:
        with pq.ParquetFile(file) as opened:
            held = opened.schema_arrow.names
            wanted = [n for n in (IMAGE, IMAGE_ID, *more) if n in held]
            for number in range(opened.num_row_groups):
                yield opened.read_row_group(number, columns=wanted)
    except (OSError, ValueError, pa.ArrowException) as error:
        if isinstance(error, DataError):
            raise
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> DataError:
    return DataError(f"{file} cannot be read as Parquet: {error}; fetch it again.")


class _OnDisk(Sequence[Any]):
    """Bytes of several images, in one mapped file."""

    def __init__(self, data: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self._data, self._ends = data, ends

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row: Any) -> Any:
        start = self._ends[row - 1] if row else 0
        data = self._data[start : self._ends[row]].tobytes()
        return data or _NO_BYTES


class _Chain(Sequence[Any]):
    """Several sequences as one."""

    def __init__(self, parts: Sequence[Sequence[Content]]) -> None:
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, row: Any) -> Any:
        number = int(np.searchsorted(self._ends, row, side="right"))
        before = int(self._ends[number - 1]) if number else 0
        return self._parts[number][int(row) - before]


def _on_disk(encoded: Sequence[bytes | None], source: str) -> Sequence[Content]:
    pieces = [data or b"" for data in encoded]
    ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    n_bytes = int(ends[-1]) if len(ends) else 0
    return _OnDisk(spill(pieces, n_bytes, source), ends)


def _labeled(
    found: Packed,
    labels: Sequence[pa.ChunkedArray],
    column: str,
    schema: pa.Schema,
    path: Path,
) -> Packed:
    """Add true classes: by the names in the metadata, or as a table gives them."""
    chunks = [chunk for part in labels for chunk in part.chunks]
    cells = pa.chunked_array(chunks, labels[0].type).combine_chunks()
    names = _class_names(schema, column)
    if names is None or not pa.types.is_integer(cells.type):
        numbers, known, notes = number_labels(cells, path)
        return replace(found, labels=numbers, class_names=known, notes=notes)
    numbers = cells.cast(pa.int64()).fill_null(-1).to_numpy().astype(np.int64)
    wrong = np.flatnonzero((numbers < -1) | (numbers >= len(names)))
    if len(wrong):
        raise DataError(
            f"row {wrong[0] + 1} of {path} has label {numbers[wrong[0]]}; its metadata "
            f"names {len(names)} classes, so it must be 0 to {len(names) - 1}, or -1 "
            "where it is unknown."
        )
    return replace(
        found,
        labels=numbers,
        class_names=checked_names(names, f"the metadata of {path}"),
    )


def _class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """Read the names of a `ClassLabel`; None if the metadata has none."""
    try:
        told = json.loads((schema.metadata or {})[b"huggingface"])
        names = told["info"]["features"][column]["names"]
    except (KeyError, ValueError, TypeError):
        return None
    if not isinstance(names, list) or not names:
        return None
    return [str(name) for name in names]
