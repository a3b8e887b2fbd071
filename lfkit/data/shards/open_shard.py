"""From a shard to images of the shape that a labeler knows."""

from __future__ import annotations

import functools
import io
import tarfile
from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from lfkit.data.datasets.array_source import Arrays, ArraySource
from lfkit.data.datasets.catalog import find_images
from lfkit.data.datasets.decoding import COLORS, EXTENSIONS
from lfkit.data.datasets.image_files import Files
from lfkit.data.datasets.image_limits import MAX_BYTES
from lfkit.data.datasets.packed_images import Content, Packed, PackedImages
from lfkit.data.datasets.parquet_images import (
    IMAGE,
    IMAGE_ID,
    as_contents,
    encoded_images,
    unique_ids,
)
from lfkit.data.image_source import ImageSource
from lfkit.data.places import read_place
from lfkit.data.shards.shard import ARRAYS, FILES, TAR, Shard
from lfkit.errors import DataError

_ENDINGS = tuple(f".{ending}" for ending in EXTENSIONS)
_Encoded = tuple[Sequence[str], Sequence[Content]]


def open_shard(
    shard: Shard, shape: tuple[int, int, int], white: int, n_threads: int = 1
) -> ImageSource:
    """Open a shard's images, each brought to (h, w, c).

    A file of images is held in memory as it is, encoded.

    Parameters
    ----------
    white : the value that is white in gray of 16 bits.
    n_threads : that decode images.

    Raises
    ------
    DataError
        If the shard itself, not an image of it, cannot be read.
    """
    if shard.kind == ARRAYS:
        return _rows(shard, shape)
    column: Callable[[str], Sequence[str | None]] | None = None
    if shard.kind == FILES:
        ids: Sequence[str] = shard.ids
        contents: Sequence[Content] = shard.names
        column = functools.partial(_column, shard)
    else:
        read = _of_tar if shard.kind == TAR else _of_parquet
        ids, contents = read(shard)
    return PackedImages(
        shard.name,
        unique_ids(ids),
        contents,
        shape=shape,
        white=white,
        column=column,
        n_threads=n_threads,
    )


@functools.lru_cache(maxsize=1)
def _found(data: str) -> Arrays | Files | Packed:
    """Open data once for all its shards: some arrays are unpacked for it."""
    return find_images(data)


def _rows(shard: Shard, shape: tuple[int, int, int]) -> ImageSource:
    found = _found(shard.place)
    if not isinstance(found, Arrays) or len(found.images) < shard.stop:
        raise DataError(f"{shard.place} is no longer what it was; start again.")
    h, w, c = shape
    return ArraySource(
        found.images[shard.start : shard.stop],
        ids=[str(row) for row in range(shard.start, shard.stop)],
        name=shard.name,
        size=(h, w),
        color=next(name for name, channels in COLORS.items() if channels == c),
    )


def _column(shard: Shard, name: str) -> Sequence[str | None]:
    found = _found(shard.place)
    if not isinstance(found, Files) or found.column is None:
        raise DataError(
            f"{shard.place} is listed in no table, so there is no column {name!r}; "
            "give a CSV or Parquet table with the images' paths."
        )
    return found.column(name)[shard.start : shard.stop]


def _of_tar(shard: Shard) -> _Encoded:
    """Read the images of a tar file; nothing is unpacked to the disk."""
    ids: list[str] = []
    contents: list[Content] = []
    try:
        with tarfile.open(fileobj=io.BytesIO(read_place(shard.place))) as archive:
            for member in archive:
                if not member.isfile() or not member.name.lower().endswith(_ENDINGS):
                    continue
                ids.append(member.name)
                if member.size > MAX_BYTES:
                    contents.append(
                        DataError(
                            f"it is {member.size / 1e6:,.0f} MB long, more than "
                            f"{MAX_BYTES / 1e6:,.0f}"
                        )
                    )
                    continue
                file = archive.extractfile(member)
                contents.append(b"" if file is None else file.read())
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise DataError(
            f"{shard.place} cannot be read as a tar file: {error}; fetch it again."
        ) from error
    return ids, contents


def _of_parquet(shard: Shard) -> _Encoded:
    """Read a Parquet file with encoded images, in the form of Hugging Face's."""
    try:
        file = pq.ParquetFile(io.BytesIO(read_place(shard.place)))
        held = file.schema_arrow.names
        wanted = [name for name in (IMAGE, IMAGE_ID) if name in held] or held
        paths, found = encoded_images(file.read(wanted), shard.place)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{shard.place} cannot be read as Parquet: {error}; fetch it again."
        ) from error
    return [path or str(row) for row, path in enumerate(paths)], as_contents(found)
