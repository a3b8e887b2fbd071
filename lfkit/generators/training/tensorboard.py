"""The log of a training for TensorBoard, beside log.jsonl."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import InputError
from lfkit.nn import Monitor


class TensorBoard:
    """A monitor that also writes event files.

    Parameters
    ----------
    folder : of the event files.
    monitor : gets everything, too.
    """

    def __init__(self, folder: Path, monitor: Monitor) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError(
                f"TensorBoard cannot be imported ({error}); install it with `pip "
                "install 'lfkit[tensorboard]'`, or train without --tensorboard."
            ) from error
        self._make = SummaryWriter
        self._folder, self._monitor = folder, monitor
        self._writer: SummaryWriter | None = None

    def note(self, step: int, figures: Mapping[str, float]) -> None:
        """Write every figure as a curve."""
        self._monitor.note(step, figures)
        assert self._writer is not None, "a training begins with a rewind"
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def rewind(self, step: int) -> None:
        """Hide what was written after a step, by an earlier process too."""
        self._monitor.rewind(step)
        self.close()
        self._writer = self._make(
            str(self._folder), purge_step=step + 1 if step else None
        )

    def show(self, step: int, picture: NDArray[np.uint8]) -> None:
        """Write a picture, (h, w, 3)."""
        assert self._writer is not None, "a training begins with a rewind"
        self._writer.add_image("samples", picture, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is still in memory."""
        if self._writer is not None:
            self._writer.close()
