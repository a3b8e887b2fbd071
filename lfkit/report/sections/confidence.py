"""Whether confidence can be believed."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from lfkit.aggregators.calibration import measure
from lfkit.report.charts import line_chart
from lfkit.report.sections.section import ReportData, Section

_N_BINS = 12
_STEPS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


class Confidence(Section):
    """The calibration plot, and what is kept above each confidence."""

    name: ClassVar[str] = "confidence"
    title: ClassVar[str] = "Can the confidence be believed?"
    template: ClassVar[str] = """\
<div class="beside">
{{ chart }}
<div>
<div class="tiles">
  <div class="figure"><b>{{ found.confidence | percent }}</b><span>mean confidence</span></div>
  <div class="figure"><b>{{ found.accuracy | percent }}</b><span>accuracy when labeled</span></div>
  <div class="figure"><b>{{ "%.3f" | format(found.ece) }}</b><span>calibration error</span></div>
  <div class="figure"><b>{{ "%.3f" | format(found.brier) }}</b><span>Brier score</span></div>
</div>
<table class="plain"><thead><tr><th>confidence at least</th><th>keeps</th><th>of which right</th></tr></thead>
<tbody>{% for row in kept %}<tr><td>{{ row.least }}</td><td>{{ row.share }}</td><td>{{ row.right }}</td></tr>{% endfor %}</tbody></table>
</div>
</div>
"""  # noqa: E501

    def content(self, data: ReportData) -> dict[str, Any] | None:
        """Give the plot, ECE and Brier score, and a table of thresholds."""
        labels, truth = data.run.labels, data.reference
        rows = np.flatnonzero((truth >= 0) & (labels.labels >= 0))
        found = measure(labels.proba[rows], truth[rows])
        if found is None:
            return None
        sure = labels.proba[rows].max(axis=1)
        right = labels.labels[rows] == truth[rows]
        order = np.argsort(sure, kind="stable")
        bins = [part for part in np.array_split(order, _N_BINS) if len(part)]
        points = [(float(sure[p].mean()), float(right[p].mean())) for p in bins]
        low = min(0.5, *(min(pair) for pair in points))
        chart = line_chart(
            {"labels": points},
            x_title="confidence, mean of a twelfth of the images",
            y_title="share of right labels",
            x_range=(low, 1.0),
            y_range=(low, 1.0),
            diagonal=True,
            percent=True,
        )
        kept = [
            {
                "least": f"{100 * least:.0f} %",
                "share": f"{100 * (sure >= least).mean():.1f} %",
                "right": f"{100 * right[sure >= least].mean():.1f} %",
            }
            for least in _STEPS
            if (sure >= least).any()
        ]
        return {"found": found, "chart": chart, "kept": kept}
