"""Arrays that the page's process and the voting process pass to each other."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.files import write_atomically

# What reading a file raises that was cut off, as by a power cut, or is none of ours.
UNREADABLE = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError),
    *(NotImplementedError, zipfile.BadZipFile, zlib.error, struct.error),
)


def as_text(text: str) -> NDArray[np.uint8]:
    """Write text as an array, to be saved beside others."""
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)


def save_arrays(place: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write named arrays to a file, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_atomically(place, buffer.getvalue())


def load_arrays(place: Path) -> dict[str, NDArray[Any]]:
    """Read what `save_arrays` wrote; nothing where it cannot be read."""
    try:
        # Opened here, so that it is closed where numpy cannot read it.
        with open(place, "rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except UNREADABLE:
        return {}
