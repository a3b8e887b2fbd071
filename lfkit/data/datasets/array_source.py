"""Images that are rows of one array, in memory or mapped from a file."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from lfkit.data.datasets.decoding import COLORS, DECODER_VERSION, check_look, fit
from lfkit.data.datasets.label_columns import INDEX_SCHEMA, RowNumbers, keys_to_text
from lfkit.data.image_source import KEY_BYTES, ImageSource, ReadImages
from lfkit.errors import DataError

_HASH_BLOCK_BYTES = 1 << 22


@dataclass(frozen=True)
class Arrays:
    """What a file format's opener found.

    Attributes
    ----------
    images : (n, h, w) or (n, h, w, c) uint8, often mapped from a file.
    labels : (n,) integers, -1 where unknown, or None.
    class_names : the k names that `labels` points into, or None.
    notes : what a user should know of how they were found.
    """

    images: NDArray[Any]
    labels: NDArray[Any] | None = None
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


class ArraySource(ImageSource):
    """Images that are rows of an array.

    Parameters
    ----------
    images : (n, h, w) or (n, h, w, c) uint8, c 1 or 3; a memory map stays on disk.
    labels : (n,) integers, -1 where unknown.
    ids : n unique texts; the row numbers by default.
    size : (height, width) that every image is stretched to when it is read.
    color : "gray" or "rgb", to convert every image when it is read.

    Examples
    --------
    >>> source = ArraySource(np.zeros((2, 8, 8), np.uint8), labels=[0, 1])
    >>> source.shape, list(source.ids)
    ((8, 8, 1), ['0', '1'])
    """

    def __init__(
        self,
        images: NDArray[Any],
        *,
        labels: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        name: str = "array",
        size: tuple[int, int] | None = None,
        color: str | None = None,
    ) -> None:
        check_look(size, color)
        self.name = name
        self._images = _check_images(images, name)  # (n, h, w, c)
        n, h, w, c = self._images.shape
        channels = c if color is None else COLORS[color]
        self.shape = (*(size or (h, w)), channels)
        self.ids = RowNumbers(range(n)) if ids is None else _check_ids(ids, n, name)
        self.class_names = None if class_names is None else tuple(class_names)
        self.labels = _check_labels(labels, n, self.class_names, name)
        self.known_problems = {}

    def __len__(self) -> int:
        return len(self._images)

    @functools.cached_property
    def keys(self) -> NDArray[np.uint8]:  # type: ignore[override]  # hashed when asked
        """Hash every image's bytes, a few megabytes at a time: (n, 16)."""
        n_rows = max(1, _HASH_BLOCK_BYTES // max(1, self._images[:1].nbytes))
        digests = bytearray()
        for start in range(0, len(self), n_rows):
            block = np.ascontiguousarray(self._images[start : start + n_rows])
            for image in block.reshape(len(block), -1):
                digests += hashlib.blake2b(image.data, digest_size=KEY_BYTES).digest()
        return np.frombuffer(digests, np.uint8).reshape(-1, KEY_BYTES)

    @property
    def decoding(self) -> str:
        """Names the shape, and what resizing or converting depends on."""
        shape = super().decoding
        changed = self.shape != self._images.shape[1:]
        return f"{shape} {DECODER_VERSION}" if changed else shape

    def read(self, rows: NDArray[np.int64]) -> ReadImages:
        """Copy some rows out of the array: (b, h, w, c)."""
        held = np.asarray(self._images)[np.asarray(rows, dtype=np.int64)]
        if self.shape == held.shape[1:]:
            return ReadImages(np.ascontiguousarray(held), {})
        pixels = np.empty((len(held), *self.shape), np.uint8)
        h, w, channels = self.shape
        for position, image in enumerate(held):
            picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
            pixels[position] = fit(picture, channels=channels, size=(h, w))
        return ReadImages(pixels, {})

    def table(self, rows: slice = slice(None)) -> pa.Table:
        """Give ids, keys and the stored size; there are no files to be described."""
        keys, (h, w, c) = self.keys[rows], self._images.shape[1:]
        n = len(keys)
        columns = [
            pa.array(self.ids[rows], pa.string()),
            keys_to_text(keys),
            pa.array(np.full(n, w, np.int32)),
            pa.array(np.full(n, h, np.int32)),
            pa.repeat("L" if c == 1 else "RGB", n),
            *(pa.nulls(n, pa.int64()) for _ in range(4)),  # there is no file
            pa.nulls(n, pa.string()),
        ]
        return pa.table(columns, schema=INDEX_SCHEMA)


def as_source(images: NDArray[Any] | ImageSource) -> ImageSource:
    """Take an array of images as a source; a source stays what it is."""
    if isinstance(images, ImageSource):
        return images
    return ArraySource(np.asarray(images))


def check_dtype(values: NDArray[Any], name: str) -> None:
    """Refuse pixels that are not uint8, saying how to convert them.

    Parameters
    ----------
    values : some of the pixels, to tell the range.
    """
    if values.dtype == np.uint8:
        return
    if values.dtype.kind not in "buif" or values.size == 0:
        raise DataError(
            f"{name} holds {values.dtype}; lfkit reads uint8 pixels from 0 to 255."
        )
    low, high = values.min().item(), values.max().item()
    raise DataError(
        f"{name} holds {values.dtype.name} from {low:g} to {high:g}; lfkit reads uint8 "
        f"pixels from 0 to 255: {_conversion(values.dtype, low, high)}."
    )


def _conversion(dtype: np.dtype[Any], low: float, high: float) -> str:
    cast = 'then convert with .astype("uint8")'
    if dtype == np.bool_:
        return f"multiply by 255, {cast}"
    if dtype.kind == "f" and low >= 0 and high <= 1:
        return f"multiply by 255 and round, {cast}"
    if dtype.kind == "f" and low >= -1 and high <= 1:
        return f"add 1, multiply by 127.5 and round, {cast}"
    if low >= 0 and high <= 255:
        return f"round, {cast}" if dtype.kind == "f" else 'use .astype("uint8")'
    if dtype == np.uint16:
        return f"divide by 257 and round, {cast}"
    return f"scale them to that range and round, {cast}"


def _check_images(images: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if not isinstance(images, np.ndarray) or images.ndim not in (3, 4):
        shape = getattr(images, "shape", type(images).__name__)
        raise DataError(
            f"the images of {name} have shape {shape}; give an array (n, h, w) or "
            "(n, h, w, c)."
        )
    check_dtype(images[:1000], name)
    stacked = images[..., None] if images.ndim == 3 else images  # (n, h, w, c)
    if stacked.shape[3] not in COLORS.values() or 0 in stacked.shape[1:]:
        raise DataError(
            f"the images of {name} have shape {images.shape}; lfkit reads (n, h, w), "
            "(n, h, w, 1) for gray and (n, h, w, 3) for RGB: move the channels last."
        )
    return stacked


def _check_ids(ids: Sequence[str], n: int, name: str) -> Sequence[str]:
    n_different = len(set(ids))
    if len(ids) != n or n_different != n:
        raise DataError(
            f"{name} has {n} images and {len(ids)} ids, {n_different} of them "
            "different; give each image an id of its own."
        )
    return ids


def _check_labels(
    labels: ArrayLike | None, n: int, class_names: tuple[str, ...] | None, name: str
) -> NDArray[np.int64] | None:
    if labels is None:
        return None
    given = np.asarray(labels)
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]  # (n,)
    if given.shape != (n,) or given.dtype.kind not in "iu":
        raise DataError(
            f"the labels of {name} are {given.dtype} of shape {given.shape}; give one "
            f"integer for each of its {n} images, -1 where unknown."
        )
    n_classes = None if class_names is None else len(class_names)
    wrong = given < -1 if n_classes is None else (given < -1) | (given >= n_classes)
    if wrong.any():
        row = int(np.argmax(wrong))
        highest = "any number" if n_classes is None else n_classes - 1
        raise DataError(
            f"image {row} of {name} has label {given[row]}; a label is a class number "
            f"from 0 to {highest}, or -1 where it is unknown."
        )
    return given.astype(np.int64)
