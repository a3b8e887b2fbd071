"""RUN/scores.json: what was scored, kept with what it was scored on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from lfkit.runs.reading import read_object, read_sealed, reading, sealed
from lfkit.runs.store import write_atomically

FORMAT = 2
_REMEDY = "delete it and run `lfkit evaluate` again"


def load_scores(run: Path) -> dict[str, Any]:
    """Read scores.json; {} without one, or if another lfkit wrote it."""
    path = run / "scores.json"
    if not path.exists():
        return {}
    if read_object(path, _REMEDY).get("format") != FORMAT:
        return {}
    found = read_sealed(path, _REMEDY)
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
    write_atomically(path, sealed(known | parts | {"format": FORMAT}))
    return path


def _labels_key(run: Path) -> str:
    """Hash the labels that scores are about."""
    path = run / "labels.parquet"
    with reading(path, "run `lfkit apply` again: what is already computed is kept"):
        data = path.read_bytes()
    return hashlib.blake2b(data, digest_size=16).hexdigest()
