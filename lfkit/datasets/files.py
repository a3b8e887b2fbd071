"""Images that are files of their own: indexed once, decoded when asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfkit.datasets.columns import TextColumn
from lfkit.datasets.file_index import FileIndex, index_files
from lfkit.datasets.pixels import (
    COLORS,
    DECODER_VERSION,
    check_look,
    decode,
    is_gray,
    quiet_pil,
    reason,
)
from lfkit.errors import EXHAUSTED, DataError, storage_error
from lfkit.images import ImageSource, ReadImages


@dataclass(frozen=True)
class Files:
    """What a folder or manifest holds, before any file is opened.

    Attributes
    ----------
    folder : where the names begin.
    names : n paths as bytes, relative to the folder or absolute.
    labels : (n,) int64, -1 where unknown, or None.
    class_names : the k names that `labels` points into, or None.
    notes : what a user should know of how they were found.
    """

    folder: str
    names: pa.Array
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


class FileSource(ImageSource):
    """Images that are files, read by as many threads as there are processors.

    Every file arrives upright (EXIF), its first frame only, transparent parts on
    white, 16-bit gray scaled to 8. Files that cannot be read are named in
    `known_problems`, or by `read` if only decoding shows it; they never raise.

    Parameters
    ----------
    size : (height, width) that every image is stretched to, not cropped.
    color : "gray" or "rgb"; by default gray if every file is, else RGB.
    known : the table of an earlier run; unchanged files are not read again.
    progress : called with the number of files indexed and the number of all.
    """

    def __init__(
        self,
        files: Files,
        *,
        name: str,
        size: tuple[int, int] | None = None,
        color: str | None = None,
        known: pa.Table | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        check_look(size, color)
        self.name = name
        self.ids = ids = TextColumn(_as_text(files.names))
        self.labels = files.labels
        self.class_names = files.class_names
        self.notes = files.notes
        self._names = files.names
        self._folder = os.fsencode(files.folder)
        self._size = size
        self._color = color
        self._pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="lfkit-read")
        self._index = index_files(
            ids, self._path, self._pool, known=known, progress=progress
        )
        self.keys = self._index.keys
        self.known_problems = self._index.problems
        h, w = size or _common_size(self._index, ids, name)
        self.shape = (h, w, COLORS[color] if color else _channels(self._index))

    @property
    def decoding(self) -> str:
        """Names size, colour, and the versions of what turns files into pixels."""
        h, w, c = self.shape
        stretched = "own" if self._size is None else f"{h}x{w}"
        color = self._color or "auto"
        return f"{h}x{w}x{c} size={stretched} color={color} {DECODER_VERSION}"

    def read(self, rows: NDArray[np.int64]) -> ReadImages:
        """Decode some files, each in a thread: (b, h, w, c)."""
        wanted = np.asarray(rows, dtype=np.int64)
        pixels = np.zeros((len(wanted), *self.shape), np.uint8)  # (b, h, w, c)

        def read_into(position: int) -> tuple[str | None, bool]:
            return self._read_into(pixels[position], int(wanted[position]))

        with quiet_pil():
            faults = list(self._pool.map(read_into, range(len(wanted))))
        return ReadImages(
            pixels,
            {i: text for i, (text, _) in enumerate(faults) if text},
            frozenset(i for i, (_, is_passing) in enumerate(faults) if is_passing),
        )

    def table(self) -> pa.Table:
        """Give one row per file; pass it as `known` to skip unchanged files."""
        return self._index.table()

    def path(self, row: int) -> str:
        """Name the file."""
        return os.fsdecode(self._path(row))

    def _path(self, row: int) -> bytes:
        return os.path.join(self._folder, self._names[row].as_py())

    def _read_into(
        self, pixels: NDArray[np.uint8], row: int
    ) -> tuple[str | None, bool]:
        """Decode one file into its place; give what is wrong, and if it may pass."""
        row %= len(self)  # as arrays do: -1 is the last
        if row in self.known_problems:
            return self.known_problems[row], False
        try:
            with open(self._path(row), "rb") as file:
                if os.fstat(file.fileno()).st_mtime_ns != self._index.mtime_ns[row]:
                    # Its votes would be kept under the key of what it was.
                    return (
                        "the file has changed since it was indexed; start again",
                        True,
                    )
                image = decode(file, channels=self.shape[2], size=self._size)
            if image.shape != self.shape:
                h, w = image.shape[:2]
                return f"decoded to {h}x{w} pixels, against its header", False
            pixels[:] = image
        except Exception as error:  # PIL raises whatever its parsers meet
            if isinstance(error, OSError) and error.errno in EXHAUSTED:
                raise storage_error(error, os.fsdecode(self._path(row))) from error
            # The system's errors have a number; PIL's, about the content, have none.
            is_passing = isinstance(error, OSError) and error.errno is not None
            return reason(error), is_passing
        return None, False


def _as_text(names: pa.Array) -> pa.Array:
    """View the names as text; bytes that are no UTF-8 are escaped."""
    try:
        return names.cast(pa.string())
    except pa.ArrowInvalid:
        text = [name.decode("utf-8", "backslashreplace") for name in names.to_pylist()]
        return pa.array(text, pa.string())


def _channels(index: FileIndex) -> int:
    modes = np.unique(index.mode[index.width > 0])
    return 1 if all(is_gray(mode.decode()) for mode in modes) else 3


def _common_size(index: FileIndex, ids: TextColumn, name: str) -> tuple[int, int]:
    """Give the height and width that all files share."""
    rows = np.flatnonzero(index.width > 0)
    _check_any(index, ids, name)
    height, width = index.height[rows], index.width[rows]
    sizes = np.unique(np.stack([height, width]), axis=1)  # (2, number of sizes)
    if sizes.shape[1] > 1:
        areas = height.astype(np.int64) * width
        low, high = int(areas.argmin()), int(areas.argmax())
        raise DataError(
            f"images in {name} come in {sizes.shape[1]:,} sizes, from "
            f"{height[low]}x{width[low]} ({ids[rows[low]]}) to "
            f"{height[high]}x{width[high]} ({ids[rows[high]]}); give --size 64 or "
            "--size 64x48 (height x width) to resize them all."
        )
    return int(height[0]), int(width[0])


def _check_any(index: FileIndex, ids: TextColumn, name: str) -> None:
    if len(index.problems) == len(ids):
        raise DataError(
            f"none of the {len(ids):,} files in {name} is an image that can be read; "
            f"{ids[0]}: {index.problems[0]}."
        )
