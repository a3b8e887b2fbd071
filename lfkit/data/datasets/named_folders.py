"""Where data sets known by name are looked for: the folders in LFKIT_DATA."""

from __future__ import annotations

import os
from pathlib import Path


def named_folders(below: str) -> tuple[Path, ...]:
    """List where a data set may be: `below` and the folder itself, for each named.

    LFKIT_DATA names a folder, or several as PATH does, the first with precedence. None
    is listed where it is not set.
    """
    given = os.environ.get("LFKIT_DATA", "").split(os.pathsep)
    folders = [Path(folder).expanduser() for folder in given if folder]
    return tuple(place for folder in folders for place in (folder / below, folder))
