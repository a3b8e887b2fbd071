"""Feature rows from arrays, from a run folder, or made of pixels, a chunk at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_source import ImageSource, content_groups
from lfkit.errors import InputError
from lfkit.features.color import color_grid
from lfkit.features.feature import Feature, extract
from lfkit.features.gist import gist
from lfkit.features.hog import hog
from lfkit.features.texture import lbp_grid
from lfkit.features.thumbnail import thumbnail
from lfkit.runs.cache_keys import fingerprint
from lfkit.runs.store import Block, Store, block_size

if TYPE_CHECKING:
    from lfkit.refinement.tunable_images import TunableImages

_CHUNK_ROWS = 4096

Chunks = Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]


class FeatureSet(Protocol):
    """Several features of the same n images, side by side.

    Attributes
    ----------
    widths : how many numbers each feature has; each feature counts alike.
    key : a hash of what the values depend on.
    """

    widths: tuple[int, ...]
    key: str

    def __len__(self) -> int: ...

    def chunks(self, every: int = 1) -> Chunks:
        """Yield rows and their (b, d) values until each was there once.

        Parameters
        ----------
        every : only rows 0, every, 2 every, … are wanted.
        """


class ArrayFeatures:
    """Features held in memory.

    Parameters
    ----------
    arrays : each (n, ...).
    """

    def __init__(self, arrays: Sequence[NDArray[Any]]) -> None:
        if not arrays:
            raise InputError(
                "features is an empty list; give one (n, ...) array per feature, or "
                "None to make some of the pixels."
            )
        self._arrays = [np.asarray(array) for array in arrays]
        lengths = [len(array) for array in self._arrays]
        if len(set(lengths)) > 1:
            raise InputError(
                f"features have {lengths} rows; each needs one row per image."
            )
        self._arrays = [
            array.reshape(len(array), int(np.prod(array.shape[1:], dtype=np.int64)))
            for array in self._arrays
        ]
        self.widths = tuple(array.shape[1] for array in self._arrays)
        self.key = fingerprint(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays[0])

    def chunks(self, every: int = 1) -> Chunks:
        """Yield rows and their (b, d) values until each was there once."""
        for rows in row_chunks(len(self), every):
            parts = [array[rows].astype(np.float32) for array in self._arrays]
            yield rows, np.concatenate(parts, axis=1)


class StoredFeatures:
    """Features of a run folder, read block by block.

    A feature that is not stored for every block, or has no value at all, is left out.
    Those that learned from the seeds' labels must not be among the keys: a classifier
    trained on them would see each label twice.

    Parameters
    ----------
    keys : of the features in the store.
    network : what computed them, if it can be trained on.

    Attributes
    ----------
    keys : of those that are not left out, in the order of `widths`.
    """

    def __init__(
        self,
        store: Store,
        source: ImageSource,
        keys: Collection[str],
        network: TunableImages | None = None,
    ) -> None:
        self.network = network
        self._store, self._n = store, len(source)
        self._blocks = store.layout(source.keys, block_size(source.shape))
        # Blocks hold the first of equal images; the copies are read with it.
        _, self._group = content_groups(source.keys)
        self._order = np.argsort(self._group, kind="stable")
        self._sizes = np.bincount(self._group)
        widths = {key: self._width(key) for key in sorted(keys)}
        self.keys = [key for key, width in widths.items() if width]
        self.widths = tuple(widths[key] for key in self.keys)
        self.key = fingerprint((self.keys, source.decoding, source.keys))

    def __len__(self) -> int:
        return self._n

    def chunks(self, every: int = 1) -> Chunks:
        """Yield rows and their (b, d) values until each was there once."""
        starts = np.cumsum(self._sizes) - self._sizes
        for block in self._blocks:
            groups = self._group[block.rows]
            sizes = self._sizes[groups]
            place = np.repeat(np.arange(len(groups)), sizes)
            within = np.arange(len(place)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            rows = self._order[starts[groups][place] + within]
            wanted = rows % every == 0
            values = self._block(block)
            yield rows[wanted], values[place[wanted]]

    def _block(self, block: Block) -> NDArray[np.float32]:
        """Give a block's (b, d) values, NaN where a feature failed on all of it."""
        parts = [np.zeros((len(block.rows), 0), np.float32)]
        for key, width in zip(self.keys, self.widths, strict=True):
            values = self._values(key, block)
            # It is then stored without its width.
            if values.shape[1] != width:
                values = np.full((len(block.rows), width), np.nan, np.float32)
            parts.append(values.astype(np.float32))
        return np.concatenate(parts, axis=1)

    def _width(self, key: str) -> int:
        """Give a feature's width; 0 if a block lacks it or it failed everywhere."""
        if not all(self._store.has("features", key, b.id) for b in self._blocks):
            return 0
        widths = (self._values(key, block).shape[1] for block in self._blocks)
        return next((width for width in widths if width), 0)

    def _values(self, key: str, block: Block) -> NDArray[Any]:
        arrays = self._store.load("features", key, block.id)
        assert arrays is not None, "_width has looked"
        values = arrays["values"]
        return values.reshape(len(block.rows), values.size // max(len(block.rows), 1))


def default_features(channels: int) -> list[Feature]:
    """Give features that need no labels, for images whose votes come from elsewhere."""
    found = [hog(cell=4), hog(cell=7), gist, lbp_grid, thumbnail(14)]
    return [*found, color_grid] if channels == 3 else found


class PixelFeatures:
    """`default_features` of images in memory, computed whenever they are read.

    Parameters
    ----------
    pixels : (n, h, w, c) uint8.
    """

    from_pixels: ClassVar[bool] = True

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._pixels = pixels
        self._features = default_features(pixels.shape[3])
        example = self._values(np.zeros((1, *pixels.shape[1:]), np.uint8))
        self.widths = tuple(part.shape[1] for part in example)
        self.key = fingerprint((pixels, self._features))

    def __len__(self) -> int:
        return len(self._pixels)

    def chunks(self, every: int = 1) -> Chunks:
        """Yield rows and their (b, d) values until each was there once."""
        for rows in row_chunks(len(self), every):
            yield rows, np.concatenate(self._values(self._pixels[rows]), axis=1)

    def _values(self, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        found = extract(self._features, pixels)
        return [found[node].reshape(len(pixels), -1) for node in self._features]


def row_chunks(n: int, every: int) -> Iterator[NDArray[np.int64]]:
    """Divide rows 0, every, 2 every, … into chunks."""
    wanted = np.arange(0, n, every)
    for start in range(0, len(wanted), _CHUNK_ROWS):
        yield wanted[start : start + _CHUNK_ROWS]
