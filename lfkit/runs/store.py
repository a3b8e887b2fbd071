"""Votes and features on disk, block by block: content-addressed, resumable.

A block is a list of images; its id hashes their content, so a file of the store says
exactly which function gave which values on which images. Files are written whole or
not at all, whenever the process dies.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lfkit.data.files import make_folder, refuse_links, remove_empty, sweep
from lfkit.data.files import write_atomically as write_atomically
from lfkit.data.image_source import KEY_BYTES, content_groups
from lfkit.errors import RunError, storage_error
from lfkit.runs.store_files import (
    is_sealed,
    read_arrays,
    read_parts,
    write_arrays,
    write_parts,
)

# A block is what a kill can cost, and what is held in memory at once. Larger blocks
# mean fewer files: with 1024 images a run of a million has a thousand per function.
_BLOCK_IMAGES = 1024
_BLOCK_BYTES = 2**26

# An array stored alone, under this name, is a plain .npy: read several times as fast
# as from an .npz.
_ALONE = "values"

_LOCK = ".lock"

_LAYOUT = "blocks.arrow"  # the images' keys, a batch per block

# Rows of what is stored in parts, per part: those of blocks are too few to be fast.
_PART_ROWS = 1 << 16

# Arrays of images above this size are on disk, in a file that has no name.
_MOST_IN_MEMORY = 1 << 26

Kind = str  # "votes", "features", "fitted" or "images": the folder a value lies in


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows of a source, evaluated and stored together.

    Attributes
    ----------
    rows : (b,) row numbers in the source, one per distinct image.
    id : hash of the images' content, in order.
    """

    rows: NDArray[np.int64]
    id: str


class Store(Protocol):
    """Where computed arrays go: a run folder, or memory."""

    keeps_features: bool

    def load(self, kind: Kind, key: str, name: str) -> dict[str, NDArray[Any]] | None:
        """Give the arrays stored under this name, or None."""

    def save(
        self, kind: Kind, key: str, name: str, arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        """Store named arrays."""

    def load_parts(self, kind: Kind, key: str, name: str) -> list[NDArray[Any]] | None:
        """Give one long array in parts, which a file lends: read them, keep none."""

    def save_parts(
        self, kind: Kind, key: str, name: str, parts: Iterable[NDArray[Any]]
    ) -> None:
        """Store one long array of (r,) or (r, w), part by part as they come."""

    def blank(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Give an array of zeros to be filled; a large one is where the store is."""

    def has(self, kind: Kind, key: str, name: str) -> bool:
        """Return whether `load` would find something."""

    def names(self, kind: Kind, key: str) -> set[str]:
        """List the names for which `load` would find something."""

    def layout(self, keys: NDArray[np.uint8], size: int) -> list[Block]:
        """Divide images into blocks of `size`, keeping the blocks of earlier runs."""

    def forget(self, kind: Kind, key: str) -> None:
        """Lose everything under a key, all of it or nothing."""


class MemoryStore:
    """Keeps votes and what was fitted for one call; features only of the seeds."""

    keeps_features = False

    def __init__(self) -> None:
        self._arrays: dict[tuple[Kind, str, str], dict[str, NDArray[Any]]] = {}
        self._parts: dict[tuple[Kind, str, str], list[NDArray[Any]]] = {}

    def load(self, kind: Kind, key: str, name: str) -> dict[str, NDArray[Any]] | None:
        """Give the arrays stored under this name, or None."""
        found = self._arrays.get((kind, key, name))
        return None if found is None else dict(found)

    def save(
        self, kind: Kind, key: str, name: str, arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        """Store named arrays."""
        self._arrays[kind, key, name] = dict(arrays)

    def load_parts(self, kind: Kind, key: str, name: str) -> list[NDArray[Any]] | None:
        """Give one long array in parts."""
        return self._parts.get((kind, key, name))

    def save_parts(
        self, kind: Kind, key: str, name: str, parts: Iterable[NDArray[Any]]
    ) -> None:
        """Store one long array in parts, of which none is copied."""
        self._parts[kind, key, name] = list(parts)

    def blank(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Give an array of zeros to be filled."""
        return np.zeros(shape, dtype)

    def has(self, kind: Kind, key: str, name: str) -> bool:
        """Return whether `load` would find something."""
        return (kind, key, name) in self._arrays

    def names(self, kind: Kind, key: str) -> set[str]:
        """List the names for which `load` would find something."""
        return {name for *folder, name in self._arrays if folder == [kind, key]}

    def forget(self, kind: Kind, key: str) -> None:
        """Lose everything under a key."""
        for kept in (self._arrays, self._parts):
            for place in [p for p in kept if p[:2] == (kind, key)]:
                del kept[place]

    def layout(self, keys: NDArray[np.uint8], size: int) -> list[Block]:
        """Divide distinct images into blocks, in the source's order."""
        distinct = _first_rows(keys)
        return [
            make_block(distinct[start : start + size], keys)
            for start in range(0, len(distinct), size)
        ]


class RunStore:
    """Keeps everything under a run folder, one file per function and block."""

    keeps_features = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, kind: Kind, key: str, name: str) -> dict[str, NDArray[Any]] | None:
        """Give the arrays stored under this name, or None."""
        plain = self._read(self._path(kind, key, name, ".npy"))
        return plain or self._read(self._path(kind, key, name))

    def save(
        self, kind: Kind, key: str, name: str, arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        """Store named arrays, whole or not at all."""
        suffix = ".npy" if set(arrays) == {_ALONE} else ".npz"
        path = self._path(kind, key, name, suffix)
        write_arrays(path, self._called(path), arrays)

    def load_parts(self, kind: Kind, key: str, name: str) -> list[NDArray[Any]] | None:
        """Map one long array, in parts; None if it was not stored."""
        path = self._path(kind, key, name, ".arrow")
        return read_parts(path, self._called(path))

    def save_parts(
        self, kind: Kind, key: str, name: str, parts: Iterable[NDArray[Any]]
    ) -> None:
        """Store one long array, whole or not at all, part by part as they come."""
        path = self._path(kind, key, name, ".arrow")
        write_parts(path, self._called(path), _gathered(parts, _PART_ROWS))

    def blank(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Give an array of zeros to be filled; a large one is mapped from the disk."""
        n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if n_bytes > _MOST_IN_MEMORY:
            with (
                contextlib.suppress(OSError),  # a folder that is only read, a full disk
                tempfile.TemporaryFile(dir=self.folder) as file,
            ):
                if sys.platform != "darwin":  # to write to a full disk ends a process
                    os.posix_fallocate(file.fileno(), 0, n_bytes)
                return np.memmap(file, dtype, "r+", shape=shape)
        return np.zeros(shape, dtype)

    def has(self, kind: Kind, key: str, name: str) -> bool:
        """Return whether `load` would find something."""
        return any(
            is_sealed(self._path(kind, key, name, suffix))
            for suffix in (".npy", ".npz")
        )

    def names(self, kind: Kind, key: str) -> set[str]:
        """List the names for which `load` would find something."""
        folder = self.folder / kind / key
        if not folder.is_dir():
            return set()
        return {name.rpartition(".")[0] for name in os.listdir(folder)}

    def forget(self, kind: Kind, key: str) -> None:
        """Lose everything under a key, all of it or nothing."""
        folder = self.folder / kind / key
        leaving = folder.with_name(f".{key}.{os.getpid()}.partial")
        if folder.is_dir():
            os.rename(folder, leaving)  # a kill leaves nothing of it to be read
            shutil.rmtree(leaving)

    def layout(self, keys: NDArray[np.uint8], size: int) -> list[Block]:
        """Divide distinct images into blocks.

        Images of an earlier run stay in their blocks, in the same order; new ones are
        appended in blocks of their own. A block that lost an image is a new block.
        """
        earlier, sizes = self._read_layout()
        rows, counts, fresh = _arranged(earlier, sizes, keys)
        fresh_counts = [
            len(fresh[start : start + size]) for start in range(0, len(fresh), size)
        ]
        if len(fresh):
            rows = np.concatenate([rows, fresh])
            counts = np.concatenate([counts, np.asarray(fresh_counts, np.int64)])
        blocks = _cut(rows, counts, keys)
        is_kept = np.array_equal(sizes, counts) and _have_keys(rows, keys, earlier)
        if not is_kept:
            path = self.folder / _LAYOUT
            parts = (keys[block.rows] for block in blocks)
            write_parts(path, self._called(path), parts)
        return blocks

    def stored_layout(self, keys: NDArray[np.uint8]) -> list[Block] | None:
        """Give the blocks of earlier runs with these images; None if one is in none.

        Nothing is written.
        """
        earlier, sizes = self._read_layout()
        rows, counts, fresh = _arranged(earlier, sizes, keys)
        return None if len(fresh) else _cut(rows, counts, keys)

    def _read_layout(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Give the images of earlier runs, block after block, and the blocks' sizes."""
        path = self.folder / _LAYOUT
        parts = read_parts(path, self._called(path)) or []
        sizes = np.asarray([len(part) for part in parts], np.int64)
        return np.concatenate([np.zeros((0, KEY_BYTES), np.uint8), *parts]), sizes

    def _read(self, path: Path) -> dict[str, NDArray[Any]] | None:
        return read_arrays(path, self._called(path), _ALONE)

    def _called(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _path(self, kind: Kind, key: str, name: str, suffix: str = ".npz") -> Path:
        return self.folder / kind / key / f"{name}{suffix}"


def block_size(shape: tuple[int, int, int]) -> int:
    """Images per block for this image size."""
    return max(1, min(_BLOCK_IMAGES, _BLOCK_BYTES // max(1, int(np.prod(shape)))))


def make_block(rows: NDArray[np.int64], keys: NDArray[np.uint8]) -> Block:
    """Name some rows of a source by their images' content."""
    digest = hashlib.blake2b(keys[rows].tobytes(), digest_size=KEY_BYTES)
    return Block(np.asarray(rows, np.int64), digest.hexdigest())


def join_blocks(blocks: Sequence[Block]) -> Block:
    """Make one block of many, in their order; it is named by their names."""
    if len(blocks) == 1:
        return blocks[0]
    names = "".join(block.id for block in blocks)
    digest = hashlib.blake2b(names.encode(), digest_size=KEY_BYTES)
    rows = [block.rows for block in blocks] or [np.zeros(0, np.int64)]
    return Block(np.concatenate(rows), digest.hexdigest())


class RunInUseError(RunError):
    """Another command holds the run folder."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder: two runs that write to it at once would disagree.

    What a killed run was just writing is swept away. A folder in which nothing came to
    be is not left behind.

    Raises
    ------
    RunInUseError : another command holds it.
    """
    made = make_folder(folder)
    try:
        with _lock_file(folder) as handle:
            if _holds(handle, folder):
                refuse_links(folder)
                sweep(folder)
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    if made and os.listdir(folder) == [_LOCK]:
                        os.unlink(folder / _LOCK)
    finally:
        remove_empty(made)


def _lock_file(folder: Path) -> IO[bytes]:
    """Open the lock of a folder as it lies there: it may be a link to anything."""
    path = folder / _LOCK
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        handle = os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0)
    except OSError as error:
        if path.is_symlink():
            raise _no_lock(path, "a link") from error
        raise storage_error(error, path) from error
    if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
        handle.close()
        raise _no_lock(path, "no file")
    return handle


def _no_lock(path: Path, what: str) -> RunError:
    return RunError(f"{path} is {what}, not the lock that lfkit makes; delete it.")


def _holds(handle: IO[bytes], folder: Path) -> bool:
    """Take the lock; False where the system has none."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its last holder may have taken the file away between the two calls.
        if os.fstat(handle.fileno()).st_ino == os.stat(folder / _LOCK).st_ino:
            return True
    except ImportError:  # no advisory locks on this system
        return False
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            return False  # none on this file system
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise storage_error(error, folder / _LOCK) from error
    raise RunInUseError(
        f"another lfkit command is writing to {folder}; wait for it, or give another "
        "--out."
    )


def _gathered(parts: Iterable[NDArray[Any]], n_rows: int) -> Iterator[NDArray[Any]]:
    """Join parts until they have so many rows."""
    held: list[NDArray[Any]] = []
    for part in parts:
        held.append(part)
        if sum(map(len, held)) >= n_rows:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def _cut(
    rows: NDArray[np.int64], sizes: NDArray[np.int64], keys: NDArray[np.uint8]
) -> list[Block]:
    """Divide rows into blocks of these sizes."""
    parts = np.split(rows, np.cumsum(sizes)[:-1]) if len(rows) else []
    return [make_block(part, keys) for part in parts]


def _arranged(
    earlier: NDArray[np.uint8], sizes: NDArray[np.int64], keys: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find images in the blocks of earlier runs.

    Returns the rows that are in these blocks, in their order; how many of each block
    are left, without blocks of none; and the rows of distinct images in no block.
    """
    distinct = _first_rows(keys)
    none = np.zeros(0, np.int64)
    if not len(earlier):
        return none, none, distinct
    if _have_keys(distinct, keys, earlier):
        return distinct, sizes, none
    first, group = content_groups(np.concatenate([keys[distinct], earlier]))
    is_there = first < len(distinct)
    row_of = np.full(len(first), -1)
    row_of[is_there] = distinct[first[is_there]]
    rows = row_of[group[len(distinct) :]]  # of the earlier images, -1: gone
    is_left = rows >= 0
    of_block = np.repeat(np.arange(len(sizes)), sizes)
    kept = np.bincount(of_block, is_left, len(sizes)).astype(np.int64)
    is_fresh = np.ones(len(keys), bool)
    is_fresh[rows[is_left]] = False
    return rows[is_left], kept[kept > 0], distinct[is_fresh[distinct]]


def _have_keys(
    rows: NDArray[np.int64], keys: NDArray[np.uint8], wanted: NDArray[np.uint8]
) -> bool:
    """Tell whether these rows have these keys, (r, 16), in this order."""
    return len(rows) == len(wanted) and all(
        np.array_equal(
            keys[rows[start : start + _PART_ROWS]], wanted[start:][:_PART_ROWS]
        )
        for start in range(0, len(rows), _PART_ROWS)
    )


def _first_rows(keys: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Rows of the first image of each content, in order."""
    return np.sort(content_groups(keys)[0])


def load_column(
    store: Store, key: str, name: str, blocks: Sequence[Block]
) -> Iterator[NDArray[Any]]:
    """Read a function's votes on all images, in parts; it ends early if some are lost.

    Parameters
    ----------
    name : of the block of all images that it voted on.
    blocks : of distinct images.
    """
    whole = store.load_parts("votes", key, name)
    if whole is not None:
        yield from whole
        return
    arrays = store.load("votes", key, name)
    if arrays is not None and "votes" in arrays:  # there is one block
        yield arrays["votes"]
        return
    for block in blocks:
        arrays = store.load("votes", key, block.id)
        if arrays is None:
            return
        yield arrays["votes"]
