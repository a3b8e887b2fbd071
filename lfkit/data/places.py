"""Files here or at a URL: read, written in one go, listed."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Any

from lfkit.data.files import write_atomically
from lfkit.errors import DataError, InputError, storage_error

# Size in bytes, -1 if there is no file; and when, or in which version, it was written.
Stamp = tuple[int, str]
_VERSIONS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated")


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


def find_stamped(pattern: str) -> dict[str, Stamp]:
    """Give the stamps of the files that a pattern names, sorted by place."""
    if not is_url(pattern):
        return {place: stamp_of(place) for place in find_places(pattern)}
    files, path = _files(pattern)
    return _stamped(files, files.glob(path, detail=True))


def list_folder(folder: str) -> dict[str, Stamp] | None:
    """Give the stamps of the files below a folder at a URL; None if it is no folder."""
    files, path = _files(folder)
    if not files.isdir(path):
        return None
    return _stamped(files, files.find(path, detail=True))


def stamp_of(place: str) -> Stamp:
    """Tell whether a file is still the same, without reading it."""
    if not is_url(place):
        try:
            found = os.stat(place)
        except OSError:
            return -1, ""
        return found.st_size, str(found.st_mtime_ns)
    files, path = _files(place)
    try:
        return _stamp(files.info(path))
    except FileNotFoundError:
        return -1, ""


def absolute(place: str) -> str:
    """Spell a path, pattern or URL in the one way that is the same everywhere."""
    if not is_url(place):
        return os.path.abspath(os.path.expanduser(place))
    if "::" in place:  # a file inside of another
        return place
    files, path = _files(place)
    return str(files.unstrip_protocol(path)).rstrip("/")


def fixed_part(pattern: str) -> str:
    """Give the folder that a pattern's first * ? or [ is below."""
    first = min(at for letter in "*?[" if (at := pattern.find(letter)) >= 0)
    return pattern[:first].rpartition("/")[0]


def _stamped(files: Any, found: dict[str, dict[str, Any]]) -> dict[str, Stamp]:
    return {
        files.unstrip_protocol(place): _stamp(about)
        for place, about in sorted(found.items())
        if about["type"] == "file"
    }


def _stamp(about: dict[str, Any]) -> Stamp:
    size = about.get("size")
    versions = [str(about[name]) for name in _VERSIONS if about.get(name) is not None]
    return -1 if size is None else int(size), versions[0] if versions else ""


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
