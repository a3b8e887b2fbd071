"""The labeling functions: figures, and images each voted for, right and wrong."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lfkit.report.examples import vote_examples
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
{% if not lf.good and not lf.bad %}<div class="faint">{{ "it votes only on images whose class is given" if lf.coverage else "it never votes" }}</div>{% endif %}
</td></tr>
{% endfor %}
</tbody></table>
</div>
"""  # noqa: E501

    def content(self, data: ReportData) -> dict[str, Any] | None:
        """Give figures and images; right and wrong ones apart where that is known."""
        table, lfs = data.summary.functions, data.run.config.lfs
        if not table:
            return None
        votes = data.run.votes
        docs = {lf.name: lf.doc for lf in lfs}
        key = "accuracy" if data.has_truth else "seed_accuracy"
        shown = table[:_MOST_FUNCTIONS]
        examples = [_examples(data, j) for j in range(len(shown))]
        data.album.read(np.concatenate([rows for pair in examples for rows in pair]))

        def tiles(rows: NDArray[np.int64], j: int) -> list[dict[str, str]]:
            return [data.tile(r, *votes.named(r, j)) for r in rows.tolist()]

        functions = [
            {
                **asdict(row),
                "doc": docs.get(row.name, ""),
                "score": getattr(row, key),
                "named": [data.class_names[c] for c in row.classes],
                "good": tiles(examples[j][0], j),
                "bad": tiles(examples[j][1], j),
            }
            for j, row in enumerate(shown)
        ]
        return {
            "functions": functions,
            "more": len(table) - len(shown),
            "score_title": "accuracy" if data.has_truth else "accuracy on seeds",
            "has_truth": data.has_truth,
            "has_kinds": any(row.kind for row in table),
        }


def _examples(data: ReportData, j: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose images that a function voted on: wrong votes, and others before them."""
    votes, truth = data.run.votes, data.reference
    voted = votes.voted[:, j] & ~data.run.given
    wrong = voted & (truth >= 0) & ~votes.select([j]).right(truth)[:, 0]
    good = vote_examples(votes, j, voted & ~wrong, _PER_SIDE)
    return good, vote_examples(votes, j, wrong, _PER_SIDE)
