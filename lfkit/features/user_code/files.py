"""Files that user code reads: which count, and what is in them."""

from __future__ import annotations

import functools
import hashlib
import os
import site
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lfkit.errors import DeclarationError

# Of one function: one that opens a file per image has no list of files to declare.
MOST_READS = 64
# Every start looks at all files again, and weights are read in seconds a gigabyte.
_LARGEST_HASHED = 2**26
MISSING = "missing"
WRITTEN = "written"
# Python's own files, libraries and the system's: not what a user edits.
_ELSEWHERE = tuple(
    os.path.join(str(folder), "")
    for folder in {
        *("/proc", "/dev", "/sys", "/etc", "/usr/lib", "/usr/share/zoneinfo"),
        *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
        str(Path(__file__).resolve().parents[2]),
    }
)


def declared_files(
    what: str, fn: Any, depends_on: Sequence[str | Path]
) -> tuple[Path, ...]:
    """Find the files that a function declares, relative to its own file.

    Parameters
    ----------
    what : how to name the function.
    """
    if isinstance(depends_on, (str, os.PathLike)):
        raise DeclarationError(
            f"depends_on of {what} takes a list of files, got {depends_on!r} alone; "
            "write depends_on=[...]."
        )
    found = []
    for path in depends_on:
        if not isinstance(path, (str, os.PathLike)):
            raise DeclarationError(
                f"depends_on of {what} holds {path!r}; give paths of files or folders."
            )
        found.append(Path(os.path.abspath(folder_of(fn) / Path(path).expanduser())))
        if not found[-1].exists():
            raise DeclarationError(
                f"{what} depends on {path}, but there is no {found[-1]}; a path in "
                "depends_on is relative to the function's file."
            )
    return tuple(found)


def contents_of(what: str, paths: Sequence[Path]) -> tuple[tuple[str, str], ...]:
    """Hash declared files, and all files in declared folders, by relative name."""
    found = []
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.is_file() and not _is_cache(p))
        for file in files if path.is_dir() else [path]:
            digest = digest_of(str(file))
            if digest == MISSING:
                raise DeclarationError(f"{what} depends on {file}, which is not there.")
            found.append((os.path.relpath(file, path.parent), digest))
    return tuple(found)


def named_files(texts: Iterable[str], folder: Path) -> dict[str, str]:
    """Give path → digest of the files that texts name, in a folder or the current.

    A library in C opens files without a word to Python; their names are all we see.
    """
    found = {}
    for text in sorted(set(texts)):
        if not 2 < len(text) < 1000 or "\0" in text or "\n" in text:
            continue
        for path in {os.path.abspath(text), os.path.abspath(folder / text)}:
            if os.path.isfile(path) and not is_code(path):
                found[path] = digest_of(path)
    return found


def _is_cache(path: Path) -> bool:
    return "__pycache__" in path.parts


def folder_of(fn: Any) -> Path:
    """Give the folder of the file that a function is written in; else the current."""
    while hasattr(fn, "__wrapped__") or hasattr(fn, "func"):
        fn = getattr(fn, "__wrapped__", None) or fn.func
    code = getattr(fn, "__code__", None)
    path = Path(code.co_filename) if code is not None else Path()
    return path.resolve().parent if path.is_file() else Path.cwd()


def digest_of(path: str) -> str:
    """Hash a file's content, a large one's size and time; MISSING if there is none."""
    try:
        seen = os.stat(path)
        if seen.st_size > _LARGEST_HASHED:
            return f"{seen.st_size} bytes of {seen.st_mtime_ns}"
        return _digest_of_file(path, seen.st_size, seen.st_mtime_ns, seen.st_ino)
    except OSError:
        return MISSING


@functools.lru_cache(4096)
def _digest_of_file(path: str, size: int, changed_ns: int, inode: int) -> str:
    with open(path, "rb") as handle:
        state = hashlib.blake2b(digest_size=16)
        while part := handle.read(2**20):
            state.update(part)
    return state.hexdigest()


def is_code(path: str) -> bool:
    """Whether Python, a library or the system reads a file for itself."""
    if path.endswith((".py", ".pyc", ".so")) or path.startswith(_ELSEWHERE):
        return True
    # Of a package that is installed in place: who looks for plugins reads it.
    return os.path.dirname(path).endswith((".egg-info", ".dist-info"))
