"""Runs batched features and labeling functions; isolates the images they fail on."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lfkit.features.feature import (
    BatchedEvaluator,
    Feature,
    batch_size,
    finite_rows,
    image,
)
from lfkit.images import to_unit_range
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.votes import ABSTAIN

if TYPE_CHECKING:
    import torch

# Rows per call of a batched labeling function that reads features only. Calls are
# padded to it: a row's float sums must not depend on how many rows share the call.
_VOTE_BATCH = 1024


@dataclass(frozen=True)
class Failure:
    """One function failing on one image of a block."""

    row: int
    kind: str
    message: str
    traceback: str

    def moved(self, by: int) -> Failure:
        """Return the same failure, counted from further on."""
        return replace(self, row=self.row + by)


class Stopped(Exception):
    """The run is being stopped; nothing of this block is kept."""


class BatchedRunner:
    """Calls batched functions on a device.

    On a CPU every call uses one thread: the caller runs several calls at once.
    """

    def __init__(self, device: str, stop: threading.Event) -> None:
        self.device = device
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
        results: dict[Feature, NDArray[np.float32]] = {}
        failures: dict[str, list[Failure]] = {}
        for node in nodes:
            wrong: NDArray[np.bool_] = np.logical_or.reduce(
                [invalid[source] for source in node.of]
            )
            inputs_of = {source: tensors[source] for source in node.of}
            versions = {source: t._version for source, t in inputs_of.items()}
            value, found = self._guarded(
                lambda *args, node=node: self._evaluate(node, args),
                list(inputs_of.values()),
                wrong,
            )
            changed = [s for s, t in inputs_of.items() if t._version != versions[s]]
            if changed:
                # Others read these tensors too: make them anew, and trust no row.
                found = _all_failed(node, changed, wrong)
                for source in changed:
                    tensors[source] = self._again(source, tensors, pixels[rows])
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
                    Failure(int(row), "not finite", "is NaN or infinite", "")
                    for row in np.flatnonzero(~finite & ~wrong[:n])
                ]
                results[node] = array
            failures[node.name] = [f for f in found if f.row < n]
        return results, failures

    def _again(
        self,
        node: Feature,
        tensors: Mapping[Feature, torch.Tensor],
        pixels: NDArray[np.uint8],
    ) -> torch.Tensor:
        """Compute again what a function wrote over."""
        if node is image:
            return to_unit_range(pixels, self.device)
        return self._evaluate(node, [tensors[source] for source in node.of])

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
        (b,) int64 classes, or (b, classes) float32 weights that sum to one or are zero.
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
            inputs = [
                to_unit_range(pixels[padded], self.device)
                if source is image
                else torch.from_numpy(
                    np.array(stored[source][padded], dtype=np.float32)
                ).to(self.device)
                for source in lf.features
            ]
            call = self._checked_call(lf, n_classes)
            value, found = self._guarded(call, inputs, np.zeros(size, bool))
            found = [failure for failure in found if failure.row < len(part)]
            if len(found) < len(part):
                votes[part] = value.cpu().numpy()[: len(part)]
            for failure in found:
                votes[part[failure.row]] = 0 if lf.soft else ABSTAIN
                failures.append(replace(failure, row=int(part[failure.row])))
            failures += _check_rows(lf, votes, part, n_classes)
        if lf.soft:
            total = votes.sum(axis=1, keepdims=True)
            np.divide(votes, total, out=votes, where=total > 0)
        return votes, failures

    def _checked_call(
        self, lf: LabelingFunction, n_classes: int | None
    ) -> Callable[..., torch.Tensor]:
        import torch

        keywords = lf.keywords
        k = len(lf.classes or ())

        def call(*inputs: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                value = torch.as_tensor(lf.fn(*inputs, **keywords))
            n = len(inputs[0])
            expected = (n, k) if lf.soft else (n,)
            if tuple(value.shape) != expected:
                raise TypeError(
                    f"returned shape {tuple(value.shape)} for {n} images; expected "
                    f"{expected}"
                )
            if lf.soft:
                return value.to(torch.float32)
            if value.dtype.is_floating_point or value.dtype == torch.bool:
                raise TypeError(
                    f"returned {value.dtype}; classes are whole numbers: end with "
                    ".long()"
                )
            return value.to(torch.int64)

        return call

    def _guarded(
        self,
        call: Callable[..., torch.Tensor],
        inputs: Sequence[torch.Tensor],
        wrong: NDArray[np.bool_],
    ) -> tuple[torch.Tensor, list[Failure]]:
        """Call with every row that can be; after an exception, row by row."""
        import torch

        n = len(wrong)
        if wrong.all():
            return torch.full((n,), torch.nan, device=self.device), []
        if wrong.any():
            # Failed rows borrow a good one's values: a function never sees NaN.
            stand_in = np.where(wrong, np.flatnonzero(~wrong)[0], np.arange(n))
            index = torch.from_numpy(stand_in).to(self.device)
            inputs = [tensor[index] for tensor in inputs]
        try:
            return call(*inputs), []
        except Exception as error:  # a user's function may raise anything
            first = error
            trace = traceback.format_exc()
        failures: list[Failure] = []
        rows: dict[int, torch.Tensor] = {}
        for i in np.flatnonzero(~wrong):
            if self._stop.is_set():
                raise Stopped
            try:
                rows[int(i)] = call(*(tensor[i : i + 1] for tensor in inputs))[0]
            except Exception as error:  # likewise
                failures.append(_failure(int(i), error, "" if failures else trace))
        if not rows:
            return torch.full((n,), torch.nan, device=self.device), failures
        if not failures:  # it fails on batches only, and would again
            failures = [_failure(int(i), first, "") for i in np.flatnonzero(~wrong)]
            failures[0] = replace(failures[0], traceback=trace)
        example = next(iter(rows.values()))
        blank = torch.zeros_like(example)
        return torch.stack([rows.get(i, blank) for i in range(n)]), failures

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


def _all_failed(
    node: Feature, changed: Sequence[Feature], wrong: NDArray[np.bool_]
) -> list[Failure]:
    names = ", ".join(source.name for source in changed)
    message = f"writes over its input {names}; work on {names}.clone() instead"
    return [
        Failure(int(row), "changed its input", message, "")
        for row in np.flatnonzero(~wrong)
    ]


def _failure(row: int, error: Exception, trace: str) -> Failure:
    message = str(error) or type(error).__name__
    return Failure(row, f"raised {type(error).__name__}", message, trace)


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
            Failure(int(row), "returned NaN", "returned weights that are NaN", "")
            for row in part[nan]
        ] + [
            Failure(int(row), "returned a negative weight", "returned weights < 0", "")
            for row in part[negative & ~nan]
        ]
    valid = lf.classes if lf.classes is not None else range(n_classes or 0)
    wrong = part[~np.isin(votes[part], [ABSTAIN, *valid])]
    failures = [
        Failure(
            int(row),
            "voted an undeclared class",
            f"voted {int(votes[row])}; it declares classes {tuple(valid)}; return one "
            "of them or ABSTAIN",
            "",
        )
        for row in wrong
    ]
    votes[wrong] = ABSTAIN
    return failures
