"""Which shards a data set has: files of images as they are, others cut to a size."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lfkit.data.datasets.array_source import Arrays
from lfkit.data.datasets.catalog import DATASETS, find_images
from lfkit.data.datasets.decoding import EXTENSIONS
from lfkit.data.datasets.image_files import names_as_text
from lfkit.data.shards.parquet_images import IMAGE
from lfkit.data.shards.places import (
    find_places,
    inside,
    is_url,
    list_folder,
    size_of,
)
from lfkit.data.shards.shard import ARRAYS, FILES, PARQUET, TAR, Shard
from lfkit.errors import DataError

_TARS = (".tar", ".tar.gz", ".tgz")
_IMAGES = tuple(f".{ending}" for ending in EXTENSIONS)


def list_shards(data: str, shard_size: int) -> list[Shard]:
    """List the shards of a data set, in an order that is always the same.

    Parameters
    ----------
    data : a tar file (WebDataset) or a Parquet file with a column `image`; a folder or
        a pattern ("shards/*.tar") of such files; a folder of images, a list of them, an
        array or a data set by name, which are cut. Or a URL of a file, folder or
        pattern.
    shard_size : images of a shard that is cut.

    Raises
    ------
    DataError
        If there are no images, or files of several kinds.
    """
    if is_url(data):
        found = _at_url(data, shard_size)
    elif data in DATASETS:
        found = _cut(data, shard_size)
    else:
        found = _here(os.path.expanduser(data), shard_size)
    if not found:
        raise DataError(
            f"{data} names no images; give tar files, Parquet files with a column "
            f"{IMAGE!r}, or a folder of images."
        )
    return [replace(shard, index=number) for number, shard in enumerate(found)]


def _here(data: str, shard_size: int) -> list[Shard]:
    path = Path(data)
    if path.is_dir():
        listed = sorted(os.path.join(data, name) for name in os.listdir(data))
        files = [place for place in listed if _kind(place)]
        return _whole(files, data) if files else _cut(data, shard_size)
    if path.is_file():
        return _whole([data], data) if _kind(data) else _cut(data, shard_size)
    found = find_places(data)
    if not found:  # a name with a split, or a mistake that is told there
        return _cut(data, shard_size)
    return _of_files(found, data, shard_size)


def _at_url(data: str, shard_size: int) -> list[Shard]:
    found = [data]
    if any(letter in data for letter in "*?["):
        found = find_places(data)
    else:
        below = list_folder(data)
        if below is not None:
            top = inside(data, "")
            files = [p for p in below if "/" not in p.removeprefix(top) and _kind(p)]
            found = files or below
    return _of_files(found, data, shard_size)


def _of_files(found: Sequence[str], data: str, shard_size: int) -> list[Shard]:
    """Take files as shards, or, if they are images, cut their list."""
    files = [place for place in found if _kind(place)]
    if files:
        return _whole(files, data)
    images = [place for place in found if place.lower().endswith(_IMAGES)]
    return [
        Shard(
            0,
            FILES,
            data,
            start,
            min(start + shard_size, len(images)),
            tuple(images[start : start + shard_size]),
            tuple(images[start : start + shard_size]),
        )
        for start in range(0, len(images), shard_size)
    ]


def _kind(place: str) -> str | None:
    """Tell the kind of a file of images; None if it is none."""
    if place.lower().endswith(_TARS):
        return TAR
    if not place.lower().endswith(".parquet"):
        return None
    if is_url(place):
        return PARQUET
    try:
        is_images = IMAGE in pq.read_schema(place).names
    except (OSError, pa.ArrowException):
        is_images = True  # it is told when the shard is opened
    return PARQUET if is_images else None  # else it may be a list of images


def _whole(files: Sequence[str], data: str) -> list[Shard]:
    kinds = {_kind(place) for place in files}
    if len(kinds) > 1:
        raise DataError(
            f"{data} holds tar files and Parquet files with images; name one kind, "
            "such as 'shards/*.tar'."
        )
    return [
        Shard(0, str(_kind(place)), place, n_bytes=size_of(place)) for place in files
    ]


def _cut(data: str, shard_size: int) -> list[Shard]:
    """Cut what `open_images` opens."""
    found = find_images(data)
    if isinstance(found, Arrays):
        n = len(found.images)
        return [
            Shard(0, ARRAYS, data, start, min(start + shard_size, n))
            for start in range(0, n, shard_size)
        ]
    shards = []
    for start in range(0, len(found.names), shard_size):
        some = found.names.slice(start, shard_size)
        names = [
            os.fsdecode(os.path.join(os.fsencode(found.folder), name))
            for name in some.to_pylist()
        ]
        ids = tuple(names_as_text(some).to_pylist())
        stop = start + len(some)
        shards.append(Shard(0, FILES, data, start, stop, tuple(names), ids))
    return shards
