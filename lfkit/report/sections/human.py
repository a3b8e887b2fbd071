"""The human Turing test: how real do images look, how well do labels fit."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from lfkit.report.image_tiles import data_uri
from lfkit.report.sections.section import ReportData, Section

_PER_SOURCE = 12


class HumanTest(Section):
    """Real and generated images with labels, two sliders each (ADP, table 5).

    https://arxiv.org/abs/1803.05137, section 4.4: people rate from 0 to 10 how real an
    image looks, and how well the label fits it. Which is which is not shown.
    """

    name: ClassVar[str] = "human-test"
    title: ClassVar[str] = "Human Turing test"
    template: ClassVar[str] = """\
<p>Some of these images are real, some generated. For each, say how real it looks and how well the label fits, from 0 to 10. At the end you get a CSV file for <code>lfkit evaluate --human FILE</code>.</p>
<div id="human" class="human">
  <div class="question"><img alt="image to rate"><b class="label"></b></div>
  <label>looks real <input type="range" min="0" max="10" value="5" name="image_quality"><output>5</output></label>
  <label>label fits <input type="range" min="0" max="10" value="5" name="label_match"><output>5</output></label>
  <p><button type="button" class="next">Next</button> <span class="faint where"></span></p>
  <script type="application/json">{{ items | tojson }}</script>
</div>
"""  # noqa: E501

    def content(self, data: ReportData) -> dict[str, Any] | None:
        """Give images in a random order, the same on every call."""
        if not data.generated:
            return None
        rng = np.random.default_rng(1)
        items = []
        labels = np.where(data.run.given, -1, data.run.labels.labels)
        real = rng.permutation(np.flatnonzero(labels >= 0))[:_PER_SOURCE]
        data.album.read(real)
        for row in real.tolist():
            named = data.class_names[labels[row]]
            items.append(("real", f"real-{row}", data.album(row), named))
        for found in data.generated:
            said = found.images.labels
            rows = rng.permutation(np.flatnonzero(said >= 0))[:_PER_SOURCE]
            for row, pixels in zip(
                rows.tolist(), found.images.pixels(rows), strict=True
            ):
                named = data.class_names[said[row]]
                item = (found.name, f"{found.name}-{row}", data_uri(pixels), named)
                items.append(item)
        if not items:
            return None
        order = rng.permutation(len(items)).tolist()
        return {
            "items": [
                {"source": s, "item": i, "src": src, "label": label}
                for s, i, src, label in (items[place] for place in order)
            ]
        }
