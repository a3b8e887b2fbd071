# Fill in, and copy to: lfkit/report/sections/vote_counts.py
# Table SECTIONS in lfkit/report/sections/__init__.py, an import and one line:
#   from lfkit.report.sections.vote_counts import VoteCounts
#       VoteCounts,
# Check: python -m pytest tests/test_report.py -k sections
"""How many functions vote on an image."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from lfkit.report.charts import line_chart
from lfkit.report.sections.section import ReportData, Section


class VoteCounts(Section):
    """A curve: the share of images with at least so many votes."""

    name: ClassVar[str] = "vote-counts"
    title: ClassVar[str] = "Votes on an image"
    # Jinja: {{ name }} shows a value of `content`, | percent writes .5 as "50 %".
    template: ClassVar[str] = """\
<p>{{ without | percent }} of the images have no vote.</p>
{{ chart }}
"""

    # None leaves the section out. Never score by true classes without `has_truth`.
    def content(self, data: ReportData) -> dict[str, Any] | None:
        """Give the curve, and the share of images without votes."""
        voted = data.run.votes.voted.sum(axis=1)  # (n,) functions that vote
        if not len(voted) or voted.max() == 0:
            return None
        counts = np.arange(voted.max() + 1)
        points = [(float(least), float((voted >= least).mean())) for least in counts]
        chart = line_chart(
            {"images": points},
            x_title="votes at least",
            y_title="share of images",
            percent=True,
        )
        return {"without": float((voted == 0).mean()), "chart": chart}
