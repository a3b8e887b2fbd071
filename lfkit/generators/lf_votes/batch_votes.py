"""Labeling functions called on a batch of generated images, on the device."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch

from lfkit.data.image_tensors import to_pixels
from lfkit.data.votes import ABSTAIN, Votes
from lfkit.features.feature import (
    WIDEST_FLOAT32,
    BatchedEvaluator,
    Feature,
    ancestors,
    call_per_image,
    image,
)
from lfkit.features.user_code.calling import Calling, kind_of, text_of
from lfkit.features.user_code.sealed_inputs import (
    Kept,
    Rows,
    is_own,
    sealed_values,
)
from lfkit.labeling.engine.function_evaluator import cpu_count
from lfkit.labeling.engine.worker import Step, run_step
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.labeling.one_of import OneOf
from lfkit.labeling.thresholds.class_rule import Rule
from lfkit.labeling.vote_checks import checked_answer
from lfkit.nn.sending import sent

# Images per call on a CPU, each call on a thread of its own: a constant, since a row's
# float sums depend on how many rows share the call.
_AT_ONCE = 64

Inputs = Sequence[torch.Tensor]


class BatchVotes:
    """Gives the votes of fitted functions on images that exist as tensors only.

    Each feature is computed once per batch. Functions see what they would see of the
    stored image: pixels of whole 255ths, features rounded as the store rounds them. A
    function that raises, or answers nonsense, abstains: the batch goes on.

    Parameters
    ----------
    lfs : fitted; per-image ones are called on the CPU, one image at a time.
    device : of the images.

    Attributes
    ----------
    per_image : names of functions and features that take one image a call.
    silent : names of functions that read metadata: they abstain on generated images.
    """

    def __init__(
        self, lfs: Sequence[LabelingFunction], n_classes: int, device: str = "cpu"
    ) -> None:
        self.lfs, self.n_classes, self.device = tuple(lfs), n_classes, device
        self._faults: Counter[str] = Counter()
        self._messages: dict[str, str] = {}
        # Counted on the device, () each: reading them would wait for all of a batch.
        self._no_votes: dict[str, torch.Tensor] = {}
        self.order = ancestors(
            f for lf in self.lfs if not lf.metadata for f in lf.features
        )
        self.silent = tuple(lf.name for lf in self.lfs if lf.metadata)
        self.evaluate = BatchedEvaluator(device)
        slow = [node.name for node in self.order if not node.batched]
        slow += [lf.name for lf in self.lfs if not lf.batched and not lf.metadata]
        self.per_image = tuple(slow)
        self.classes = {
            lf.name: torch.tensor(
                [*(range(n_classes) if lf.classes is None else lf.classes)],
                device=device,
            )
            for lf in self.lfs
        }
        self._keywords: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Vote on (n, c, h, w) images in [0, 1].

        Returns
        -------
        (n, m, k) float32: one weight per class, summing to 1; zeros where it abstains.
        """
        images = images.detach().float().clamp(0, 1).mul(255).round().div(255)
        images = images.contiguous()
        if images.device.type != "cpu":
            return _Batch(self, images).votes()
        threads_before = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(cpu_count()) as threads:
                found = [*threads.map(self._alone, torch.split(images, _AT_ONCE))]
        finally:
            torch.set_num_threads(threads_before)
        return torch.cat(found)

    def stored(self, weights: torch.Tensor, *, is_soft: bool) -> Votes:
        """Give what a call gave, (n, m, k), as the votes that a run would keep.

        Parameters
        ----------
        is_soft : the votes of the real images have weights; False keeps each function's
            first class only, as theirs do.
        """
        found = weights.cpu().numpy()
        silent = found.sum(axis=2) == 0
        # Functions that are not soft name several classes only as a set.
        several = (found > 0).sum(axis=2) > 1
        is_set = several & ~np.asarray([lf.soft for lf in self.lfs])
        soft = np.where(is_set[:, :, None], 0, found).astype(np.float16)
        return Votes(
            np.where(silent | is_set, ABSTAIN, found.argmax(axis=2)),
            tuple(lf.name for lf in self.lfs),
            self.n_classes,
            soft=soft if is_soft else None,
            allowed=(found > 0) & is_set[:, :, None] if is_set.any() else None,
        )

    @property
    def faults(self) -> Counter[str]:
        """Function name → images on which it failed, so far."""
        lost = {name: int(n) for name, n in self._no_votes.items()}
        return self._faults + Counter(lost)

    @property
    def messages(self) -> dict[str, str]:
        """Function name → its first failure; what it raised before what it returned."""
        return {
            name: self._messages.get(name, "voted an undeclared class, or no vote")
            for name in self.faults
        }

    def failures(self) -> dict[str, tuple[int, str]]:
        """Give name → images on which it failed so far, and its first failure."""
        messages = self.messages
        return {name: (n, messages[name]) for name, n in self.faults.items()}

    def failed(self, name: str, n: int, why: str) -> None:
        """Count failures of a function or feature."""
        with self._lock:
            self._faults[name] += n
            self._messages.setdefault(name, why)

    def lost(self, name: str, n: torch.Tensor) -> None:
        """Count answers of a function that were no votes, () on the device."""
        with self._lock:
            self._no_votes[name] = self._no_votes.get(name, 0) + n

    def keywords_of(self, lf: LabelingFunction) -> dict[str, Any]:
        """Give the thresholds' values of a batched function.

        What lfkit's own functions have learned is kept on the device; a user's gets
        arrays that nobody else holds.
        """
        if not is_own(lf.fn):
            return lf.keywords
        if lf.name not in self._keywords:
            self._keywords[lf.name] = {
                key: _on_device(value, self.device)
                for key, value in lf.keywords.items()
            }
        return self._keywords[lf.name]

    def _alone(self, images: torch.Tensor) -> torch.Tensor:
        # These functions do little work per call: more threads only wait for another.
        torch.set_num_threads(1)
        return _Batch(self, images).votes()


class _Batch:
    """One call of every function."""

    def __init__(self, block: BatchVotes, images: torch.Tensor) -> None:
        self.block, self.images = block, images
        self.values: dict[Feature, torch.Tensor | None] = {image: images}
        self.kept = Kept()
        self._rows: dict[tuple[Feature, bool], Rows] = {}

    @torch.no_grad()
    def votes(self) -> torch.Tensor:
        """Vote, (n, m, k)."""
        block, n = self.block, len(self.images)
        for node in block.order:
            if not node.is_given:
                self.values[node] = self._feature(node)
        votes = torch.zeros(
            n, len(block.lfs), block.n_classes, device=self.images.device
        )
        for j, lf in enumerate(block.lfs):
            if lf.metadata:
                continue  # generated images have none: it abstains
            inputs = self._inputs(lf.features)
            if inputs is None:
                block.failed(lf.name, n, "reads a feature that failed")
                continue
            # Functions read what the store would hold; features read one another.
            seen = [
                value if source is image else _as_stored(value)
                for source, value in zip(lf.features, inputs, strict=True)
            ]
            if lf.batched:
                self._guarded(lf, n, partial(self._together, votes, j, lf, seen))
            else:
                self._guarded(lf, n, partial(self._one_by_one, votes, j, lf, seen))
        return votes

    def _inputs(self, sources: Sequence[Feature]) -> list[torch.Tensor] | None:
        found = [self.values[source] for source in sources]
        known = [value for value in found if value is not None]
        return known if len(known) == len(found) else None

    def _feature(self, node: Feature) -> torch.Tensor | None:
        inputs = self._inputs(node.of)
        if inputs is None:
            return None
        found: list[torch.Tensor] = []
        compute = partial(self._computed, node, inputs, found)
        self._guarded(node, len(self.images), compute)
        return found[0] if found else None

    def _computed(
        self, node: Feature, inputs: Inputs, found: list[torch.Tensor]
    ) -> None:
        if node.batched:
            if is_own(node.fn):
                found.append(self.block.evaluate(node, inputs))
                return
            try:
                value = self.block.evaluate(node, self.kept.show(inputs))
            finally:
                places = self.kept.restore(inputs)
            if places:
                raise TypeError("writes over its input; work on a clone() of it")
            found.append(value)
            return
        n, learned = len(self.images), sealed_values(node.learned or {})
        reads = [
            self._rows_of(source, value, False)
            for source, value in zip(node.of, inputs, strict=True)
        ]
        try:
            rows = [
                call_per_image(node, [column.rows[i] for column in reads], learned)
                for i in range(n)
            ]
        finally:
            changed = [i for column in reads for i in column.restore()]
        if changed:
            raise TypeError("writes over its input; work on a copy of it")
        found.append(torch.from_numpy(np.stack(rows)).to(self.images.device))

    def _together(
        self, votes: torch.Tensor, j: int, lf: LabelingFunction, inputs: Inputs
    ) -> None:
        k = votes.shape[2]
        classes = self.block.classes[lf.name]
        usable = torch.stack([_finite(value) for value in inputs]).all(dim=0)
        if not is_own(lf.fn):  # others read them too
            inputs = [value.clone() for value in inputs]
        answer = lf.fn(*inputs, **self.block.keywords_of(lf))
        found = checked_answer(
            lf.soft, lf.classes, answer, len(votes), str(votes.device)
        )
        if lf.soft:
            weights = torch.zeros(votes.shape[::2], device=votes.device)
            weights[:, classes] = found
            usable = usable & _finite(weights) & (weights >= 0).all(dim=1)
        elif found.dtype == torch.bool:
            weights = torch.zeros(votes.shape[::2], device=votes.device)
            weights[:, classes] = found.float()
            weights = weights * ~weights.all(dim=1, keepdim=True)  # all: no vote
        else:
            named = (found[:, None] == classes).any(dim=1)
            rows = torch.nn.functional.one_hot(found.clamp(0, k - 1), k)
            weights = rows.float() * named[:, None]
            usable = usable & (named | (found == ABSTAIN))
        self.block.lost(lf.name, (~usable).sum())
        weights = torch.where(usable[:, None], weights, torch.zeros_like(weights))
        votes[:, j] = weights / weights.sum(dim=1, keepdim=True).clamp_min(1e-12)

    def _one_by_one(
        self, votes: torch.Tensor, j: int, lf: LabelingFunction, inputs: Inputs
    ) -> None:
        n, k = len(votes), votes.shape[2]
        step = Step(
            name=lf.name,
            fn=lf.fn,
            inputs=(),
            slot=None,
            keywords=sealed_values(lf.keywords),
            classes=lf.classes,
            soft=lf.soft,
        )
        reads = [
            self._rows_of(source, value, True)
            for source, value in zip(lf.features, inputs, strict=True)
        ]
        answers, column = run_step(step, 0, n, reads, k, {}, lambda step, i: None)
        rows = np.zeros((n, k), np.float32)
        for i, answer in enumerate(answers):
            if isinstance(answer, OneOf):
                # Every class is equally likely; all classes are no vote.
                size = len(answer.classes)
                rows[i, list(answer.classes)] = 1 / size if size < k else 0
            elif answer is not None and (lf.soft or answer != ABSTAIN):
                rows[i, list(lf.classes or ()) if lf.soft else answer] = (
                    answer if lf.soft else 1
                )
        lost = sum(answer is None for answer in answers)
        if lost:
            first = column.faults[0][1:3] if column.faults else ("read", "no number")
            self.block.failed(lf.name, lost, f"{first[0]}: {first[1]}")
        votes[:, j] = sent(rows, votes.device)

    def _rows_of(self, source: Feature, value: torch.Tensor, is_stored: bool) -> Rows:
        """Give a value as per-image functions see it, made once for all of them."""
        key = (source, is_stored and value[0].numel() > WIDEST_FLOAT32)
        if key not in self._rows:
            array = to_pixels(value) if source is image else value.cpu().numpy()
            usable = (
                _finite(value).cpu().numpy() if is_stored else np.ones(len(value), bool)
            )
            self._rows[key] = Rows(array.copy(), usable)
        return self._rows[key]

    def _guarded(
        self, function: Feature | LabelingFunction, n: int, call: Callable[[], None]
    ) -> None:
        try:
            with nullcontext() if is_own(function.fn) else Calling():
                call()
        except BaseException as error:  # a user's function may raise anything
            in_main = threading.current_thread() is threading.main_thread()
            if isinstance(error, KeyboardInterrupt) and in_main:
                raise  # a Ctrl-C
            why = f"{kind_of(error)}: {text_of(error)}"
            self.block.failed(function.name, n, why)


def _on_device(value: Any, device: str) -> Any:
    """Keep what a rule has learned on the device; other values are as they are."""
    if not isinstance(value, Rule):
        return value
    moved: dict[str, Any] = {
        name: torch.as_tensor(array, device=device)
        for name, array in (value.learned or {}).items()
    }
    return value.with_learned(moved)


def _as_stored(values: torch.Tensor) -> torch.Tensor:
    return values.half().float() if values[0].numel() > WIDEST_FLOAT32 else values


def _finite(values: torch.Tensor) -> torch.Tensor:
    return torch.isfinite(values).reshape(len(values), -1).all(dim=1)
