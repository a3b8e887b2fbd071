"""Open Clip Art: colored drawings of animals, food, people and transportation.

Of the 22 categories of Debian's package openclipart-png the four that say what is to be
seen; the others name a purpose ("office") or a style ("logos").
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from lfkit.data.datasets.folder import open_folder
from lfkit.data.datasets.image_files import Files
from lfkit.data.datasets.named_folders import named_folders
from lfkit.errors import DataError

CLASS_NAMES = ("animals", "food", "people", "transportation")
# The drawings come in hundreds of sizes; at this one animals are still recognised.
SIZE = (64, 64)
COLOR = "rgb"
DEBIAN_FOLDER = Path("/usr/share/openclipart/png")


def open_openclipart(split: str | None) -> Files:
    """List the drawings of the four categories in the first folder that has them."""
    if split is not None:
        raise DataError(f"openclipart has no split {split!r}; it has none at all.")
    folder = find_openclipart()
    names: list[bytes] = []
    labels: list[int] = []
    for label, category in enumerate(CLASS_NAMES):
        found = open_folder(folder / category, None).names.to_pylist()
        names += [os.fsencode(category) + b"/" + name for name in found]
        labels += [label] * len(found)
    return Files(
        str(folder),
        pa.array(names, pa.binary()),
        np.array(labels, np.int64),
        CLASS_NAMES,
    )


def find_openclipart() -> Path:
    """Give the first folder with all drawings; DataError says where it may be."""
    folders = _folders()
    for folder in folders:
        if all((folder / category).is_dir() for category in CLASS_NAMES):
            return folder
    raise DataError(
        f"openclipart was not found in {', '.join(map(str, folders))}; install "
        "Debian's package openclipart-png, or set LFKIT_DATA to a folder with the "
        f"sub-folders {', '.join(CLASS_NAMES)}."
    )


def _folders() -> tuple[Path, ...]:
    return *named_folders("openclipart"), DEBIAN_FOLDER
