"""The files that functions come from: watched, and read for what they name."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from lfkit.labeling.loading import split_spec

_MOST_NAMED = 8


def named_classes(specs: Sequence[str]) -> list[str]:
    """Give CLASSES of files that were read, though no function can run yet."""
    files = set(files_behind(specs))
    for module in [*sys.modules.values()]:
        names = getattr(module, "CLASSES", None)
        if getattr(module, "__file__", None) in files and isinstance(
            names, (list, tuple)
        ):
            texts = [name for name in names if isinstance(name, str)]
            if texts and len(set(texts)) == len(names):
                return texts
    return []


def files_behind(specs: Sequence[str], error: BaseException | None = None) -> list[str]:
    """List the files that functions came from, and the modules beside or below them.

    Parameters
    ----------
    error : what reading them ended with; the files that it came from are listed too,
        as a module that cannot be imported is not among the modules.
    """
    given: set[Path] = set()
    for spec in specs:
        where, _ = split_spec(spec)
        if where.endswith(".py"):
            given.add(Path(os.path.expanduser(where)).resolve())
        elif origin := _origin_of(where):
            given.add(Path(origin).resolve())
    folders = {str(path.parent) for path in given}
    origins = [getattr(module, "__file__", None) for module in [*sys.modules.values()]]
    origins += _files_of(error)
    near = {
        Path(origin).resolve()
        for origin in origins
        if isinstance(origin, str) and _is_near(origin, folders)
    }
    return sorted(str(path) for path in given | near)


def _origin_of(name: str) -> str | None:
    """Find the file of a module, also of one that cannot be imported."""
    module = sys.modules.get(name)
    if module is not None:
        return getattr(module, "__file__", None)
    try:
        spec = find_spec(name)
    except Exception:  # it imports what the module lies in, which may raise anything
        return None
    return None if spec is None else spec.origin


def _files_of(error: BaseException | None) -> list[str]:
    """List the files whose lines, or whose syntax, an error is about."""
    found = []
    while error is not None:
        if isinstance(error, SyntaxError) and error.filename:
            found.append(error.filename)
        found += [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        error = error.__cause__
    return [name for name in found if os.path.isfile(name)]


def _is_near(place: str, folders: set[str]) -> bool:
    """Tell whether a file lies beside or below one of the functions' files.

    Installed packages may lie below it too: they are not edited.
    """
    for folder in folders:
        if place.startswith(folder.rstrip(os.sep) + os.sep):
            between = place[len(folder) :].split(os.sep)[:-1]
            return not any(
                part.startswith(".") or part == "site-packages" for part in between
            )
    return False


def functions_outside(names_of: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Say which functions of a file do not count, as it has a list without them."""
    found = []
    for where, names in names_of.items():
        more = len(names) - _MOST_NAMED
        listed = ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" * (more > 0))
        many = "function" if len(names) == 1 else "functions"
        isnt = "is" if len(names) == 1 else "are"
        found.append(
            f"{len(names)} {many} in {os.path.basename(where)} {isnt} not in LFS: "
            f"{listed}."
        )
    return tuple(found)
