"""From a shard to images of the shape that a labeler knows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from lfkit.data.datasets.array_source import Arrays, ArraySource
from lfkit.data.datasets.catalog import find_images
from lfkit.data.datasets.decoding import COLORS
from lfkit.data.datasets.image_files import Files
from lfkit.data.datasets.packed_images import Content, Packed, PackedImages
from lfkit.data.datasets.parquet_images import unique_ids
from lfkit.data.image_source import ImageSource
from lfkit.data.shards.parquet_shard import read_parquet
from lfkit.data.shards.shard import ARRAYS, FILES, TAR, Shard
from lfkit.data.shards.tar_images import read_tar
from lfkit.errors import DataError


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
        read = read_tar if shard.kind == TAR else read_parquet
        ids, contents = read(shard.place)
    return PackedImages(
        shard.name,
        unique_ids(ids),
        contents,
        shape=shape,
        white=white,
        column=column,
        folders=shard.folders or None,
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
