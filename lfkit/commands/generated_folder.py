"""The folder of `lfkit generate`: what was written there, and with what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lfkit.commands.generate_options import GenerateOptions
from lfkit.commands.trained_generator import TrainedGenerator
from lfkit.errors import RunError
from lfkit.generators.saved_generator import read_config
from lfkit.runs.json_text import to_json
from lfkit.runs.reading import read_object, reading
from lfkit.runs.run_config import versions

MANIFEST = "manifest.json"
_PRIVACY = (
    "Whether images are copies of those that were learned from was not tested here: "
    "lfkit evaluate RUN --against HELD_OUT --metrics memorisation,membership"
)
_NEW = "give --out a new folder"


@dataclass(frozen=True)
class GenerateResult:
    """What `lfkit generate` has written.

    Attributes
    ----------
    classes : class → images of it.
    broken : why the training is plainly broken, or None.
    """

    images: int
    generator: str
    out: str
    classes: dict[str, int]
    broken: str | None
    files: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give it JSON-ready."""
        return asdict(self)


def manifest_of(
    options: GenerateOptions, trained: TrainedGenerator, class_names: Sequence[str]
) -> dict[str, Any]:
    """Give what the images depend on."""
    path = trained.folder / "weights.safetensors"
    with reading(path, "train it anew: `lfkit train` with --restart"):
        weights = path.read_bytes()
    return {
        "made_by": "lfkit generate",
        "run": str(options.run),
        "generator": trained.name,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "config": read_config(trained.folder),
        "asked": options.that_change_images() | {"name": trained.name},
        "class_names": list(class_names),
        "privacy": _PRIVACY,
        "versions": versions(),
    }


def finished_before(out: Path, manifest: dict[str, Any]) -> GenerateResult | None:
    """Give the result that a folder holds; None if it is new, or files are missing.

    Raises
    ------
    RunError : it holds anything else.
    """
    path = out / MANIFEST
    if not path.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise RunError(
                f"{out} exists and holds something else; give --out a new folder."
            )
        return None
    known, now = read_object(path, _NEW), json.loads(to_json(manifest))
    for key, what in (
        ("asked", "other options"),
        ("weights_sha256", "another training"),
        ("versions", "other versions of libraries"),
    ):
        if known.get(key) != now[key]:
            raise RunError(
                f"{out} holds images made with {what}; {_NEW}, or delete this one."
            )
    with reading(path, _NEW):
        written = {"broken": None} | known["written"]
        files = [out / Path(file).name for file in written["files"]]
        written |= {"out": str(out), "files": tuple(map(str, files))}
        for file in files:
            n_left = len(list(file.iterdir())) if file.is_dir() else written["images"]
            if not file.exists() or n_left < written["images"]:
                return None  # deleted since: they are generated again
        return GenerateResult(**written)
