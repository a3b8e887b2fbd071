"""The images: how many of each class, and what they look like."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from lfkit.report.sections.section import ReportData, Section

_PER_CLASS = 10
_MOST_CLASSES = 60


class Data(Section):
    """Random images of each class, as labeled, and the classes' shares."""

    name: ClassVar[str] = "data"
    title: ClassVar[str] = "The images"

    def content(self, material: ReportData) -> dict[str, Any] | None:
        """Give a row per class."""
        labels = material.run.labels.labels
        rng = np.random.default_rng(0)
        drawn = []
        for label in range(min(len(material.class_names), _MOST_CLASSES)):
            rows = np.flatnonzero(labels == label)
            drawn.append(rng.permutation(rows)[:_PER_CLASS])
        material.album.read(np.concatenate(drawn))
        n = max(1, len(labels))
        counts = np.bincount(labels[labels >= 0], minlength=len(material.class_names))
        truth = material.reference
        known = np.bincount(truth[truth >= 0], minlength=len(material.class_names))
        rows_shown = [
            {
                "name": material.class_names[label],
                "count": int(counts[label]),
                "share": counts[label] / n,
                "bar": counts[label] / max(1, counts.max()),
                "true_share": known[label] / known.sum() if known.sum() else None,
                "tiles": [
                    material.tile(row, int(labels[row]))
                    for row in drawn[label].tolist()
                ],
            }
            for label in range(len(drawn))
        ]
        h, w, c = material.run.config.shape
        return {
            "rows": rows_shown,
            "without": int((labels < 0).sum()),
            "unreadable": material.run.stored.unreadable,
            "left_out": len(material.class_names) - len(drawn),
            "shape": f"{h} x {w}, {'color' if c == 3 else 'gray'}",
            "data": material.run.config.options.data,
        }
