"""Generated images: grids by class, training curves, nearest real neighbours."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lfkit.metrics.generated_images import Generated
from lfkit.report.charts import line_chart
from lfkit.report.image_tiles import data_uri
from lfkit.report.sections.section import ReportData, Section

_PER_CLASS, _N_NEIGHBORS = 10, 20
_MOST_CLASSES = 40
_MOST_CURVES, _MOST_POINTS = 9, 400
_MOST_FUNCTIONS, _MOST_BARS, _LEAST_DRAWN = 120, 16, 0.05
_CHUNK_NUMBERS = 2**24  # of real images held at once: 64 MB


class Generators(Section):
    """For each set: images by class with their confidence, curves, neighbours."""

    name: ClassVar[str] = "generators"
    title: ClassVar[str] = "Generated images"
    template: ClassVar[str] = """\
{% from "tiles.html" import strip %}
{% for found in sets %}
<h3>{{ found.name }} <span class="faint">{{ "{:,}".format(found.n) }} images</span></h3>
{% if found.source %}<p class="faint">Tuned on the images of this run, without labels, from the generator of <code>{{ found.source }}</code>.</p>{% endif %}
{% if found.broken %}<p><b>{{ found.broken }}</b></p>{% endif %}
{% for row in found.rows %}
<div class="class wide"><div class="head"><b>{{ row.name }}</b><span>{{ row.share | percent }}</span></div>{{ strip(row.tiles) }}</div>
{% endfor %}
{% if found.curves %}<div class="charts">{% for chart in found.curves %}{{ chart }}{% endfor %}</div>{% endif %}
{% if found.trust %}
<p class="faint">Left: Θ, the share of its trust that each function has, the most trusted. Right: Φ, how far functions go together as it learned it, beside what two functions usually do; in the order of trust.</p>
<div class="maps">
<table class="plain"><tbody>
{% for bar in found.trust.bars %}<tr><td>{{ bar.name }}</td><td><div class="bar" style="width:6rem"><i style="width:{{ (100 * bar.width) | round(1) }}%"></i></div></td><td>{{ "%.1f" | format(100 * bar.share) }} %</td></tr>
{% endfor %}
</tbody></table>
<svg class="phi" viewBox="0 0 {{ found.trust.m }} {{ found.trust.m }}" role="img" aria-label="Φ, functions by functions">
<rect class="ground" width="{{ found.trust.m }}" height="{{ found.trust.m }}"/>
{% for x, y, kind, strength in found.trust.cells %}<rect class="{{ kind }}" x="{{ x }}" y="{{ y }}" width="1" height="1" fill-opacity="{{ strength }}"/>{% endfor %}
</svg>
</div>
{% endif %}
{% if found.neighbors %}
<p class="faint">Generated above, the closest real image below, with the root mean squared distance of their pixels (0 to 1). Twins would mean that images are remembered.</p>
<div class="strip pairs">
{% for pair in found.neighbors %}
<figure class="tile"><img src="{{ pair.src }}" alt="generated"><img src="{{ pair.real }}" alt="closest real image"><figcaption>{{ pair.distance }}</figcaption></figure>
{% endfor %}
</div>
{% endif %}
{% endfor %}
"""  # noqa: E501

    def content(self, data: ReportData) -> dict[str, Any] | None:
        """Give a part per set of generated images."""
        if not data.generated:
            return None
        return {"sets": [_part(data, found) for found in data.generated]}


def _part(data: ReportData, found: Generated) -> dict[str, Any]:
    labels = found.images.labels
    rng = np.random.default_rng(0)
    rows = []
    for label in range(min(len(data.class_names), _MOST_CLASSES)):
        own = np.flatnonzero(labels == label)
        drawn = np.sort(rng.permutation(own)[:_PER_CLASS])
        rows.append(
            {
                "name": data.class_names[label],
                "share": len(own) / max(1, len(labels)),
                "tiles": _tiles(found, drawn, data.class_names[label]),
            }
        )
    return {
        "name": found.name,
        "n": len(found.images),
        "broken": found.broken,
        "source": found.source,
        "rows": rows,
        "curves": _curves(found.log),
        "trust": _trust(found.trust),
        "neighbors": _neighbors(data, found, rng),
    }


def _tiles(
    found: Generated, rows: NDArray[np.int64], name: str
) -> list[dict[str, str]]:
    proba = found.images.proba
    assert proba is not None, "generated images have labels"
    sure = proba.max(axis=1) if found.confidence is None else found.confidence
    told = ["" if np.isnan(sure[row]) else f"{sure[row]:.0%}" for row in rows]
    return [
        {
            "src": data_uri(pixels),
            "mark": "",
            "title": f"{name}, confidence {text or 'not known'}",
            "text": text,
        }
        for text, pixels in zip(told, found.images.pixels(rows), strict=True)
    ]


def _trust(trust: dict[str, Any] | None) -> dict[str, Any] | None:
    """Give what it learned of the functions: Θ as bars, Φ as a map."""
    if trust is None or not 1 < len(trust["names"]) <= _MOST_FUNCTIONS:
        return None
    theta, phi = np.asarray(trust["theta"]), np.asarray(trust["phi"])
    order = np.argsort(-theta, kind="stable")
    bars = [
        {
            "name": trust["names"][j],
            "share": float(theta[j]),
            "width": float(theta[j] / theta.max()),
        }
        for j in order[:_MOST_BARS].tolist()
    ]
    drawn = phi[np.ix_(order, order)]
    # What all pairs have in common would paint the whole map.
    apart = drawn - np.median(drawn[np.triu_indices(len(drawn), 1)])
    np.fill_diagonal(apart, 0)
    largest = max(float(np.abs(apart).max()), 1e-9)
    cells = [
        (j, i, "with" if apart[i, j] > 0 else "against", f"{value:.2f}")
        for (i, j), value in np.ndenumerate(np.abs(apart) / largest)
        if value >= _LEAST_DRAWN
    ]
    return {"bars": bars, "m": len(theta), "cells": cells}


def _curves(log: list[dict[str, Any]]) -> list[Any]:
    """Draw the log over the steps: losses together, real beside generated."""
    names = {name for line in log for name in line} - {"step", "time", "seconds"}
    series = {}
    for name in sorted(names):
        points = [
            (float(line["step"]), float(line[name]))
            for line in log
            if _is_number(line.get("step")) and _is_number(line.get(name))
        ]
        every = max(1, len(points) // _MOST_POINTS)
        if len(points) > 1:
            series[name] = [*points[:-1:every], points[-1]]
    groups: dict[str, dict[str, Any]] = {"losses": {}}
    for name, found in series.items():
        # What is told of real images and of generated ones is read side by side.
        kind = "losses" if "loss" in name else re.sub("^(real|made|fake)_", "", name)
        groups.setdefault(kind, {})[name] = found
    return [
        line_chart(group, x_title="step", y_title=", ".join(group))
        for group in [group for group in groups.values() if group][:_MOST_CURVES]
    ]


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and bool(np.isfinite(value))


def _neighbors(
    data: ReportData, found: Generated, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Find the real image closest to each of some generated ones, pixel by pixel.

    A generator that only remembers shows pairs of twins.
    """
    source = data.album.source
    if found.images.shape != source.shape:
        return []
    rows = np.sort(rng.permutation(len(found.images))[:_N_NEIGHBORS])
    pixels = found.images.pixels(rows)
    flat = pixels.reshape(len(pixels), -1).astype(np.float32) / 255
    best = np.full(len(flat), np.inf, np.float32)
    nearest = np.zeros(len(flat), np.int64)
    size = max(1, _CHUNK_NUMBERS // flat.shape[1])
    for start in range(0, len(source), size):
        part = np.arange(start, min(start + size, len(source)))
        read = source.read(part)
        real = read.pixels.reshape(len(part), -1).astype(np.float32) / 255
        squared = (flat**2).sum(1)[:, None] + (real**2).sum(1) - 2 * flat @ real.T
        squared[:, [*read.problems]] = np.inf
        place = squared.argmin(axis=1)
        value = squared[np.arange(len(flat)), place]
        closer = value < best
        nearest[closer], best[closer] = part[place[closer]], value[closer]
    data.album.read(nearest)
    return [
        {
            "src": data_uri(image),
            "real": data.album(int(row)),
            "distance": f"{np.sqrt(max(gap, 0) / flat.shape[1]):.3f}",
        }
        for image, row, gap in zip(pixels, nearest, best, strict=True)
    ]
