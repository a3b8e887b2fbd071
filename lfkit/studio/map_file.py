"""The places of all images on the map, kept with the run."""

from __future__ import annotations

import hashlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from lfkit.data.files import written_whole
from lfkit.data.image_source import ImageSource

_NAME = "map.npz"


def save_map(folder: Path, images: ImageSource, places: NDArray[np.float32]) -> None:
    """Keep the places, (n, 2), with what tells which images they are of."""
    with written_whole(folder / _NAME) as partial:
        np.savez(partial, places=places, of=_content_of(images))


def load_map(folder: Path, images: ImageSource) -> NDArray[np.float32] | None:
    """Read the places, (n, 2) in [0, 1]; None if there are none of these images."""
    try:
        with np.load(folder / _NAME, allow_pickle=False) as stored:
            places, of = stored["places"], stored["of"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    is_same = np.array_equal(of, _content_of(images))
    return np.asarray(places, np.float32) if is_same else None


def _content_of(images: ImageSource) -> NDArray[np.uint8]:
    """Hash all images, in their order: (16,)."""
    keys = np.ascontiguousarray(images.keys)
    return np.frombuffer(hashlib.blake2b(keys.data, digest_size=16).digest(), np.uint8)
