"""Which files an import would run, and whether they came with lfkit."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path

import lfkit

_SHIPPED = Path(lfkit.__file__).resolve().parent.parent / "lf_library"


def module_files(module: str, first: str | None = None) -> list[Path]:
    """List what an import would run: the packages around a module, and itself.

    Nothing is imported. Empty if that cannot be told without importing something.

    Parameters
    ----------
    first : a folder that is looked into before those of `sys.path`.
    """
    found: list[Path] = []
    folders: Sequence[str] | None = sys.path if first is None else [first, *sys.path]
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        try:
            spec = PathFinder.find_spec(".".join(parts[:count]), folders)
        except (OSError, ValueError):  # no name that a file can have
            return []
        if spec is None:
            return []
        if spec.origin is not None:  # None: a folder without __init__.py
            found.append(Path(spec.origin).resolve())
        folders = spec.submodule_search_locations
        if folders is None and count < len(parts):
            return []
    return found


def came_with_lfkit(files: Sequence[Path]) -> bool:
    """Whether all of some files did, and there are any."""
    return bool(files) and all(path.is_relative_to(_SHIPPED) for path in files)


def folder_to_add() -> str | None:
    """Give the current folder if functions are looked for there and Python does not."""
    here = str(Path.cwd())
    return None if "" in sys.path or here in sys.path else here
