"""NumPy's own files: .npz with images and labels, .npy with images alone."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.arrays import check_unpacked, read_header, read_member
from lfkit.data.class_names import checked_names, discover, match
from lfkit.data.datasets.array_source import Arrays, check_dtype
from lfkit.data.datasets.disk_cache import chunks, damage_named, map_bytes, spill
from lfkit.data.label_cells import read_cells
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
                size = path.stat().st_size
                return Arrays(
                    _read_images(file, path, path.name, mapped=True, n_held=size)
                )
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
    check_unpacked(path, member.file_size)
    with archive.open(member) as stream:
        images = _read_images(
            stream, path, images_name, mapped=False, n_held=member.file_size
        )
    labels_name = next((name for name in _LABELS if name in arrays), None)
    labels = names = None
    notes: tuple[str, ...] = ()
    if "class_names" in arrays:
        listed = _read_small(archive, arrays["class_names"], path)
        names = checked_names(listed.ravel().tolist(), str(path))
    if labels_name is not None:
        labels = _read_small(archive, arrays[labels_name], path)
        labels, names, notes = _labels(labels, names, path)
    return Arrays(images, labels, names, notes)


def _labels(
    labels: NDArray[Any], names: tuple[str, ...] | None, path: Path
) -> tuple[NDArray[Any], tuple[str, ...] | None, tuple[str, ...]]:
    """Read labels: numbers count `class_names`; without these, they may be names."""
    if names is not None and labels.dtype.kind in "iu":
        return labels, names, ()
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]  # (n,)

    def place(row: int) -> str:
        return f"{path} gives image {row}"

    cells = read_cells(labels, f"labels of {path}")
    if names is None:
        found = discover(cells, path.name, place)
    elif labels.dtype.kind == "f":  # read_cells has seen that they are whole
        return np.nan_to_num(labels, nan=-1).astype(np.int64), names, ()
    else:
        found = match(cells, names, path.name, place)
    return found.labels, found.names, found.notes


def _read_images(
    stream: IO[bytes], path: Path, name: str, *, mapped: bool, n_held: int
) -> NDArray[np.uint8]:
    """Read the header, then leave the pixels on disk: (n, h, w) or (n, h, w, c)."""
    label = f"{name} in {path}" if name != path.name else str(path)
    shape, fortran_order, dtype = read_header(stream, label)
    if math.prod(shape) * dtype.itemsize > n_held:
        raise DataError(
            f"{label} holds {n_held:,} bytes, and its header says {shape} of {dtype}; "
            "it is cut short or damaged, fetch it again."
        )
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


def _read_small(archive: zipfile.ZipFile, member: str, path: Path) -> NDArray[Any]:
    """Read labels or class names into memory, never a pickle."""
    name = member.removesuffix(".npy")
    if archive.getinfo(member).file_size > _MAX_LABEL_BYTES:
        raise DataError(f"{name} in {path} is too large to be labels of images.")
    return read_member(archive, archive.getinfo(member), f"{name} in {path}")
