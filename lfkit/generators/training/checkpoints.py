"""Checkpoints in a folder: written whole, the last two kept."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lfkit.errors import RunError
from lfkit.runs.store import write_atomically
from lfkit.runs.tensors import read_tensors, tensor_bytes

_KEPT = 2


class CheckpointFolder:
    """Keeps the state of a training; a damaged file falls back to the one before.

    So does one that holds numbers which are not finite: a training that went on from
    it would end with them. All later steps are taken again, with the same draws.

    Parameters
    ----------
    every : steps between two checkpoints.
    """

    def __init__(self, folder: Path, every: int = 250) -> None:
        self.folder = folder
        self.every = every

    def load(self) -> Mapping[str, NDArray[Any]] | None:
        """Give the newest state that can be read and is finite, or None."""
        for path in reversed(self._paths()):
            # The one before it, or the very beginning, leads to the same end.
            with contextlib.suppress(RunError):
                return read_tensors(path, "delete it")
        return None

    def save(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep a state; those before the last are deleted."""
        name = f"step-{int(arrays['step']):08d}.safetensors"
        write_atomically(self.folder / name, tensor_bytes(arrays))
        # After a rollback, what was saved later is no longer the newest.
        for path in self._paths():
            if path.name > name:
                path.unlink()
        for path in self._paths()[:-_KEPT]:
            path.unlink()

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.safetensors"))
