"""What is computed of one shard, in memory, features too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lfkit.runs.store import Block, MemoryStore


class ShardStore(MemoryStore):
    """Keeps votes and features of one set of images for as long as it lives."""

    keeps_features = True

    def __init__(self) -> None:
        super().__init__()
        self._blocks: list[Block] | None = None

    def layout(self, keys: NDArray[np.uint8], size: int) -> list[Block]:
        """Divide the images into blocks: who asks again gets the same ones."""
        if self._blocks is None:
            self._blocks = super().layout(keys, size)
        return self._blocks
