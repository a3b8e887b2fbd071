"""A folder of images; its sub-folders are the classes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from lfkit.data.class_names import number_names
from lfkit.datasets.files import Files
from lfkit.datasets.pixels import EXTENSIONS
from lfkit.errors import DataError

_RUN_FILES = {b"run.json", b"blocks.npz", b".lock"}
_SUFFIXES = tuple(f".{extension}".encode() for extension in EXTENSIONS)


def is_folder(path: Path) -> bool:
    """Recognise any folder; ask the formats that are folders of other things first."""
    return path.is_dir()


def open_folder(path: Path, split: str | None) -> Files:
    """List the images below a folder, sorted by path.

    Hidden files are left out, and sub-folders that are runs of lfkit.
    """
    if split is not None:
        raise DataError(f"{path} has no splits; give the folder {path / split}.")
    names = sorted(_scan(os.fsencode(path), b"", ()))
    if not names:
        raise DataError(
            f"{path} holds no image ({', '.join(EXTENSIONS)}); give another folder."
        )
    # The first part of the path is the class; images beside the classes have none.
    classes = [
        name.split(b"/", 1)[0].decode("utf-8", "backslashreplace")
        if b"/" in name
        else None
        for name in names
    ]
    labels, class_names, notes = number_names(classes, str(path))
    return Files(
        str(path), pa.array(names, pa.binary()), labels, class_names, notes=notes
    )


def _scan(
    folder: bytes, prefix: bytes, above: tuple[tuple[int, int], ...]
) -> Iterator[bytes]:
    """List image files below a folder, as paths relative to where the scan began.

    Parameters
    ----------
    above : device and inode of the folders that hold this one: links are followed, but
        not in circles.
    """
    status = os.stat(folder)
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(folder) as entries:
        listed = list(entries)
    if prefix and not _RUN_FILES.isdisjoint(entry.name for entry in listed):
        return  # a run inside the data has images too: its contact sheet
    for entry in listed:
        if entry.name.startswith(b"."):
            continue
        linked = entry.is_symlink()
        # os.path.isdir, as DirEntry.is_dir raises on links that form a circle.
        if os.path.isdir(entry.path) if linked else entry.is_dir():
            yield from _scan(entry.path, prefix + entry.name + b"/", (*above, here))
        # A link to nowhere is listed too, so that it is reported.
        elif entry.name.lower().endswith(_SUFFIXES) and (linked or entry.is_file()):
            yield prefix + entry.name
