"""What looking at the images did to the labels, stage by stage."""

from __future__ import annotations

from typing import Any, ClassVar

from lfkit.report.charts import line_chart
from lfkit.report.sections.section import ReportData, Section


class RefinementStages(Section):
    """Accuracy after each stage of `--refine`."""

    name: ClassVar[str] = "refinement"
    title: ClassVar[str] = "Refined by the images"

    def content(self, material: ReportData) -> dict[str, Any] | None:
        """Give the stages and a chart."""
        report = material.stored.refinement
        if report is None:
            return None
        stages = report.stages
        series = {
            title: [
                (float(place), getattr(stage, key))
                for place, stage in enumerate(stages)
                if getattr(stage, key) is not None
            ]
            for title, key in (
                ("all images of known class", "accuracy"),
                ("held-out seeds", "held_out"),
                ("unchanged", "agreement"),
            )
        }
        drawn = {name: points for name, points in series.items() if len(points) > 1}
        chart = (
            line_chart(
                drawn,
                x_title="",
                y_title="share of labels",
                x_range=(0.0, max(1.0, len(stages) - 1.0)),
                x_names=[stage.name for stage in stages],
                percent=True,
            )
            if drawn
            else ""
        )
        return {
            "stages": stages,
            "note": report.note,
            "chart": chart,
            "own_truth": material.run.own_truth,
        }
