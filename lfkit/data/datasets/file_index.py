"""The first look at image files: who they are and what their headers say."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lfkit.data.datasets.decoding import quiet_pil, read_header, reason
from lfkit.data.datasets.image_limits import check_length
from lfkit.data.datasets.label_columns import (
    INDEX_SCHEMA,
    TextColumn,
    keys_to_text,
    text_to_keys,
)
from lfkit.data.image_source import KEY_BYTES
from lfkit.errors import EXHAUSTED, DataError, storage_error

_BLOCK = 1024  # files handed to the threads at once; bounds the queue's memory
_NO_KEY = bytes(KEY_BYTES)


@dataclass(frozen=True)
class FileIndex:
    """What is known of n files without decoding them.

    Attributes
    ----------
    ids : n names, as the user sees them.
    keys : (n, 16) hashes of the files' bytes, zeros where a file could not be read.
    width, height : (n,) in pixels, after the EXIF rotation; 0 where there is a problem.
    mode : (n,) PIL's mode, as bytes.
    file_size, mtime_ns, ctime_ns, inode : (n,), -1 where there is no such file.
    problems : row → why the file is not an image that can be read.
    """

    ids: TextColumn
    keys: NDArray[np.uint8]
    width: NDArray[np.int32]
    height: NDArray[np.int32]
    mode: NDArray[np.bytes_]
    file_size: NDArray[np.int64]
    mtime_ns: NDArray[np.int64]
    ctime_ns: NDArray[np.int64]
    inode: NDArray[np.int64]
    problems: dict[int, str]

    def table(self, rows: slice = slice(None)) -> pa.Table:
        """Give the index as columns; `index_files` takes it back as `known`."""
        no_file, no_size = self.file_size[rows] < 0, self.width[rows] == 0
        problems = [self.problems.get(row) for row in range(len(self.keys))[rows]]
        columns = [
            pa.array(self.ids[rows], pa.string()),
            keys_to_text(self.keys[rows]),
            pa.array(self.width[rows], mask=no_size),
            pa.array(self.height[rows], mask=no_size),
            pa.array(self.mode[rows].astype(str), pa.string(), mask=no_size),
            *(
                pa.array(getattr(self, name)[rows], mask=no_file)
                for name in _State._fields
            ),
            pa.array(problems, pa.string()),
        ]
        return pa.table(columns, schema=INDEX_SCHEMA)


def index_files(
    ids: TextColumn,
    path_of: Callable[[int], bytes],
    pool: ThreadPoolExecutor,
    *,
    known: pa.Table | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FileIndex:
    """Read every file once, except those that `known` has seen in their present state.

    Parameters
    ----------
    path_of : row → where that file lies.
    known : an earlier index; a file of the same id, size, times and inode is not read
        again.
    progress : called with the number of files done and the number of all.
    """
    index = _from_known(ids, known)
    n = len(ids)

    def look(row: int) -> _Seen | None:
        state = (int(getattr(index, name)[row]) for name in _State._fields)
        return _look(path_of(row), _State(*state))

    if progress is not None:
        progress(0, n)
    with quiet_pil():
        for start in range(0, n, _BLOCK):
            block = range(start, min(start + _BLOCK, n))
            for row, seen in zip(block, pool.map(look, block), strict=True):
                if seen is not None:
                    _write(index, row, seen)
            if progress is not None:
                progress(block.stop, n)
    return index


class _State(NamedTuple):
    """What a file system tells of a file."""

    file_size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class _Seen(NamedTuple):
    state: _State
    key: bytes
    width: int
    height: int
    mode: str
    problem: str | None


def _look(path: bytes, known_state: _State) -> _Seen | None:
    """Hash one file and read its header; None if it is as it was."""
    state = _State(-1, -1, -1, -1)
    key = _NO_KEY
    try:
        status = os.stat(path)
        inode = status.st_ino & (2**63 - 1)  # some file systems use all 64 bits
        state = _State(status.st_size, status.st_mtime_ns, status.st_ctime_ns, inode)
        if state == known_state:
            return None
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise DataError("not a regular file")
        check_length(status.st_size)  # before the time that hashing takes
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, _new_hash)
            key = digest.digest()
            width, height, mode = read_header(file)
    except Exception as error:  # PIL raises whatever its parsers meet
        if isinstance(error, OSError) and error.errno in EXHAUSTED:
            raise storage_error(error, os.fsdecode(path)) from error  # no fault of it
        return _Seen(state, key, 0, 0, "", reason(error))
    return _Seen(state, key, width, height, mode, None)


def _new_hash() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=KEY_BYTES)


def _write(index: FileIndex, row: int, seen: _Seen) -> None:
    index.keys[row] = np.frombuffer(seen.key, np.uint8)
    index.width[row], index.height[row] = seen.width, seen.height
    index.mode[row] = seen.mode.encode()
    for name, value in seen.state._asdict().items():
        getattr(index, name)[row] = value
    if seen.problem is not None:
        index.problems[row] = seen.problem


def _from_known(ids: TextColumn, known: pa.Table | None) -> FileIndex:
    """Start from what an earlier index knew, or from nothing."""
    n = len(ids)
    index = FileIndex(
        ids=ids,
        keys=np.zeros((n, KEY_BYTES), np.uint8),
        width=np.zeros(n, np.int32),
        height=np.zeros(n, np.int32),
        mode=np.zeros(n, "S8"),
        file_size=np.full(n, -1, np.int64),
        mtime_ns=np.full(n, -1, np.int64),
        ctime_ns=np.full(n, -1, np.int64),
        inode=np.full(n, -1, np.int64),
        problems={},
    )
    if known is None or not set(INDEX_SCHEMA.names) <= set(known.column_names):
        return index  # also an index of another lfkit's making: read everything again
    # A file with a problem is looked at again: permissions change without a new time.
    usable = known.filter(
        pc.and_(pc.is_null(known["problem"]), pc.is_valid(known["mtime_ns"]))
    )
    found = pc.index_in(
        pa.array(ids, pa.string()), value_set=usable["image_id"].cast(pa.string())
    )
    rows = np.flatnonzero(found.is_valid())
    old = usable.take(found.drop_null()).combine_chunks()
    index.keys[rows] = text_to_keys(old["key"])
    for name in ("width", "height", *_State._fields):
        getattr(index, name)[rows] = old[name].to_numpy()
    index.mode[rows] = old["mode"].to_numpy().astype("S8")
    return index
