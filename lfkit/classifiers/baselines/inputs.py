"""What plain classifiers see of images: pixels, stored features, networks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.classifiers.baselines.baseline import Inputs
from lfkit.classifiers.baselines.contenders import FEATURES, PIXELS
from lfkit.classifiers.baselines.feature_matrix import FeatureMatrix
from lfkit.data.image_source import ImageSource
from lfkit.data.progress import Progress
from lfkit.data.read_images import box_means, read_images
from lfkit.data.vote_columns import originals
from lfkit.features.feature import Feature
from lfkit.runs.store import Block, RunStore, block_size

_LARGEST_SIDE = 32  # of the images that classifiers on pixels see
_WIDE = 16  # numbers that a feature needs to be tried on its own


def is_stored(source: ImageSource, store: RunStore, keys: Collection[str]) -> bool:
    """Report whether features of all blocks are in the store."""
    blocks = _blocks(source, store)
    return all(store.has("features", key, b.id) for key in keys for b in blocks)


def usable_keys(features: Mapping[Feature, str]) -> set[str]:
    """Give the keys of features that did not learn from the seeds themselves."""
    return {key for node, key in features.items() if not node.learns_from_labels}


class SeedInputs:
    """What classifiers see of the readable seeds, and where the rest of it lies.

    Parameters
    ----------
    rows, labels : (s,) seeds and their classes.
    keys : of the stored features that classifiers may see.
    networks : (n, d) each: main directions of what frozen networks see, by name.

    Attributes
    ----------
    rows, labels, content : (s,) readable seeds, their classes, and the first image with
        the content of each.
    seeds : inputs of these.
    blocks, table : where the features are stored, and those that are whole on seeds.
    """

    def __init__(
        self,
        source: ImageSource,
        rows: NDArray[np.int64],
        labels: NDArray[np.int64],
        store: RunStore,
        features: Mapping[Feature, str],
        keys: Collection[str],
        networks: Inputs,
    ) -> None:
        pixels, readable = read_images(source, rows, shrink=_small)
        self.rows, self.labels = rows[readable], labels[readable]
        # Blocks hold the first of copies.
        self.content = originals(source.keys)[self.rows]
        self.blocks = _blocks(source, store)
        self.table = FeatureMatrix(store, self.blocks, sorted(keys), self.content)
        self.networks = networks
        self._names = _names(self.table.widths, features)
        self.seeds = self.inputs(pixels[readable], self.table.seeds, self.rows)

    def inputs(
        self,
        pixels: NDArray[np.uint8],
        features: NDArray[np.float32],
        rows: NDArray[np.int64],
    ) -> dict[str, NDArray[Any]]:
        """Give what classifiers see of some images, all features side by side."""
        found: dict[str, NDArray[Any]] = {}
        start = 0
        if self.table.widths:
            found[FEATURES] = features
        for key, width in self.table.widths.items():
            if key in self._names:
                found[self._names[key]] = features[:, start : start + width]
            start += width
        for name, array in self.networks.items():
            found[name] = array[rows].astype(np.float32)
        return {**found, PIXELS: pixels}


def _names(
    widths: Mapping[str, int], features: Mapping[Feature, str]
) -> dict[str, str]:
    """Name the features to be tried on their own: key → name."""
    if len(widths) < 2:
        return {}  # it is all features together
    names = {key: node.name for node, key in features.items()}
    return {
        # A user's feature may have any name.
        key: f"feature {names[key]}" if names[key] in (PIXELS, FEATURES) else names[key]
        for key, width in widths.items()
        if width >= _WIDE
    }


def _blocks(source: ImageSource, store: RunStore) -> Sequence[Block]:
    """Give the blocks in which a source's features are stored."""
    return store.layout(source.keys, block_size(source.shape))


def batches(
    source: ImageSource,
    given: SeedInputs,
    wanted: NDArray[np.int64],
    progress: Progress | None,
) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[Any]]]]:
    """Yield rows of the images wanted that can be read, and what classifiers see."""
    blocks, table = given.blocks, given.table
    original = originals(source.keys)
    block_of, position_of = np.zeros((2, len(source)), np.int64)
    for number, block in enumerate(blocks):
        block_of[block.rows] = number
        position_of[block.rows] = np.arange(len(block.rows))
    images = wanted[np.argsort(block_of[original[wanted]], kind="stable")]
    starts = np.searchsorted(block_of[original[images]], np.arange(len(blocks) + 1))
    done, total = 0, sum(len(block.rows) for block in blocks)
    if progress:
        progress("scoring plain classifiers", 0, total)
    for number, block in enumerate(blocks):
        done += len(block.rows)
        members = images[starts[number] : starts[number + 1]]
        if not len(members):
            continue
        read, place = np.unique(position_of[original[members]], return_inverse=True)
        pixels, readable = read_images(source, block.rows[read], shrink=_small)
        features = table.block(block)[read]
        kept = np.flatnonzero(readable[place])
        for start in range(0, len(kept), len(block.rows)):
            part = kept[start : start + len(block.rows)]
            rows = members[part]
            yield rows, given.inputs(pixels[place[part]], features[place[part]], rows)
        if progress:
            progress("scoring plain classifiers", done, total)


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average large images down to at most 32 pixels a side: (n, h', w', c)."""
    down, across = (-(-side // _LARGEST_SIDE) for side in pixels.shape[1:3])
    if down == across == 1:
        return pixels
    return box_means(pixels, down, across).astype(np.uint8)
