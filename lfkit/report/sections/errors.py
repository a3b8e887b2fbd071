"""Where the labels are wrong: which classes are taken for which."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from lfkit.labeling.analysis import error_buckets
from lfkit.report.sections.section import ReportData, Section

_MOST_CLASSES = 40
_MOST_CONFUSIONS, _PER_CONFUSION = 6, 9


class Errors(Section):
    """The confusion matrix, and images of its largest wrong cells."""

    name: ClassVar[str] = "errors"
    title: ClassVar[str] = "Which classes are taken for which"
    template: ClassVar[str] = """\
{% from "tiles.html" import strip %}
<p class="faint">Rows are the true classes, columns the labels; shares of the row in percent.</p>
<div class="beside">
<div class="scroll">
<table class="heat">
<thead><tr><th></th>{% for name in names %}<th class="turn"><span>{{ name }}</span></th>{% endfor %}{% if has_unlabeled %}<th class="turn"><span>no label</span></th>{% endif %}</tr></thead>
<tbody>
{% for name in names %}
{% set i = loop.index0 %}
<tr><th>{{ name }}</th>
{% for share in shares[i][: (names | length) + (1 if has_unlabeled else 0)] %}
<td class="{{ 'same' if loop.index0 == i else 'other' }}" style="--v:{{ share | round(4) }}" title="{{ name }} labeled as {{ names[loop.index0] if loop.index0 < names | length else 'no label' }}: {{ "{:,}".format(counts[i][loop.index0]) }}">{% if share >= 0.005 %}{{ (100 * share) | round | int }}{% endif %}</td>
{% endfor %}
</tr>
{% endfor %}
</tbody>
</table>
</div>
{% if examples %}
<div>
<h3>The most frequent errors, the most confident first</h3>
{% for found in examples %}
<p class="pair"><b>{{ found.true }}</b> labeled as <b>{{ found.said }}</b> <span class="faint">{{ "{:,}".format(found.count) }} image{{ "" if found.count == 1 else "s" }}</span></p>
{{ strip(found.tiles) }}
{% endfor %}
</div>
{% endif %}
</div>
"""  # noqa: E501

    def content(self, data: ReportData) -> dict[str, Any] | None:
        """Give the matrix in shares of the true class."""
        k = len(data.class_names)
        if not data.has_truth or k > _MOST_CLASSES:
            return None
        labels, truth = data.run.labels, data.reference
        known = truth >= 0
        counts = np.zeros((k, k + 1), np.int64)  # the last column: no label
        np.add.at(counts, (truth[known], labels.labels[known]), 1)
        totals = counts.sum(axis=1, keepdims=True)
        shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
        buckets = error_buckets(truth, labels.labels)
        wrong = sorted(
            (
                (-len(rows), real, said)
                for (real, said), rows in buckets.items()
                if real >= 0 and said >= 0 and real != said
            )
        )[:_MOST_CONFUSIONS]
        examples = []
        for count, real, said in wrong:
            rows = buckets[real, said]
            sure = labels.proba[rows].max(axis=1)
            rows = rows[np.argsort(-sure, kind="stable")][:_PER_CONFUSION]
            data.album.read(rows)
            examples.append(
                {
                    "true": data.class_names[real],
                    "said": data.class_names[said],
                    "count": -count,
                    "tiles": [
                        data.tile(row, said, text=f"{labels.proba[row].max():.0%}")
                        for row in rows.tolist()
                    ],
                }
            )
        return {
            "names": data.class_names,
            "counts": counts.tolist(),
            "shares": shares.tolist(),
            "has_unlabeled": bool(counts[:, -1].any()),
            "examples": examples,
        }
