"""How far each function is to be trusted, and how functions depend on each other."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from lfkit.data.votes import Votes
from lfkit.metrics.labels.lf_agreement import error_correlations
from lfkit.report.sections.section import ReportData, Section

_MOST_FUNCTIONS, _MOST_CLASSES = 120, 40
_LEAST_DRAWN, _N_PAIRS = 0.03, 12


class FunctionWeights(Section):
    """Two heat maps: functions by classes, and functions by functions.

    They are measured against the labels of the run: what a Labeling Function Block
    calls Theta and Phi (ADP, https://arxiv.org/abs/1803.05137, equations 7 and 9) as
    far as votes and labels show them.
    """

    name: ClassVar[str] = "trust"
    title: ClassVar[str] = "Trust in the functions (Θ) and how they depend (Φ)"
    template: ClassVar[str] = """\
<p class="faint">Left: the share of a function's votes for a class that the labels of this run confirm; empty where it never votes for it. Right: correlation of two functions' errors against these labels, functions that err alike side by side{% if mean is not none %}; the mean is {{ "%.2f" | format(mean) }}{% endif %}.</p>
<div class="maps">
<div class="scroll">
<table class="heat theta"><thead><tr><th></th>{% for name in classes %}<th class="turn"><span>{{ name }}</span></th>{% endfor %}</tr></thead>
<tbody>
{% for row in theta %}
<tr><th>{{ row.name }}</th>{% for value in row.cells %}{% if value < 0 %}<td class="none"></td>{% else %}<td class="same" style="--v:{{ value | round(3) }}" title="{{ row.name }} for {{ classes[loop.index0] }}: {{ value | percent }}">{{ (100 * value) | round | int }}</td>{% endif %}{% endfor %}</tr>
{% endfor %}
</tbody></table>
</div>
<div>
<svg class="phi" viewBox="0 0 {{ m }} {{ m }}" role="img" aria-label="correlation of the functions' errors">
<rect class="ground" width="{{ m }}" height="{{ m }}"/>
{% for x, y, kind, strength in cells %}<rect class="{{ kind }}" x="{{ x }}" y="{{ y }}" width="1" height="1" fill-opacity="{{ strength }}"/>{% endfor %}
<line class="ideal" x1="0" y1="0" x2="{{ m }}" y2="{{ m }}"/>
</svg>
<table class="plain"><thead><tr><th>err together most</th><th></th></tr></thead><tbody>
{% for one, other, strength in pairs %}
<tr><td>{{ one }}<br>{{ other }}</td><td>{{ strength }}</td></tr>
{% endfor %}
</tbody></table>
</div>
</div>
"""  # noqa: E501

    def content(self, data: ReportData) -> dict[str, Any] | None:
        """Give both matrices; names in an order that puts alike functions together."""
        votes, k = data.run.votes, len(data.class_names)
        m = votes.n_functions
        if not 1 < m <= _MOST_FUNCTIONS or k > _MOST_CLASSES:
            return None
        labels = np.where(data.run.given, -1, data.run.labels.labels)
        if not (labels >= 0).any():
            return None
        theta = _confirmed(votes.as_sets(), labels)
        phi = error_correlations(votes, labels)
        order = _alike_together(phi)
        named = theta >= 0
        value = np.where(named, theta, 0).sum(axis=1) / np.maximum(named.sum(axis=1), 1)
        by_trust = np.argsort(-value, kind="stable")
        names = np.asarray(votes.names)
        return {
            "classes": data.class_names,
            "theta": [
                {"name": names[j], "cells": theta[j].tolist()}
                for j in by_trust.tolist()
            ],
            "m": m,
            "cells": _cells(phi[np.ix_(order, order)]),
            "pairs": _strongest(phi, names),
            "mean": _mean_above(phi),
        }


def _confirmed(votes: Votes, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of a function's votes for a class that the labels confirm, (m, k).

    A vote for several classes counts for each. -1 where it never votes for the class.
    """
    known = labels >= 0
    found = np.full((votes.n_functions, votes.n_classes), -1.0)
    for label in range(votes.n_classes):
        voted = (votes.hard == label) & known[:, None]
        if votes.allowed is not None:
            voted |= votes.allowed[:, :, label] & known[:, None]
        n = voted.sum(axis=0)
        agreed = (voted & (labels == label)[:, None]).sum(axis=0)
        found[:, label] = np.where(n > 0, agreed / np.maximum(n, 1), -1)
    return found


def _cells(phi: NDArray[np.float64]) -> list[tuple[int, int, str, str]]:
    """List what is to be drawn: column, row, kind, strength."""
    drawn = np.nan_to_num(phi)
    np.fill_diagonal(drawn, 0)
    rows, columns = np.nonzero(np.abs(drawn) >= _LEAST_DRAWN)
    return [
        (j, i, "with" if drawn[i, j] > 0 else "against", f"{abs(drawn[i, j]):.2f}")
        for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
    ]


def _strongest(
    phi: NDArray[np.float64], names: NDArray[np.str_]
) -> list[tuple[str, str, str]]:
    """Name the pairs that err together most."""
    i, j = np.triu_indices(len(phi), 1)
    known = np.isfinite(phi[i, j])
    i, j = i[known], j[known]
    order = np.argsort(-phi[i, j], kind="stable")[:_N_PAIRS]
    return [
        (str(names[i[at]]), str(names[j[at]]), f"{phi[i[at], j[at]]:.2f}")
        for at in order.tolist()
    ]


def _alike_together(phi: NDArray[np.float64]) -> NDArray[np.int64]:
    distance = 1 - np.nan_to_num(phi)
    distance = np.clip((distance + distance.T) / 2, 0, 2)
    np.fill_diagonal(distance, 0)
    return np.asarray(leaves_list(linkage(squareform(distance), "average")), np.int64)


def _mean_above(phi: NDArray[np.float64]) -> float | None:
    above = phi[np.triu_indices(len(phi), 1)]
    above = above[np.isfinite(above)]
    return float(above.mean()) if len(above) else None
