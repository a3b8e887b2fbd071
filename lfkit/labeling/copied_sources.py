"""Copies of the source files that a run took its functions from."""

from __future__ import annotations

import ast
import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lfkit.features.user_code.files import digest_of, is_code
from lfkit.labeling.frozen_functions import all_features
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.labeling.loading import split_spec
from lfkit.runs.modules import imported_files

_LARGEST = 2**28  # bytes of a file that is copied


@dataclass
class CopiedSources:
    """Files to be put beside a labeler, and specs that name them there.

    Attributes
    ----------
    specs : those of the run, with the copies in the place of files.
    files : path below the labeler's folder → content.
    notes : what was not copied.
    outside : path → digest of the files that were not copied.
    """

    specs: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    outside: dict[str, str] = field(default_factory=dict)


def copy_sources(
    specs: Sequence[str], lfs: Sequence[LabelingFunction], folder: str
) -> CopiedSources:
    """Read the files that functions come from, those they import and those they read.

    Modules stay what they are, names: whoever labels must have them installed.

    Parameters
    ----------
    specs : of the functions, which have been loaded.
    folder : name of the copies' folder, below the labeler's.
    """
    found = CopiedSources()
    places: dict[Path, str] = {}
    for spec in specs:
        where, name = split_spec(spec)
        if not where.endswith(".py"):
            found.specs.append(spec)
            found.notes.append(
                f"the module {where} is not in this folder; whoever labels needs it "
                "installed"
            )
            continue
        path = Path(os.path.expanduser(where)).resolve()
        # Files of two folders may have one name, and helpers too.
        number = len(places)
        place = places.setdefault(
            path.parent, folder if not number else f"{folder}/{number}"
        )
        _copy(found, path, path.parent, place)
        for file in imported_files(path):
            if file.is_relative_to(path.parent):
                _copy(found, file, path.parent, place)
            else:
                found.notes.append(
                    f"{path.name} imports {file}, which is not beside it and is not "
                    "copied: it must be importable where images are labeled"
                )
                found.outside[str(file)] = digest_of(str(file))
        copied = f"{place}/{path.name}"
        found.specs.append(copied if name is None else f"{copied}:{name}")
    spelled = _absolute_paths(found.files)
    for what, _, file in declared(lfs):
        near = next((home for home in places if file.is_relative_to(home)), None)
        if near is not None and os.path.getsize(file) <= _LARGEST:
            _copy(found, file, near, places[near])
            if any(file.is_relative_to(path) for path in spelled):
                found.notes.append(
                    f"{what} names {file} by its whole path, so it reads that and not "
                    "the copy; name it relative to the function's file"
                )
                found.outside[str(file)] = digest_of(str(file))
        elif not is_code(str(file)):
            found.notes.append(
                f"{what} reads {file}, which is not copied: it must be there where "
                "images are labeled"
            )
            found.outside[str(file)] = digest_of(str(file))
    return found


def declared(
    lfs: Sequence[LabelingFunction],
) -> Iterator[tuple[str, Callable[..., Any], Path]]:
    """Yield the files that functions and features declare: who, its code, and which."""
    named = [(f"labeling function {lf.name!r}", lf.fn, lf.depends_on) for lf in lfs]
    named += [(f"feature {n.name!r}", n.fn, n.depends_on) for n in all_features(lfs)]
    for what, fn, paths in named:
        for path in paths:
            inside = sorted(p for p in path.rglob("*") if p.is_file())
            for file in inside if path.is_dir() else [path]:
                if "__pycache__" not in file.parts:
                    yield what, fn, file.resolve()


def _absolute_paths(files: Mapping[str, bytes]) -> set[Path]:
    """List the absolute paths that are spelled out in copied sources."""
    found = set()
    for name, content in files.items():
        if not name.endswith(".py"):
            continue
        for node in ast.walk(ast.parse(content)):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and len(text) > 1 and text[0] in "/~":
                with contextlib.suppress(OSError, ValueError, RuntimeError):
                    found.add(Path(text).expanduser().resolve())
    return found


def _copy(found: CopiedSources, file: Path, home: Path, place: str) -> None:
    relative = file.relative_to(home).as_posix()
    found.files[f"{place}/{relative}"] = file.read_bytes()
