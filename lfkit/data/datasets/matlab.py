"""MATLAB's files, version 5 (save -v6 and -v7), read without unpacking into memory.

Format: "MAT-File Format", MathWorks,
https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from lfkit.data.datasets.disk_cache import CHUNK_BYTES, Readable
from lfkit.errors import DataError

_MATRIX, _COMPRESSED = 14, 15
_DTYPES = dict(
    zip((1, 2, 3, 4, 5, 6, 7, 9, 12, 13), "bBhHiIfdqQ", strict=True)
)  # MATLAB's data types as struct's letters, whose sizes NumPy shares
_NUMERIC_CLASSES = range(6, 16)  # double, single and the integers


class Matrix(NamedTuple):
    """One variable of the file; read its pieces before asking for the next one."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]  # as stored: MATLAB stores small whole doubles as uint8
    n_bytes: int
    pieces: Iterator[bytes]  # column-major


def read_matrices(file: BinaryIO, path: Path) -> Iterator[Matrix]:
    """Give the numeric arrays of a MAT file, one after the other."""
    header = file.read(128)
    if header.startswith(b"MATLAB 7.3"):
        raise DataError(
            f"{path} is a MATLAB 7.3 file; in MATLAB, load it and save it with '-v7'."
        )
    order = {b"IM": "<", b"MI": ">"}.get(header[126:128])
    if order is None:
        raise DataError(f"{path} is not a MATLAB file of version 5; check its format.")
    while tag := file.read(8):
        if len(tag) < 8:
            raise EOFError("it ends inside a tag")
        kind, n_bytes = struct.unpack(f"{order}II", tag)
        end = file.tell() + n_bytes
        if kind == _COMPRESSED:
            stream: Readable = _Inflated(file, n_bytes)
            kind, _ = struct.unpack(f"{order}II", _exactly(stream, 8))
        else:
            stream = file
        if kind == _MATRIX and (matrix := _read_matrix(stream, order)):
            yield matrix
        file.seek(end)


class _Inflated:
    """The bytes of a compressed element, unpacked as they are asked for."""

    def __init__(self, file: BinaryIO, n_bytes: int) -> None:
        self._file = file
        self._n_left = n_bytes
        self._packed = b""
        self._unpacker = zlib.decompressobj()

    def read(self, n_bytes: int, /) -> bytes:
        unpacked = b""
        while not unpacked and n_bytes:
            if not self._packed and not self._unpacker.eof:
                self._packed = self._file.read(min(self._n_left, CHUNK_BYTES))
                self._n_left -= len(self._packed)
            fed = len(self._packed)
            unpacked = self._unpacker.decompress(self._packed, n_bytes)
            self._packed = self._unpacker.unconsumed_tail
            if not unpacked and (self._unpacker.eof or not fed):
                return b""
        return unpacked


def _read_matrix(stream: Readable, order: str) -> Matrix | None:
    """Read an array's description, up to where its numbers begin."""
    flags = np.frombuffer(_read_element(stream, order), f"{order}u4")
    if int(flags[0]) & 0xFF not in _NUMERIC_CLASSES:
        return None  # text, cells, structures
    shape = np.frombuffer(_read_element(stream, order), f"{order}i4")
    name = _read_element(stream, order).decode("ascii", "replace")
    kind, n_bytes, held = _read_tag(stream, order)
    dtype = np.dtype(f"{order}{_DTYPES[kind]}") if kind in _DTYPES else None
    sides = tuple(int(side) for side in shape)
    if dtype is None or n_bytes != math.prod(sides) * dtype.itemsize:
        raise EOFError(f"variable {name} does not have the size it says")
    pieces = _pieces(stream, n_bytes) if held is None else iter((held,))
    return Matrix(name, sides, dtype, n_bytes, pieces)


def _read_tag(stream: Readable, order: str) -> tuple[int, int, bytes | None]:
    """Read type and length; of up to 4 bytes the data too, held in the tag itself."""
    tag = _exactly(stream, 8)
    (first,) = struct.unpack(f"{order}I", tag[:4])
    if n_bytes := first >> 16:
        return first & 0xFFFF, n_bytes, tag[4 : 4 + n_bytes]
    (n_bytes,) = struct.unpack(f"{order}I", tag[4:])
    return first, n_bytes, None


def _read_element(stream: Readable, order: str) -> bytes:
    """Read a short element with the padding that ends it."""
    _, n_bytes, held = _read_tag(stream, order)
    if held is not None:
        return held
    if n_bytes > CHUNK_BYTES:
        raise EOFError("a name or shape is longer than the format allows")
    return _exactly(stream, n_bytes + -n_bytes % 8)[:n_bytes]


def _exactly(stream: Readable, n_bytes: int) -> bytes:
    held = b""
    while len(held) < n_bytes:
        piece = stream.read(n_bytes - len(held))
        if not piece:
            raise EOFError("it ends too early")
        held += piece
    return held


def _pieces(stream: Readable, n_bytes: int) -> Iterator[bytes]:
    while n_bytes:
        piece = stream.read(min(n_bytes, CHUNK_BYTES))
        if not piece:
            raise EOFError("it ends too early")
        n_bytes -= len(piece)
        yield piece
