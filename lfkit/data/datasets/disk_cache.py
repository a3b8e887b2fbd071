"""Map an image file's bytes into memory; unpack compressed ones to disk first."""

from __future__ import annotations

import contextlib
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import DataError

CHUNK_BYTES = 1 << 20

_UNPACKING_ERRORS = (
    OSError,  # gzip.BadGzipFile among them
    EOFError,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
    # zipfile, of encrypted members and unknown compressions: NotImplementedError too
    RuntimeError,
    ValueError,  # of sizes and offsets that cannot be; DataError is one, and goes on
)


class Readable(Protocol):
    """Whatever gives its next bytes: a file, a gzip stream, a zip member."""

    def read(self, n_bytes: int, /) -> bytes:
        """Give at most `n_bytes` more bytes, none at the end."""
        ...


def chunks(stream: Readable) -> Iterator[bytes]:
    """Read a stream to its end, a megabyte at a time."""
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def spill(pieces: Iterable[bytes], n_bytes: int, source: str) -> NDArray[np.uint8]:
    """Write pieces to an unnamed temporary file and map it: (n_bytes,), read-only.

    The file lies where the environment variable TMPDIR says, and goes with the array.
    """
    written = 0
    with tempfile.TemporaryFile() as file:
        for piece in pieces:
            written += len(piece)
            if written > n_bytes:
                # Stop here: a header that says too little must not fill the disk.
                raise DataError(
                    f"{source} holds more than the {n_bytes:,} bytes of pixels that "
                    "its header says; it is damaged, fetch it again."
                )
            try:
                file.write(piece)
            except OSError as error:
                raise DataError(
                    f"there is no room in {tempfile.gettempdir()} to unpack {source} "
                    f"({n_bytes:,} bytes: {error.strerror}); set TMPDIR to a folder "
                    "with more room."
                ) from error
        if written < n_bytes:
            raise DataError(
                f"{source} ends after {written:,} of {n_bytes:,} bytes of pixels; "
                "it is cut short, fetch it again."
            )
        file.flush()
        if n_bytes == 0:  # an empty file cannot be mapped
            return np.zeros(0, dtype=np.uint8)
        return np.memmap(file, dtype=np.uint8, mode="r", shape=(n_bytes,))


def map_bytes(path: Path, offset: int, n_bytes: int) -> NDArray[np.uint8]:
    """Map a part of an uncompressed file: (n_bytes,) uint8, read-only."""
    held = path.stat().st_size - offset
    if held < n_bytes:
        raise DataError(
            f"{path} ends after {max(held, 0):,} of {n_bytes:,} bytes of pixels; "
            "it is cut short, fetch it again."
        )
    if n_bytes == 0:  # nothing cannot be mapped
        return np.zeros(0, dtype=np.uint8)
    return np.memmap(path, dtype=np.uint8, mode="r", offset=offset, shape=(n_bytes,))


@contextlib.contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what unpackers raise on a damaged or locked file into one sentence."""
    try:
        yield
    except DataError:
        raise
    except _UNPACKING_ERRORS as error:
        raise DataError(
            f"{path} cannot be read ({error}); if it is damaged, fetch it again."
        ) from error
