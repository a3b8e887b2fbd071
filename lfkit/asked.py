"""What work in a folder was begun with: the same goes on, other work is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lfkit.errors import RunError
from lfkit.json_text import to_json
from lfkit.store import write_atomically

ASKED = "asked.json"


def begun_with(
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
    path = folder / ASKED
    if not path.exists():
        return None
    try:
        known = json.loads(path.read_text())
        was, now = _flat(known), _flat(json.loads(to_json(asked)))
    except (ValueError, TypeError) as error:
        raise RunError(f"{path} cannot be read ({error}); give {anew}.") from error
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
    return dict(known)


def begin_with(folder: Path, asked: Mapping[str, Any]) -> None:
    """Keep what a folder's work begins with."""
    write_atomically(folder / ASKED, to_json(asked, indent=1).encode())


def _flat(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Name settings of the generator as all others."""
    return {**asked, **asked.get("params", {}), "params": None}
