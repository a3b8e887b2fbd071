"""The data sets and file formats lfkit opens, and the one entrance to them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from lfkit.data.datasets.array_source import Arrays, ArraySource
from lfkit.data.datasets.cifar import is_cifar, open_cifar
from lfkit.data.datasets.cifar_10 import find_cifar_10, open_cifar_10
from lfkit.data.datasets.digits import open_digits
from lfkit.data.datasets.fashion_mnist import (
    find_fashion_mnist,
    open_fashion_mnist,
)
from lfkit.data.datasets.folder import is_folder, open_folder
from lfkit.data.datasets.idx import is_idx, open_idx
from lfkit.data.datasets.image_files import Files, FileSource
from lfkit.data.datasets.manifest import is_manifest, open_manifest
from lfkit.data.datasets.npz import is_npz, open_npz
from lfkit.data.datasets.openclipart import (
    COLOR,
    SIZE,
    find_openclipart,
    open_openclipart,
)
from lfkit.data.datasets.packed_images import Packed, open_packed
from lfkit.data.datasets.parquet_images import is_parquet_images, open_parquet_images
from lfkit.data.datasets.stl10 import is_stl10, open_stl10
from lfkit.data.datasets.street_digits import open_street_digits
from lfkit.data.datasets.svhn import is_svhn, open_svhn
from lfkit.data.image_source import ImageSource
from lfkit.errors import DataError


class Dataset(NamedTuple):
    """A data set known by name: its line in `lfkit list datasets`, and its opener.

    Attributes
    ----------
    size, color : what its images are brought to unless the user says otherwise; their
        own if None.
    find : gives where its files are, or raises the DataError that says where they may
        be; None: it comes with scikit-learn. Nothing is read or fetched.
    """

    description: str
    open: Callable[[str | None], Arrays | Files | Packed]
    size: tuple[int, int] | None = None
    color: str | None = None
    find: Callable[[], Path] | None = None


class Format(NamedTuple):
    """A file format: its line in `lfkit list datasets`, how to know it, its opener."""

    description: str
    recognises: Callable[[Path], bool]
    open: Callable[[Path, str | None], Arrays | Files | Packed]


DATASETS = {
    "digits": Dataset(
        "1,797 handwritten digits, 8x8 gray, 10 classes; inside scikit-learn",
        open_digits,
    ),
    "street-digits": Dataset(
        "the digits composed onto colored textures, 32x32 RGB; a stand-in for SVHN",
        open_street_digits,
    ),
    "fashion-mnist": Dataset(
        "70,000 photos of clothes, 28x28 gray, 10 classes; :train (default), :test",
        open_fashion_mnist,
        find=find_fashion_mnist,
    ),
    "cifar-10": Dataset(
        "up to 60,000 photos, 32x32 RGB, 10 classes; :train (default), :test; where "
        "LFKIT_DATA says",
        open_cifar_10,
        find=find_cifar_10,
    ),
    "openclipart": Dataset(
        "1,451 drawings, as 64x64 RGB, 4 classes; Debian's openclipart-png",
        open_openclipart,
        SIZE,
        COLOR,
        find_openclipart,
    ),
}

# In the order in which they are tried: "folder" takes every folder that is left.
FORMATS = {
    "parquet": Format(
        "Parquet with images in a column `image`, as Hugging Face's datasets; a folder "
        "of them; :train, :test",
        is_parquet_images,
        open_parquet_images,
    ),
    "npz": Format(
        ".npz with `images` and maybe `labels`, `class_names`; .npy", is_npz, open_npz
    ),
    "manifest": Format(
        ".csv, .jsonl or .parquet with `path` (or `file_name`), maybe `label`",
        is_manifest,
        open_manifest,
    ),
    "idx": Format(
        "MNIST's …-images-idx3-ubyte[.gz], or a folder of them; :train, :test",
        is_idx,
        open_idx,
    ),
    "stl10": Format(
        "STL-10's folder, binary version; :train, :test, :unlabeled",
        is_stl10,
        open_stl10,
    ),
    "cifar": Format(
        "CIFAR-10/100's folder, .tar.gz or .bin, binary version; :train, :test",
        is_cifar,
        open_cifar,
    ),
    "svhn": Format("SVHN's cropped digits, train_32x32.mat", is_svhn, open_svhn),
    "folder": Format(
        "a folder of images; sub-folders are classes, or metadata.csv has labels",
        is_folder,
        open_folder,
    ),
}


def open_images(
    data: str | Path,
    *,
    size: tuple[int, int] | None = None,
    color: str | None = None,
    known: pa.Table | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImageSource:
    """Open images by name or path; memory does not grow with their number.

    Compressed arrays are unpacked into a temporary file, in TMPDIR. Images are
    stretched to `size`, not cropped.

    Parameters
    ----------
    data : a name in `DATASETS`, or the path of a file or folder in one of `FORMATS`;
        either may end in a split, as in "fashion-mnist:test". A name wins over a
        folder of that name: give "./digits" for the folder.
    size : (height, width) to resize every image to.
    color : "gray" or "rgb"; by default the images' own.
    known : `table()` of an earlier run; unchanged files are not read again.
    progress : called with the number of files indexed and the number of all.

    Examples
    --------
    >>> images = open_images("digits")
    >>> len(images), images.shape
    (1797, (8, 8, 1))
    """
    name = str(data)
    found, dataset = _opened(data)
    if dataset is not None:
        size, color = size or dataset.size, color or dataset.color
    if isinstance(found, Files):
        return FileSource(
            found, name=name, size=size, color=color, known=known, progress=progress
        )
    if isinstance(found, Packed):
        return open_packed(found, name=name, size=size, color=color)
    if len(found.images) == 0:
        raise DataError(f"{name} holds no images; give data with at least one.")
    source = ArraySource(
        found.images,
        labels=found.labels,
        class_names=found.class_names,
        name=name,
        size=size,
        color=color,
    )
    source.notes = found.notes
    return source


def find_images(data: str | Path) -> Arrays | Files | Packed:
    """Find images by name or path, as `open_images` does; no image is read."""
    return _opened(data)[0]


def _opened(data: str | Path) -> tuple[Arrays | Files | Packed, Dataset | None]:
    try:
        return _find(data)
    except OSError as error:
        place = os.fsdecode(error.filename or str(data))
        raise DataError(f"{place} cannot be opened: {error.strerror}.") from error


def _find(data: str | Path) -> tuple[Arrays | Files | Packed, Dataset | None]:
    """Open what a user names, trying names first, then paths."""
    text = str(data)
    head, _, tail = text.rpartition(":")
    for name, split in ((text, None), (head, tail)):
        if isinstance(data, str) and name in DATASETS:
            return DATASETS[name].open(split), DATASETS[name]
        path = Path(name).expanduser()
        if name and os.path.exists(path):
            return _format(path).open(path, split), None
    raise DataError(
        f"there is no data set or file {text!r}; give a path, or one of "
        f"{', '.join(DATASETS)}."
    )


def _format(path: Path) -> Format:
    for candidate in FORMATS.values():
        if candidate.recognises(path):
            return candidate
    understood = "; ".join(member.description for member in FORMATS.values())
    raise DataError(f"{path} is in no format that lfkit reads; it reads {understood}.")
