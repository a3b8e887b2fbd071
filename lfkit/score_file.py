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
    except ValueError:
        return {}
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return {}
    # What was scored before the labels were made anew is of other labels.
    key = _labels_key(run)
    if found.get("labels", {}).get("of") != key:
        found.pop("labels", None)
    sets = found.get("generated", {})
    found["generated"] = {n: s for n, s in sets.items() if s["labels"] == key}
    return found


def save_scores(run: Path, parts: dict[str, Any]) -> Path:
    """Write parts beside those that are there: "labels", "generated", "human".

    Scores of a set of generated images join those of the same images and labels that
    were there: another metric or extractor takes nothing away.

    Parameters
    ----------
    parts : of "generated", name → {"of": key of the images, "scores": […]}.
    """
    known, key = load_scores(run), _labels_key(run)
    if "labels" in parts:
        parts = parts | {"labels": parts["labels"] | {"of": key}}
    sets = dict(known.get("generated", {}))
    for name, found in parts.get("generated", {}).items():
        before = sets.get(name, {})
        merged = {}
        if before.get("of") == found["of"]:
            merged = {score["title"]: score for score in before["scores"]}
        merged |= {score["title"]: score for score in found["scores"]}
        sets[name] = {"of": found["of"], "labels": key, "scores": [*merged.values()]}
    parts = parts | {"generated": sets}
    path = run / "scores.json"
    text = to_json(known | parts | {"format": FORMAT}, indent=1)
    write_atomically(path, text.encode())
    return path


def _labels_key(run: Path) -> str:
    """Hash the labels that scores are about."""
    return hashlib.blake2b(
        (run / "labels.parquet").read_bytes(), digest_size=16
    ).hexdigest()
