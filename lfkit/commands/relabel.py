"""A trained generator labels the real images of its run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfkit.commands.trained_generator import load_generator
from lfkit.commands.training_data import read_all
from lfkit.data.labels import Labels
from lfkit.data.progress import Progress
from lfkit.data.votes import ABSTAIN
from lfkit.errors import RunError
from lfkit.runs.run import Run, load_run


def relabel(
    run: Path, name: str, progress: Progress | None = None
) -> tuple[Run, Labels]:
    """Label the run's own images by a generator that was trained on them."""
    loaded = load_run(run)
    trained = load_generator(loaded, name)
    before = loaded.labels
    readable = np.ones(len(before.proba), bool)

    def read() -> NDArray[np.uint8]:
        pixels, could = read_all(loaded.open_images(), progress)
        readable[:] = could
        return pixels

    found, reason = trained.generator.relabel(read, loaded.votes, before.proba)
    if not np.isfinite(found).all():
        raise RunError(
            f"what {trained.name} in {trained.folder} has learned holds numbers that "
            "are not finite: it cannot label images; train it anew: `lfkit train` with "
            "--restart."
        )
    # Seeds are known, and what cannot be read is not looked at.
    proba = np.where((before.is_seed | ~readable)[:, None], before.proba, found)
    # What was left without a label, for want of precision or votes, stays so.
    unlabeled = ~proba.any(axis=1) | (before.labels == ABSTAIN)
    labels = np.where(unlabeled, ABSTAIN, proba.argmax(axis=1))
    relabeled = before.relabeled(labels, proba, held_out=None)
    return loaded, replace(relabeled, chosen=trained.name, reason=reason)
