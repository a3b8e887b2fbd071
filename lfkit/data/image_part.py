"""Some rows of a data set, as a data set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfkit.data.image_source import ImageSource, MetadataField, ReadImages


class ImagePart(ImageSource):
    """Some rows of a source, as a source.

    Attributes
    ----------
    rows : (n,) rows of the whole, ascending.
    """

    def __init__(self, whole: ImageSource, rows: NDArray[np.int64]) -> None:
        self._whole = whole
        self.rows = rows
        self.name = whole.name
        self.shape = whole.shape
        self.ids = [whole.ids[row] for row in rows.tolist()]
        self.keys = whole.keys[rows]
        self.labels = None if whole.labels is None else whole.labels[rows]
        self.class_names = whole.class_names
        self.known_problems = {
            position: whole.known_problems[row]
            for position, row in enumerate(rows.tolist())
            if row in whole.known_problems
        }

    def path(self, row: int) -> str | None:
        """Name the whole's file."""
        return self._whole.path(int(self.rows[row]))

    @property
    def decoding(self) -> str:
        """That of the whole."""
        return self._whole.decoding

    def read(self, rows: NDArray[np.int64]) -> ReadImages:
        """Read from the whole."""
        return self._whole.read(self.rows[rows])

    def metadata(self, what: MetadataField, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Give the whole's."""
        return self._whole.metadata(what, self.rows[rows])

    def table(self, rows: slice = slice(None)) -> pa.Table:
        """Give the whole's rows."""
        chosen = self.rows[rows]
        start, stop = (chosen[0], chosen[-1] + 1) if len(chosen) else (0, 0)
        return self._whole.table(slice(start, stop)).take(pa.array(chosen - start))
