"""The labels: the most and the least confident of each class."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from lfkit.report.examples import label_examples
from lfkit.report.sections.section import ReportData, Section

_PER_SIDE = 8
_MOST_CLASSES = 40


class LabelExamples(Section):
    """The most and the least confident images under each label."""

    name: ClassVar[str] = "labels"
    title: ClassVar[str] = "Most and least confident labels"
    template: ClassVar[str] = """\
{% from "tiles.html" import strip %}
<p class="faint">{% if has_truth %}<span class="key right">right</span> <span class="key wrong">wrong</span> Seeds are left out. {% endif %}
Below each image the confidence of its label.</p>
<div class="twice headings"><span>most confident</span><span>least confident</span></div>
{% for row in rows %}
<h3>{{ row.name }}</h3>
<div class="twice">{{ strip(row.most) }}{{ strip(row.least) }}</div>
{% endfor %}
"""  # noqa: E501

    def content(self, data: ReportData) -> dict[str, Any] | None:
        """Give two sets of images per class."""
        found = data.run.labels
        usable = (found.labels >= 0) & ~data.run.given
        if not usable.any():
            return None
        examples = label_examples(
            found.labels,
            found.proba,
            usable,
            n_classes=min(len(data.class_names), _MOST_CLASSES),
            per_side=_PER_SIDE,
        )
        data.album.read(np.concatenate([rows for pair in examples for rows in pair]))

        def tiles(rows: Any) -> list[dict[str, str]]:
            return [
                data.tile(
                    row, int(found.labels[row]), text=f"{found.proba[row].max():.0%}"
                )
                for row in rows.tolist()
            ]

        return {
            "rows": [
                {
                    "name": data.class_names[label],
                    "most": tiles(most),
                    "least": tiles(least),
                }
                for label, (most, least) in enumerate(examples)
                if len(most)
            ],
            "has_truth": data.has_truth,
        }
