"""Images as lfkit sees them: (h, w, c) uint8, read a few rows at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

KEY_BYTES = 16


@dataclass(frozen=True)
class ReadImages:
    """Some rows of a source.

    Attributes
    ----------
    pixels : (b, h, w, c) uint8; rows that could not be read are zero.
    problems : position in the batch → why that image could not be read.
    transient : positions whose problem may be gone the next time, such as a file that
        is being written; nothing computed beside them is kept.
    """

    pixels: NDArray[np.uint8]
    problems: dict[int, str]
    transient: frozenset[int] = frozenset()


class MetadataField(NamedTuple):
    """One thing that may be known of an image beside its pixels.

    Attributes
    ----------
    kind : "file_name", "folder", "exif" or "column".
    name : of the EXIF tag or of the column.
    """

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}" if self.name else self.kind


class ImageSource(ABC):
    """A data set of images, indexed but not loaded: memory does not grow with n pixels.

    Attributes
    ----------
    name : what the user calls it.
    shape : (h, w, c), the same for every image.
    ids : n image ids, unique (paths relative to the folder, or row numbers as text).
    keys : (n, 16) uint8
        A content hash per image: of the file's bytes, or of the array's.
    labels : (n,) int64 or None
        True classes for scoring, -1 where unknown; None when the data has none.
    class_names : the k names that `labels` points into, or None.
    known_problems : row → what the index already found wrong with that image.
    notes : what a user should know of how the data was read.
    """

    name: str
    shape: tuple[int, int, int]
    ids: Sequence[str]
    keys: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...] | None
    known_problems: dict[int, str]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def decoding(self) -> str:
        """Names how files become pixels; part of the key of all that is computed."""
        return "x".join(str(side) for side in self.shape)

    @abstractmethod
    def read(self, rows: NDArray[np.int64]) -> ReadImages:
        """Read some images. A file that cannot be read is reported, never raised."""

    def path(self, row: int) -> str | None:
        """Name the file that an image is read from; None if it is part of a larger."""
        return None

    def metadata(self, what: MetadataField, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Give what is known of some images beside their pixels.

        Returns
        -------
        (b,) objects: text, or a number or tuple of an EXIF tag; None where it is not
        known.

        Raises
        ------
        DataError
            If it is known of no image, or if it is what labels are scored by.
        """
        raise DataError(
            f"the images of {self.name} are no files, and have no {what}; give a "
            "folder of images, or a table that lists them."
        )

    @abstractmethod
    def table(self, rows: slice = slice(None)) -> pa.Table:
        """Give the index as columns for images.parquet; `known` reads it back.

        Parameters
        ----------
        rows : of the images to list.
        """


def content_groups(
    keys: NDArray[np.uint8],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Group images by content: each group's first row, (g,), each image's group, (n,).

    >>> content_groups(np.asarray([[7, 7], [1, 2], [7, 7]], np.uint8))
    (array([1, 0]), array([1, 0, 1]))
    """
    if not len(keys):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    start = np.zeros((len(keys), 8), np.uint8)
    start[:, : keys.shape[1]] = keys[:, :8]
    numbers = start.view(">u8").astype(np.uint64).ravel()
    order = np.argsort(numbers, kind="stable")  # a quarter of the time of whole keys
    numbers = numbers[order]
    is_first = np.ones(len(keys), bool)
    is_first[1:] = numbers[1:] != numbers[:-1]
    first = order[is_first]
    group = np.empty(len(keys), np.int64)
    group[order] = np.cumsum(is_first) - 1
    copies = order[~is_first]
    if np.array_equal(keys[copies], keys[first[group[copies]]]):
        return first, group
    packed = np.ascontiguousarray(keys).view(f"V{keys.shape[1]}").ravel()
    _, first, group = np.unique(packed, return_index=True, return_inverse=True)
    return first.astype(np.int64), group.reshape(-1).astype(np.int64)
