"""Label models side by side."""

from __future__ import annotations

from typing import Any, ClassVar

from lfkit.report.sections.section import ReportData, Section


class LabelModels(Section):
    """What each aggregator makes of the same votes."""

    name: ClassVar[str] = "label-models"
    title: ClassVar[str] = "Label models side by side"
    template: ClassVar[str] = """\
{% macro cell(row, key, digits) %}
<td class="{{ 'best' if row[key] is not none and row[key] == best[key] else '' }}">{{ "—" if row[key] is none else digits | format(row[key]) }}</td>
{% endmacro %}
<p class="faint">The same votes, every model{% if has_truth %}; scored on {{ "{:,}".format(n) }} images of known class, seeds left out. Best figures are bold. Confidence is that of the model itself; only the labels of the run may be calibrated or refined{% else %}: how many images it labels, and how long that takes. How right it is, `lfkit evaluate RUN --labels FILE` tells by true labels{% endif %}.</p>
<div class="scroll">
<table class="plain sortable"><thead><tr><th>model</th>{% if has_truth %}<th>accuracy</th><th>mean of classes</th><th>calibration error</th><th>Brier</th><th>log loss</th>{% endif %}<th>labeled</th><th>seconds</th></tr></thead>
<tbody>
{% for row in rows %}
<tr class="{{ 'mine' if row.name == 'labels of the run' else '' }}"><td>{{ row.name }}{% if row.name == chosen %} <span class="chip">chosen</span>{% endif %}{% if row.note %}<div class="faint">{{ row.note }}</div>{% endif %}</td>
{% if has_truth %}
<td class="meter {{ 'best' if row.accuracy == best.accuracy else '' }}" style="--v:{{ row.accuracy or 0 }}"><span>{{ row.accuracy | percent }}</span></td>
<td class="{{ 'best' if row.macro_accuracy == best.macro_accuracy else '' }}">{{ row.macro_accuracy | percent }}</td>
{{ cell(row, "ece", "%.3f") }}{{ cell(row, "brier", "%.3f") }}{{ cell(row, "nll", "%.3f") }}
{% endif %}
<td>{{ row.labeled | percent }}</td><td>{{ "—" if row.seconds is none else "%.2f" | format(row.seconds) }}</td></tr>
{% endfor %}
</tbody></table>
</div>
"""  # noqa: E501

    def content(self, data: ReportData) -> dict[str, Any] | None:
        """Give a row per model; best figures are marked."""
        rows = data.scores.labels
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
            values = [getattr(row, key) for row in rows]
            known = [value for value in values if value is not None]
            best[key] = pick(known) if known else None
        ordered = sorted(rows, key=lambda row: -(row.accuracy or 0))
        chosen = data.summary.chosen
        return {
            "rows": ordered,
            "best": best,
            "chosen": chosen,
            "has_truth": best["accuracy"] is not None,
            "n": rows[0].n,
        }
