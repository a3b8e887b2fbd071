"""Fits features and thresholds on the seed images, and again without each fold of them.

What was fitted, the seeds' features and the out-of-fold votes all go to the store, so
that an unchanged run fits nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lfkit.data.folds import deal_folds
from lfkit.data.image_source import ImageSource
from lfkit.data.vote_columns import alike, originals
from lfkit.errors import DataError, StorageError
from lfkit.features.feature import Feature, ancestors
from lfkit.features.user_code.calling import Calling, call_apart, text_of, traceback_of
from lfkit.features.user_code.sealed_inputs import is_own
from lfkit.labeling.engine.feature_values import FeatureValues, require_lasting
from lfkit.labeling.engine.file_reads import WatchedStore, names_behind
from lfkit.labeling.engine.function_evaluator import FunctionEvaluator, result_key
from lfkit.labeling.engine.unlabeled_sample import draw_unlabeled
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.labeling.thresholds.threshold import Threshold
from lfkit.runs.store import make_block

_T = TypeVar("_T")
FOLDS = 5
Watch = Callable[[int, int], None]
_SILENT = -1


@dataclass(frozen=True, eq=False)
class Seeds:
    """The images whose label is known: (s,) rows of the source and (s,) classes."""

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Fitted:
    """Functions that can run, and why the others cannot: name → reason, traceback."""

    lfs: list[LabelingFunction]
    left_out: dict[str, str]
    tracebacks: dict[str, str]


def is_fixed(lf: LabelingFunction) -> bool:
    """Whether nothing of a function depends on the seeds."""
    return not lf.thresholds and all(
        node.fit is None for node in ancestors(lf.features)
    )


class Fitter:
    """Fits labeling functions on seeds.

    Parameters
    ----------
    random_state : every fit draws from (random_state, what is fitted): neither the
        order of functions nor the presence of others changes a result.
    """

    def __init__(
        self,
        source: ImageSource,
        seeds: Seeds,
        evaluator: FunctionEvaluator,
        store: WatchedStore,
        *,
        n_classes: int,
        random_state: int,
    ) -> None:
        self._source = source
        self._seeds = seeds
        self._evaluator = evaluator
        self._store = store
        self._n_classes = n_classes
        self._random_state = random_state
        self._block_id = f"seeds-{make_block(seeds.rows, source.keys).id}"
        self._copy_of = originals(source.keys[seeds.rows])
        self._values = FeatureValues(
            source, evaluator, seeds.rows, "seed", store=store, block_id=self._block_id
        )
        self.n_calls = 0
        self._fits: dict[tuple[Feature, str], Feature] = {}

    @cached_property
    def _sample(self) -> FeatureValues:
        rows = draw_unlabeled(self._source, self._random_state)
        return FeatureValues(self._source, self._evaluator, rows, "unlabeled image")

    @property
    def block_id(self) -> str:
        """The name under which the store keeps values on the seeds."""
        return self._block_id

    def out_of_fold_keys(self, lfs: Sequence[LabelingFunction]) -> dict[str, str]:
        """Give the store's key of each (unfitted) function's out-of-fold votes."""
        folds = make_folds(self._seeds.labels, self._random_state, self._copy_of)
        if folds is None:
            return {}
        return {lf.name: self._out_of_fold_key(lf, folds) for lf in lfs}

    def fit(
        self,
        lfs: Sequence[LabelingFunction],
        train: NDArray[np.bool_] | None = None,
        watch: Watch | None = None,
    ) -> Fitted:
        """Fit functions on the seeds of `train`, (s,), all by default.

        Parameters
        ----------
        watch : called with the number of functions done and of all.
        """
        if train is None:
            train = np.ones(len(self._seeds.rows), bool)
        ready: list[LabelingFunction] = []
        left_out: dict[str, str] = {}
        tracebacks: dict[str, str] = {}
        # A few hundred seeds make small matrices, for which a second thread only waits.
        with threadpool_limits(1, "blas"):
            for number, lf in enumerate(lfs):
                if watch:
                    watch(number, len(lfs))
                if is_fixed(lf):
                    ready.append(lf)
                    continue
                try:
                    ready.append(self._fit_one(lf, train))
                except (DataError, StorageError):
                    raise
                except Exception as error:  # a user's fit may raise anything
                    left_out[lf.name] = f"could not be fitted: {text_of(error)}"
                    tracebacks[lf.name] = traceback_of(error)
        return Fitted(ready, left_out, tracebacks)

    def votes_out_of_fold(
        self, lfs: Sequence[LabelingFunction], watch: Watch | None = None
    ) -> dict[str, NDArray[Any]] | None:
        """Vote on each seed by functions that were fitted without its fold.

        Parameters
        ----------
        watch : called with the number of fits done and of all.

        Returns
        -------
        name → (s,) int16, (s, classes) float16 or, of sets, bool; None with fewer than
        four seeds.
        """
        folds = make_folds(self._seeds.labels, self._random_state, self._copy_of)
        if folds is None:
            return None
        keys = self.out_of_fold_keys(lfs)
        found: dict[str, NDArray[Any]] = {}
        for lf in lfs:
            self._store.begin("votes", keys[lf.name], names_behind(lf))
            stored = self._store.load("votes", keys[lf.name], self._block_id)
            if stored is not None:
                found[lf.name] = stored["votes"]
        missing = [lf for lf in lfs if lf.name not in found]
        for lf in missing:
            found[lf.name] = (
                np.zeros((len(folds), len(lf.classes or ())), np.float16)
                if lf.soft
                else np.full(len(folds), _SILENT, np.int16)
            )
        numbers = np.unique(folds) if missing else ()
        for turn, fold in enumerate(numbers):
            held_out = folds == fold

            def watch_fold(done: int, total: int, turn: int = turn) -> None:
                if watch:
                    watch(turn * total + done, len(numbers) * total)

            fitted = self.fit(missing, ~held_out, watch_fold).lfs
            known = self._known(fitted)
            done = self._evaluator.evaluate(
                self._source,
                self._seeds.rows[held_out],
                [],
                fitted,
                {node: values[held_out] for node, values in known.items()},
            )
            require_lasting(done.is_transient)
            self.n_calls += len(fitted) * int(held_out.sum())
            for lf in fitted:
                both = [found[lf.name], done.votes[lf]]
                found[lf.name], votes = alike(lf, both, self._n_classes)
                found[lf.name][held_out] = votes
        for lf in missing:
            self._store.save_reads("votes", keys[lf.name], names_behind(lf))
            arrays = {"votes": found[lf.name]}
            self._store.save("votes", keys[lf.name], self._block_id, arrays)
        return found

    def _fit_one(
        self, lf: LabelingFunction, train: NDArray[np.bool_]
    ) -> LabelingFunction:
        features = [self._fit_feature(node, train) for node in lf.features]
        thresholds = {
            key: self._fit_threshold(lf, threshold, train)
            for key, threshold in lf.thresholds.items()
        }
        return lf.fitted(features, thresholds)

    def _fit_feature(self, node: Feature, train: NDArray[np.bool_]) -> Feature:
        if all(part.fit is None for part in ancestors([node])):
            return node
        if not node.learns_from_labels:  # all folds share what it learns
            train = np.ones(len(train), bool)
        memo = (node, train.tobytes().hex())
        if memo in self._fits:
            return self._fits[memo]
        sources = tuple(self._fit_feature(source, train) for source in node.of)
        learned: Mapping[str, NDArray[Any]] = {}
        if node.fit is not None:
            unfitted = (node.fn, node.batched, sources, node.fit)
            key = self._fit_key("feature", unfitted, train)
            if "labels" not in node.fit_arguments:
                key = self._unlabeled_key("feature", unfitted)
            elif "unlabeled" in node.fit_arguments:
                key = self._fit_key("feature", (unfitted, self._sample.identity), train)
            learned = self._stored(
                key,
                [part.name for part in ancestors([node])],
                lambda: self._learn_feature(node, sources, train, key),
            )
        fitted = node.with_learned(learned, sources)
        self._fits[memo] = fitted
        return fitted

    def _learn_feature(
        self,
        node: Feature,
        sources: tuple[Feature, ...],
        train: NDArray[np.bool_],
        key: str,
    ) -> Mapping[str, NDArray[Any]]:
        fit = node.fit
        assert fit is not None
        arguments: dict[str, Any] = {"rng": self._rng(key)}
        node = replace(node, of=sources)
        if "unlabeled" in node.fit_arguments:
            arguments["unlabeled"] = self._sample.inputs(node)[0]
        inputs: tuple[Any, ...] = ()
        if "labels" in node.fit_arguments:
            inputs, usable = self._values.inputs(node, train)
            arguments["labels"] = self._seeds.labels[usable]
        learn = _one_torch_thread()(fit) if node.batched else fit
        return self._called(node.name, fit, lambda: learn(*inputs, **arguments))

    def _fit_threshold(
        self, lf: LabelingFunction, threshold: Threshold, train: NDArray[np.bool_]
    ) -> Threshold:
        moved = threshold.with_feature(self._fit_feature(threshold.feature, train))
        key = self._fit_key("threshold", (moved, lf.classes), train)

        def learn() -> Mapping[str, NDArray[Any]]:
            self._values.compute([moved.feature])
            self._values.require_some(moved.feature)
            values = self._values.rounded[moved.feature]
            fitted = self._called(
                lf.name,
                type(moved),
                lambda: moved.fit(
                    values[train].astype(np.float32),
                    self._seeds.labels[train],
                    classes=lf.classes or tuple(range(self._n_classes)),
                    rng=self._rng(key),
                ),
            )
            return fitted.learned or {}

        names = [lf.name, *(part.name for part in ancestors([moved.feature]))]
        return moved.with_learned(self._stored(key, names, learn))

    def _stored(
        self,
        key: str,
        names: Sequence[str],
        learn: Callable[[], Mapping[str, NDArray[Any]]],
    ) -> Mapping[str, NDArray[Any]]:
        """Give what was learned; `names` are those of all that it depends on."""
        learned: Mapping[str, NDArray[Any]] | None
        self._store.begin("fitted", key, names)
        learned = self._store.load("fitted", key, "learned")
        if learned is None:
            # Copies: a fit may give the same array, with other numbers, once more.
            learned = {name: np.array(value) for name, value in learn().items()}
            self._store.save_reads("fitted", key, names)
            self._store.save("fitted", key, "learned", learned)
        return learned

    def _called(self, name: str, fit: Any, call: Callable[[], _T]) -> _T:
        """Call a user's fit where it cannot end the run; note the files it opens."""
        if is_own(fit):
            return call()
        with_reads: list[Calling] = []

        def apart() -> _T:
            with Calling() as calling:
                with_reads.append(calling)
                return call()

        found = call_apart(apart)
        self._evaluator.reads.note(name, with_reads[0].reads)
        return found

    def _known(self, lfs: Sequence[LabelingFunction]) -> dict[Feature, NDArray[Any]]:
        """Give the seeds' rounded features that these functions read."""
        nodes = [node for lf in lfs for node in lf.features if not node.is_given]
        self._values.compute(nodes)
        return {node: self._values.rounded[node] for node in nodes}

    def _fit_key(self, what: str, parts: Any, train: NDArray[np.bool_]) -> str:
        return result_key(
            self._source, what, parts, self._seed_identity(), train, self._random_state
        )

    def _unlabeled_key(self, what: str, parts: Any) -> str:
        sample = self._sample.identity
        return result_key(self._source, what, parts, sample, self._random_state)

    def _out_of_fold_key(self, lf: LabelingFunction, folds: NDArray[np.int64]) -> str:
        k = self._n_classes if lf.classes is None else 0
        seeds: tuple[Any, ...] = (self._seed_identity(), folds, self._random_state)
        read = [*lf.features, *(t.feature for t in lf.thresholds.values())]
        if any("unlabeled" in node.fit_arguments for node in ancestors(read)):
            seeds = (*seeds, self._sample.identity)
        for what in lf.metadata:
            seeds = (*seeds, self._source.metadata(what, self._seeds.rows).tolist())
        return result_key(self._source, "out of fold", lf, seeds, k)

    def _seed_identity(self) -> tuple[Any, ...]:
        return (self._values.identity, self._seeds.labels)

    def _rng(self, key: str) -> np.random.Generator:
        return np.random.default_rng([self._random_state, int(key[:8], 16)])


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Hold torch to one thread: two on a busy machine took LeNet 8 s instead of 1."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_folds(
    labels: NDArray[np.int64], random_state: int, copy_of: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Deal the seeds of each class to folds: (s,) fold numbers.

    A class with a single seed is simply missing while that seed is held out; None if
    there are too few seeds to hold any out.

    Parameters
    ----------
    copy_of : (s,) the first seed with the same content: copies share a fold.
    """
    if len(labels) < 4:
        return None
    sizes = np.bincount(labels)
    n_folds = min(FOLDS, max(2, int(sizes[sizes > 0].min())))
    return deal_folds(labels, n_folds, random_state)[copy_of]
