"""What frozen networks see of whole images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.datasets.array_source import as_source
from lfkit.data.image_source import ImageSource
from lfkit.data.image_tensors import to_unit_range
from lfkit.data.progress import Progress
from lfkit.encoders import Encoder, open_encoder
from lfkit.labeling.engine.feature_values import require_lasting
from lfkit.nn.compute import best_device
from lfkit.refinement.feature_sets import Chunks, row_chunks
from lfkit.refinement.tunable_images import tunable
from lfkit.runs.cache_keys import fingerprint
from lfkit.runs.store import RunStore, block_size


def encode_images(
    store: RunStore,
    source: ImageSource,
    encoder: Encoder,
    progress: Progress | None = None,
) -> str:
    """Embed every image that is not yet embedded; give the key that they lie under.

    A block is kept when it is done: a run that was stopped goes on from there.
    """
    key = fingerprint(("embedding", encoder.identity(), source.decoding))
    device = best_device()
    blocks = store.layout(source.keys, block_size(source.shape))
    total, done = sum(len(block.rows) for block in blocks), 0
    what = f"looking at images: {encoder.name}, {encoder.side} pixels a side"
    if progress is not None:
        progress(what, 0, total)
    for block in blocks:
        if not store.has("features", key, block.id):
            read = source.read(block.rows)
            require_lasting(bool(read.transient))
            values = encoder.embed(to_unit_range(read.pixels, device)).cpu().numpy()
            values[[*read.problems]] = np.nan
            store.save("features", key, block.id, {"values": values.astype(np.float16)})
        done += len(block.rows)
        if progress is not None:
            progress(what, done, total)
    return key


class EncodedFeatures:
    """What a frozen network sees of images, computed whenever it is read.

    Parameters
    ----------
    images : (n, h, w, c) uint8, or a source of them.
    encoder : a name that `open_encoder` takes, or what it gives.
    """

    def __init__(
        self,
        images: ImageSource | NDArray[np.uint8],
        encoder: str | Encoder | Callable[..., Any],
        device: str | None = None,
    ) -> None:
        self._source, self._encoder = as_source(images), open_encoder(encoder)
        self._device = device or best_device()
        self.network = tunable(self._source, self._encoder, self._device)
        h, w, c = self._source.shape
        example = self._values(np.zeros((1, h, w, c), np.uint8))
        self.widths = (example.shape[1],)
        self.key = fingerprint((self._source.keys, self._encoder))

    def __len__(self) -> int:
        return len(self._source)

    def chunks(self, every: int = 1) -> Chunks:
        """Yield rows and their (b, d) values until each was there once."""
        for rows in row_chunks(len(self), every):
            read = self._source.read(rows)
            values = self._values(read.pixels)
            values[[*read.problems]] = np.nan
            yield rows, values

    def _values(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        images = to_unit_range(pixels, self._device)
        return np.asarray(self._encoder.embed(images).cpu().numpy())
