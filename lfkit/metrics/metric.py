"""The contract of a metric: sets of images in, scores with their protocol out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from lfkit.data.progress import Progress
from lfkit.metrics.extractors import Extractor
from lfkit.metrics.image_set import ImageSet

Need = Literal["real", "real labels", "labels", "extractor", "judge", "test"]


@dataclass(frozen=True)
class Protocol:
    """All that a score depends on beside the images it is about.

    Attributes
    ----------
    extractor : name and checksum of what made features of the images, or "".
    n_generated, n_real : images behind the number.
    real : which real images, with their split.
    seed : of every draw.
    checkpoint : of the generator: "last" or "best"; "" where there is none.
    details : constants of the metric: neighbours, bandwidth, steps, …
    """

    extractor: str = ""
    n_generated: int = 0
    n_real: int = 0
    real: str = ""
    seed: int = 0
    checkpoint: str = ""
    details: Mapping[str, float | str] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line to stand beside a score."""
        parts = [f"{self.n_generated:,} images" if self.n_generated else ""]
        if self.n_real:
            parts.append(f"{self.n_real:,} real ones of {self.real}")
        parts += [f"{name} {value}" for name, value in self.details.items()]
        parts += [
            f"seed {self.seed}",
            self.checkpoint and f"checkpoint {self.checkpoint}",
        ]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class Score:
    """A number that never travels without its protocol.

    Attributes
    ----------
    metric : its name without the extractor: "FID".
    value : NaN where it cannot be computed; `note` then says why.
    error : standard error or deviation, as the metric's docstring says; None: unknown.
    better : "higher", "lower", or "" where neither is.
    note : one sentence to beware of, or "".
    part_of : what all classes have one of, "share of a class"; "" if it is not about
        a single class.
    """

    metric: str
    value: float
    better: Literal["higher", "lower", ""]
    protocol: Protocol
    error: float | None = None
    note: str = ""
    part_of: str = ""

    @property
    def title(self) -> str:
        """The name with the extractor: "FID[efficientnet-lite0@1a2b3c4d]"."""
        if not self.protocol.extractor:
            return self.metric
        return f"{self.metric}[{self.protocol.extractor}]"

    def to_dict(self) -> dict[str, Any]:
        """Give the score as JSON can hold it."""
        return {
            "title": self.title,
            "metric": self.metric,
            "value": self.value,
            "error": self.error,
            "better": self.better,
            "note": self.note,
            "part_of": self.part_of,
            "protocol": vars(self.protocol) | {"details": dict(self.protocol.details)},
        }


@dataclass(frozen=True, eq=False)
class MetricContext:
    """What metrics share.

    Attributes
    ----------
    extractor : makes features of images, or None.
    judge : an independent classifier, trained on true labels for scoring only:
        (b, h, w, c) uint8 → (b, k) probabilities; None without true labels.
    judge_name : name and checksum of the judge.
    test : real images with true labels that nothing was trained on, or None.
    device : "cpu" or "cuda": where classifiers are trained.
    checkpoint : of the generator, for the protocols.
    progress : called with a text, the parts done and all parts; may be None.
    trained : the classifiers so far, by pairs, recipe and seed: several metrics train
        on the same real images.
    """

    extractor: Extractor | None = None
    judge: Callable[[Any], Any] | None = None
    judge_name: str = ""
    test: ImageSet | None = None
    random_state: int = 0
    device: str = "cpu"
    checkpoint: str = ""
    progress: Progress | None = None
    trained: dict[tuple[bytes, int, str, int], Any] = field(default_factory=dict)

    def say(self, text: str, done: int, total: int) -> None:
        """Tell the progress."""
        if self.progress is not None:
            self.progress(text, done, total)


_TEST = "test images with labels that nothing has learned from (--against DATA)"


class Metric(ABC):
    """Scores generated images, most of them beside real ones.

    Attributes
    ----------
    name : what the user calls it.
    needs : what must be there beside the generated images: real images, real labels,
        labels of the generated ones, an extractor, a judge, a test set.
    slow : it trains classifiers, and takes minutes.
    of_training : its real images are those that were learned from, not held-out ones.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[Need]] = frozenset()
    slow: ClassVar[bool] = False
    of_training: ClassVar[bool] = False

    def why_not(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> str | None:
        """Say what is missing to compute it, or None."""
        has: dict[Need, bool] = {
            "real": real is not None,
            "real labels": real is not None and real.proba is not None,
            "labels": generated.proba is not None,
            "extractor": tools.extractor is not None,
            "judge": tools.judge is not None,
            "test": tools.test is not None,
        }
        missing = [
            _TEST if need == "test" else need
            for need in sorted(self.needs)
            if not has[need]
        ]
        return f"it needs {', '.join(missing)}" if missing else None

    @abstractmethod
    def score(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> Sequence[Score]:
        """Compute the scores; only called where `why_not` is None."""
