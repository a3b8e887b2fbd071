"""`LFApplier`: labeling functions and images in, votes out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_source import ImageSource
from lfkit.data.progress import Progress, Unlike
from lfkit.data.vote_columns import VoteMatrices, originals, place_out_of_fold
from lfkit.data.votes import Votes
from lfkit.errors import DataError, DeclarationError, FaultError
from lfkit.features.feature import ancestors
from lfkit.labeling.applier_checks import (
    as_labeling_function,
    check_metadata,
    checked_n_classes,
    checked_seeds,
    names_to_recompute,
)
from lfkit.labeling.engine.blocks import (
    BlockResult,
    BlockRunner,
    given_up,
    is_per_image,
)
from lfkit.labeling.engine.failures import (
    Failure,
    FailureColumn,
    Report,
    by_row,
    first_failure,
)
from lfkit.labeling.engine.file_reads import WatchedStore, note_named_files, remarks
from lfkit.labeling.engine.function_evaluator import FunctionEvaluator, cpu_count
from lfkit.labeling.engine.seed_fitting import Fitter, Watch, is_fixed
from lfkit.labeling.engine.worker_pool import MOST_KILLS, IdleWorkers
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.runs.cache_keys import unchanging
from lfkit.runs.store import MemoryStore, Store, block_size

_FEW_IMAGES = 512
# A per-image function may take a second an image: a kill must not cost many minutes.
_SLOW_BLOCK = 128


class LFApplier:
    """Applies labeling functions to images: `LFApplier(lfs).apply(images)`.

    Parameters
    ----------
    lfs : labeling functions, Snorkel's among them.
    n_classes : k; one more than the largest declared class if not given.
    n_workers : processes for per-image functions, and threads for batched ones; None:
        one per core, no process for a few images; 0: call per-image functions in this
        process, where nothing can stop one that hangs.
    device : for batched functions; None: a GPU if there is one.
    lf_timeout : seconds after which one call of a per-image function is killed.
    strict : raise FaultError at the first image or function that fails.
    idle : keeps worker processes for another applier.

    Attributes
    ----------
    lfs_ : the functions that ran, in order, fitted.
    lf_keys_, feature_keys_, out_of_fold_keys_, seed_block_ : where their values lie in
        the store: function name → key, feature → key, and the block of the seeds.
    lf_blocks_ : name of a function that reads metadata → the block of its votes.
    report_ : faults, unreadable images, functions left out, what was computed now.

    >>> from lfkit import ABSTAIN, LFApplier, labeling_function
    >>> @labeling_function(classes=[0])
    ... def dark_is_zero(image):
    ...     return 0 if image.mean() < 50 else ABSTAIN
    >>> images = np.zeros((2, 8, 8, 1), np.uint8)
    >>> images[1] = 255
    >>> np.asarray(LFApplier([dark_is_zero], n_classes=2).apply(images))
    array([[ 0],
           [-1]], dtype=int16)
    """

    def __init__(
        self,
        lfs: Sequence[Any],
        n_classes: int | None = None,
        *,
        n_workers: int | None = None,
        device: str | None = None,
        lf_timeout: float | None = None,
        strict: bool = False,
        idle: IdleWorkers | None = None,
    ) -> None:
        self.lfs = [as_labeling_function(lf) for lf in lfs]
        self.n_classes = checked_n_classes(self.lfs, n_classes)
        self.n_workers = n_workers
        self.device = device
        self.lf_timeout = lf_timeout
        self.strict = strict
        self._idle = idle

    def apply(
        self,
        images: NDArray[np.uint8] | ImageSource,
        *,
        seed_rows: Sequence[int] | NDArray[np.int64] | None = None,
        seed_labels: Sequence[int] | NDArray[np.int64] | None = None,
        random_state: int = 0,
        out_of_fold: bool = True,
        store: Store | None = None,
        recompute: Collection[str] | None = (),
        progress: Progress | None = None,
    ) -> Votes:
        """Vote on every image.

        Parameters
        ----------
        images : (n, h, w, c) or (n, h, w) uint8, or an image source.
        seed_rows, seed_labels : (s,) rows whose class is known, and their classes:
            thresholds and features are fitted on them.
        random_state : for everything that is fitted.
        out_of_fold : also fit on all seeds but a fifth, five times, to vote on those:
            what `Votes.seed_out_of_fold` holds. It takes most of the fitting time.
        store : keeps votes and features, and gives back what it has; memory by default.
        recompute : names of functions and features whose stored values are not to be
            used, or "all"; what is built on them is computed again too. None: as ();
            but a file that has changed since a function read it is a RunError.
        progress : called with (stage, images done, images in all).
        """
        # Loads pyarrow, which worker processes need not.
        from lfkit.data.datasets.array_source import as_source

        source = as_source(images)
        if not len(source):
            raise DataError(f"{source.name} holds no images.")
        check_metadata(self.lfs, source)
        seeds = checked_seeds(seed_rows, seed_labels, len(source), self.n_classes)
        again = None if recompute is None else names_to_recompute(self.lfs, recompute)
        self.report_ = Report()
        self.out_of_fold_keys_: dict[str, str] = {}
        self.seed_block_: str | None = None
        with (
            unchanging(),
            FunctionEvaluator(
                self.n_classes,
                device=self.device or _device_for(self.lfs),
                n_workers=self._workers(len(source)),
                n_threads=self.n_workers or cpu_count(),
                timeout_s=self.lf_timeout,
                idle=self._idle,
            ) as evaluator,
        ):
            note_named_files(evaluator.reads, self.lfs)
            store = WatchedStore(store or MemoryStore(), evaluator.reads, again)
            fitter = None
            if seeds is not None:
                fitter = Fitter(
                    source,
                    seeds,
                    evaluator,
                    store,
                    n_classes=self.n_classes,
                    random_state=random_state,
                )
            self.lfs_ = self._runnable(fitter, _parts(progress, "fitting on the seeds"))
            votes = self._apply(source, evaluator, store, progress)
            if seeds is not None and fitter is not None:
                votes = replace(votes, seed_rows=seeds.rows, seed_labels=seeds.labels)
                if out_of_fold:
                    watch = _parts(progress, "fitting again, fold by fold")
                    votes = self._with_out_of_fold(votes, fitter, watch)
            self.report_.notes += remarks(evaluator.reads, self.lfs_)
            return votes

    def _workers(self, n: int) -> int:
        if not any(map(is_per_image, self.lfs)):
            return 0
        if self.n_workers is not None:
            return self.n_workers
        if n <= _FEW_IMAGES and self.lf_timeout is None:
            return 0
        return cpu_count()

    def _runnable(
        self, fitter: Fitter | None, watch: Watch | None
    ) -> list[LabelingFunction]:
        """Fit what needs fitting; note what cannot run."""
        if fitter is None:
            ready = [lf for lf in self.lfs if not lf.needs_seeds]
            for lf in self.lfs:
                if lf.needs_seeds:
                    self.report_.left_out[lf.name] = "needs seed labels"
        else:
            fitted = fitter.fit(self.lfs, watch=watch)
            ready = fitted.lfs
            self.report_.left_out.update(fitted.left_out)
            self.report_.tracebacks.update(fitted.tracebacks)
            if self.strict and fitted.left_out:
                name, reason = next(iter(fitted.left_out.items()))
                raise FaultError(
                    f"labeling function {name!r} {reason}\n{fitted.tracebacks[name]}"
                )
        if not ready:
            name, reason = next(iter(self.report_.left_out.items()))
            raise DeclarationError(
                f"none of the {len(self.lfs)} labeling functions can run; {name!r} "
                f"{reason}."
            )
        return ready

    def _apply(
        self,
        source: ImageSource,
        evaluator: FunctionEvaluator,
        store: WatchedStore,
        progress: Progress | None,
    ) -> Votes:
        lfs, n, k = self.lfs_, len(source), self.n_classes
        size = block_size(source.shape)
        if store.keeps_features and any(map(is_per_image, lfs)):
            size = min(size, _SLOW_BLOCK)
        blocks = store.layout(source.keys, size)
        runner = BlockRunner(source, evaluator, store, lfs, blocks, k)
        self.lf_keys_ = runner.lf_keys
        self.lf_blocks_ = {lf.name: runner.whole(lf).id for lf in lfs if lf.metadata}
        rows, done = runner.rows, 0
        if progress:
            progress("voting", 0, len(rows))

        def watch(result: BlockResult) -> None:
            nonlocal done
            if self.strict:
                for name, why in runner.not_loaded.items():
                    raise FaultError(f"labeling function {name!r} {why}")
                _stop_at_first(result, source.ids)
            self.report_.n_calls += result.n_calls
            self.report_.n_feature_values += result.n_feature_values
            done += len(result.block.rows)
            if progress:
                progress("voting", done, len(rows))

        is_soft = any(lf.soft for lf in lfs)
        matrices = VoteMatrices(n, len(lfs), k, is_soft=is_soft, blank=store.blank)
        number = {lf.name: j for j, lf in enumerate(lfs)}

        def place(
            lf: LabelingFunction, votes: NDArray[Any], rows: NDArray[np.int64]
        ) -> None:
            matrices.place(lf, votes, rows, number[lf.name])

        found = runner.run(lfs, watch, place)
        if len(runner.not_loaded) == len(lfs):
            name, why = next(iter(runner.not_loaded.items()))
            raise DeclarationError(
                f"a worker process cannot run the labeling functions: {name!r} {why}."
            )
        failures = runner.feature_faults()
        failures |= {
            name: several
            for name, several in found.items()
            if name not in runner.not_loaded
        }
        if len(rows) < n:  # copies were computed once
            of_pixels = [j for j, lf in enumerate(lfs) if not lf.metadata]
            matrices.copy_rows(originals(source.keys), of_pixels)
        culprits = given_up(lfs, failures)
        self.feature_keys_ = {
            node: key
            for node, key in runner.feature_keys.items()
            if not {part.name for part in ancestors([node])} & {*culprits.values()}
        }
        self._report(source, failures, runner.problems())
        votes = matrices.votes(tuple(lf.name for lf in lfs))
        return self._without(votes, culprits, runner.not_loaded)

    def _report(
        self,
        source: ImageSource,
        failures: Mapping[str, FailureColumn],
        problems: Mapping[int, str],
    ) -> None:
        """Count faults; name unreadable images, copies of one another among them."""
        found = {name: several for name, several in failures.items() if several}
        if self.strict:
            first = {name: several.first() for name, several in found.items()}
            _stop_at_first_of(first, problems, source.ids)
        for name, several in found.items():
            self.report_.add(name, several, source.ids)
        if problems:
            original = originals(source.keys)
            for row in np.flatnonzero(np.isin(original, list(problems))).tolist():
                self.report_.problems[source.ids[row]] = problems[int(original[row])]
        for row, reason in source.known_problems.items():
            self.report_.problems[source.ids[row]] = reason

    def _without(
        self,
        votes: Votes,
        culprits: Mapping[str, str],
        not_loaded: Mapping[str, str],
    ) -> Votes:
        """Leave out functions that were killed too often, or could not be loaded.

        Parameters
        ----------
        culprits : function name → what was killed, itself or a feature.
        """
        self.report_.left_out.update(not_loaded)
        for name, culprit in culprits.items():
            who = "" if culprit == name else f"its feature {culprit!r} "
            self.report_.left_out[name] = (
                f"{who}had to be killed {MOST_KILLS} times and was given up"
            )
        kept = [
            j
            for j, name in enumerate(votes.names)
            if name not in culprits and name not in not_loaded
        ]
        if not kept:
            name = votes.names[0]
            raise DeclarationError(
                f"no labeling function is left: {name!r} "
                f"{self.report_.left_out[name]}; look for an endless loop, or raise "
                "--lf-timeout."
            )
        if len(kept) == votes.n_functions:
            return votes
        self.lfs_ = [self.lfs_[j] for j in kept]
        return votes.select(kept)

    def _with_out_of_fold(
        self, votes: Votes, fitter: Fitter, watch: Watch | None
    ) -> Votes:
        """Add the votes on the seeds by functions fitted without them."""
        unfitted = {lf.name: lf for lf in self.lfs}
        learning = [
            unfitted[lf.name] for lf in self.lfs_ if not is_fixed(unfitted[lf.name])
        ]
        found = fitter.votes_out_of_fold(learning, watch)
        self.report_.n_calls += fitter.n_calls
        self.out_of_fold_keys_ = fitter.out_of_fold_keys(learning)
        self.seed_block_ = None if found is None else fitter.block_id
        if found is None:
            return votes
        placed = place_out_of_fold(votes, self.lfs_, found)
        return replace(votes, seed_out_of_fold=placed)


def _parts(progress: Progress | None, name: str) -> Watch | None:
    """Tell of fits: some take a hundred times as long as others."""
    return None if progress is None else partial(progress, Unlike(name))


def _stop_at_first(result: BlockResult, ids: Sequence[str]) -> None:
    """Raise for the first image or function of a block that failed."""
    rows = result.block.rows
    failures = {name: by_row(found, rows) for name, found in result.faults.items()}
    for name, column in result.columns.items():
        failures[name] = by_row(column.failures, column.rows)
    problems = {int(rows[place]): why for place, why in result.problems.items()}
    _stop_at_first_of(failures, problems, ids)


def _stop_at_first_of(
    failures: Mapping[str, Sequence[Failure]],
    problems: Mapping[int, str],
    ids: Sequence[str],
) -> None:
    """Raise for the first image that cannot be read, or function that failed.

    Parameters
    ----------
    failures, problems : by rows of the source, whose images have these ids.
    """
    for row, reason in sorted(problems.items()):
        raise FaultError(f"image {ids[row]!r} cannot be read: {reason}")
    first = first_failure(failures)
    if first is not None:
        name, failure = first
        trace = f"\n{failure.traceback}" if failure.traceback else ""
        raise FaultError(
            f"{name!r} failed on image {ids[failure.row]!r}: {failure.message}{trace}"
        )


def _device_for(lfs: Sequence[LabelingFunction]) -> str:
    """Choose a GPU if there is one and something would use it; else load no torch."""
    nodes = ancestors(node for lf in lfs for node in lf.features)
    if not any(lf.batched for lf in lfs) and not any(node.batched for node in nodes):
        return "cpu"
    from lfkit.nn.compute import best_device

    return best_device()
