"""Votes and features on disk, block by block: content-addressed, resumable.

A block is a list of images; its id hashes their content, so a file of the store says
exactly which function gave which values on which images. Files are written whole or
not at all, whenever the process dies.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import shutil
import stat
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lfkit.data.files import make_folder, refuse_links, remove_empty, sweep
from lfkit.data.files import write_atomically as write_atomically
from lfkit.data.image_source import KEY_BYTES, content_groups
from lfkit.data.vote_columns import join_votes
from lfkit.errors import RunError, storage_error
from lfkit.runs.reading import reading

# A block is what a kill can cost, and what is held in memory at once. Larger blocks
# mean fewer files: with 1024 images a run of a million has a thousand per function.
_BLOCK_IMAGES = 1024
_BLOCK_BYTES = 2**26

# An array stored alone, under this name, is a plain .npy: read several times as fast
# as from an .npz.
_ALONE = "values"

_LOCK = ".lock"

# Ends every file, before a checksum of what is in it and of what it is called. What has
# no such end was written by another lfkit, or by something else, and is not read.
_SEAL = b"\x93lfkit1\n"
_SEAL_BYTES = len(_SEAL) + 4

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

    def load(self, kind: Kind, key: str, name: str) -> dict[str, NDArray[Any]] | None:
        """Give the arrays stored under this name, or None."""
        found = self._arrays.get((kind, key, name))
        return None if found is None else dict(found)

    def save(
        self, kind: Kind, key: str, name: str, arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        """Store named arrays."""
        self._arrays[kind, key, name] = dict(arrays)

    def has(self, kind: Kind, key: str, name: str) -> bool:
        """Return whether `load` would find something."""
        return (kind, key, name) in self._arrays

    def names(self, kind: Kind, key: str) -> set[str]:
        """List the names for which `load` would find something."""
        return {name for *folder, name in self._arrays if folder == [kind, key]}

    def forget(self, kind: Kind, key: str) -> None:
        """Lose everything under a key."""
        for place in [p for p in self._arrays if p[:2] == (kind, key)]:
            del self._arrays[place]

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
        if set(arrays) == {_ALONE}:
            path = self._path(kind, key, name, ".npy")
            self._write(path, _npy(arrays[_ALONE]))
        else:
            self._write(self._path(kind, key, name), _npz(arrays))

    def has(self, kind: Kind, key: str, name: str) -> bool:
        """Return whether `load` would find something."""
        return any(
            _is_sealed(self._path(kind, key, name, suffix))
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
        path = self.folder / "blocks.npz"
        earlier, sizes = self._read_layout(path)
        rows, counts, fresh = _arranged(earlier, sizes, keys)
        fresh_counts = [
            len(fresh[start : start + size]) for start in range(0, len(fresh), size)
        ]
        rows = np.concatenate([rows, fresh])
        counts = np.concatenate([counts, np.asarray(fresh_counts, np.int64)])
        if not (np.array_equal(earlier, keys[rows]) and np.array_equal(sizes, counts)):
            self._write(path, _npz({"keys": keys[rows], "sizes": counts}))
        return _cut(rows, counts, keys)

    def stored_layout(self, keys: NDArray[np.uint8]) -> list[Block] | None:
        """Give the blocks of earlier runs with these images; None if one is in none.

        Nothing is written.
        """
        earlier, sizes = self._read_layout(self.folder / "blocks.npz")
        rows, counts, fresh = _arranged(earlier, sizes, keys)
        return None if len(fresh) else _cut(rows, counts, keys)

    def _read_layout(self, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Give the images of earlier runs, block after block, and the blocks' sizes."""
        stored = self._read(path)
        if stored is None:
            return np.zeros((0, KEY_BYTES), np.uint8), np.zeros(0, np.int64)
        return stored["keys"], stored["sizes"]

    def _write(self, path: Path, data: bytes) -> None:
        write_atomically(path, data + _SEAL + self._checksum(path, data))

    def _read(self, path: Path) -> dict[str, NDArray[Any]] | None:
        """Read what `_write` wrote; None if there is nothing of the kind."""
        if not path.exists():
            return None
        remedy = "delete this file and run again: only what it held is computed anew"
        # Opened here: numpy leaves a file open that turns out to be truncated.
        with reading(path, remedy), open(path, "rb") as handle:
            if path.suffix == ".npy":
                array = np.load(handle, allow_pickle=False)
                end = handle.tell()
                seal = handle.read()
                handle.seek(0)
                # Its numbers are not read twice.
                header = handle.read(end - array.nbytes)
                parts = [header, array.ravel(order="K").view(np.uint8)]
                arrays = {_ALONE: array}
            else:
                whole = handle.read()
                parts, seal = [whole[:-_SEAL_BYTES]], whole[-_SEAL_BYTES:]
                stored = np.load(io.BytesIO(whole), allow_pickle=False)
                if isinstance(stored, np.ndarray):
                    raise ValueError("it is no archive of arrays")
                arrays = {name: stored[name] for name in stored.files}
            if not seal.startswith(_SEAL):
                return None
            if seal[len(_SEAL) :] != self._checksum(path, *parts):
                raise ValueError("its checksum is wrong")
        return arrays

    def _checksum(self, path: Path, *parts: bytes | NDArray[np.uint8]) -> bytes:
        found = zlib.crc32(path.relative_to(self.folder).as_posix().encode())
        for part in parts:
            found = zlib.crc32(part, found)  # type: ignore[arg-type]
        return found.to_bytes(4, "little")

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


def _is_sealed(path: Path) -> bool:
    try:
        with open(path, "rb") as handle:
            handle.seek(-_SEAL_BYTES, os.SEEK_END)
            return handle.read(len(_SEAL)) == _SEAL
    except OSError:  # also of a file that is shorter
        return False


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(arrays))
    return buffer.getvalue()


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
    if np.array_equal(earlier, keys[distinct]):
        return distinct, sizes, np.zeros(0, np.int64)
    row_of = {keys[row].tobytes(): int(row) for row in distinct}
    rows: list[int] = []
    kept: list[int] = []  # images per block
    for members in np.split(earlier, np.cumsum(sizes)[:-1]):
        names = [key.tobytes() for key in members]
        found = [row_of.pop(name) for name in names if name in row_of]
        rows += found
        kept += [len(found)] if found else []
    fresh = np.asarray([*row_of.values()], np.int64)
    return np.asarray(rows, np.int64), np.asarray(kept, np.int64), fresh


def _first_rows(keys: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Rows of the first image of each content, in order."""
    return np.sort(content_groups(keys)[0])


def load_column(
    store: Store, lf: Any, blocks: Sequence[Block], n_classes: int
) -> NDArray[Any] | None:
    """Read a function's votes on all blocks, in their order; None if some are lost.

    Parameters
    ----------
    lf : anything with `key`, `soft` and `classes`.
    """
    key = lf.key
    whole = store.load("votes", key, join_blocks(blocks).id)
    if whole is not None:
        return whole["votes"]
    parts: Mapping[str, NDArray[Any]] | None
    found = []
    for block in blocks:
        parts = store.load("votes", key, block.id)
        if parts is None:
            return None
        found.append(parts["votes"])
    return join_votes(lf, found, n_classes) if found else None
