"""Where the labels are wrong: which classes are taken for which."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from lfkit.labeling.analysis import error_buckets
from lfkit.report.sections.section import ReportData, Section

_MOST_CLASSES = 40
_MOST_CONFUSIONS, _PER_CONFUSION = 6, 9


class Errors(Section):
    """The confusion matrix, and images of its largest wrong cells."""

    name: ClassVar[str] = "errors"
    title: ClassVar[str] = "Which classes are taken for which"

    def content(self, material: ReportData) -> dict[str, Any] | None:
        """Give the matrix in shares of the true class."""
        k = len(material.class_names)
        if not material.has_truth or k > _MOST_CLASSES:
            return None
        labels, truth = material.run.labels, material.reference
        known = truth >= 0
        counts = np.zeros((k, k + 1), np.int64)  # the last column: no label
        np.add.at(counts, (truth[known], labels.labels[known]), 1)
        totals = counts.sum(axis=1, keepdims=True)
        shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
        buckets = error_buckets(truth, labels.labels)
        wrong = sorted(
            (
                (-len(rows), real, said)
                for (real, said), rows in buckets.items()
                if real >= 0 and said >= 0 and real != said
            )
        )[:_MOST_CONFUSIONS]
        examples = []
        for count, real, said in wrong:
            rows = buckets[real, said]
            sure = labels.proba[rows].max(axis=1)
            rows = rows[np.argsort(-sure, kind="stable")][:_PER_CONFUSION]
            material.album.read(rows)
            examples.append(
                {
                    "true": material.class_names[real],
                    "said": material.class_names[said],
                    "count": -count,
                    "tiles": [
                        material.tile(row, said, f"{labels.proba[row].max():.0%}")
                        for row in rows.tolist()
                    ],
                }
            )
        return {
            "names": material.class_names,
            "counts": counts.tolist(),
            "shares": shares.tolist(),
            "has_unlabeled": bool(counts[:, -1].any()),
            "examples": examples,
        }
