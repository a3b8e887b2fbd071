"""MNIST's own file format (idx), plain or gzipped."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lfkit.data.datasets.array_source import Arrays, check_dtype
from lfkit.data.datasets.disk_cache import chunks, damage_named, map_bytes, spill
from lfkit.errors import DataError

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_SPLITS = {"train": ("train",), "test": ("t10k", "test")}


def is_idx(path: Path) -> bool:
    """Recognise an idx images file by its name, or a folder that holds one."""
    return bool(_images_files(path)) if path.is_dir() else _is_images_file(path)


def open_idx(path: Path, split: str | None) -> Arrays:
    """Open an images file with the labels file beside it, or a folder's split."""
    images_file = _choose(path, split) if path.is_dir() else path
    if not path.is_dir() and split is not None:
        raise DataError(f"{path} is one file; leave out ':{split}'.")
    images = read_idx(images_file)
    if images.ndim not in (3, 4):
        raise DataError(
            f"{images_file} holds an array of {images.ndim} dimensions, not images "
            "(n, h, w); give the file named …-images-idx3-ubyte."
        )
    labels_file = _labels_file(images_file)
    return Arrays(images, None if labels_file is None else read_idx(labels_file))


def read_idx(path: Path) -> NDArray[Any]:
    """Read an idx file of any shape; uint8 stays on disk, other types are refused."""
    packed = path.suffix == ".gz"
    with damage_named(path), gzip.open(path) if packed else path.open("rb") as file:
        shape, dtype = _read_header(file, path)
        n_bytes = math.prod(shape) * dtype.itemsize
        if dtype != np.uint8:
            count = min(math.prod(shape), 1 << 16)
            sample = file.read(count * dtype.itemsize)
            check_dtype(np.frombuffer(sample, dtype), str(path))
        if packed:
            return spill(chunks(file), n_bytes, str(path)).reshape(shape)
        return map_bytes(path, file.tell(), n_bytes).reshape(shape)


def _read_header(
    file: BinaryIO | gzip.GzipFile, path: Path
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES:
        raise DataError(
            f"{path} does not begin like an idx file (two zero bytes, a type, a number "
            "of dimensions); check that it is one, or fetch it again."
        )
    n_dimensions = magic[3]
    sides = file.read(4 * n_dimensions)
    if len(sides) < 4 * n_dimensions:
        raise DataError(f"{path} ends inside its header; fetch it again.")
    shape = tuple(int(side) for side in np.frombuffer(sides, ">u4"))
    return shape, np.dtype(_DTYPES[magic[2]])


def _is_images_file(path: Path) -> bool:
    stem = path.name.removesuffix(".gz")
    return "images" in stem and stem.endswith("idx3-ubyte")


def _images_files(folder: Path) -> list[Path]:
    found = sorted(
        file for file in folder.glob("*idx3-ubyte*") if _is_images_file(file)
    )
    # The same file plain and gzipped is one data set: the plain one needs no unpacking.
    return [f for f in found if not (f.suffix == ".gz" and f.with_suffix("") in found)]


def _choose(folder: Path, split: str | None) -> Path:
    """Pick the images file of a split; train where none is asked for."""
    if split is not None and split not in _SPLITS:
        raise DataError(
            f"{folder} has no split {split!r}; give {' or '.join(_SPLITS)}."
        )
    found = _images_files(folder)
    words = _SPLITS[split or "train"]
    matching = [file for file in found if any(word in file.name for word in words)]
    if split is None and len(found) == 1:
        return found[0]
    if len(matching) != 1:
        names = ", ".join(file.name for file in found)
        raise DataError(
            f"{folder} holds {len(matching)} files of {split or 'train'} images among "
            f"{names}; give the one file you mean."
        )
    return matching[0]


def _labels_file(images_file: Path) -> Path | None:
    stem = images_file.name.removesuffix(".gz")
    name = stem.replace("images", "labels").replace("idx3", "idx1")
    for candidate in (name, f"{name}.gz"):
        if (file := images_file.with_name(candidate)).exists():
            return file
    return None
