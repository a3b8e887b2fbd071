"""Images that are encoded files inside others, in memory or at a place."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfkit.data.datasets.common_look import (
    common_channels,
    common_size,
    common_white,
)
from lfkit.data.datasets.decoding import (
    COLORS,
    DECODER_VERSION,
    Header,
    check_look,
    decode,
    highest_gray,
    quiet_pil,
    read_header,
    reason,
)
from lfkit.data.datasets.exif import read_exif
from lfkit.data.datasets.folder_names import (
    check_tells_no_labels,
    names_of_folders,
)
from lfkit.data.datasets.label_columns import INDEX_SCHEMA, keys_to_text
from lfkit.data.image_source import (
    KEY_BYTES,
    ImageSource,
    MetadataField,
    ReadImages,
)
from lfkit.data.places import read_place
from lfkit.errors import EXHAUSTED, DataError, storage_error

# Bytes, or a file's place, or why there is neither.
Content: TypeAlias = bytes | pa.Buffer | str | DataError


@dataclass(frozen=True)
class Packed:
    """What files of encoded images hold, before any is decoded.

    Attributes
    ----------
    ids : n unique texts.
    contents : the bytes of each image, or why there are none.
    files : that hold them.
    column : reads another column of theirs: n texts, None where there is none.
    labels : (n,) true classes, -1 where unknown, or None.
    class_names : the k names that `labels` points into, or None.
    notes : what a user should know of how they were found.
    """

    ids: Sequence[str]
    contents: Sequence[Content]
    files: tuple[str, ...]
    column: Callable[[str], Sequence[str | None]]
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


class _Headers(NamedTuple):
    """What n images say of themselves, as `common_look` reads it."""

    width: NDArray[np.int32]
    height: NDArray[np.int32]
    mode: NDArray[np.bytes_]
    problems: dict[int, str]


def open_packed(
    found: Packed,
    *,
    name: str,
    size: tuple[int, int] | None = None,
    color: str | None = None,
) -> PackedImages:
    """Read all headers, and open the images in their common size and color.

    Parameters
    ----------
    size : (height, width) that every image is stretched to; None: their own.
    color : "gray" or "rgb"; None: gray if all are.
    """
    check_look(size, color)
    with ThreadPoolExecutor(cpu_count() or 1) as pool:
        with quiet_pil():
            seen = list(pool.map(_header, found.contents))
        headers = _Headers(
            np.asarray([0 if isinstance(h, str) else h.width for h in seen], np.int32),
            np.asarray([0 if isinstance(h, str) else h.height for h in seen], np.int32),
            np.asarray(["" if isinstance(h, str) else h.mode for h in seen], "S8"),
            {row: why for row, why in enumerate(seen) if isinstance(why, str)},
        )
        if len(headers.problems) == len(seen):
            raise DataError(
                f"none of the {len(seen):,} images in {name} can be read; "
                f"{found.ids[0]}: {headers.problems[0]}."
            )
        h, w = size or common_size(headers, found.ids, name)
        white, notes = common_white(
            headers, lambda row: _highest(found.contents[row]), pool
        )
    source = PackedImages(
        name,
        found.ids,
        found.contents,
        shape=(h, w, COLORS[color] if color else common_channels(headers)),
        white=white,
        column=found.column,
        n_threads=cpu_count() or 1,
        labels=found.labels,
        class_names=found.class_names,
    )
    source.known_problems |= headers.problems
    source.notes = (*found.notes, *notes)
    return source


def _header(content: Content) -> Header | str:
    """Read the size and mode of an image; or say why it is none."""
    try:
        return read_header(io.BytesIO(_bytes_of(content)))
    except Exception as error:  # PIL raises whatever its parsers meet
        return reason(error)


def _highest(content: Content) -> int:
    try:
        return highest_gray(io.BytesIO(_bytes_of(content)))
    except Exception:  # PIL raises anything; `read` will name the image
        return 0


class PackedImages(ImageSource):
    """Images of which only the encoded bytes are known, brought to a given shape.

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
    labels : (n,) true classes, -1 where unknown.
    class_names : the k names that `labels` points into.
    """

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
        labels: NDArray[np.int64] | None = None,
        class_names: tuple[str, ...] | None = None,
    ) -> None:
        self.name, self.ids, self.shape = name, ids, shape
        self.labels, self.class_names = labels, class_names
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
                # Without the first slash nothing that this file shares is cut off.
                ids = [name.lstrip("/") for name in self.ids]
                names = names_of_folders(
                    ids, self.labels, self.class_names, are_classes=False
                )
                self._folders = names.tolist()
            folders = self._folders or ()
            return np.fromiter((folders[row] for row in wanted), object, len(wanted))
        if self._column is None:
            raise DataError(
                f"{self.name} is listed in no table, so there is no {what}; give a "
                "CSV or Parquet table with the images' paths."
            )
        column = self._column(what.name)
        check_tells_no_labels(column, self.labels, f"{what} of {self.name}")
        return np.fromiter((column[row] for row in wanted), object, len(wanted))

    def table(self, rows: slice = slice(None)) -> pa.Table:
        """Give ids and keys; sizes are not kept."""
        problems = [self.known_problems.get(row) for row in range(len(self))[rows]]
        n = len(problems)
        columns = [
            pa.array(self.ids[rows], pa.string()),
            keys_to_text(self.keys[rows]),
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
        return _bytes_of(self._contents[row])

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


def _bytes_of(content: Content) -> bytes:
    if isinstance(content, DataError):
        raise content
    return _read(content) if isinstance(content, str) else bytes(content)


def _read(place: str) -> bytes:
    if os.path.exists(place):
        with open(place, "rb") as file:
            return file.read()
    return read_place(place)


def _reason(error: Exception) -> str:
    """Say why, without the place: the row names it."""
    cause = error.__cause__
    return reason(cause if isinstance(cause, OSError) else error)
