"""Images of a data set as small pictures inside a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lfkit.data.image_source import ImageSource

_LARGEST = 96  # px: larger images are made smaller
_SMALL = 48  # px: up to here lossless
_READ_AT_ONCE = 256


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """Turn (h, w, c) uint8 into an address that holds the picture itself."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((_LARGEST, _LARGEST))
    buffer = io.BytesIO()
    kind = "png" if max(image.size) <= _SMALL else "webp"
    if kind == "png":
        image.save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "WEBP", quality=82)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


class Album:
    """Pictures of a source by row; each is read once."""

    def __init__(self, source: ImageSource) -> None:
        self.source = source
        self._found: dict[int, str] = {}

    def read(self, rows: Iterable[int]) -> None:
        """Read rows that will be shown, many at a time."""
        wanted = np.asarray(sorted({*map(int, rows)} - {*self._found}), np.int64)
        for start in range(0, len(wanted), _READ_AT_ONCE):
            part = wanted[start : start + _READ_AT_ONCE]
            found = self.source.read(part)
            for place, row in enumerate(part.tolist()):
                self._found[row] = (
                    "" if place in found.problems else data_uri(found.pixels[place])
                )

    def __call__(self, row: int) -> str:
        """Give the address of a row's picture; "" if it cannot be read."""
        self.read([row])
        return self._found[int(row)]
