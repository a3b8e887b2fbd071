"""Stored features as rows of one matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lfkit.runs.store import Block, RunStore


class FeatureMatrix:
    """Stored features that are whole on the seeds, as rows of one matrix.

    Attributes
    ----------
    widths : feature key → how many numbers it has.
    seeds : (s, d) the seeds' features.
    """

    def __init__(
        self,
        store: RunStore,
        blocks: Sequence[Block],
        keys: Sequence[str],
        seed_rows: NDArray[np.int64],
    ) -> None:
        self._store = store
        self.widths: dict[str, int] = {}
        inside = [(b, np.flatnonzero(np.isin(b.rows, seed_rows))) for b in blocks]
        inside = [(block, places) for block, places in inside if len(places)]
        found = [row for block, places in inside for row in block.rows[places].tolist()]
        position = {row: i for i, row in enumerate(found)}
        order = [position[row] for row in seed_rows.tolist()]
        columns = [np.zeros((len(order), 0), np.float32)]
        for key in keys:
            parts = [self._values(key, block)[places] for block, places in inside]
            # A feature without any value in a block is stored without its width.
            widths = {part.shape[1] for part in parts} - {0}
            if len(widths) == 1 and all(np.isfinite(part).all() for part in parts):
                self.widths[key] = parts[0].shape[1]
                columns.append(np.concatenate(parts)[order])
        self.seeds = np.concatenate(columns, axis=1)

    def block(self, block: Block) -> NDArray[np.float32]:
        """Give a block's (b, d) features, the seeds' mean where one failed."""
        parts = [np.zeros((len(block.rows), 0), np.float32)]
        for key, width in self.widths.items():
            part = self._values(key, block)
            if part.shape[1] != width:
                part = np.full((len(block.rows), width), np.nan, np.float32)
            parts.append(part)
        values = np.concatenate(parts, axis=1)
        middle = self.seeds.mean(axis=0, dtype=np.float64).astype(np.float32)
        return np.where(np.isfinite(values), values, middle)

    def _values(self, key: str, block: Block) -> NDArray[np.float32]:
        arrays = self._store.load("features", key, block.id)
        assert arrays is not None, "find_baselines has looked"
        return arrays["values"].reshape(len(block.rows), -1).astype(np.float32)
