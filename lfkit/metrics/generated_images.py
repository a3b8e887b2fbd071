"""Generated images with their labels: a file, or what a generator left in a run."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import DataError, InputError
from lfkit.generators.saved_generator import source_of
from lfkit.generators.training.final_check import why_broken
from lfkit.metrics.image_set import ImageSet
from lfkit.runs.reading import read_log, read_sealed, reading

_SAMPLES, _LOG, _TRUST = "samples.npz", "log.jsonl", "trust.json"
_MOST_OFF = 0.02  # from 1, of a row that is rounded
_MOST_BYTES = 8e9  # unpacked


@dataclass(frozen=True, eq=False)
class Generated:
    """Images of one generator.

    Attributes
    ----------
    name : the generator's, or the file's.
    images : with their labels.
    log : one dict of numbers per line of its training's log; [] without one.
    confidence : (n,) how far each label is to be trusted, if the file says so.
    checkpoint : of its training, for the protocols of scores: "last", or "".
    trust : what it learned of the functions: names, theta (m,), phi (m, m); or None.
    broken : why its training is plainly broken, if it is.
    source : the run whose generator it was tuned from, or None.
    """

    name: str
    images: ImageSet
    log: list[dict[str, Any]] = field(default_factory=list)
    confidence: NDArray[np.float64] | None = None
    trust: dict[str, Any] | None = None
    checkpoint: str = ""
    broken: str | None = None
    source: str | None = None


def load_generated(path: Path, n_classes: int, name: str | None = None) -> Generated:
    """Read an .npz with `images`, (n, h, w, c) uint8, and `proba`, (n, k).

    In place of `proba` it may hold `labels`, (n,) classes, -1 = unknown.
    """
    with reading(path, "expected an .npz with `images` and `proba`", DataError):
        held = _unpacked(path)
    if "images" not in held or not {"proba", "labels"} & {*held}:
        raise DataError(
            f"{path} holds {', '.join(held) or 'nothing'}; expected `images`, (n, h, "
            "w, c) uint8, and `proba`, (n, k), or `labels`, (n,)."
        )
    kind = "proba" if "proba" in held else "labels"
    if held[kind].dtype.kind not in ("fiu" if kind == "proba" else "iu"):
        raise DataError(
            f"{path} has `{kind}` of type {held[kind].dtype}; expected "
            f"{'numbers' if kind == 'proba' else 'whole numbers, the classes'}."
        )
    if "proba" in held:
        proba = np.asarray(held["proba"], np.float64)
    else:
        labels = np.asarray(held["labels"], np.int64)
        if labels.max(initial=-1) >= n_classes or labels.min(initial=0) < -1:
            raise DataError(
                f"{path} has labels from {labels.min()} to {labels.max()}; the run has "
                f"the classes 0..{n_classes - 1}, and -1 is unknown."
            )
        proba = np.eye(n_classes + 1)[labels][:, :n_classes]
    name = name or path.stem
    with reading(path, "expected an .npz with `images` and `proba`", DataError):
        _check_images(held["images"], proba)
    images = ImageSet(held["images"], proba, name=name)
    if images.n_classes != n_classes:
        raise DataError(
            f"{path} has labels of {images.n_classes} classes; the run has {n_classes}."
        )
    total = proba.sum(axis=1)
    # Written so that NaN fails too.
    fine = (proba >= 0).all(axis=1) & ((np.abs(total - 1) < _MOST_OFF) | (total == 0))
    if not fine.all():
        row = int(fine.argmin())
        raise DataError(
            f"{path}: proba of row {row} is {proba[row].tolist()}; expected shares "
            "that sum to 1, or zeros for no label."
        )
    confidence = held.get("confidence")
    if confidence is not None and (
        confidence.shape != (len(images),) or confidence.dtype.kind not in "fiu"
    ):
        raise DataError(
            f"{path} has a `confidence` of shape {confidence.shape}; expected one "
            f"number for each of the {len(images)} images."
        )
    return Generated(name, images, confidence=confidence)


def all_sets(run: Path, n_classes: int, files: Sequence[Path]) -> list[Generated]:
    """Read what the generators of a run have left, and files; names must differ."""
    sets = generators_of(run, n_classes)
    sets += [load_generated(path, n_classes) for path in files]
    names = [found.name for found in sets]
    for name in names:
        if names.count(name) > 1 or name == "real":
            raise InputError(
                f"two sets of generated images cannot be called {name!r}; rename a "
                "file."
                if name != "real"
                else "generated images cannot be called 'real'; rename the file."
            )
    return sets


def generators_of(run: Path, n_classes: int) -> list[Generated]:
    """Read what the generators of a run have left: samples and logs, by name."""
    found = []
    for folder in sorted((run / "models").glob("*/")):
        if (folder / _SAMPLES).exists():
            known = load_generated(folder / _SAMPLES, n_classes, folder.name)
            log, trust = read_log(folder / _LOG), _trust(folder / _TRUST)
            found.append(
                replace(
                    known,
                    log=log,
                    trust=trust,
                    checkpoint="last",
                    broken=why_broken(folder),
                    source=source_of(folder),
                )
            )
    return found


def _unpacked(path: Path) -> dict[str, NDArray[Any]]:
    # Opened by hand: NumPy leaves a damaged archive open.
    with path.open("rb") as file:
        with zipfile.ZipFile(file) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _MOST_BYTES:
            raise ValueError(
                f"it has {size / 1e9:.0f} GB; {_MOST_BYTES / 1e9:.0f} GB are the most"
            )
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}


def _check_images(images: NDArray[Any], proba: NDArray[np.float64]) -> None:
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        raise ValueError(f"its images are {images.dtype} of shape {images.shape}")
    if proba.ndim != 2 or len(proba) != len(images):
        raise ValueError(
            f"it has {len(images)} images and labels of shape {proba.shape}"
        )


def _trust(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None  # a generator that knows no functions, or an older one
    remedy = "delete it: it is only for charts"
    found = read_sealed(path, remedy, or_unsealed=True)
    with reading(path, remedy):
        m = len(found["names"])
        theta, phi = np.asarray(found["theta"], float), np.asarray(found["phi"], float)
        if theta.shape != (m,) or phi.shape != (m, m):
            return None
        if not (np.isfinite(theta).all() and np.isfinite(phi).all()):
            raise ValueError("it holds numbers that are not finite")
    return found
