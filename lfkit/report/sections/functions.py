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
    template: ClassVar[str] = """\
{% from "tiles.html" import strip %}
<p class="faint">Click a row for images that the function voted for. Click a heading to sort.{% if more %} {{ more }} more functions are not shown.{% endif %}</p>
<input id="filter" type="search" placeholder="filter by name, class or kind" aria-label="filter functions">
<div class="scroll">
<table class="plain sortable functions"><thead><tr><th>function</th>{% if has_kinds %}<th>kind</th>{% endif %}<th>names</th><th>{{ score_title }}</th><th>votes on</th><th>conflicts</th></tr></thead>
<tbody>
{% for lf in functions %}
<tr class="opens" tabindex="0" data-text="{{ lf.name }} {{ lf.kind }} {{ lf.named | join(' ') }}">
<td><b>{{ lf.name }}</b>{% if lf.doc %}<div class="faint">{{ lf.doc }}</div>{% endif %}</td>
{% if has_kinds %}<td>{{ lf.kind or "" }}</td>{% endif %}
<td data-sort="{{ lf.named | length }}">{% if lf.named | length > 4 %}{{ lf.named | length }} classes{% else %}{{ lf.named | join(", ") }}{% endif %}</td>
<td class="meter" style="--v:{{ lf.score or 0 }}" data-sort="{{ lf.score or 0 }}"><span>{{ lf.score | percent }}</span></td>
<td class="meter quiet" style="--v:{{ lf.coverage }}" data-sort="{{ lf.coverage }}"><span>{{ lf.coverage | percent }}</span></td>
<td data-sort="{{ lf.conflicts }}">{{ lf.conflicts | percent }}</td></tr>
<tr class="detail" hidden><td colspan="{{ 6 if has_kinds else 5 }}">
{% if lf.good %}<div class="faint">{{ "right, or of unknown class" if has_truth else "voted for" }}</div>{{ strip(lf.good) }}{% endif %}
{% if lf.bad %}<div class="faint">wrong</div>{{ strip(lf.bad) }}{% endif %}
{% if not lf.good and not lf.bad %}<div class="faint">it never votes</div>{% endif %}
</td></tr>
{% endfor %}
</tbody></table>
</div>
"""  # noqa: E501

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
