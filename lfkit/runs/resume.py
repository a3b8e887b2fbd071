"""Resume a job only with the settings that it was started with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lfkit.errors import RunError
from lfkit.runs.json_text import to_json
from lfkit.runs.reading import read_sealed, reading, sealed
from lfkit.runs.store import write_atomically

SETTINGS = "settings.json"


def check_same_settings(
    folder: Path,
    settings: Mapping[str, Any],
    restart: str,
    newer: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any] | None:
    """Return the settings a folder's job was started with; None if it was not started.

    Parameters
    ----------
    settings : by name; `params` holds more of them; `material` names the data by its
        content.
    restart : how to start anew, for the message.
    newer : settings that jobs of earlier versions do not name, and what these did.

    Raises
    ------
    RunError : it was started with others, or the file cannot be read.
    """
    path = folder / SETTINGS
    if not path.exists():
        return None
    known = read_sealed(path, f"give {restart}", or_unsealed=True)
    now = _flat(json.loads(to_json(settings)))
    with reading(path, f"give {restart}"):
        was = {**newer, **_flat(known)}
        n_steps = known.get("n_steps", 1)
        if not isinstance(n_steps, int) or n_steps < 1:
            raise ValueError(f"n_steps is {n_steps!r}")
    if was.get("material") != now.pop("material"):
        raise RunError(
            f"the images, votes or labels of this run have changed since {folder} "
            f"began; give {restart}."
        )
    for name, value in now.items():
        if was.get(name) != value:
            raise RunError(
                f"{folder} began with {name} = {was.get(name)}, not {value}; give the "
                f"same settings to go on, or {restart}."
            )
    return known


def save_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Keep the settings a folder's job is started with."""
    write_atomically(folder / SETTINGS, sealed(settings))


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Put the generator's settings beside all others."""
    return {**settings, **settings.get("params", {}), "params": None}
