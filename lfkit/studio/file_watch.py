"""Notices that files have changed, however an editor saves them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


class FileWatch:
    """Tells which of some files have another content than before.

    Editors write a file in place, or another one that they rename: the path is looked
    at, never an open file. A file that is gone for a moment has not changed yet.
    """

    def __init__(self) -> None:
        self._stamps: dict[Path, tuple[int, int, int] | None] = {}
        self._digests: dict[Path, bytes | None] = {}

    def follow(self, paths: Iterable[Path]) -> None:
        """Watch these files from now on, beside those watched before."""
        for path in paths:
            if path not in self._stamps:
                self._stamps[path] = _stamp(path)
                self._digests[path] = _digest(path)

    def changed(self) -> list[Path]:
        """List the files whose content differs from that of the last call."""
        found = []
        for path, before in self._stamps.items():
            now = _stamp(path)
            if now is None or now == before:
                continue
            digest = _digest(path)
            if digest is None:
                continue
            self._stamps[path] = now
            if digest != self._digests[path]:
                self._digests[path] = digest
                found.append(path)
        return found


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _digest(path: Path) -> bytes | None:
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    except OSError:
        return None
