"""RUN/scores.json: what was scored, kept with what it was scored on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from lfkit.json_text import to_json
from lfkit.store import write_atomically

FORMAT = 1


def load_scores(run: Path) -> dict[str, Any]:
    """Read scores.json; {} without one, or if another lfkit wrote it."""
    path = run / "scores.json"
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
    except json.JSONDecodeError:
        return {}
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return {}
    if found.get("labels", {}).get("of") != _labels_key(run):
        found.pop("labels", None)  # the labels were made anew
    return found


def save_scores(run: Path, parts: dict[str, Any]) -> Path:
    """Write parts beside those that are there: "labels", "generated", "human"."""
    known = load_scores(run)
    if "labels" in parts:
        parts = parts | {"labels": parts["labels"] | {"of": _labels_key(run)}}
    if "generated" in parts:
        parts = parts | {"generated": known.get("generated", {}) | parts["generated"]}
    path = run / "scores.json"
    text = to_json(known | parts | {"format": FORMAT}, indent=1)
    write_atomically(path, text.encode())
    return path


def _labels_key(run: Path) -> str:
    """Hash the labels that scores are about."""
    return hashlib.blake2b(
        (run / "labels.parquet").read_bytes(), digest_size=16
    ).hexdigest()
