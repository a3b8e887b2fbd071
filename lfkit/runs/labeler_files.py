"""The folder of a frozen run: labeler.json, arrays, copies of sources, a card.

Every file is hashed in labeler.json, which has a checksum of its own. Nothing in the
folder is a pickle, and reading it runs no code.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from numpy.typing import NDArray
from pydantic import BaseModel, Field
from safetensors.numpy import load, save

from lfkit.data.files import folder_written_whole
from lfkit.errors import RunError
from lfkit.runs.reading import as_record, read_sealed, reading, sealed

FORMAT = 1
RECORD, ARRAYS, CARD = "labeler.json", "arrays.safetensors", "README.md"
SOURCES = "sources"

_AGAIN = "freeze the run again, or copy the folder anew"
_Side = Annotated[int, Field(ge=1)]


class FrozenFunction(BaseModel):
    """A labeling function of a labeler.

    Attributes
    ----------
    code_key : hash of its code, its files and what it has learned, by the libraries of
        then.
    """

    name: str
    kind: str
    doc: str
    classes: tuple[int, ...] | None
    soft: bool
    code_key: str


class LabelerRecord(BaseModel):
    """The content of labeler.json.

    Attributes
    ----------
    data, n_images, aggregator, chosen : of the run that was frozen.
    shape, color, white : how images are brought to what the functions know.
    specs : where the functions' code is: modules, or files in `sources/`.
    kinds : only functions of these kinds were taken from there.
    least_confidence : labels below are taken back; None: none are.
    learned, model, refinement : trees of what was learned; see `object_tree`.
    seeds : held-out votes on the seeds and their classes, to fit the model again.
    evidence : what is known of how right labels are, for the card.
    notes : what of the run is not in the labeler.
    files : name → hash of every other file.
    outside : path → digest of files that functions need and that were not copied.
    """

    format: int = FORMAT
    data: str
    n_images: int
    aggregator: str
    chosen: str
    class_balance: tuple[float, ...] | None
    seed: int
    shape: tuple[_Side, _Side, _Side]
    white: int
    lf_timeout: float | None
    class_names: tuple[str, ...]
    specs: tuple[str, ...]
    kinds: tuple[str, ...]
    functions: tuple[FrozenFunction, ...]
    least_confidence: float | None
    learned: Any
    model: Any
    refinement: Any = None
    seeds: Any = None
    evidence: dict[str, Any]
    notes: tuple[str, ...]
    versions: dict[str, str]
    files: dict[str, str] = {}
    outside: dict[str, str] = {}

    @property
    def sources(self) -> list[str]:
        """The specs that are files of the folder, relative to it."""
        return [spec for spec in self.specs if spec.startswith(f"{SOURCES}/")]


@dataclass(frozen=True, eq=False)
class LabelerFiles:
    """A labeler's folder, read and checked.

    Attributes
    ----------
    hash : of everything in it.
    """

    folder: Path
    record: LabelerRecord
    arrays: Mapping[str, NDArray[Any]]
    hash: str


def write_labeler(
    folder: Path,
    record: LabelerRecord,
    arrays: Mapping[str, NDArray[Any]],
    sources: Mapping[str, bytes],
    card: str,
) -> None:
    """Write a labeler's folder, whole or not at all.

    Parameters
    ----------
    sources : path below the folder → content.
    """
    check_new(folder)
    files = {ARRAYS: save(dict(arrays)), CARD: card.encode(), **sources}
    hashes = {name: _hash(data) for name, data in files.items()}
    record = record.model_copy(update={"files": hashes})
    with folder_written_whole(folder) as partial:
        for name, data in files.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(data)
        (partial / RECORD).write_bytes(sealed(record.model_dump(mode="json")))


def check_new(folder: Path) -> None:
    """Refuse a place that holds something."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise RunError(f"{folder} is there already; give --out another folder.")


def read_labeler(folder: Path) -> LabelerFiles:
    """Read a labeler's folder; refuse it if a file has changed. No code is run.

    A file that was added to `sources/` is refused, too: Python would import it.

    Raises
    ------
    RunError
        If the folder is no labeler, is of another format, or was changed.
    """
    path = folder / RECORD
    if not path.is_file():
        raise RunError(
            f"{folder} is not a labeler: it has no {RECORD}. Make one of a run with "
            "`lfkit freeze RUN --out LABELER`."
        )
    found = read_sealed(path, _AGAIN)
    if found.get("format") != FORMAT:
        raise RunError(
            f"{path} has format {found.get('format')}, this lfkit reads {FORMAT}; "
            "freeze the run again, or use the lfkit that wrote it."
        )
    record = as_record(LabelerRecord, found, path, _AGAIN)
    for name, known in record.files.items():
        _check_file(folder, name, known)
    _check_nothing_added(folder, record)
    with reading(folder / ARRAYS, _AGAIN):
        arrays = load((folder / ARRAYS).read_bytes())
    return LabelerFiles(folder, record, arrays, _hash(path.read_bytes()))


def drop_caches(files: LabelerFiles) -> None:
    """Remove what Python compiled of the sources: no hash of it is known.

    Raises
    ------
    RunError
        If that is not possible, as what is compiled would be run in place of a source.
    """
    for path in _added(files.folder, files.record):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise RunError(
                f"{path} cannot be removed ({error.strerror}), and Python would run it "
                "in place of the source; remove it, or copy the folder anew."
            ) from error


def _check_nothing_added(folder: Path, record: LabelerRecord) -> None:
    for path in _added(folder, record):
        is_cache = path.parent.name == "__pycache__" and ".pyc" in path.name
        if not is_cache or path.is_symlink():
            raise RunError(
                f"{path} is not a file of this labeler, and its code could import it; "
                "remove it, or copy the folder anew."
            )


def _added(folder: Path, record: LabelerRecord) -> Iterator[Path]:
    """Yield the files, and links to folders, below `sources/` that are not listed."""
    for place, folders, files in os.walk(folder / SOURCES):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        for name in (*files, *links):
            path = Path(place, name)
            if path.relative_to(folder).as_posix() not in record.files:
                yield path


def _check_file(folder: Path, name: str, known: str) -> None:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise RunError(f"{folder / RECORD} names {name!r}, a file outside; {_AGAIN}.")
    if not path.is_file():
        raise RunError(f"{folder} has lost its {name}; {_AGAIN}.")
    with reading(path, _AGAIN):
        data = path.read_bytes()
    if _hash(data) != known:
        raise RunError(f"{path} is not the file that was frozen; {_AGAIN}.")


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
