"""Files are written whole or not at all, and through no link; else it is told why."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from lfkit.errors import RunError, StorageError, storage_error

_LONGEST_NAME = 160  # bytes of a name that the name of its partial file repeats


@contextlib.contextmanager
def written_whole(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Write to the file this gives; it takes its name when nothing failed.

    When something did, nothing is left: no half file, and no folder made for it.

    Parameters
    ----------
    private : nobody but the user may read it.
    """
    partial = path.with_name(_partial_name(path))
    made: list[Path] = []
    try:
        made = make_folder(path.parent)
        _create(partial, 0o600 if private else 0o666)
        yield partial
        os.replace(partial, path)
    except BaseException as error:  # Ctrl-C too
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        remove_empty(made)
        if isinstance(error, OSError):
            of_another = error.filename not in (None, os.fspath(partial), partial)
            raise storage_error(error, None if of_another else path) from error
        raise


@contextlib.contextmanager
def folder_written_whole(folder: Path) -> Iterator[Path]:
    """Fill the folder this gives; its files take their place when nothing failed.

    When something did, nothing is left. What a killed process has left is removed.
    """
    place = Path(os.path.realpath(folder))
    short = os.fsencode(place.name)[:_LONGEST_NAME].decode(errors="ignore")
    partial = place.with_name(f".{short}.{os.getpid()}.partial")
    made = make_folder(folder)
    try:
        _remove_dead(place.parent, short)
        partial.mkdir()
        yield partial
        if any(place.iterdir()):
            _move_files(partial, place)
        else:
            place.rmdir()
            os.replace(partial, place)
    except BaseException as error:  # Ctrl-C too
        shutil.rmtree(partial, ignore_errors=True)
        remove_empty(made)
        cause = error.__cause__ if isinstance(error, StorageError) else error
        if isinstance(cause, OSError):
            named = os.fsdecode(cause.filename or partial)
            is_ours = named.startswith(os.fspath(partial))
            raise storage_error(cause, folder if is_ours else None) from cause
        raise


def _move_files(partial: Path, folder: Path) -> None:
    """Put files in the place of those of the same name."""
    refuse_links(folder)
    for path in partial.iterdir():
        place = folder / path.name
        if place.is_dir():
            shutil.rmtree(place)
        os.replace(path, place)
    partial.rmdir()


def _remove_dead(parent: Path, name: str) -> None:
    """Remove the partial folders of processes that no longer run."""
    for path in parent.glob("*.partial"):
        match = re.fullmatch(rf"\.{re.escape(name)}\.(\d+)\.partial", path.name)
        if match:
            try:
                os.kill(int(match[1]), 0)
            except ProcessLookupError:
                shutil.rmtree(path, ignore_errors=True)
            except OSError:
                continue  # it runs, for another user


def write_atomically(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a file so that a reader, or a kill, never sees half of it."""
    with written_whole(path, private=private) as partial:
        partial.write_bytes(data)


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, whole or not at all."""
    try:
        make_folder(path.parent)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        with open(os.open(path, flags, 0o666), "ab", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            data = f"{line}\n".encode()
            try:
                while data:
                    data = data[file.write(data) :]
            except OSError:
                os.ftruncate(file.fileno(), size)
                raise
    except OSError as error:
        raise storage_error(error, path) from error


def make_folder(folder: Path) -> list[Path]:
    """Make a folder and those above it; gives those that were not there."""
    made: list[Path] = []
    try:
        above = folder
        while not above.exists():
            made.append(above)
            above = above.parent
        for each in reversed(made):
            each.mkdir(exist_ok=True)
        if not folder.is_dir():
            folder.mkdir()  # says that it is a file
    except OSError as error:
        remove_empty(made)
        raise storage_error(error, folder) from error
    return made


def remove_empty(folders: list[Path]) -> None:
    """Remove folders, the deepest first, that hold nothing."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def refuse_links(folder: Path) -> None:
    """Refuse a folder with links to folders in it: who writes there writes elsewhere.

    Links to files are no danger, since a file that is written takes their place.
    """
    for root, folders, _ in os.walk(folder):
        for name in folders:
            path = os.path.join(root, name)
            if os.path.islink(path):
                raise RunError(
                    f"{path} is a link to {os.readlink(path)}, and lfkit writes to no "
                    f"place outside of {folder}; put a folder there. ({folder} itself "
                    "may be a link.)"
                )


def sweep(folder: Path, *, older_than_s: float = 0) -> None:
    """Delete the files that killed writers left half written.

    Parameters
    ----------
    older_than_s : seconds; younger ones may be those of other machines that write now.
    """
    for root, folders, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            if re.fullmatch(r"\..+\.\d+\.partial(\.\w+)?", name):
                with contextlib.suppress(OSError):
                    if time.time() - path.stat().st_mtime >= older_than_s:
                        path.unlink()
        for name in folders:
            if re.fullmatch(r"\..+\.\d+\.partial", name):
                shutil.rmtree(Path(root, name), ignore_errors=True)


def _partial_name(path: Path) -> str:
    """Name what is not yet whole; libraries look at the ending."""
    short = os.fsencode(path.name)[:_LONGEST_NAME].decode(errors="ignore")
    return f".{short}.{os.getpid()}.partial{path.suffix[:20]}"


def _create(path: Path, mode: int) -> None:
    """Make an empty file of our own: what lies there may be a link to elsewhere."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        os.close(os.open(path, flags, mode))
    except FileExistsError:
        path.unlink()
        os.close(os.open(path, flags, mode))
