"""The images of a Parquet file, in the form of Hugging Face's."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

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
        table = file.read(wanted)
    except (pa.ArrowException, OSError, ValueError) as error:
        why = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
        raise DataError(
            f"{place} cannot be read as Parquet: {why}; fetch it again."
        ) from error
    if IMAGE not in held:
        raise lacks_images(place, held)
    paths, encoded = encoded_images(table, place)
    names = [path or str(row) for row, path in enumerate(paths)]
    return names, as_contents(encoded)
