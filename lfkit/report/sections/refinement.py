"""What looking at the images did to the labels, stage by stage."""

from __future__ import annotations

from typing import Any, ClassVar

from lfkit.report.charts import line_chart
from lfkit.report.sections.section import ReportData, Section


class RefinementStages(Section):
    """Accuracy after each stage of `--refine`."""

    name: ClassVar[str] = "refinement"
    title: ClassVar[str] = "Refined by the images"
    template: ClassVar[str] = """\
<p>{{ note[:1] | upper }}{{ note[1:] }}.{% if not own_truth %} The stages were not scored by the true labels given here.{% endif %} The held-out seeds also decide which stages are reverted.</p>
{{ chart }}
<div class="scroll">
<table class="plain"><thead><tr><th>stage</th><th>on held-out seeds</th><th>of known class</th><th>unchanged</th><th>confidence, before calibration</th><th>time</th><th></th></tr></thead>
<tbody>
{% for stage in stages %}
<tr><td>{{ stage.name }}</td><td>{{ stage.held_out | percent }}</td><td>{{ stage.accuracy | percent }}</td><td>{{ stage.agreement | percent }}</td><td>{{ stage.confidence | percent }}</td><td>{{ "%.1f" | format(stage.seconds) }} s</td><td>{{ stage.note }}</td></tr>
{% endfor %}
</tbody></table>
</div>
"""  # noqa: E501

    def content(self, data: ReportData) -> dict[str, Any] | None:
        """Give the stages and a chart."""
        report = data.stored.refinement
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
            "own_truth": data.run.own_truth,
        }
