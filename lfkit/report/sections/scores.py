"""The scores of generated images, each with its protocol."""

from __future__ import annotations

from typing import Any, ClassVar

from lfkit.metrics.score_table import Row, score_blocks
from lfkit.report.sections.section import ReportData, Section


class Scores(Section):
    """What `lfkit evaluate` found, one column per set of generated images."""

    name: ClassVar[str] = "scores"
    title: ClassVar[str] = "Scores"

    def content(self, material: ReportData) -> dict[str, Any] | None:
        """Give a row per score; the best of each is marked, many classes are folded."""
        sets = material.scores.get("generated", {})
        human = material.scores.get("human", [])
        if not sets and not human:
            return None
        blocks = [
            {
                "shown": [_with_best(row) for row in block.shown],
                "folded": [_with_best(row) for row in block.folded],
                "note": block.note,
            }
            for block in score_blocks({n: found["scores"] for n, found in sets.items()})
        ]
        return {"names": list(sets), "blocks": blocks, "human": human}


def _with_best(row: Row) -> dict[str, Any]:
    """Give a row with the name of the set that is best in it, or None."""
    cells, best = row.cells, None
    values = {n: s["value"] for n, s in cells.items() if s["value"] is not None}
    # Of other real images or another seed, scores are not to be compared.
    protocols = {(s["protocol"]["real"], s["protocol"]["seed"]) for s in cells.values()}
    if len({*values.values()}) > 1 and row.better and len(protocols) == 1:
        pick = max if row.better == "higher" else min
        best = pick(values, key=lambda name: values[name])
    return {"title": row.title, "better": row.better, "cells": cells, "best": best}
