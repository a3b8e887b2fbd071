"""STL-10, binary version: a folder with train_X.bin and its companions."""

from __future__ import annotations

from pathlib import Path

from lfkit.data.datasets.array_source import Arrays
from lfkit.data.datasets.disk_cache import damage_named, map_bytes
from lfkit.errors import DataError

_SPLITS = ("train", "test", "unlabeled")
_IMAGE_BYTES = 3 * 96 * 96


def is_stl10(path: Path) -> bool:
    """Recognise a folder with one of STL-10's image files."""
    return any((path / f"{split}_X.bin").is_file() for split in _SPLITS)


def open_stl10(path: Path, split: str | None) -> Arrays:
    """Open a split, train where none is asked for; unlabeled has no labels."""
    if split is not None and split not in _SPLITS:
        raise DataError(
            f"{path} has no split {split!r}; STL-10 has {', '.join(_SPLITS)}."
        )
    images_file = path / f"{split or 'train'}_X.bin"
    if not images_file.is_file():
        raise DataError(f"{images_file} is missing; fetch STL-10's binary version.")
    n_bytes = images_file.stat().st_size
    if n_bytes % _IMAGE_BYTES:
        raise DataError(
            f"{images_file} holds {n_bytes:,} bytes, no whole number of STL-10's "
            f"images of {_IMAGE_BYTES:,} bytes; fetch it again."
        )
    labels_file = path / f"{split or 'train'}_y.bin"
    names_file = path / "class_names.txt"
    with damage_named(path):
        raw = map_bytes(images_file, 0, n_bytes)
        labels = names = None
        if labels_file.is_file():
            raw_labels = map_bytes(labels_file, 0, labels_file.stat().st_size)
            labels = raw_labels.astype("int64") - 1  # stored as 1..10
        if names_file.is_file():
            names = tuple(names_file.read_text().split())
    # Stored as MATLAB does, column after column: (n, c, w, h).
    return Arrays(raw.reshape(-1, 3, 96, 96).transpose(0, 3, 2, 1), labels, names)
