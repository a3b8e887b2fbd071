"""What work in a folder was begun with: the same goes on, other work is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lfkit.errors import RunError
from lfkit.runs.json_text import to_json
from lfkit.runs.reading import read_sealed, reading, sealed
from lfkit.runs.store import write_atomically

SETTINGS = "settings.json"


def check_same_settings(
    folder: Path, asked: Mapping[str, Any], anew: str
) -> dict[str, Any] | None:
    """Give what a folder's work was begun with; None if it has not begun.

    Parameters
    ----------
    asked : settings by name; `params` holds more of them; `material` names the data by
        its content.
    anew : how to begin anew, for the message.

    Raises
    ------
    RunError : it was begun with something else, or what is kept cannot be read.
    """
    path = folder / SETTINGS
    if not path.exists():
        return None
    known = read_sealed(path, f"give {anew}", or_unsealed=True)
    now = _flat(json.loads(to_json(asked)))
    with reading(path, f"give {anew}"):
        was = _flat(known)
        n_steps = known.get("n_steps", 1)
        if not isinstance(n_steps, int) or n_steps < 1:
            raise ValueError(f"n_steps is {n_steps!r}")
    if was.get("material") != now.pop("material"):
        raise RunError(
            f"the images, votes or labels of this run have changed since {folder} "
            f"began; give {anew}."
        )
    for name, value in now.items():
        if was.get(name) != value:
            raise RunError(
                f"{folder} began with {name} = {was.get(name)}, not {value}; give the "
                f"same settings to go on, or {anew}."
            )
    return known


def save_settings(folder: Path, asked: Mapping[str, Any]) -> None:
    """Keep what a folder's work begins with."""
    write_atomically(folder / SETTINGS, sealed(asked))


def _flat(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Name settings of the generator as all others."""
    return {**asked, **asked.get("params", {}), "params": None}
