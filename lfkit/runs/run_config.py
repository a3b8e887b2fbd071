"""run.json: what a run was asked for, its classes, seeds and functions."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from lfkit.errors import RunError
from lfkit.runs.apply_options import ApplyOptions
from lfkit.runs.json_text import to_json
from lfkit.runs.reading import as_record, read_object, reading
from lfkit.runs.store import write_atomically

FORMAT = 3


AGAIN = "run `lfkit apply` again: what is already computed is kept"


_Count = Annotated[int, Field(ge=0)]


_Side = Annotated[int, Field(ge=1)]


class LFRecord(BaseModel):
    """A labeling function of a run: where its votes lie, what it may vote.

    Attributes
    ----------
    block : of its votes, if it reads metadata; None: the blocks of distinct images.
    """

    name: str
    kind: str
    doc: str
    classes: tuple[int, ...] | None
    soft: bool
    key: str
    out_of_fold_key: str | None
    block: str | None = None


class RunConfig(BaseModel):
    """The content of run.json: what was asked for, and what it was asked about.

    Attributes
    ----------
    options : of `lfkit apply`, whole.
    features : feature name → key, for the features that the functions read.
    seed_images, seed_labels : image ids whose class was given, and their classes.
    images : hash of the images.parquet that was written with it; `save_config` adds it.
    """

    format: int = FORMAT
    options: ApplyOptions
    shape: tuple[_Side, _Side, _Side]
    decoding: str
    n_images: _Count
    class_names: tuple[str, ...]
    seed_images: tuple[str, ...]
    seed_labels: tuple[int, ...]
    seed_block: str | None
    lfs: tuple[LFRecord, ...]
    features: dict[str, str]
    versions: dict[str, str]
    images: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        k = len(self.class_names)
        named = [*self.seed_labels]
        for lf in self.lfs:
            named += lf.classes or ()
        if len(set(self.class_names)) != k or not k:
            raise ValueError(f"the class names {self.class_names} are no {k} names")
        if named and not 0 <= min(named) <= max(named) < k:
            raise ValueError(f"a class is not among 0 to {k - 1}")
        if len(self.seed_labels) != len(self.seed_images):
            raise ValueError(
                f"{len(self.seed_images)} seeds have {len(self.seed_labels)} labels"
            )
        if len({lf.name for lf in self.lfs}) != len(self.lfs):
            raise ValueError("two functions have one name")
        return self


def versions() -> dict[str, str]:
    """Name the versions that decide a run's numbers."""
    import importlib.metadata

    found = {"python": platform.python_version()}
    for name in ("lfkit", "torch", "numpy", "scikit-learn", "pillow"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # run from a checkout
            found[name] = "unknown"
    return found


def save_config(folder: Path, config: RunConfig) -> None:
    """Write run.json; images.parquet must be there already."""
    config = config.model_copy(update={"images": hash_of_images(folder)})
    content = to_json(config.model_dump(mode="json"), indent=1)
    write_atomically(folder / "run.json", content.encode())


def load_config(folder: Path) -> RunConfig:
    """Read run.json."""
    path = folder / "run.json"
    if not path.exists():
        raise RunError(
            f"{folder} is not a finished run: it has no run.json. Make one with "
            f"`lfkit apply DATA --lfs SPEC --out {folder}`."
        )
    found = read_object(path, AGAIN)
    if found.get("format", FORMAT) != FORMAT:
        raise RunError(
            f"{path} has format {found['format']}, this lfkit reads {FORMAT}; "
            "run `lfkit apply` again, or use the lfkit that wrote it."
        )
    return as_record(RunConfig, found, path, AGAIN)


def hash_of_images(folder: Path) -> str | None:
    """Hash the file images.parquet; None without one."""
    path = folder / "images.parquet"
    return hash_of_file(path) if path.exists() else None


def hash_of_file(path: Path) -> str:
    """Hash what a file of a run holds."""
    with reading(path, AGAIN), path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return digest.hexdigest()
