"""Runs batched features and labeling functions; isolates the images they fail on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_tensors import to_unit_range
from lfkit.data.vote_columns import alike, silence_of
from lfkit.data.votes import ABSTAIN
from lfkit.features.feature import (
    BatchedEvaluator,
    Feature,
    batch_size,
    finite_rows,
    image,
)
from lfkit.features.user_code.calling import Calling, kind_of, text_of, traceback_of
from lfkit.features.user_code.sealed_inputs import Kept, is_own
from lfkit.labeling.engine.failures import Failure
from lfkit.labeling.engine.file_reads import Reads
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.labeling.vote_checks import checked_answer

if TYPE_CHECKING:
    import torch

Inputs = Sequence["torch.Tensor"]

# Rows per call of a batched labeling function that reads features only. Calls are
# padded to it: a row's float sums must not depend on how many rows share the call.
_VOTE_BATCH = 1024


class Stopped(Exception):
    """The run is being stopped; nothing of this block is kept."""


class BatchedRunner:
    """Calls batched functions on a device.

    On a CPU every call uses one thread: the caller runs several calls at once.
    """

    def __init__(self, device: str, stop: threading.Event, reads: Reads) -> None:
        self.device, self._reads = device, reads
        self._stop = stop
        self._evaluate = BatchedEvaluator(device)
        self._threads_before = 0
        self._lock = threading.Lock()
        self._local = threading.local()

    def close(self) -> None:
        """Give torch back the number of threads it had."""
        if self._threads_before:
            import torch

            torch.set_num_threads(self._threads_before)

    def features(
        self,
        nodes: Sequence[Feature],
        outputs: Sequence[Feature],
        pixels: NDArray[np.uint8],
        bad: NDArray[np.bool_],
        inputs: Mapping[Feature, NDArray[np.float32]],
        size: int,
    ) -> tuple[dict[Feature, NDArray[np.float32]], dict[str, list[Failure]]]:
        """Compute features of one batch; rows that fail are NaN.

        Parameters
        ----------
        pixels : (b, h, w, c), b <= size; padded to `size`.
        bad : (b,) images that could not be read.
        inputs : per-image features computed before, with NaN rows where they failed.
        """
        self._prepare()
        import torch

        n = len(pixels)
        rows = np.minimum(np.arange(size), n - 1)
        invalid: dict[Feature, NDArray[np.bool_]] = {image: bad[rows]}
        tensors: dict[Feature, torch.Tensor] = {
            image: to_unit_range(pixels[rows], self.device)
        }
        for node, values in inputs.items():
            padded = values[rows]
            invalid[node] = ~finite_rows(padded)
            tensors[node] = torch.from_numpy(padded).to(self.device)
        kept = Kept()
        results: dict[Feature, NDArray[np.float32]] = {}
        failures: dict[str, list[Failure]] = {}
        for node in nodes:
            wrong: NDArray[np.bool_] = np.logical_or.reduce(
                [invalid[source] for source in node.of]
            )
            shared = [tensors[source] for source in node.of]
            changed: set[int] = set()

            def as_computed(
                node: Feature = node, shared: Inputs = shared, changed: Any = changed
            ) -> Inputs:
                """Give its inputs, with what it changed in them reverted."""
                if is_own(node.fn):
                    return shared
                shown = kept.show(shared)
                changed.update(kept.restore(shared))
                return shown

            value, found = self._guarded(
                node,
                lambda *args, node=node: self._evaluate(node, args),
                as_computed,
                wrong,
            )
            as_computed()
            if changed:
                # Others read these tensors too: trust no row.
                found = _all_failed([node.of[i] for i in sorted(changed)], wrong)
            tensors[node], invalid[node] = value, wrong
            for failure in found:
                wrong[failure.row] = True
            if found:
                wrong[n:] = wrong[n - 1]
            if node in outputs:
                array = value[:n].cpu().numpy()
                finite = finite_rows(array)
                if not finite.all() or wrong[:n].any():
                    array = array.copy()
                    array[~finite | wrong[:n]] = np.nan
                found = found + [
                    Failure(int(row), "not finite", "is NaN or infinite")
                    for row in np.flatnonzero(~finite & ~wrong[:n])
                ]
                results[node] = array
            failures[node.name] = [f for f in found if f.row < n]
        return results, failures

    def vote(
        self,
        lf: LabelingFunction,
        stored: Mapping[Feature, NDArray[Any]],
        pixels: NDArray[np.uint8],
        bad: NDArray[np.bool_],
        n_classes: int | None,
    ) -> tuple[NDArray[Any], list[Failure]]:
        """Call one batched labeling function on a block.

        Returns
        -------
        (b,) int64 classes; (b, classes) bool if any vote is a set; or (b, classes)
        float32 weights that sum to one or are zero.
        """
        self._prepare()
        import torch

        n = len(bad)
        usable = ~bad
        for source in lf.features:
            if source is not image:
                values = stored[source]
                usable &= finite_rows(values)
        rows = np.flatnonzero(usable)
        k = len(lf.classes or ())
        votes: NDArray[Any] = (
            np.zeros((n, k), np.float32) if lf.soft else np.full(n, ABSTAIN, np.int64)
        )
        reads_image = image in lf.features
        size = batch_size(pixels.shape[1:]) if reads_image else _VOTE_BATCH
        failures: list[Failure] = []
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            padded: Any = part[np.minimum(np.arange(size), len(part) - 1)]
            if len(part) == size == n:
                padded = slice(None)  # every row: a copy less

            def inputs(padded: Any = padded) -> Inputs:
                """Give its inputs, in memory that nobody else reads."""
                return [
                    to_unit_range(pixels[padded], self.device)
                    if source is image
                    else torch.from_numpy(
                        np.array(stored[source][padded], dtype=np.float32)
                    ).to(self.device)
                    for source in lf.features
                ]

            call = self._checked_call(lf)
            value, found = self._guarded(lf, call, inputs, np.zeros(size, bool))
            found = [failure for failure in found if failure.row < len(part)]
            if len(found) < len(part):
                answers = value.cpu().numpy()[: len(part)]
                votes, answers = alike(lf, [votes, answers], n_classes or 0)
                votes[part] = answers
            for failure in found:
                votes[part[failure.row]] = silence_of(votes)
                failures.append(failure._replace(row=int(part[failure.row])))
            failures += _check_rows(lf, votes, part, n_classes)
        if lf.soft:
            total = votes.sum(axis=1, keepdims=True)
            np.divide(votes, total, out=votes, where=total > 0)
        return votes, failures

    def _checked_call(self, lf: LabelingFunction) -> Callable[..., torch.Tensor]:
        import torch

        keywords = lf.keywords

        def call(*inputs: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                value = lf.fn(*inputs, **keywords)
            return checked_answer(
                lf.soft, lf.classes, value, len(inputs[0]), self.device
            )

        return call

    def _guarded(
        self,
        function: Feature | LabelingFunction,
        call: Callable[..., torch.Tensor],
        inputs: Callable[[], Inputs],
        wrong: NDArray[np.bool_],
    ) -> tuple[torch.Tensor, list[Failure]]:
        """Call with every row that can be; after an exception, row by row."""
        import torch

        n = len(wrong)
        if wrong.all():
            return torch.full((n,), torch.nan, device=self.device), []

        def whole() -> Inputs:
            if not wrong.any():
                return inputs()
            # Failed rows borrow a good one's values: a function never sees NaN.
            stand_in = np.where(wrong, np.flatnonzero(~wrong)[0], np.arange(n))
            index = torch.from_numpy(stand_in).to(self.device)
            return [tensor[index] for tensor in inputs()]

        try:
            return self._called(function, call, whole()), []
        except BaseException as error:  # a user's function may raise anything
            first = _failure(0, error, traceback_of(error))
        failures: list[Failure] = []
        rows: dict[int, torch.Tensor] = {}
        given = whole()  # anew: it may have changed them before it failed
        for i in np.flatnonzero(~wrong).tolist():
            if self._stop.is_set():
                raise Stopped
            try:
                one = [tensor[i : i + 1] for tensor in given]
                rows[i] = self._called(function, call, one)[0]
            except BaseException as error:  # likewise
                kind = kind_of(error)
                is_traced = any(failure.kind == kind for failure in failures)
                trace = "" if is_traced else traceback_of(error)
                failures.append(_failure(i, error, trace))
        if not rows:
            return torch.full((n,), torch.nan, device=self.device), failures
        if not failures:  # it fails on batches only, and would again
            failures = [
                first._replace(row=i, traceback="")
                for i in np.flatnonzero(~wrong).tolist()
            ]
            failures[0] = failures[0]._replace(traceback=first.traceback)
        example = next(iter(rows.values()))
        for i in [i for i, row in rows.items() if row.shape != example.shape]:
            message = f"returned shape {tuple(rows.pop(i).shape)} after another shape"
            failures.append(Failure(i, "returned a wrong shape", message))
        blank = torch.zeros_like(example)
        return torch.stack([rows.get(i, blank) for i in range(n)]), failures

    def _called(
        self,
        function: Feature | LabelingFunction,
        call: Callable[..., torch.Tensor],
        inputs: Inputs,
    ) -> torch.Tensor:
        if is_own(function.fn):
            return call(*inputs)
        calling = Calling()
        try:
            with calling:
                return call(*inputs)
        finally:
            self._reads.note(function.name, calling.reads)

    def _prepare(self) -> None:
        """One torch thread per call on a CPU; set late, so that torch loads late.

        OpenMP counts threads per calling thread, so each of ours must say so once.
        """
        if self._stop.is_set():
            raise Stopped
        if self.device != "cpu" or getattr(self._local, "ready", False):
            return
        import torch

        with self._lock:
            if not self._threads_before:
                self._threads_before = torch.get_num_threads()
        torch.set_num_threads(1)
        self._local.ready = True


def _all_failed(changed: Sequence[Feature], wrong: NDArray[np.bool_]) -> list[Failure]:
    names = ", ".join(source.name for source in changed)
    message = f"writes over its input {names}; work on {names}.clone() instead"
    return [
        Failure(int(row), "changed its input", message)
        for row in np.flatnonzero(~wrong)
    ]


def _failure(row: int, error: BaseException, trace: str) -> Failure:
    return Failure(row, kind_of(error), text_of(error), trace)


def _check_rows(
    lf: LabelingFunction,
    votes: NDArray[Any],
    part: NDArray[np.int64],
    n_classes: int | None,
) -> list[Failure]:
    """Silence rows whose votes make no sense, and say why."""
    if lf.soft:
        rows = votes[part]
        nan, negative = ~np.isfinite(rows).all(axis=1), (rows < 0).any(axis=1)
        votes[part[nan | negative]] = 0
        return [
            Failure(int(row), "returned NaN", "returned weights that are NaN")
            for row in part[nan]
        ] + [
            Failure(int(row), "returned a negative weight", "returned weights < 0")
            for row in part[negative & ~nan]
        ]
    if votes.dtype == np.bool_:
        return []  # its columns are the declared classes
    valid = lf.classes if lf.classes is not None else range(n_classes or 0)
    wrong = part[~np.isin(votes[part], [ABSTAIN, *valid])]
    failures = [
        Failure(
            int(row),
            "voted an undeclared class",
            f"voted {int(votes[row])}; it declares classes {tuple(valid)}; return one "
            "of them or ABSTAIN",
        )
        for row in wrong
    ]
    votes[wrong] = ABSTAIN
    return failures
