"""Files of a store: written whole, and sealed by a checksum that is always checked.

Arrays lie in .npy and .npz. What has a row for each image lies in .arrow: record
batches (Arrow's IPC stream), written as they come and mapped when read, so that memory
does not grow with the number of images. Five million keys are read in .07 s of the
processor, from Parquet in .36 s, and hashes do not get smaller there; votes in .01 s,
from Parquet in .02 s. Votes would be a tenth in size, but to be mapped they must lie
there as they are used; and .npy wants the number of rows before the first.
"""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfkit.data.files import written_whole
from lfkit.runs.reading import reading

# Ends every file, before a checksum of what is in it and of what it is called. What has
# no such end was written by another lfkit, or by something else, and is not read.
_SEAL = b"\x93lfkit1\n"
_SEAL_BYTES = len(_SEAL) + 4
_REMEDY = "delete this file and run again: only what it held is computed anew"
_CHUNK_BYTES = 1 << 20
_COLUMN = "values"
_IS_BOOL = {b"lfkit.dtype": b"bool"}  # Arrow's own are bits, which cannot be mapped


def write_arrays(path: Path, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as .npz, or the only one as .npy.

    Parameters
    ----------
    name : what the file is called in its store.
    """

    def fill(file: IO[bytes]) -> None:
        if path.suffix == ".npy":
            (array,) = arrays.values()
            np.save(file, array, allow_pickle=False)
        else:
            np.savez(file, allow_pickle=False, **dict(arrays))

    _write(path, name, fill)


def read_arrays(path: Path, name: str, only: str) -> dict[str, NDArray[Any]] | None:
    """Read what `write_arrays` wrote; None if there is nothing of the kind.

    Parameters
    ----------
    only : the name of the array in a .npy.
    """
    if not path.exists():
        return None
    # Opened here: numpy leaves a file open that turns out to be truncated.
    with reading(path, _REMEDY), open(path, "rb") as file:
        stored = np.load(file, allow_pickle=False)
        if isinstance(stored, np.ndarray):
            if path.suffix != ".npy":
                raise ValueError("it is no archive of arrays")
            arrays = {only: stored}
        else:
            arrays = {held: stored[held] for held in stored.files}
        return arrays if _is_sound(file, name) else None


def write_parts(path: Path, name: str, parts: Iterable[NDArray[Any]]) -> None:
    """Write arrays of one dtype and width, (r,) or (r, w), as batches of an .arrow."""

    def fill(file: IO[bytes]) -> None:
        writer = None
        for part in parts:
            batch = _as_batch(part)
            if writer is None:
                writer = pa.ipc.new_stream(file, batch.schema)
            writer.write_batch(batch)
        if writer is None:
            writer = pa.ipc.new_stream(file, pa.schema([]))
        writer.close()

    _write(path, name, fill)


def read_parts(path: Path, name: str) -> list[NDArray[Any]] | None:
    """Map what `write_parts` wrote; None if there is nothing of the kind."""
    if not path.exists():
        return None
    with reading(path, _REMEDY), open(path, "rb") as file:
        # Read first, mapped then: what is checked need not stay in memory.
        is_sound = _is_sound(file, name)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with pa.ipc.open_stream(pa.py_buffer(mapped)) as stream:
            parts = [_as_array(batch) for batch in stream]
        return parts if is_sound else None


def is_sealed(path: Path) -> bool:
    """Tell whether a file was written here, to its end."""
    try:
        with open(path, "rb") as handle:
            handle.seek(-_SEAL_BYTES, os.SEEK_END)
            return handle.read(len(_SEAL)) == _SEAL
    except OSError:  # also of a file that is shorter
        return False


def _write(path: Path, name: str, fill: Callable[[IO[bytes]], None]) -> None:
    with written_whole(path) as partial, open(partial, "r+b") as file:
        fill(file)
        size = file.seek(0, os.SEEK_END)
        seal = _SEAL + _checksum(file, name, size)
        file.seek(size)
        file.write(seal)


def _is_sound(file: IO[bytes], name: str) -> bool:
    """Tell whether a file is one of ours; ValueError if it has changed since."""
    size = file.seek(0, os.SEEK_END) - _SEAL_BYTES
    file.seek(max(size, 0))
    seal = file.read()
    if size < 0 or not seal.startswith(_SEAL):
        return False
    if seal[len(_SEAL) :] != _checksum(file, name, size):
        raise ValueError("its checksum is wrong")
    return True


def _checksum(file: IO[bytes], name: str, size: int) -> bytes:
    found = zlib.crc32(name.encode())
    for chunk in _chunks(file, size):
        found = zlib.crc32(chunk, found)
    return found.to_bytes(4, "little")


def _chunks(file: IO[bytes], size: int) -> Iterator[bytes]:
    """Read the first bytes of a file, a megabyte at a time."""
    file.seek(0)
    while size > 0 and (chunk := file.read(min(size, _CHUNK_BYTES))):
        size -= len(chunk)
        yield chunk


def _as_batch(part: NDArray[Any]) -> pa.RecordBatch:
    is_bool = part.dtype == np.bool_
    values = pa.array(
        np.ascontiguousarray(part.view(np.uint8) if is_bool else part).ravel()
    )
    if part.ndim == 2:
        values = pa.FixedSizeListArray.from_arrays(values, part.shape[1])
    field = pa.field(_COLUMN, values.type, metadata=_IS_BOOL if is_bool else None)
    return pa.record_batch([values], schema=pa.schema([field]))


def _as_array(batch: pa.RecordBatch) -> NDArray[Any]:
    """Give a batch as (r,) or (r, w), without a copy."""
    column, field = batch.column(0), batch.schema.field(0)
    is_wide = pa.types.is_fixed_size_list(field.type)
    values = (column.values if is_wide else column).to_numpy()
    if field.metadata == _IS_BOOL:
        values = values.view(np.bool_)
    return values.reshape(len(column), -1) if is_wide else values
