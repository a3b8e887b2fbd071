"""Files here or at a URL: read, written in one go, listed."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Any

from lfkit.data.files import write_atomically
from lfkit.errors import DataError, InputError, storage_error


def is_url(place: str) -> bool:
    """Tell a URL, such as s3://bucket/folder, from a path."""
    return "://" in place


def inside(folder: str, name: str) -> str:
    """Name a file in a folder."""
    return (
        f"{folder.rstrip('/')}/{name}" if is_url(folder) else os.path.join(folder, name)
    )


def read_place(place: str) -> bytes:
    """Read a file whole."""
    try:
        if not is_url(place):
            return Path(place).read_bytes()
        files, path = _files(place)
        return bytes(files.cat_file(path))
    except OSError as error:
        raise storage_error(error, place) from error


def write_place(place: str, data: bytes) -> None:
    """Write a file whole or not at all: by another name first, or in one request."""
    if not is_url(place):
        write_atomically(Path(place), data)
        return
    files, path = _files(place)
    try:
        files.makedirs(path.rpartition("/")[0], exist_ok=True)
        files.pipe_file(path, data)
    except OSError as error:
        raise storage_error(error, place) from error


def size_of(place: str) -> int | None:
    """Give a file's size in bytes; None if there is none."""
    if not is_url(place):
        return os.path.getsize(place) if os.path.isfile(place) else None
    files, path = _files(place)
    try:
        return int(files.size(path))
    except FileNotFoundError:
        return None


def find_places(pattern: str) -> list[str]:
    """List the files that a pattern names, sorted; `**` goes into folders."""
    if not is_url(pattern):
        found = glob.glob(os.path.expanduser(pattern), recursive=True)
        return sorted(place for place in found if os.path.isfile(place))
    files, path = _files(pattern)
    return sorted(files.unstrip_protocol(place) for place in files.glob(path))


def list_folder(folder: str) -> list[str] | None:
    """List the files below a folder at a URL, sorted; None if it is no folder."""
    files, path = _files(folder)
    if not files.isdir(path):
        return None
    return sorted(files.unstrip_protocol(place) for place in files.find(path))


def _files(url: str) -> tuple[Any, str]:
    """Give the file system of a URL, and the path in it."""
    try:
        import fsspec
    except ImportError as error:
        raise InputError(
            f'{url} is a URL; install what reads it: pip install "lfkit[scale]".'
        ) from error
    try:
        files, path = fsspec.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise DataError(f"{url} cannot be opened: {error}.") from error
    return files, path
