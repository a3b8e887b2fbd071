"""Near-duplicates, images like no other, and seeds that look wrong."""

from __future__ import annotations

from typing import Any, ClassVar

from lfkit.metrics.image_checks.image_findings import load_findings
from lfkit.report.sections.section import ReportData, Section

_MOST_GROUPS, _PER_GROUP, _MOST_IMAGES = 6, 8, 24


class StrangeImages(Section):
    """What `lfkit diagnose --images` has found, with the images."""

    name: ClassVar[str] = "strange"
    title: ClassVar[str] = "Strange images"
    template: ClassVar[str] = """\
{% from "tiles.html" import strip %}
<ul>{% for sentence in sentences %}<li>{{ sentence }}</li>{% endfor %}</ul>
{% for part in parts %}
<h3>{{ part.title }}</h3>
{% for tiles in part.strips %}{{ strip(tiles) }}{% endfor %}
{% endfor %}
"""

    def content(self, data: ReportData) -> dict[str, Any] | None:
        """Give the sentences, and strips of images."""
        found = load_findings(data.run.folder)
        if found is None:
            return None
        names = data.run.index.column("image_id").to_pylist()
        row_of = {name: row for row, name in enumerate(names)}
        groups = [group.images for group in found.duplicates if group.images]
        shown: dict[str, list[list[tuple[str, str]]]] = {
            "Near-duplicates": [
                [(image, "") for image in group[:_PER_GROUP]]
                for group in groups[:_MOST_GROUPS]
            ],
            "Like no other": [
                [
                    (one.image, f"{one.deviations:.1f} deviations")
                    for one in found.outliers[:_MOST_IMAGES]
                ]
            ],
            "Seeds that look wrong": [
                [
                    (one.image, f"{one.label}, not {one.said}?")
                    for one in found.suspects[:_MOST_IMAGES]
                ]
            ],
        }
        labels = data.run.labels.labels
        parts = []
        for title, strips in shown.items():
            kept = [strip for strip in strips if strip]
            for strip in kept:
                data.album.read([row_of[image] for image, _ in strip])
            tiles = [
                [
                    data.tile(row_of[image], int(labels[row_of[image]]), text=text)
                    for image, text in strip
                ]
                for strip in kept
            ]
            if tiles:
                parts.append({"title": title, "strips": tiles})
        return {"sentences": found.sentences(), "parts": parts}
