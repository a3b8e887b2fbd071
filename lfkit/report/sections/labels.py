"""The labels: the surest and the most disputed of each class."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from lfkit.report.sections.section import ReportData, Section

_PER_SIDE = 8
_MOST_CLASSES = 40


class LabelsShown(Section):
    """The surest and the most disputed images under each label."""

    name: ClassVar[str] = "labels"
    title: ClassVar[str] = "Surest and most disputed labels"
    template: ClassVar[str] = """\
{% from "tiles.html" import strip %}
<p class="faint">{% if has_truth %}<span class="key right">right</span> <span class="key wrong">wrong</span> Seeds are left out. {% endif %}
Below each image the confidence of its label.</p>
<div class="twice headings"><span>surest</span><span>most disputed</span></div>
{% for row in rows %}
<h3>{{ row.name }}</h3>
<div class="twice">{{ strip(row.sure) }}{{ strip(row.disputed) }}</div>
{% endfor %}
"""  # noqa: E501

    def content(self, material: ReportData) -> dict[str, Any] | None:
        """Give two sets of images per class."""
        found = material.run.labels
        usable = (found.labels >= 0) & ~material.run.given
        if not usable.any():
            return None
        best = np.sort(found.proba, axis=1)[:, ::-1]
        margin = best[:, 0] - (best[:, 1] if best.shape[1] > 1 else 0)
        rows, shown = [], []
        for label in range(min(len(material.class_names), _MOST_CLASSES)):
            own = np.flatnonzero(usable & (found.labels == label))
            order = own[np.argsort(-margin[own], kind="stable")]
            sure, disputed = order[:_PER_SIDE], order[_PER_SIDE:][-_PER_SIDE:][::-1]
            rows.append((label, sure, disputed))
            shown += [sure, disputed]
        material.album.read(np.concatenate(shown))

        def tiles(rows: Any) -> list[dict[str, str]]:
            return [
                material.tile(
                    row, int(found.labels[row]), f"{found.proba[row].max():.0%}"
                )
                for row in rows.tolist()
            ]

        return {
            "rows": [
                {
                    "name": material.class_names[label],
                    "sure": tiles(sure),
                    "disputed": tiles(disputed),
                }
                for label, sure, disputed in rows
                if len(sure)
            ],
            "has_truth": material.has_truth,
        }
