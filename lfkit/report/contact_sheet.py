"""A picture of the labels: the most and the least confident images of every class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_source import ImageSource
from lfkit.data.votes import ABSTAIN
from lfkit.report.examples import label_examples
from lfkit.report.tile_sheet import Sheet, SheetRow, Tile

_PER_SIDE = 8
_MOST_CLASSES = 40
_NOTE = "Under each image: its {confidence} and, where the label is wrong, what it is."
_UNTOLD = "confidence (not calibrated: no held-out seed tells how far to believe it)"


def contact_sheet(
    source: ImageSource,
    labels: NDArray[np.int64],
    proba: NDArray[np.float64],
    class_names: Sequence[str],
    path: Path,
    *,
    truth: NDArray[np.int64] | None = None,
    exclude: NDArray[np.bool_] | None = None,
    is_calibrated: bool = True,
) -> None:
    """Write a PNG with a row per class: most confident images left, least right.

    Parameters
    ----------
    labels : (n,) classes, -1 = no label.
    proba : (n, k) posterior.
    truth : (n,) true classes for the frames, -1 where unknown.
    exclude : (n,) images not to show, such as the seeds.
    is_calibrated : held-out seeds have told how right such confidence is.
    """
    usable = labels != ABSTAIN if exclude is None else (labels != ABSTAIN) & ~exclude
    shown = class_names[:_MOST_CLASSES]
    counts = np.bincount(labels[labels >= 0], minlength=len(class_names))
    known = np.full(len(labels), ABSTAIN) if truth is None else truth
    examples = label_examples(
        labels, proba, usable, n_classes=len(shown), per_side=_PER_SIDE
    )

    def tiles(rows: NDArray[np.int64], label: int) -> list[Tile]:
        return [
            Tile(row, f"{proba[row].max():.0%}", (label,), int(known[row]))
            for row in rows.tolist()
        ]

    rows = [
        SheetRow(
            shown[label],
            "",
            f"{counts[label]:,} images",
            [tiles(most, label), tiles(least, label)],
        )
        for label, (most, least) in enumerate(examples)
    ]
    title = "Labels: the most confident of each class left, the least confident right"
    if len(shown) < len(class_names):
        title += f" (the first {len(shown)} of {len(class_names)} classes)"
    note = _NOTE.format(confidence="confidence" if is_calibrated else _UNTOLD)
    Sheet(rows, title, note, class_names, _PER_SIDE, text_width=130).save(source, path)
