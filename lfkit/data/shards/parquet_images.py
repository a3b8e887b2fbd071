"""The images of a Parquet file, in the form of Hugging Face's."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lfkit.data.shards.places import read_place
from lfkit.data.shards.shard_images import Content
from lfkit.errors import DataError

IMAGE = "image"  # the column that holds encoded images
_IMAGE_ID = "image_id"


def read_parquet(place: str) -> tuple[Sequence[str], Sequence[Content]]:
    """Read encoded images: n names, and the bytes of each.

    Raises
    ------
    DataError
        If the file is damaged, or its columns are others or of other types.
    """
    data = read_place(place)
    if not data:
        raise DataError(f"{place} is empty; fetch it again.")
    try:
        file = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True)
        held = file.schema_arrow.names
        wanted = [name for name in (IMAGE, _IMAGE_ID) if name in held]
        table = file.read(wanted)
    except (pa.ArrowException, OSError, ValueError) as error:
        why = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
        raise DataError(
            f"{place} cannot be read as Parquet: {why}; fetch it again."
        ) from error
    if IMAGE not in held:
        raise lacks_images(place, held)
    paths: list[str | None] = []
    contents: list[Content] = []
    nothing = DataError("there are no bytes of an image in this row")
    for chunk in table[IMAGE].chunks:
        cells, of_chunk = _cells(chunk, place)
        paths += of_chunk
        contents += [cell.as_buffer() if cell.is_valid else nothing for cell in cells]
    if _IMAGE_ID in held:
        paths = _texts(table[_IMAGE_ID], _IMAGE_ID, place)
    return [path or str(row) for row, path in enumerate(paths)], contents


def lacks_images(place: str, columns: Sequence[str]) -> DataError:
    """Say that a Parquet file has no column of images."""
    return DataError(
        f"{place} has columns {', '.join(columns)}; it must have one named {IMAGE!r} "
        "with encoded images."
    )


def _cells(chunk: pa.Array, place: str) -> tuple[pa.Array, list[str | None]]:
    """Give the bytes and the path of each image."""
    paths: list[str | None] = [None] * len(chunk)
    cells = _plain(chunk)
    if pa.types.is_struct(cells.type):
        fields = [field.name for field in cells.type]
        if "path" in fields:
            paths = _texts(pc.struct_field(cells, "path"), f"{IMAGE}.path", place)
        if "bytes" in fields:
            cells = _plain(pc.struct_field(cells, "bytes"))
    kinds = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    if not any(is_kind(cells.type) for is_kind in kinds):
        raise DataError(
            f"the column {IMAGE!r} of {place} is {cells.type}; it must hold encoded "
            "images, binary or a struct of bytes and path."
        )
    return cells, paths


def _plain(cells: pa.Array) -> pa.Array:
    is_encoded = pa.types.is_dictionary(cells.type)
    return cells.dictionary_decode() if is_encoded else cells


def _texts(
    cells: pa.Array | pa.ChunkedArray, column: str, place: str
) -> list[str | None]:
    try:
        return list(cells.cast(pa.string()).to_pylist())
    except (pa.ArrowException, ValueError) as error:
        raise DataError(
            f"the column {column!r} of {place} is {cells.type}; it must hold texts or "
            "numbers."
        ) from error
