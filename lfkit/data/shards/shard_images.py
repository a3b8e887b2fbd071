"""Images that are encoded files, in memory or at a place: brought to a given shape."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfkit.data.datasets.decoding import (
    DECODER_VERSION,
    decode,
    quiet_pil,
    reason,
)
from lfkit.data.datasets.exif import read_exif
from lfkit.data.datasets.folder_names import names_of_folders
from lfkit.data.datasets.label_columns import INDEX_SCHEMA, keys_to_text
from lfkit.data.image_source import (
    KEY_BYTES,
    ImageSource,
    MetadataField,
    ReadImages,
)
from lfkit.data.shards.places import read_place
from lfkit.errors import EXHAUSTED, DataError, storage_error

Content: TypeAlias = pa.Buffer | str | DataError


class ShardImages(ImageSource):
    """The images of a shard.

    Each is upright, its first frame, transparent parts on white. What cannot be read is
    named in `known_problems` or by `read`, and never raises.

    Parameters
    ----------
    ids : n unique texts.
    contents : the bytes of each, or the place of its file, or why there are none.
    shape : (h, w, c) that every image is brought to.
    white : the value that is white in gray of 16 bits.
    column : reads a column of the table that lists the images.
    folders : names of the folders above each, (n,); by default those in the ids, which
        are paths inside of one file.
    n_threads : that decode.
    """

    labels = None
    class_names = None

    def __init__(
        self,
        name: str,
        ids: Sequence[str],
        contents: Sequence[Content],
        *,
        shape: tuple[int, int, int],
        white: int,
        column: Callable[[str], Sequence[str | None]] | None = None,
        folders: Sequence[str] | None = None,
        n_threads: int = 1,
    ) -> None:
        self.name, self.ids, self.shape = name, ids, shape
        self._contents, self._white = contents, white
        self._column, self._folders, self._n_threads = column, folders, n_threads
        self.known_problems = {}
        self.keys = self._hashed()

    @property
    def decoding(self) -> str:
        """Names the shape, and the versions of what turns files into pixels."""
        return f"{super().decoding} white={self._white} {DECODER_VERSION}"

    def read(self, rows: NDArray[np.int64]) -> ReadImages:
        """Decode some images: (b, h, w, c)."""
        wanted = np.asarray(rows, np.int64).tolist()
        pixels = np.zeros((len(wanted), *self.shape), np.uint8)

        def read_into(position: int) -> str | None:
            return self._read_into(pixels[position], wanted[position])

        with quiet_pil(), ThreadPoolExecutor(self._n_threads) as pool:
            faults = list(pool.map(read_into, range(len(wanted))))
        return ReadImages(pixels, {i: why for i, why in enumerate(faults) if why})

    def metadata(self, what: MetadataField, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Give names, EXIF or a column of the table that lists the images: (b,)."""
        wanted = np.asarray(rows, np.int64)
        if what.kind == "exif":
            with quiet_pil():
                found = [self._exif(row, what.name) for row in wanted.tolist()]
            return np.fromiter(found, object, len(wanted))
        if what.kind == "file_name":
            ends = [self.ids[row].rpartition("/")[2] for row in wanted]
            return np.fromiter(ends, object, len(wanted))
        if what.kind == "folder":
            if self._folders is None:
                # Without the first slash nothing that this shard shares is cut off.
                ids = [name.lstrip("/") for name in self.ids]
                names = names_of_folders(ids, None, None, are_classes=False)
                self._folders = names.tolist()
            folders = self._folders or ()
            return np.fromiter((folders[row] for row in wanted), object, len(wanted))
        if self._column is None:
            raise DataError(
                f"{self.name} is listed in no table, so there is no {what}; give a "
                "CSV or Parquet table with the images' paths."
            )
        column = self._column(what.name)
        return np.fromiter((column[row] for row in wanted), object, len(wanted))

    def table(self) -> pa.Table:
        """Give ids and keys; sizes are not kept."""
        n = len(self)
        problems = [self.known_problems.get(row) for row in range(n)]
        columns = [
            pa.array(self.ids, pa.string()),
            keys_to_text(self.keys),
            *(pa.nulls(n, field.type) for field in [*INDEX_SCHEMA][2:-1]),
            pa.array(problems, pa.string()),
        ]
        return pa.table(columns, schema=INDEX_SCHEMA)

    def _hashed(self) -> NDArray[np.uint8]:
        """Hash each image's bytes, (n, 16); note what has none."""
        keys = np.zeros((len(self.ids), KEY_BYTES), np.uint8)
        for row in range(len(keys)):
            try:
                data = self._bytes(row)
            except Exception as error:  # of file systems of all kinds
                self.known_problems[row] = _reason(error)
                # Images without content are no copies of one another.
                data = f"{self.name}\n{self.ids[row]}".encode("utf-8", "surrogatepass")
            digest = hashlib.blake2b(data, digest_size=KEY_BYTES).digest()
            keys[row] = np.frombuffer(digest, np.uint8)
        return keys

    def _bytes(self, row: int) -> bytes:
        content = self._contents[row]
        if isinstance(content, DataError):
            raise content
        return _read(content) if isinstance(content, str) else bytes(content)

    def _read_into(self, pixels: NDArray[np.uint8], row: int) -> str | None:
        """Decode one image into its place; give what is wrong with it."""
        row %= len(self)
        if row in self.known_problems:
            return self.known_problems[row]
        try:
            h, w, channels = self.shape
            file = io.BytesIO(self._bytes(row))
            pixels[:] = decode(file, channels=channels, size=(h, w), white=self._white)
        except Exception as error:  # PIL raises whatever its parsers meet
            if isinstance(error, OSError) and error.errno in EXHAUSTED:
                raise storage_error(error, self.ids[row]) from error
            return _reason(error)
        return None

    def _exif(self, row: int, tag: str) -> str | float | tuple[float, ...] | None:
        if row in self.known_problems:
            return None
        return read_exif(io.BytesIO(self._bytes(row)), tag)


def _read(place: str) -> bytes:
    if os.path.exists(place):
        with open(place, "rb") as file:
            return file.read()
    return read_place(place)


def _reason(error: Exception) -> str:
    """Say why, without the place: the row names it."""
    cause = error.__cause__
    return reason(cause if isinstance(cause, OSError) else error)
