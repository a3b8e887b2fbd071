"""Files that functions open when called: their results are good while those stay.

What a function opened is stored beside its results, each file with a hash. Results
whose files changed since are forgotten, and computed again.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import RunError
from lfkit.features.feature import Feature, ancestors
from lfkit.features.user_code.files import (
    MISSING,
    MOST_READS,
    WRITTEN,
    digest_of,
    folder_of,
    named_files,
)
from lfkit.features.user_code.sealed_inputs import is_own
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.runs.code_names import texts_of
from lfkit.runs.store import Block, Kind, Store

_RECORD = "files-read"
_COLUMNS = ("names", "paths", "digests", "ways")
_OPENED, _NAMED = "reads", "names"
_TOO_MANY = "too many"  # stands where a digest would
_MOST_NAMED = 3
_MOST_READERS = 12

_Line = tuple[str, str, str, str]


class Reads:
    """Who opened which files: name of a function or feature → path → digest."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, str]] = defaultdict(dict)
        self._named: dict[str, set[str]] = defaultdict(set)
        self._declared: dict[str, list[str]] = {}
        self._too_many: set[str] = set()
        self._lock = threading.Lock()

    def declare(self, name: str, paths: Iterable[str | os.PathLike[str]]) -> None:
        """Note files and folders that are in a function's key and need no watch."""
        self._declared[name] = [os.fspath(path) for path in paths]

    def note_named(self, name: str, files: Mapping[str, str]) -> None:
        """Note files that a function names and nobody has seen it open."""
        unseen = files.keys() - self._of[name].keys()
        self._named[name] |= unseen
        self._note(name, files)

    def note(self, name: str, files: Mapping[str, str]) -> None:
        """Note files that a function opened; the first digest counts."""
        self._named[name] -= files.keys()
        self._note(name, files)

    def _note(self, name: str, files: Mapping[str, str]) -> None:
        """Note files, all but those that it declares.

        What it writes itself is no reason to call it again. Of a function that opens a
        file per image, only the first are followed.
        """
        declared = self._declared.get(name, [])
        with self._lock:
            known = self._of[name]
            n_written = sum(digest == WRITTEN for digest in known.values())
            n_read = len(known) - n_written
            for path, digest in files.items():
                if digest == WRITTEN:
                    if path in known or n_written < MOST_READS:
                        n_written += known.get(path) != WRITTEN
                        known[path] = WRITTEN
                elif digest == _TOO_MANY:
                    self._too_many.add(name)
                elif path in known or any(_is_within(path, f) for f in declared):
                    continue
                elif n_read < MOST_READS:
                    n_read += 1
                    known[path] = digest
                else:
                    self._too_many.add(name)

    def note_record(self, arrays: Mapping[str, NDArray[Any]] | None) -> None:
        """Note what was stored of earlier runs."""
        for name, path, digest, way in _lines(arrays):
            note = self.note_named if way == _NAMED else self.note
            note(name, {path: digest})

    def record(self, names: Collection[str]) -> dict[str, NDArray[Any]]:
        """Give as arrays what these functions opened; nothing if they did not."""
        with self._lock:
            lines = [
                (name, path, digest, self._way(name, path))
                for name in sorted(set(names))
                for path, digest in sorted(self._of.get(name, {}).items())
                if digest != WRITTEN or os.path.isfile(path)  # not one of a moment
            ]
            lines += [
                (name, "", _TOO_MANY, _OPENED)
                for name in sorted(self._too_many & {*names})
            ]
        if not lines:
            return {}
        return dict(zip(_COLUMNS, np.asarray(lines, np.str_).T, strict=True))

    def _way(self, name: str, path: str) -> str:
        return _NAMED if path in self._named[name] else _OPENED

    def undeclared(self, declared: Sequence[str]) -> dict[str, dict[str, list[str]]]:
        """Give name → "reads" or "names" → existing files, but for those in `declared`.

        Functions that open too many to be followed are left out.
        """
        found: dict[str, dict[str, list[str]]] = defaultdict(dict)
        with self._lock:
            for name, files in sorted(self._of.items()):
                if name in self._too_many:
                    continue
                for path, digest in sorted(files.items()):
                    if digest not in (MISSING, WRITTEN) and not any(
                        _is_within(path, folder) for folder in declared
                    ):
                        way = self._way(name, path)
                        found[name].setdefault(way, []).append(path)
        return found

    def too_many(self) -> list[str]:
        """List the functions that open too many files to be followed."""
        with self._lock:
            return sorted(self._too_many)


class WatchedStore:
    """A store that forgets results whose files have changed, and those to recompute.

    Parameters
    ----------
    store : where everything lies.
    reads : collects the files of what is kept.
    recompute : names of functions and features whose results are not to be used; None
        refuses to go on where a file has changed.
    """

    def __init__(
        self, store: Store, reads: Reads, recompute: Collection[str] | None = ()
    ) -> None:
        self._store, self._reads = store, reads
        self._refuses, self._recompute = recompute is None, frozenset(recompute or ())
        self.keeps_features = store.keeps_features
        self._checked: set[tuple[Kind, str]] = set()
        self._saved: dict[tuple[Kind, str], list[_Line]] = {}
        self._lock = threading.Lock()

    def load(self, kind: Kind, key: str, name: str) -> dict[str, NDArray[Any]] | None:
        """Give the arrays stored under this name, or None."""
        self._check(kind, key)
        return self._store.load(kind, key, name)

    def save(
        self, kind: Kind, key: str, name: str, arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        """Store named arrays."""
        self._check(kind, key)
        self._store.save(kind, key, name, arrays)

    def load_parts(self, kind: Kind, key: str, name: str) -> list[NDArray[Any]] | None:
        """Give one long array in parts, or None."""
        self._check(kind, key)
        return self._store.load_parts(kind, key, name)

    def save_parts(
        self, kind: Kind, key: str, name: str, parts: Iterable[NDArray[Any]]
    ) -> None:
        """Store one long array, part by part as they come."""
        self._check(kind, key)
        self._store.save_parts(kind, key, name, parts)

    def blank(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Give an array of zeros to be filled; a large one is where the store is."""
        return self._store.blank(shape, dtype)

    def save_reads(self, kind: Kind, key: str, names: Collection[str]) -> None:
        """Store which files these functions opened; call it before saving results."""
        arrays = self._reads.record(names)
        lines = _lines(arrays)
        with self._lock:
            if lines and lines != self._saved.get((kind, key)):
                self._store.save(kind, key, _RECORD, arrays)
                self._saved[kind, key] = lines

    def has(self, kind: Kind, key: str, name: str) -> bool:
        """Return whether `load` would find something."""
        self._check(kind, key)
        return self._store.has(kind, key, name)

    def names(self, kind: Kind, key: str) -> set[str]:
        """List the names for which `load` would find something."""
        self._check(kind, key)
        return self._store.names(kind, key)

    def layout(self, keys: NDArray[np.uint8], size: int) -> list[Block]:
        """Divide images into blocks of `size`, keeping the blocks of earlier runs."""
        return self._store.layout(keys, size)

    def forget(self, kind: Kind, key: str) -> None:
        """Lose all results under a key."""
        self._store.forget(kind, key)

    def begin(self, kind: Kind, key: str, names: Iterable[str]) -> None:
        """Forget, the first time, what is to be computed again.

        Parameters
        ----------
        names : of all functions and features that a result depends on.
        """
        if (kind, key) not in self._checked and not self._recompute.isdisjoint(names):
            self._checked.add((kind, key))
            self._store.forget(kind, key)

    def _check(self, kind: Kind, key: str) -> None:
        """Look once whether the files that a result depends on are as they were."""
        with self._lock:
            if (kind, key) in self._checked:
                return
            self._checked.add((kind, key))
            record = self._store.load(kind, key, _RECORD)
            changed = [
                (n, p)
                for n, p, digest, _ in _lines(record)
                if digest not in (WRITTEN, _TOO_MANY) and digest_of(p) != digest
            ]
            if changed and self._refuses:
                raise RunError(
                    f"{changed[0][1]}, which {changed[0][0]!r} reads, has changed "
                    "since the labels were made; run `lfkit apply` again: what does "
                    "not depend on it is kept."
                )
            if changed:
                self._store.forget(kind, key)
            else:
                self._reads.note_record(record)


def names_behind(lf: LabelingFunction) -> list[str]:
    """List a function and all features that it, or its thresholds, are built on."""
    read = [*lf.features, *(t.feature for t in lf.thresholds.values())]
    return [lf.name, *(node.name for node in ancestors(read))]


def note_named_files(reads: Reads, lfs: Sequence[LabelingFunction]) -> None:
    """Note the files that functions name: a library in C opens them unseen."""
    functions: list[Feature | LabelingFunction] = [*lfs]
    functions += ancestors(node for lf in lfs for node in lf.features)
    for function in functions:
        reads.declare(function.name, function.depends_on)
        if not is_own(function.fn):
            texts, folder = texts_of(function.fn), folder_of(function.fn)
            reads.note_named(function.name, named_files(texts, folder))


def remarks(reads: Reads, lfs: Sequence[LabelingFunction]) -> list[str]:
    """Name the functions that read files that they do not declare."""
    nodes = ancestors(node for lf in lfs for node in lf.features)
    declared = [str(path) for lf in lfs for path in lf.depends_on]
    declared += [str(path) for node in nodes for path in node.depends_on]
    found = [
        f"{name} "
        + " and ".join(
            f"{way} {_listed([_short(path) for path in ways[way]])}"
            for way in (_OPENED, _NAMED)
            if way in ways
        )
        for name, ways in reads.undeclared(declared).items()
    ]
    said = [
        f"{name} opens too many files when called to be followed (the first "
        f"{MOST_READS} are); declare them with depends_on=[…], or ask for --recompute "
        f"{name} when they change"
        for name in reads.too_many()
    ]
    if found:
        said.append(
            f"{_listed(found, _MOST_READERS)}; declare the files that a function reads "
            "when called with depends_on=[…], or a change may be missed"
        )
    return said


def _listed(texts: Sequence[str], most: int = _MOST_NAMED) -> str:
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")


def _lines(arrays: Mapping[str, NDArray[Any]] | None) -> list[_Line]:
    if not arrays:
        return []
    n = len(arrays["names"])
    # Earlier versions do not say in which way.
    columns = [arrays.get(name, np.full(n, _OPENED)).tolist() for name in _COLUMNS]
    return list(zip(*columns, strict=True))


def _short(path: str) -> str:
    """Name a file as seen from the working folder, if it lies there."""
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))
