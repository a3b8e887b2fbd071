"""The contract of a section: what a run has, in; what its template shows, out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lfkit.metrics.generated_images import Generated
from lfkit.metrics.labels.summarize import summary_of
from lfkit.metrics.scores_file import RunScores
from lfkit.report.examples import mark
from lfkit.report.image_tiles import Album
from lfkit.runs.run import Run
from lfkit.runs.run_summary import RunSummary


@dataclass(eq=False)
class ReportData:
    """All that a report is made of.

    Attributes
    ----------
    album : pictures of the run's images.
    generated : sets of generated images with their labels.
    scores : what `lfkit evaluate` has scored.
    """

    run: Run
    album: Album
    generated: list[Generated] = field(default_factory=list)
    scores: RunScores = field(default_factory=RunScores)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The k names."""
        return self.run.config.class_names

    @cached_property
    def summary(self) -> RunSummary:
        """What is known of functions and labels, as `lfkit analyze` says it."""
        return summary_of(replace(self.run, stored=self.stored))

    @cached_property
    def stored(self) -> RunSummary:
        """What `lfkit apply` found, without what it scored by other true classes."""
        stored = self.run.stored
        return (
            stored
            if self.run.own_truth
            else replace(stored, baselines=(), baseline=None)
        )

    @cached_property
    def reference(self) -> NDArray[np.int64]:
        """(n,) true classes to score by, or -1."""
        return self.run.scored

    @property
    def has_truth(self) -> bool:
        """Tell whether any image can be scored."""
        return bool((self.reference >= 0).any())

    def tile(self, row: int, *labels: int, text: str = "") -> dict[str, str]:
        """Give what the template needs to show an image under a label, or several."""
        truth = int(self.reference[row])
        named = [label for label in labels if label >= 0]
        said = " or ".join(self.class_names[label] for label in named) or "no label"
        title = f"{self.run.index['image_id'][int(row)].as_py()}: {said}"
        if text:
            title += f" {text}"
        if truth >= 0 and truth not in named:
            title += f"; truly {self.class_names[truth]}"
        return {
            "src": self.album(row),
            "mark": mark(truth, labels),
            "title": title,
            "text": text,
        }


class Section(ABC):
    """One part of the page, absent where a run has nothing to show in it.

    Attributes
    ----------
    name : its anchor.
    title : its heading.
    template : HTML, as Jinja reads it; templates/tiles.html shows images.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    template: ClassVar[str]

    @abstractmethod
    def content(self, data: ReportData) -> dict[str, Any] | None:
        """Give what the template shows; None: the section is left out."""
