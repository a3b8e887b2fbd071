"""The scores of generated images, each with its protocol."""

from __future__ import annotations

from math import isnan
from typing import Any, ClassVar

from lfkit.metrics.score_table import ScoreRow, score_blocks
from lfkit.report.sections.section import ReportData, Section


class Scores(Section):
    """What `lfkit evaluate` found, one column per set of generated images."""

    name: ClassVar[str] = "scores"
    title: ClassVar[str] = "Scores"
    template: ClassVar[str] = """\
{% macro lines(rows) %}
{% for row in rows %}
<tr class="opens" tabindex="0"><td><b>{{ row.title }}</b></td><td class="faint">{{ {"higher": "↑", "lower": "↓", "": ""}[row.better] }}</td>
{% for name in names %}{% set score = row.cells.get(name) %}<td class="{{ 'best' if row.best == name else '' }}">{% if score and score.value == score.value %}{{ "%.4g" | format(score.value) }}{% if score.error is not none %} <span class="faint">± {{ "%.2g" | format(score.error) }}</span>{% endif %}{% else %}—{% endif %}</td>{% endfor %}</tr>
<tr class="detail" hidden><td colspan="{{ 2 + names | length }}">{% for name in names %}{% set score = row.cells.get(name) %}{% if score %}<div><b>{{ name }}</b>: {{ score.protocol }}{% if score.note %}. {{ score.note }}{% endif %}</div>{% endif %}{% endfor %}</td></tr>
{% endfor %}
{% endmacro %}
{% if blocks %}
<p class="faint">A score is only comparable with one of the same protocol: click a row for it. Scores with other words in [brackets] are of other feature extractors and cannot be compared.</p>
<div class="scroll">
<table class="plain scores"><thead><tr><th>score</th><th></th>{% for name in names %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for block in blocks %}
{{ lines(block.shown) }}
{% if block.folded %}
<tr><td colspan="{{ 2 + names | length }}"><details><summary>{{ block.note }}</summary><table class="plain scores"><tbody>{{ lines(block.folded) }}</tbody></table></details></td></tr>
{% endif %}
{% endfor %}
</tbody></table>
</div>
{% endif %}
{% if human %}
{% macro said(found) %}{{ "%.2f" | format(found.mean) }} <span class="faint">{{ "%.2f" | format(found.low) }} to {{ "%.2f" | format(found.high) }}</span>{% endmacro %}
<h3>What people said, 0 to 10</h3>
<table class="plain"><thead><tr><th>source</th><th>ratings</th><th>image quality</th><th>label fits</th></tr></thead>
<tbody>{% for row in human %}<tr><td>{{ row.source }}</td><td>{{ row.n }}</td><td>{{ said(row.image_quality) }}</td><td>{{ said(row.label_match) }}</td></tr>{% endfor %}</tbody></table>
{% endif %}
"""  # noqa: E501

    def content(self, data: ReportData) -> dict[str, Any] | None:
        """Give a row per score; the best of each is marked, many classes are folded."""
        sets, human = data.scores.generated, data.scores.human
        if not sets and not human:
            return None
        blocks = [
            {
                "shown": [_with_best(row) for row in block.shown],
                "folded": [_with_best(row) for row in block.folded],
                "note": block.note,
            }
            for block in score_blocks({n: found.scores for n, found in sets.items()})
        ]
        return {"names": list(sets), "blocks": blocks, "human": human}


def _with_best(row: ScoreRow) -> dict[str, Any]:
    """Give a row with the name of the set that is best in it, or None."""
    cells, best = row.cells, None
    values = {n: s.value for n, s in cells.items() if not isnan(s.value)}
    # Of other real images or another seed, scores are not to be compared.
    protocols = {(s.protocol.real, s.protocol.seed) for s in cells.values()}
    if len({*values.values()}) > 1 and row.better and len(protocols) == 1:
        pick = max if row.better == "higher" else min
        best = pick(values, key=lambda name: values[name])
    return {"title": row.title, "better": row.better, "cells": cells, "best": best}
