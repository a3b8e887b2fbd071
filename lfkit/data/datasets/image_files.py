"""Images that are files of their own: indexed once, decoded when asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

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
    DEEP_WHITE,
    check_look,
    decode,
    highest_gray,
    quiet_pil,
    reason,
)
from lfkit.data.datasets.exif import read_exif
from lfkit.data.datasets.file_index import FileIndex, index_files
from lfkit.data.datasets.folder_names import (
    check_tells_no_labels,
    names_of_folders,
)
from lfkit.data.datasets.label_columns import TextColumn
from lfkit.data.image_source import (
    ImageSource,
    MetadataField,
    ReadImages,
    content_groups,
)
from lfkit.errors import EXHAUSTED, DataError, storage_error


@dataclass(frozen=True)
class Files:
    """What a folder or manifest holds, before any file is opened.

    Attributes
    ----------
    folder : where the names begin.
    names : n paths as bytes, relative to the folder or absolute.
    labels : (n,) int64, -1 where unknown, or None.
    class_names : the k names that `labels` points into, or None.
    splits : n names such as "train", null where there is none, or None.
    folders_are_classes : whether `labels` are names of folders.
    column : reads a column of a table that lists the files: n texts, None where there
        is none; None where no table does.
    notes : what a user should know of how they were found.
    """

    folder: str
    names: pa.Array
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] | None = None
    splits: pa.Array | None = None
    folders_are_classes: bool = True
    column: Callable[[str], list[str | None]] | None = None
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
        self.ids = ids = TextColumn(names_as_text(files.names))
        self.labels = files.labels
        self.class_names = files.class_names
        self._names = files.names
        self._folder = os.fsencode(files.folder)
        self._size = size
        self._color = color
        self._threads: tuple[int, ThreadPoolExecutor] | None = None
        self._index = index_files(
            ids, self._path, self._pool(), known=known, progress=progress
        )
        self.keys = self._index.keys
        self.known_problems = self._index.problems
        _check_any(self._index, ids, name, self._path(0))
        h, w = size or common_size(self._index, ids, name)
        self.shape = (h, w, COLORS[color] if color else common_channels(self._index))
        self._splits = files.splits
        self._folders_are_classes = files.folders_are_classes
        self._read_column = files.column
        self._told: dict[MetadataField, NDArray[Any]] = {}
        self._white, depth_notes = common_white(
            self._index, self._highest, self._pool()
        )
        self.notes = (*files.notes, *depth_notes, *_contradictions(self))

    def _pool(self) -> ThreadPoolExecutor:
        """Give threads of this process: a fork has none of those before it."""
        if self._threads is None or self._threads[0] != os.getpid():
            pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="lfkit-read")
            self._threads = os.getpid(), pool
        return self._threads[1]

    @property
    def decoding(self) -> str:
        """Names size, colour, and the versions of what turns files into pixels."""
        h, w, c = self.shape
        stretched = "own" if self._size is None else f"{h}x{w}"
        color = self._color or "auto"
        white = "" if self._white == DEEP_WHITE else f" white={self._white}"
        return f"{h}x{w}x{c} size={stretched} color={color}{white} {DECODER_VERSION}"

    def read(self, rows: NDArray[np.int64]) -> ReadImages:
        """Decode some files, each in a thread: (b, h, w, c)."""
        wanted = np.asarray(rows, dtype=np.int64)
        pixels = np.zeros((len(wanted), *self.shape), np.uint8)  # (b, h, w, c)

        def read_into(position: int) -> tuple[str | None, bool]:
            return self._read_into(pixels[position], int(wanted[position]))

        with quiet_pil():
            faults = list(self._pool().map(read_into, range(len(wanted))))
        return ReadImages(
            pixels,
            {i: text for i, (text, _) in enumerate(faults) if text},
            frozenset(i for i, (_, is_passing) in enumerate(faults) if is_passing),
        )

    def table(self, rows: slice = slice(None)) -> pa.Table:
        """Give one row per file; pass it as `known` to skip unchanged files.

        Data that has splits has one more column, `split`.
        """
        table = self._index.table(rows)
        if self._splits is None:
            return table
        held = range(len(self))[rows]
        splits = self._splits.slice(held.start, len(held))
        return table.append_column("split", splits)

    def metadata(self, what: MetadataField, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Give names, EXIF or a column of the table that lists the files: (b,)."""
        wanted = np.asarray(rows, np.int64)
        if what.kind == "exif":
            with quiet_pil():
                found = self._pool().map(lambda row: self._exif(row, what.name), wanted)
                return np.fromiter(found, object, len(wanted))
        if what.kind == "file_name":
            names = [self.ids[row].rpartition("/")[2] for row in wanted]
            return np.fromiter(names, object, len(wanted))
        if what not in self._told:
            self._told[what] = self._tell(what)
        return self._told[what][wanted]

    def path(self, row: int) -> str:
        """Name the file."""
        return os.fsdecode(self._path(row))

    def _tell(self, what: MetadataField) -> NDArray[Any]:
        """Give metadata of all images, (n,)."""
        if what.kind == "folder":
            found = names_of_folders(
                self.ids,
                self.labels,
                self.class_names,
                are_classes=self._folders_are_classes,
            )
            if not any(found.tolist()) and any("/" in name for name in self.ids):
                raise DataError(
                    f"the folders of {self.name} tell the labels that functions are "
                    "scored by, and no other folder is left to be read; give a table "
                    "of the files without a column of labels, or read the file_name."
                )
            return found
        if self._read_column is None:
            raise DataError(
                f"{self.name} is listed in no table, so there is no {what}; give a "
                "CSV or Parquet table with the images' paths, or put a metadata.csv "
                "beside them."
            )
        column = self._read_column(what.name)
        check_tells_no_labels(column, self.labels, f"{what} of {self.name}")
        return np.fromiter(column, object, len(column))

    def _exif(self, row: int, tag: str) -> str | float | tuple[float, ...] | None:
        try:
            with open(self._path(row), "rb") as file:
                return read_exif(file, tag)
        except OSError:  # the index, or `read`, names the file
            return None

    def _highest(self, row: int) -> int:
        try:
            with open(self._path(row), "rb") as file:
                return highest_gray(file)
        except Exception:  # PIL raises anything; `read` will name the file
            return 0

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
                image = decode(
                    file, channels=self.shape[2], size=self._size, white=self._white
                )
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


def names_as_text(names: pa.Array) -> pa.Array:
    """View the names as text; bytes that are no UTF-8 are escaped."""
    try:
        return names.cast(pa.string())
    except pa.ArrowInvalid:
        pass
    text, seen = [], set()
    for name in names.to_pylist():
        escaped = name.decode("utf-8", "backslashreplace")
        while escaped in seen:  # a name may be written like another's escape
            escaped += "\\"
        seen.add(escaped)
        text.append(escaped)
    return pa.array(text, pa.string())


def _contradictions(source: FileSource) -> tuple[str, ...]:
    """Say which files have the same content and different labels."""
    labels = source.labels
    if labels is None:
        return ()
    rows = np.flatnonzero((labels >= 0) & source.keys.any(axis=1))
    first, group = content_groups(source.keys[rows])
    other = np.flatnonzero(labels[rows] != labels[rows][first[group]])
    if not len(other):
        return ()
    second = int(rows[other[0]])
    twin = int(rows[first[group[other[0]]]])
    names = [
        str(labels[row])
        if source.class_names is None
        else source.class_names[labels[row]]
        for row in (twin, second)
    ]
    files = "1 file has" if len(other) == 1 else f"{len(other):,} files have"
    return (
        f"{files} the same content as a file of another class, such as "
        f"{source.ids[twin]} ({names[0]}) and {source.ids[second]} ({names[1]})",
    )


def _check_any(index: FileIndex, ids: TextColumn, name: str, first: bytes) -> None:
    if len(index.problems) == len(ids):
        where = "" if index.file_size[0] >= 0 else f" at {os.fsdecode(first)}"
        raise DataError(
            f"none of the {len(ids):,} files in {name} is an image that can be read; "
            f"{ids[0]}: {index.problems[0]}{where}."
        )
