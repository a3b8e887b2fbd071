"""NumPy's .npy and .npz, read within bounds: nothing is unpickled, or unpacked unseen.

What a file cannot hold is not allocated: a header may claim 10^12 rows, and a megabyte
may unpack to a thousand.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from lfkit.errors import DataError

_CHUNK_BYTES = 1 << 20
# Zeros pack a thousandfold, and a few gigabytes of them are a bomb; votes pack tenfold.
_UNPACKED_BYTES, _UNPACKED_TIMES = 1 << 30, 100


def read_npy(path: Path) -> NDArray[Any]:
    """Read the array of an .npy."""
    with path.open("rb") as file:
        return _read(file, path.stat().st_size, path.name)


def read_npz(
    path: Path, wanted: Iterable[str] | None = None
) -> dict[str, NDArray[Any]]:
    """Read arrays of an .npz by name.

    Parameters
    ----------
    wanted : names; those the file lacks are left out. None: all.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = npz_members(archive)
            names = (
                [*members] if wanted is None else [w for w in wanted if w in members]
            )
            check_unpacked(path, sum(members[name].file_size for name in names))
            return {name: read_member(archive, members[name], name) for name in names}
    except (DataError, OSError):
        raise
    except Exception as error:  # the unpackers raise whatever they meet
        raise DataError(
            f"it cannot be read ({said(error)}): damaged, locked, or no .npz."
        ) from error


def npz_names(path: Path) -> list[str]:
    """List the names of an .npz's arrays."""
    with zipfile.ZipFile(path) as archive:
        return [*npz_members(archive)]


def npz_members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """List an archive's arrays by name."""
    return {info.filename.removesuffix(".npy"): info for info in archive.infolist()}


def check_unpacked(path: Path, n_bytes: int) -> None:
    """Refuse what would unpack beyond measure."""
    size = path.stat().st_size
    if n_bytes > max(_UNPACKED_BYTES, _UNPACKED_TIMES * size):
        raise DataError(
            f"the {size:,} bytes of {path} would unpack to {n_bytes:,}, more than any "
            "votes or images that lfkit knows; store it without compression."
        )


def read_header(
    stream: IO[bytes], name: str
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read an array's shape, whether it is in Fortran's order, and its type."""
    try:
        version = npy_format.read_magic(stream)
        read = (
            npy_format.read_array_header_1_0
            if version == (1, 0)
            else npy_format.read_array_header_2_0
        )
        shape, fortran_order, dtype = read(stream)
    except OSError:
        raise
    except Exception as error:  # NumPy's parser of headers raises whatever it meets
        raise DataError(
            f"{name} cannot be read: it is not a NumPy array ({said(error)})."
        ) from error
    if dtype.hasobject:
        raise DataError(
            f"{name} holds Python objects, which lfkit never unpickles; save an array "
            "of numbers or text."
        )
    if any(side < 0 for side in shape) or (dtype.itemsize == 0 and 0 not in shape):
        raise DataError(f"{name} has an impossible header: {dtype} of shape {shape}.")
    return shape, fortran_order, dtype


def said(error: Exception) -> str:
    """Say what an unpacker raised; some errors have no text."""
    return str(error) or type(error).__name__


def read_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str
) -> NDArray[Any]:
    """Read one array of an archive."""
    with archive.open(info) as stream:
        return _read(stream, info.file_size, name)


def _read(stream: IO[bytes], n_held: int, name: str) -> NDArray[Any]:
    """Read one array, a megabyte at a time: at most what its file holds."""
    shape, fortran_order, dtype = read_header(stream, name)
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes > n_held:
        raise DataError(
            f"{name} cannot be read: its header says {n_bytes:,} bytes, it holds "
            f"{n_held:,}; it is cut short or damaged, fetch it again."
        )
    data = bytearray()
    while len(data) < n_bytes:
        piece = stream.read(min(_CHUNK_BYTES, n_bytes - len(data)))
        if not piece:
            raise DataError(
                f"{name} cannot be read: it ends after {len(data):,} of {n_bytes:,} "
                "bytes; it is cut short, fetch it again."
            )
        data += piece
    stream.read(1)  # a zip member is checked when its end is reached
    flat = np.frombuffer(data, dtype, count=math.prod(shape))
    return flat.reshape(shape, order="F" if fortran_order else "C")
