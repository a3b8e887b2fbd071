"""Finds images by what other tools call them: their places elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import DataError

_UPLOAD = re.compile(r"^[0-9a-f]{8}-")  # before the name of a file sent to Label Studio


def find_images(names: Sequence[str], ids: Sequence[str]) -> list[int]:
    """Find the image that each name is of: its row, -1 where there is none.

    A name is an image's id; or a path that ends in one, the longest there is; or the
    end of one id's path alone; or what Label Studio makes of an uploaded file's name,
    `1f2e3d4c-a_cat.png`, where one image has it.

    >>> find_images(["/bucket/photos/cat/1.png", "2.png"], ["cat/1.png", "dog/2.png"])
    [0, 1]
    """
    row_of = {name: row for row, name in enumerate(ids)}
    ends: dict[str, int] = {}
    uploads: dict[str, int] = {}
    for name, row in row_of.items():
        parts = PurePosixPath(name).parts
        for start in range(len(parts)):
            _note(ends, "/".join(parts[start:]), row)
        _note(uploads, _as_uploaded(PurePosixPath(name).name), row)
    return [_find(name, row_of, ends, uploads) for name in names]


def find_each(
    names: Sequence[str], ids: Sequence[str], where: str
) -> NDArray[np.int64]:
    """Find images as `find_images` does, each by one name only.

    Parameters
    ----------
    names : that differ.
    where : what has these names, to begin an error with.
    """
    rows = np.asarray(find_images(names, ids), np.int64)
    known = rows[rows >= 0]
    if len(np.unique(known)) < len(known):
        row = int(np.bincount(known).argmax())
        one, other = (names[at] for at in np.flatnonzero(rows == row)[:2])
        raise DataError(
            f"{where} names image {ids[row]!r} in two ways, {one!r} and {other!r}; "
            "keep one."
        )
    return rows


def _note(held: dict[str, int], key: str, row: int) -> None:
    """Remember whose key it is; -1 where several have it."""
    held[key] = row if held.get(key, row) == row else -1


def _find(
    name: str, row_of: dict[str, int], ends: dict[str, int], uploads: dict[str, int]
) -> int:
    if name in row_of:
        return row_of[name]
    parts = PurePosixPath(name.replace("\\", "/")).parts
    for start in range(len(parts)):
        tail = "/".join(parts[start:])
        if tail in row_of:
            return row_of[tail]
    plain = "/".join(parts)
    if plain in ends:
        return ends[plain]
    file = parts[-1] if parts else ""
    if _UPLOAD.match(file):
        return uploads.get(_UPLOAD.sub("", file), -1)
    return -1


def _as_uploaded(file: str) -> str:
    """Write a file's name as Django does: no spaces, nothing that is no letter."""
    return re.sub(r"[^-\w.]", "", file.strip().replace(" ", "_"))
