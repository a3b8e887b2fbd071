"""Arrays that the page's process and the voting process pass to each other."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.files import write_atomically


def save_arrays(place: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write named arrays to a file, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_atomically(place, buffer.getvalue())


def load_arrays(place: Path) -> dict[str, NDArray[Any]]:
    """Read what `save_arrays` wrote; nothing where it cannot be read."""
    try:
        with np.load(place, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        return {}
