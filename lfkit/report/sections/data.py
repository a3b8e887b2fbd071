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
    template: ClassVar[str] = """\
{% from "tiles.html" import strip %}
<p class="faint">{{ data }}: {{ shape }}. {% if without %}{{ "{:,}".format(without) }} ha{{ "s" if without == 1 else "ve" }} no label. {% endif %}
{% if unreadable %}{{ "{:,}".format(unreadable) }} could not be read. {% endif %}
Drawn at random from each label{% if left_out %}; {{ left_out }} more classes are not shown{% endif %}.</p>
<div class="classes">
{% for row in rows %}
<div class="class">
  <div class="head"><b>{{ row.name }}</b>
    <span>{{ "{:,}".format(row.count) }} · {{ row.share | percent }}{% if row.true_share is not none %} <i>truly {{ row.true_share | percent }}</i>{% endif %}</span>
    <div class="bar"><i style="width:{{ (100 * row.bar) | round(1) }}%"></i></div>
  </div>
  {{ strip(row.tiles) }}
</div>
{% endfor %}
</div>
"""  # noqa: E501

    def content(self, data: ReportData) -> dict[str, Any] | None:
        """Give a row per class."""
        labels = data.run.labels.labels
        rng = np.random.default_rng(0)
        drawn = []
        for label in range(min(len(data.class_names), _MOST_CLASSES)):
            rows = np.flatnonzero(labels == label)
            drawn.append(rng.permutation(rows)[:_PER_CLASS])
        data.album.read(np.concatenate(drawn))
        n = max(1, len(labels))
        counts = np.bincount(labels[labels >= 0], minlength=len(data.class_names))
        truth = data.reference
        known = np.bincount(truth[truth >= 0], minlength=len(data.class_names))
        rows_shown = [
            {
                "name": data.class_names[label],
                "count": int(counts[label]),
                "share": counts[label] / n,
                "bar": counts[label] / max(1, counts.max()),
                "true_share": known[label] / known.sum() if known.sum() else None,
                "tiles": [
                    data.tile(row, int(labels[row])) for row in drawn[label].tolist()
                ],
            }
            for label in range(len(drawn))
        ]
        h, w, c = data.run.config.shape
        return {
            "rows": rows_shown,
            "without": int((labels < 0).sum()),
            "unreadable": data.run.stored.unreadable,
            "left_out": len(data.class_names) - len(drawn),
            "shape": f"{h} x {w}, {'color' if c == 3 else 'gray'}",
            "data": data.run.config.options.data,
        }
