"""Which shards a data set has: files of images as they are, others cut to a size."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lfkit.data.datasets.array_source import Arrays
from lfkit.data.datasets.catalog import DATASETS, find_images
from lfkit.data.datasets.cifar import is_cifar
from lfkit.data.datasets.decoding import EXTENSIONS
from lfkit.data.datasets.folder import JUNK, RUN_FILES
from lfkit.data.datasets.folder_names import names_of_folders
from lfkit.data.datasets.idx import is_idx
from lfkit.data.datasets.image_files import names_as_text
from lfkit.data.datasets.manifest import read_listing
from lfkit.data.datasets.metadata_files import NAMES
from lfkit.data.datasets.packed_images import Packed
from lfkit.data.datasets.parquet_images import IMAGE, lacks_images
from lfkit.data.datasets.stl10 import is_stl10
from lfkit.data.places import (
    Stamp,
    absolute,
    find_stamped,
    fixed_part,
    is_url,
    list_folder,
    stamp_of,
)
from lfkit.data.shards.shard import ARRAYS, FILES, PARQUET, TAR, Shard, hash_of
from lfkit.errors import DataError

_TARS = (".tar", ".tar.gz", ".tgz")
_JUNK, _RUN_FILES = ({name.decode() for name in names} for names in (JUNK, RUN_FILES))
_IMAGES = tuple(f".{ending}" for ending in EXTENSIONS)


def list_shards(data: str, shard_size: int) -> list[Shard]:
    """List the shards of a data set, in an order that is always the same.

    Parameters
    ----------
    data : a tar file (WebDataset) or a Parquet file with a column `image`; a folder,
        with those below it, or a pattern ("shards/*.tar") of such files; a folder of
        images, a list of them, an array or a data set by name, which are cut. Or a URL
        of a file, folder or pattern. Hidden files are left out.
    shard_size : images of a shard that is cut.

    Raises
    ------
    DataError
        If there are no images, or files of several kinds.
    """
    if data in DATASETS or data.rpartition(":")[0] in DATASETS:
        found = _cut(data, shard_size)
    elif is_url(data):
        found = _at_url(absolute(data), shard_size)
    else:
        found = _here(absolute(data), shard_size)
    if not found:
        raise DataError(
            f"{data} names no images; give tar files, Parquet files with a column "
            f"{IMAGE!r}, or a folder of images."
        )
    return [replace(shard, index=number) for number, shard in enumerate(found)]


def _here(data: str, shard_size: int) -> list[Shard]:
    path = Path(data)
    if path.is_dir():
        return _in_folder(data, shard_size)
    if path.is_file():
        kind = _kind(data)
        if kind:
            return [_whole(data, kind, stamp_of(data))]
        if data.lower().endswith(".parquet") and read_listing(path) is None:
            raise lacks_images(data, pq.read_schema(data).names)
        return _cut(data, shard_size)
    found = find_stamped(data)
    if not found:  # a name with a split, or a mistake that is told there
        return _cut(data, shard_size)
    return _of_files(found, data, fixed_part(data), shard_size)


def _in_folder(data: str, shard_size: int) -> list[Shard]:
    if any(is_known(Path(data)) for is_known in (is_idx, is_stl10, is_cifar)):
        return _cut(data, shard_size)  # an archive beside their files is no shard
    files, image = _walk(data)
    kinds = {place: kind for place in files if (kind := _kind(place))}
    _check_one_kind(data, kinds, image)
    if kinds:
        return [_whole(place, kind, stamp_of(place)) for place, kind in kinds.items()]
    try:
        return _cut(data, shard_size)
    except DataError as error:
        tables = [place for place in files if place.lower().endswith(".parquet")]
        if image is None and tables:
            raise lacks_images(tables[0], pq.read_schema(tables[0]).names) from error
        raise


def _walk(folder: str) -> tuple[list[str], str | None]:
    """List tar and Parquet files below a folder, sorted, and give one image."""
    files: list[str] = []
    image = None

    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be listed: {error.strerror}.")

    for root, folders, names in os.walk(folder, onerror=fail):
        if root != folder and not _RUN_FILES.isdisjoint(names):
            folders.clear()  # a run inside the data has images too
            continue
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and name.lower() not in _JUNK
        ]
        for name in names:
            plain = name.lower()
            if plain.startswith("."):
                continue
            if plain.endswith((*_TARS, ".parquet")):
                files.append(os.path.join(root, name))
            elif image is None and plain.endswith(_IMAGES):
                image = os.path.join(root, name)
    return sorted(files), image


def _at_url(data: str, shard_size: int) -> list[Shard]:
    if any(letter in data for letter in "*?["):
        return _of_files(find_stamped(data), data, fixed_part(data), shard_size)
    below = list_folder(data)
    if below is None:
        below = {data: stamp_of(data)}
        return _of_files(below, data, data.rpartition("/")[0], shard_size)
    return _of_files(below, data, data, shard_size)


def _of_files(
    found: Mapping[str, Stamp], data: str, top: str, shard_size: int
) -> list[Shard]:
    """Take files as shards, or, if they are images, cut their list.

    Images are called by their path from `top`, so that ids and folders do not depend on
    how the data is spelled, nor on the size of shards.
    """
    top = f"{top.rstrip('/')}/"
    relative = {place: place.removeprefix(top) for place in found}
    seen = [
        place
        for place in found
        if not any(part.startswith(".") for part in relative[place].split("/"))
    ]
    kinds = {place: kind for place in seen if (kind := _kind(place))}
    images = [place for place in seen if place.lower().endswith(_IMAGES)]
    _check_one_kind(data, kinds, images[0] if images else None)
    if kinds:
        return [_whole(place, kind, found[place]) for place, kind in kinds.items()]
    tables = [place for place in seen if place.lower().endswith(".parquet")]
    if tables and not images:
        raise lacks_images(tables[0], pq.read_schema(tables[0]).names)
    names = [relative[place].encode("utf-8", "surrogateescape") for place in images]
    ids = names_as_text(pa.array(names, pa.binary())).to_pylist()
    stamps = [found[place] for place in images]
    return _cut_files(data, images, ids, stamps, (), shard_size)


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


def _check_one_kind(data: str, kinds: Mapping[str, str], image: str | None) -> None:
    """Refuse what would leave some images out in silence."""
    first: dict[str, str] = {}
    for place, kind in kinds.items():
        first.setdefault(kind, place)
    if image is not None:
        first[FILES] = image
    if len(first) > 1:
        one, other, *_ = first.values()
        pattern = f"{one.rpartition('/')[0]}/*{os.path.splitext(one)[1]}"
        raise DataError(
            f"{data} holds files of several kinds, such as {one} and {other}; name one "
            f"kind by a pattern, such as {pattern!r}."
        )


def _whole(place: str, kind: str, stamp: Stamp) -> Shard:
    n_bytes = stamp[0] if stamp[0] >= 0 else None
    return Shard(0, kind, place, n_bytes=n_bytes, state=hash_of(stamp))


def _cut(data: str, shard_size: int) -> list[Shard]:
    """Cut what `open_images` opens."""
    found = find_images(data)
    if isinstance(found, Arrays):
        n = len(found.images)
        state = hash_of(_stamps_of_data(data))
        return [
            Shard(0, ARRAYS, data, start, min(start + shard_size, n), state=state)
            for start in range(0, n, shard_size)
        ]
    if isinstance(found, Packed):
        return [_whole(place, PARQUET, stamp_of(place)) for place in found.files]
    folder = os.fsencode(found.folder)
    names = [
        os.fsdecode(os.path.join(folder, name)) for name in found.names.to_pylist()
    ]
    ids = names_as_text(found.names).to_pylist()
    tables: list[Stamp] = []
    if found.column is not None:  # its columns may be read
        beside = [os.path.join(data, os.fsdecode(name)) for name in NAMES]
        tables = [
            stamp_of(each) for each in ([data] if os.path.isfile(data) else beside)
        ]
    stamps = [stamp_of(name) for name in names]
    return _cut_files(data, names, ids, stamps, tables, shard_size)


def _cut_files(
    data: str,
    names: Sequence[str],
    ids: Sequence[str],
    stamps: Sequence[Stamp],
    tables: Sequence[Stamp],
    shard_size: int,
) -> list[Shard]:
    """Cut a list of n images; `tables` list them."""
    if not names:
        return []
    folders = names_of_folders(ids, None, None, are_classes=False).tolist()
    shards = []
    for start in range(0, len(names), shard_size):
        part = slice(start, min(start + shard_size, len(names)))
        shards.append(
            Shard(
                0,
                FILES,
                data,
                part.start,
                part.stop,
                tuple(names[part]),
                tuple(ids[part]),
                tuple(folders[part]),
                state=hash_of([stamps[part], tables]),
            )
        )
    return shards


def _stamps_of_data(data: str) -> list[Stamp]:
    """Give the stamps of the files of an array; none for a data set by name."""
    place = data if os.path.exists(data) else data.rpartition(":")[0]
    if data in DATASETS or not os.path.exists(place):
        return []
    if not os.path.isdir(place):
        return [stamp_of(place)]
    return [stamp_of(os.path.join(place, name)) for name in sorted(os.listdir(place))]
