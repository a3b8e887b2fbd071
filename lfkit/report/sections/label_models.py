"""Label models side by side."""

from __future__ import annotations

from typing import Any, ClassVar

from lfkit.report.sections.section import ReportData, Section


class LabelModels(Section):
    """What each aggregator makes of the same votes."""

    name: ClassVar[str] = "label-models"
    title: ClassVar[str] = "Label models side by side"

    def content(self, material: ReportData) -> dict[str, Any] | None:
        """Give a row per model; best figures are marked."""
        rows = material.scores.get("labels", {}).get("rows", [])
        if not rows:
            return None
        best = {}
        for key, pick in (
            ("accuracy", max),
            ("macro_accuracy", max),
            ("ece", min),
            ("brier", min),
            ("nll", min),
        ):
            known = [row[key] for row in rows if row[key] is not None]
            best[key] = pick(known) if known else None
        ordered = sorted(rows, key=lambda row: -(row["accuracy"] or 0))
        chosen = material.summary.chosen
        return {
            "rows": ordered,
            "best": best,
            "chosen": chosen,
            "has_truth": best["accuracy"] is not None,
            "n": rows[0]["n"],
        }
