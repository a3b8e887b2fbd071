"""Scores generated images against the images of a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lfkit.classifiers import one_hot
from lfkit.data.datasets import open_images
from lfkit.data.files import refuse_links
from lfkit.data.image_source import ImageSource
from lfkit.data.progress import Progress, Unlike
from lfkit.errors import InputError
from lfkit.generators.training.final_check import what_is_broken
from lfkit.labeling.classes import reconcile
from lfkit.metrics import METRICS, ImageSet, MetricContext, Score
from lfkit.metrics.extractors import (
    EXTRACTORS,
    DomainClassifier,
    EfficientNetLite0,
    Extractor,
    InceptionV3,
)
from lfkit.metrics.generated_images import Generated
from lfkit.metrics.scores_file import ScoredSet
from lfkit.nn.compute import best_device
from lfkit.runs.cache_keys import fingerprint
from lfkit.runs.run import Run

_LEAST, _LOOKED_AT = 50, 256  # generated images that tell whether they are broken
_TRAINED = 1000  # steps, of generators that leave their own number untold
_LOOKS, _BATCH = 20, 128  # of the domain classifier at an image, and images a step


class Evaluator:
    """Scores sets of generated images against the images of a run.

    The real images are those of `against`, or the run's own. Where the run's data has
    true labels, a classifier trained on them, for scoring only, judges the generated
    labels; it is the extractor `domain` too, and kept in RUN/scoring. Without true
    labels the extractor is `domain-weak`, trained on the run's labels, and nobody
    judges.

    All networks run on a GPU where torch sees one.

    Parameters
    ----------
    against : data set of real images that nothing was trained on; None: the run's.
    extractor : a name in EXTRACTORS.
    weights : a file for the extractor `inception`.
    needs_judge : False spares its training where only another extractor looks.
    n_steps : of the domain classifier; None: twenty looks at every image, but 300 to
        2,500 steps.
    """

    def __init__(
        self,
        run: Run,
        source: ImageSource,
        *,
        against: str | None = None,
        extractor: str = "domain",
        weights: Path | None = None,
        n_steps: int | None = None,
        random_state: int = 0,
        needs_judge: bool = True,
        progress: Progress | None = None,
    ) -> None:
        if extractor not in EXTRACTORS:
            raise InputError(
                f"there is no extractor {extractor!r}; choose from "
                f"{', '.join(EXTRACTORS)}."
            )
        self.run, self.source, self.progress = run, source, progress
        self.random_state, self.n_steps = random_state, n_steps
        self.device = best_device()
        k = len(run.config.class_names)
        known = run.truth >= 0
        self.has_truth = bool(known.any())
        self.labels = run.truth if self.has_truth else run.labels.labels
        self.real = ImageSet(
            source, one_hot(self.labels, k), name=run.config.options.data
        )
        self.test: ImageSet | None = None
        self.notes: tuple[str, ...] = ()
        if against is not None:
            self.test, self.notes = held_out_images(run, source, against)
        domain = None
        if (self.has_truth and needs_judge) or extractor == "domain":
            domain = self._domain_classifier()
        self.tools = MetricContext(
            extractor=_chosen(extractor, domain, weights, self.device),
            judge=domain.predict_proba if domain and self.has_truth else None,
            judge_name=domain.title if domain and self.has_truth else "",
            test=self.test if self.test is not None and self.test.n_classes else None,
            random_state=random_state,
            device=self.device,
            progress=progress,
        )

    def score(
        self, found: Generated, names: Sequence[str]
    ) -> tuple[list[Score], dict[str, str]]:
        """Compute metrics of one set; gives the scores, and why others are missing."""
        self.check(found)
        real = self.real if self.test is None else self.test
        tools = replace(self.tools, checkpoint=found.checkpoint)
        scores: list[Score] = []
        missing: dict[str, str] = {}
        for place, name in enumerate(names):
            if self.progress is not None:
                self.progress(Unlike(f"scoring {found.name}"), place, len(names))
            metric = METRICS[name]()
            # What is trained on real images is trained on the run's.
            of_training = metric.slow or metric.of_training
            against = self.real if of_training else real
            why_not = metric.why_not(found.images, against, tools)
            if why_not is not None:
                missing[name] = why_not
                continue
            scores += metric.score(found.images, against, tools)
        named = [
            replace(
                score,
                metric=self._with_names(score.metric),
                note=self._with_names(score.note),
            )
            for score in scores
        ]
        if self.progress is not None:
            self.progress(f"scoring {found.name}", len(names), len(names))
        return named, missing

    def scored_set(
        self, found: Generated, names: Sequence[str]
    ) -> tuple[ScoredSet, dict[str, str]]:
        """Do as `score`; the scores come with the key of what they are of."""
        scores, missing = self.score(found, names)
        key = fingerprint((found.images.source.keys, found.images.proba))
        return ScoredSet(key, tuple(scores)), missing

    def why_broken(self, found: Generated) -> str | None:
        """Say why a set cannot be images of the real ones' kind, or None."""
        if len(found.images) < _LEAST:
            return None
        looks = []
        for images in (found.images, self.real):
            rows = images.draw(_LOOKED_AT, 0)
            read = [*images.chunks(rows)]
            if not read:
                return None
            kept = np.concatenate([part for part, _ in read])
            looks += [np.concatenate([p for _, p in read]), images.labels[kept]]
        why = what_is_broken(*looks, n_steps=_TRAINED)
        return None if why is None else f"{found.name} is broken: {why}."

    def check(self, found: Generated) -> None:
        """Refuse images of another shape than the real ones."""
        if found.images.shape != self.real.shape:
            raise InputError(
                f"{found.name} has images of {found.images.shape} (height, width, "
                f"channels), the real ones have {self.real.shape}; generate them in "
                "that shape, or apply with --size and --color."
            )

    def _with_names(self, text: str) -> str:
        """Put a class's name in the place of its number."""
        names = self.run.config.class_names
        return re.sub(
            r"class (\d+)(\.?)$",
            lambda found: f"class {names[int(found[1])]}{found[2]}",
            text,
        )

    def _domain_classifier(self) -> DomainClassifier:
        kind: Any = "true" if self.has_truth else "weak"
        proba = one_hot(self.labels, len(self.run.config.class_names))
        n_labeled = int(proba.any(axis=1).sum())
        n_steps = self.n_steps or int(np.clip(_LOOKS * n_labeled / _BATCH, 300, 2500))
        found = DomainClassifier(kind, n_steps=n_steps, random_state=self.random_state)
        proba[[*self.source.known_problems]] = 0
        key = fingerprint(
            (
                DomainClassifier,
                vars(found),
                self.source.keys,
                self.source.decoding,
                proba,
            )
        )
        path = self.run.folder / "scoring" / f"{key}.npz"
        if path.exists():
            return DomainClassifier.load(path, device=self.device)
        refuse_links(self.run.folder)
        # Not part of the key: wherever the eyes were trained, the next call has them.
        found.device = self.device

        def report(done: int, total: int) -> None:
            if self.progress is not None:
                self.progress(f"training {found.name}, for scoring only", done, total)

        found.fit(self.source, proba, progress=report).save(path)
        return found


def held_out_images(
    run: Run, source: ImageSource, name: str
) -> tuple[ImageSet, tuple[str, ...]]:
    """Open images beside those of a run, `source`: as many pixels, the same classes.

    Returns
    -------
    the images, without labels if they have none; and notes on how they were matched.
    """
    config, k = run.config, len(run.config.class_names)
    found = open_images(name, size=config.options.size, color=config.options.color)
    if found.shape != source.shape:
        raise InputError(
            f"the images of {name} are {found.shape} (height, width, channels), those "
            f"of the run {source.shape}; give --against images of the same shape."
        )
    if found.labels is None:
        return ImageSet(found, name=name), found.notes
    # By name: the classes of another folder may have other numbers.
    known = reconcile(found, config.class_names, k)
    proba = one_hot(known.truth, k)
    return ImageSet(found, proba, name=name), found.notes + known.notes


def needs_judge(name: str) -> bool:
    """Tell whether a metric asks a classifier of the domain."""
    return "judge" in METRICS[name].needs


def chosen_metrics(names: Sequence[str] | None, *, slow: bool) -> list[str]:
    """Check names of metrics; None: all quick ones, or all."""
    if names is None:
        return [name for name, metric in METRICS.items() if slow or not metric.slow]
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        raise InputError(
            f"there is no metric {', '.join(unknown)!r}; choose from "
            f"{', '.join(METRICS)}."
        )
    return list(names)


def _chosen(
    name: str, domain: DomainClassifier | None, weights: Path | None, device: str
) -> Extractor:
    if name == "domain":
        assert domain is not None, "it was fitted"
        return domain
    if name == "inception":
        return InceptionV3(weights, device=device)
    return EfficientNetLite0(device=device)
