"""NumPy's own files: .npz with images and labels, .npy with images alone."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from lfkit.datasets.array import Arrays, check_dtype
from lfkit.datasets.spill import chunks, damage_named, map_bytes, spill
from lfkit.errors import DataError

_IMAGES = ("images", "x", "X", "x_train", "arr_0")
_LABELS = ("labels", "y", "y_train", "arr_1")
_MAX_LABEL_BYTES = 1 << 30  # labels pass through memory, images never


def is_npz(path: Path) -> bool:
    """Recognise .npz and .npy by their names."""
    return path.suffix.lower() in (".npz", ".npy")


def open_npz(path: Path, split: str | None) -> Arrays:
    """Map the images where they lie, or unpack them to disk if they are compressed."""
    if split is not None:
        raise DataError(f"{path} has no splits; leave out ':{split}'.")
    with damage_named(path):
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                return Arrays(_read_images(file, path, path.name, mapped=True))
        with zipfile.ZipFile(path) as archive:
            return _open_archive(archive, path)


def _open_archive(archive: zipfile.ZipFile, path: Path) -> Arrays:
    arrays = {name.removesuffix(".npy"): name for name in archive.namelist()}
    images_name = next((name for name in _IMAGES if name in arrays), None)
    if images_name is None:
        raise DataError(
            f"{path} holds {', '.join(arrays) or 'nothing'}; name the array of images "
            f"one of {', '.join(_IMAGES)}."
        )
    member = archive.getinfo(arrays[images_name])
    with archive.open(member) as stream:
        images = _read_images(stream, path, images_name, mapped=False)
    labels_name = next((name for name in _LABELS if name in arrays), None)
    labels = names = None
    if labels_name is not None:
        labels = _read_small(archive, arrays[labels_name], path)
    if "class_names" in arrays:
        class_names = _read_small(archive, arrays["class_names"], path)
        names = tuple(str(name) for name in class_names.ravel())
    return Arrays(images, labels, names)


def _read_images(
    stream: IO[bytes], path: Path, name: str, *, mapped: bool
) -> NDArray[np.uint8]:
    """Read the header, then leave the pixels on disk: (n, h, w) or (n, h, w, c)."""
    shape, fortran_order, dtype = _read_header(stream, path, name)
    label = f"{name} in {path}" if name != path.name else str(path)
    if dtype != np.uint8 and not dtype.hasobject:
        count = min(math.prod(shape), 1 << 16)
        sample = stream.read(count * dtype.itemsize)
        check_dtype(
            np.frombuffer(sample, dtype, count=len(sample) // dtype.itemsize), label
        )
    n_bytes = math.prod(shape)
    if mapped:
        flat = map_bytes(path, stream.tell(), n_bytes)
    else:
        flat = spill(chunks(stream), n_bytes, label)
    return flat.reshape(shape, order="F" if fortran_order else "C")


def _read_header(
    stream: IO[bytes], path: Path, name: str
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = npy_format.read_magic(stream)
        read = (
            npy_format.read_array_header_1_0
            if version == (1, 0)
            else npy_format.read_array_header_2_0
        )
        shape, fortran_order, dtype = read(stream)
    except ValueError as error:
        raise DataError(f"{name} in {path} is not a NumPy array ({error}).") from error
    if dtype.hasobject:
        raise DataError(
            f"{name} in {path} holds Python objects, which lfkit never unpickles; save "
            "an array of numbers or text."
        )
    return shape, fortran_order, dtype


def _read_small(archive: zipfile.ZipFile, member: str, path: Path) -> NDArray[Any]:
    """Read labels or class names into memory, never a pickle."""
    name = member.removesuffix(".npy")
    if archive.getinfo(member).file_size > _MAX_LABEL_BYTES:
        raise DataError(f"{name} in {path} is too large to be labels of images.")
    with archive.open(member) as stream:
        _read_header(stream, path, name)
    with archive.open(member) as stream:
        return npy_format.read_array(stream, allow_pickle=False)
