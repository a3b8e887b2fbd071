"""Blocks of functions that read metadata: copies of an image may have other names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_source import KEY_BYTES, ImageSource, MetadataField
from lfkit.data.vote_columns import with_copies
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.runs.store import Block, join_blocks


class MetadataBlocks:
    """For each block of distinct images, the block of all images with this content.

    A function of pixels votes once on each content. One that reads metadata votes on
    every image, in blocks that are named by the metadata it reads, too: where that
    changes, it votes again.

    Parameters
    ----------
    blocks : of distinct images.
    """

    def __init__(self, source: ImageSource, blocks: Sequence[Block]) -> None:
        self._source = source
        self._number = {block.id: i for i, block in enumerate(blocks)}
        rows, place = with_copies(join_blocks(blocks).rows, source.keys)
        starts = np.cumsum([0, *(len(block.rows) for block in blocks)])
        bounds = np.searchsorted(place, starts)[1:-1]
        self._rows = np.split(rows, bounds)
        self._places = [
            part - start
            for part, start in zip(np.split(place, bounds), starts, strict=False)
        ]
        self._blocks: dict[tuple[tuple[MetadataField, ...], int], Block] = {}

    def rows(self, block: Block) -> NDArray[np.int64]:
        """Give all images with the content of a block's, (r,) rows of the source."""
        return self._rows[self._number[block.id]]

    def places(self, block: Block) -> NDArray[np.int64]:
        """Give the position in the block of each of these images' content, (r,)."""
        return self._places[self._number[block.id]]

    def of(self, lf: LabelingFunction, block: Block) -> Block:
        """Give the block under which a function's votes on these images are kept."""
        return self._of(lf.metadata, self._number[block.id])

    def whole(self, lf: LabelingFunction) -> Block:
        """Give the block of all of a function's votes."""
        return join_blocks([self._of(lf.metadata, i) for i in self._number.values()])

    def _of(self, read: tuple[MetadataField, ...], number: int) -> Block:
        if (read, number) not in self._blocks:
            rows = self._rows[number]
            digest = hashlib.blake2b(digest_size=KEY_BYTES)
            digest.update(self._source.keys[rows].tobytes())
            for what in read:
                if what.kind != "exif":  # which is part of the file's content
                    values = self._source.metadata(what, rows).tolist()
                    digest.update(repr((what, values)).encode("utf-8", "replace"))
            self._blocks[read, number] = Block(rows, digest.hexdigest())
        return self._blocks[read, number]
