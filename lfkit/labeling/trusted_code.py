"""Which functions' files this user has run here: the code of other runs is strange.

A run folder names the files of its functions. Whoever sends one may name any file, so
none is imported that `lfkit apply` has not run for the same user, with the same
content; what it has run is kept outside of all run folders.
"""

from __future__ import annotations

import hashlib
import json
import os
import site
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

import lfkit
from lfkit.errors import LfkitError
from lfkit.labeling.loading import split_spec
from lfkit.labeling.module_files import came_with_lfkit, folder_to_add, module_files
from lfkit.runs.store import write_atomically


def remember_code(specs: Sequence[str]) -> str | None:
    """Keep that this user has run functions that were just loaded.

    Returns why that is not possible, or None.
    """
    for spec in specs:
        files = _files(spec)
        if not files or came_with_lfkit(files):
            continue
        record = _record(files[-1])
        if record is None:
            return "there is no home folder"
        held = {str(path): _digest(path) for path in {*files, *_beside(spec, files)}}
        try:
            write_atomically(record, json.dumps(held, indent=1).encode(), private=True)
        except (LfkitError, OSError) as error:
            return str(error)
    return None


def strange_code(specs: Sequence[str]) -> tuple[str, bool] | None:
    """Find code that this user has not run here; nothing of it is run.

    Returns
    -------
    the file or module, and whether it was run before, with another content; None if
    all is known.
    """
    for spec in specs:
        try:
            strange = _strange(spec)
        except (OSError, ValueError):  # no name that a file can have
            strange = spec, False
        if strange is not None:
            return strange
    return None


def is_shipped(spec: str) -> bool:
    """Whether a module came with lfkit; nothing is imported to tell."""
    where, _ = split_spec(spec)
    if where.endswith(".py"):
        return False
    try:
        files = _files(spec)
    except (OSError, ValueError):  # no name that a file can have
        return False
    return came_with_lfkit(files)


def _strange(spec: str) -> tuple[str, bool] | None:
    where, _ = split_spec(spec)
    if where.endswith(".py") and not _place(where).is_file():
        return None  # it cannot be loaded, and the loader says so
    files = _files(spec)
    if not files:
        return where or spec, False
    if came_with_lfkit(files):
        return None
    known = _known(files[-1])
    if not known or not {str(path) for path in files} <= known.keys():
        return where, False
    for path, digest in known.items():
        if not _has(Path(path), digest):
            return (where if path == str(files[-1]) else path), True
    return None


def _files(spec: str) -> list[Path]:
    """List what an import would run first: the packages around a module, and itself.

    Empty if that cannot be told without importing something.
    """
    where, _ = split_spec(spec)
    if where.endswith(".py"):
        return [_place(where)]
    return module_files(where, folder_to_add())  # as the loader has it


def _beside(spec: str, files: Sequence[Path]) -> set[Path]:
    """List the loaded modules that lie where the functions do."""
    where, _ = split_spec(spec)
    depth = 0 if where.endswith(".py") else where.count(".")
    folder = files[-1].parents[depth]
    loaded = [getattr(module, "__file__", None) for module in [*sys.modules.values()]]
    paths = _resolved({file for file in loaded if isinstance(file, str)})
    inside = os.path.join(folder, "")
    # Libraries may lie there, too, where functions are kept in the home folder.
    apart = (sys.prefix, site.getusersitepackages(), os.path.dirname(lfkit.__file__))
    installed = [Path(folder).resolve() for folder in apart]
    return {
        path
        for path in map(Path, (path for path in paths if path.startswith(inside)))
        if path.is_file() and not any(map(path.is_relative_to, installed))
    }


def _resolved(files: set[str]) -> set[str]:
    """Follow links, those of each folder once: thousands of modules may be loaded."""
    folders = {
        head: os.path.realpath(head) for head in set(map(os.path.dirname, files))
    }
    found = set()
    for file in files:
        head, name = os.path.split(file)
        path = os.path.join(folders[head], name)
        found.add(os.path.realpath(path) if os.path.islink(path) else path)
    return found


def _record(path: Path) -> Path | None:
    """Name the file that tells what was run of a file."""
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()
    state = os.environ.get("XDG_STATE_HOME", "")
    try:
        folder = Path(state) if os.path.isabs(state) else Path.home() / ".local/state"
    except RuntimeError:  # a user without a home
        return None
    return folder / "lfkit" / "functions" / f"{digest}.json"


def _known(path: Path) -> dict[str, str]:
    """Read what was run of a file: files and their hashes; {} if nothing is known."""
    record = _record(path)
    if record is None:
        return {}
    try:
        with open(record, "rb") as handle:
            status = os.fstat(handle.fileno())
            # Where others may write, others may say what is known.
            if status.st_uid != os.geteuid() or status.st_mode & (
                stat.S_IWGRP | stat.S_IWOTH
            ):
                return {}
            held = json.loads(handle.read())
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def _has(path: Path, digest: str) -> bool:
    try:
        return _digest(path) == digest
    except OSError:
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _place(where: str) -> Path:
    return Path(os.path.expanduser(where)).resolve()
