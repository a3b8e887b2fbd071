"""The labeling functions: figures, and images each voted for, right and wrong."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lfkit.data.votes import ABSTAIN
from lfkit.report.sections.section import ReportData, Section

_PER_SIDE = 8
_MOST_FUNCTIONS = 150


class Functions(Section):
    """A row per function that opens on the images it voted for."""

    name: ClassVar[str] = "functions"
    title: ClassVar[str] = "The labeling functions"

    def content(self, material: ReportData) -> dict[str, Any] | None:
        """Give figures and images; right and wrong ones apart where that is known."""
        table, lfs = material.summary.functions, material.run.config.lfs
        if not table:
            return None
        votes = material.run.votes
        docs = {lf.name: lf.doc for lf in lfs}
        key = "accuracy" if material.has_truth else "seed_accuracy"
        shown = []
        for j, row in enumerate(table[:_MOST_FUNCTIONS]):
            hard = votes.hard[:, j]
            good, bad = self._examples(material, hard, j)
            shown.append((row, good, bad))
            material.album.read(np.concatenate([good, bad]))
        functions = []
        for j, (row, good, bad) in enumerate(shown):
            hard = votes.hard[:, j]
            functions.append(
                {
                    **asdict(row),
                    "doc": docs.get(row.name, ""),
                    "score": getattr(row, key),
                    "named": [material.class_names[c] for c in row.classes],
                    "good": [material.tile(r, int(hard[r])) for r in good.tolist()],
                    "bad": [material.tile(r, int(hard[r])) for r in bad.tolist()],
                }
            )
        return {
            "functions": functions,
            "more": len(table) - len(shown),
            "score_title": "right" if material.has_truth else "right on seeds",
            "has_truth": material.has_truth,
            "has_kinds": any(row.kind for row in table),
        }

    def _examples(
        self, material: ReportData, hard: NDArray[np.int16], j: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Choose rows spread over the classes that it names, and wrong ones."""
        voted = (hard != ABSTAIN) & ~material.run.given
        truth = material.reference
        wrong = voted & (truth >= 0) & (hard != truth)
        soft = material.run.votes.soft
        chosen = []
        for part in (voted & ~wrong, wrong):
            rows = np.flatnonzero(part)
            if soft is not None and len(rows):
                sure = soft[rows, j].max(axis=1)
                rows = rows[np.argsort(-sure, kind="stable")]
            chosen.append(_spread(rows, hard[rows])[:_PER_SIDE])
        return chosen[0], chosen[1]


def _spread(
    rows: NDArray[np.int64], labels: NDArray[np.integer[Any]]
) -> NDArray[np.int64]:
    """Order rows: the first of every class, then the second of every class."""
    order = np.argsort(labels, kind="stable")
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    turn = np.empty(len(rows), np.int64)
    turn[order] = np.arange(len(rows)) - np.repeat(starts, counts)
    return rows[np.lexsort((labels, turn))]
