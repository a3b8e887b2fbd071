"""The images of a Parquet file, in the form of Hugging Face's."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from lfkit.data.datasets.image_limits import most_unpacked
from lfkit.data.datasets.packed_images import Content
from lfkit.data.datasets.parquet_images import (
    IMAGE,
    IMAGE_ID,
    as_contents,
    encoded_images,
    lacks_images,
)
from lfkit.data.places import read_place
from lfkit.errors import DataError

_ROWS = 16  # that are unpacked at once


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
        wanted = [name for name in (IMAGE, IMAGE_ID) if name in held]
        table = _read_within(file, wanted, most_unpacked(len(data)))
    except (pa.ArrowException, OSError, ValueError) as error:
        why = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
        raise DataError(
            f"{place} cannot be read as Parquet: {why}; fetch it again."
        ) from error
    if table is None:
        raise DataError(
            f"{place} unpacks to more than {most_unpacked(len(data)) / 1e9:,.0f} GB, "
            "many times its size; write it in several files."
        )
    if IMAGE not in held:
        raise lacks_images(place, held)
    paths, encoded = encoded_images(table, place)
    names = [path or str(row) for row, path in enumerate(paths)]
    return names, as_contents(encoded)


def _read_within(
    file: pq.ParquetFile, columns: Sequence[str], most: int
) -> pa.Table | None:
    """Read some columns; None if they take more bytes in memory."""
    if _said_to_be(file.metadata, columns) > most:
        return None
    batches, n_bytes = [], 0
    for batch in file.iter_batches(_ROWS, columns=columns):
        n_bytes += batch.nbytes  # a value that occurs often is written once
        if n_bytes > most:
            return None
        batches.append(batch)
    return pa.Table.from_batches(batches) if batches else file.read(columns)


def _said_to_be(about: pq.FileMetaData, columns: Sequence[str]) -> int:
    """Give the bytes of some columns, not compressed, as the file says."""
    groups = [about.row_group(i) for i in range(about.num_row_groups)]
    parts = [group.column(j) for group in groups for j in range(about.num_columns)]
    return sum(
        part.total_uncompressed_size
        for part in parts
        if part.path_in_schema.partition(".")[0] in columns
    )
