"""What the images of a data set have in common: size, color, depth of gray."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lfkit.data.datasets.decoding import DEEP_WHITE, is_deep, is_gray, quiet_pil
from lfkit.errors import DataError

_N_DEPTH_SAMPLES = 16
_DARK = 16383  # 14 bits: what some cameras and microscopes write into 16


class Headers(Protocol):
    """What n images say of themselves before they are decoded.

    Attributes
    ----------
    width, height : (n,) in pixels, as seen; 0 where there is a problem.
    mode : (n,) PIL's mode, as bytes.
    problems : row → why it is not an image that can be read.
    """

    @property
    def width(self) -> NDArray[np.int32]:
        """(n,)."""

    @property
    def height(self) -> NDArray[np.int32]:
        """(n,)."""

    @property
    def mode(self) -> NDArray[np.bytes_]:
        """(n,)."""

    @property
    def problems(self) -> dict[int, str]:
        """By row."""


def common_channels(headers: Headers) -> int:
    """Give 1 if all are gray, else 3."""
    modes = np.unique(headers.mode[headers.width > 0])
    return 1 if all(is_gray(mode.decode()) for mode in modes) else 3


def common_size(headers: Headers, ids: Sequence[str], name: str) -> tuple[int, int]:
    """Give the height and width that all images share.

    Raises
    ------
    DataError
        If they come in several sizes.
    """
    rows = np.flatnonzero(headers.width > 0)
    height, width = headers.height[rows], headers.width[rows]
    sizes = np.unique(np.stack([height, width]), axis=1)  # (2, number of sizes)
    if sizes.shape[1] > 1:
        areas = height.astype(np.int64) * width
        low, high = int(areas.argmin()), int(areas.argmax())
        raise DataError(
            f"images in {name} come in {sizes.shape[1]:,} sizes, from "
            f"{height[low]}x{width[low]} ({ids[rows[low]]}) to "
            f"{height[high]}x{width[high]} ({ids[rows[high]]}); give --size 64 or "
            "--size 64x48 (height x width) to resize them all, --size 192 where a "
            "network looks at photographs."
        )
    return int(height[0]), int(width[0])


def common_white(
    headers: Headers, highest: Callable[[int], int], pool: ThreadPoolExecutor
) -> tuple[int, tuple[str, ...]]:
    """Find what is white in gray of 16 and 32 bits, by a sample; and what to tell.

    Programs write 8 bits as 16 or 32, too; scaled by 257 they would be black.

    Parameters
    ----------
    highest : row → the highest value of that image.
    """
    modes = np.unique(headers.mode)
    deep = [mode for mode in modes if is_deep(mode.decode())]
    rows = np.flatnonzero(np.isin(headers.mode, deep))
    if not len(rows):
        return DEEP_WHITE, ()
    sample = rows[np.linspace(0, len(rows) - 1, _N_DEPTH_SAMPLES).astype(int)]
    with quiet_pil():
        found = max(pool.map(highest, np.unique(sample).tolist()))
    files = "1 file" if len(rows) == 1 else f"{len(rows):,} files"
    if 0 < found <= 255:
        return 255, (
            f"the gray of {files} of 16 or 32 bits goes up to {found} only, and "
            "is read as it is, as 8 bits",
        )
    if 0 < found <= _DARK:
        return DEEP_WHITE, (
            f"the gray of {files} of 16 or 32 bits goes up to {found:,} of "
            f"{DEEP_WHITE:,} only: the images are dark; scale them if white is "
            "less than that",
        )
    return DEEP_WHITE, ()
