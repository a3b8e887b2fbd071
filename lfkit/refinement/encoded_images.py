"""What frozen networks see of whole images, kept block by block in the run folder."""

from __future__ import annotations

import numpy as np

from lfkit.data.image_source import ImageSource
from lfkit.data.image_tensors import to_unit_range
from lfkit.data.progress import Progress
from lfkit.encoders import Encoder
from lfkit.labeling.engine.feature_values import require_lasting
from lfkit.nn.compute import best_device
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
