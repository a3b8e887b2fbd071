"""Labeling functions called on a batch of generated images, on the device."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch

from lfkit.features.feature import (
    WIDEST_FLOAT32,
    BatchedEvaluator,
    Feature,
    ancestors,
    call_per_image,
    image,
)
from lfkit.images import to_pixels
from lfkit.labeling.evaluation import cpu_count
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.votes import ABSTAIN

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
    faults : function name → images on which it failed, so far.
    messages : function name → its first failure.
    per_image : names of functions and features that take one image a call.
    """

    def __init__(
        self, lfs: Sequence[LabelingFunction], n_classes: int, device: str = "cpu"
    ) -> None:
        self.lfs, self.n_classes, self.device = tuple(lfs), n_classes, device
        self.faults: Counter[str] = Counter()
        self.messages: dict[str, str] = {}
        self.order = ancestors(
            list(dict.fromkeys(f for lf in lfs for f in lf.features))
        )
        self.evaluate = BatchedEvaluator(device)
        slow = [node.name for node in self.order if not node.batched]
        slow += [lf.name for lf in self.lfs if not lf.batched]
        self.per_image = tuple(slow)
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

    def failures(self) -> dict[str, tuple[int, str]]:
        """Give name → images on which it failed so far, and its first failure."""
        return {name: (n, self.messages[name]) for name, n in self.faults.items()}

    def failed(self, name: str, n: int, why: str) -> None:
        """Count failures of a function or feature."""
        with self._lock:
            self.faults[name] += n
            self.messages.setdefault(name, why)

    def _alone(self, images: torch.Tensor) -> torch.Tensor:
        # These functions do little work per call: more threads only wait for another.
        torch.set_num_threads(1)
        return _Batch(self, images).votes()


class _Batch:
    """One call of every function."""

    def __init__(self, block: BatchVotes, images: torch.Tensor) -> None:
        self.block, self.images = block, images
        self.values: dict[Feature, torch.Tensor | None] = {image: images}
        self.pixels: Any = None

    @torch.no_grad()
    def votes(self) -> torch.Tensor:
        """Vote, (n, m, k)."""
        block, n = self.block, len(self.images)
        for node in block.order:
            if node is not image:
                self.values[node] = self._feature(node)
        votes = torch.zeros(
            n, len(block.lfs), block.n_classes, device=self.images.device
        )
        for j, lf in enumerate(block.lfs):
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
                self._guarded(lf.name, n, partial(self._together, votes, j, lf, seen))
            else:
                self._one_by_one(votes, j, lf, seen)
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
        self._guarded(node.name, len(self.images), compute)
        return found[0] if found else None

    def _computed(
        self, node: Feature, inputs: Inputs, found: list[torch.Tensor]
    ) -> None:
        if node.batched:
            found.append(self.block.evaluate(node, inputs))
            return
        rows = [
            call_per_image(node, self._row(node.of, inputs, i))
            for i in range(len(self.images))
        ]
        found.append(torch.from_numpy(np.stack(rows)).to(self.images.device))

    def _together(
        self, votes: torch.Tensor, j: int, lf: LabelingFunction, inputs: Inputs
    ) -> None:
        k = votes.shape[2]
        found = torch.as_tensor(lf.fn(*inputs, **lf.keywords), device=votes.device)
        usable = torch.stack([_finite(value) for value in inputs]).all(dim=0)
        if lf.soft:
            weights = torch.zeros(votes.shape[::2], device=votes.device)
            weights[:, list(lf.classes or ())] = found.float()
            usable = usable & _finite(weights) & (weights >= 0).all(dim=1)
        else:
            valid = lf.classes if lf.classes is not None else range(k)
            known = torch.as_tensor([*valid], device=votes.device)
            named = torch.isin(found.long(), known)
            rows = torch.nn.functional.one_hot(found.long().clamp(0, k - 1), k)
            weights = rows.float() * named[:, None]
            usable = usable & (named | (found.long() == ABSTAIN))
        lost = len(votes) - int(usable.sum())
        if lost:
            self.block.failed(lf.name, lost, "voted an undeclared class, or no vote")
            weights = torch.where(usable[:, None], weights, torch.zeros_like(weights))
        votes[:, j] = weights / weights.sum(dim=1, keepdim=True).clamp_min(1e-12)

    def _one_by_one(
        self, votes: torch.Tensor, j: int, lf: LabelingFunction, inputs: Inputs
    ) -> None:
        rows = np.zeros(votes.shape[::2], np.float32)

        def call(i: int) -> None:
            vote = lf.fn(*self._row(lf.features, inputs, i), **lf.keywords)
            rows[i] = _weights(vote, lf, votes.shape[2])

        for i in range(len(rows)):
            self._guarded(lf.name, 1, partial(call, i))
        votes[:, j] = torch.from_numpy(rows).to(votes.device)

    def _row(self, sources: Sequence[Feature], values: Inputs, i: int) -> list[Any]:
        found: list[Any] = []
        for source, value in zip(sources, values, strict=True):
            if source is image:
                if self.pixels is None:
                    self.pixels = to_pixels(value)
                found.append(self.pixels[i].copy())
            else:
                row = value[i].cpu().numpy()
                found.append(float(row) if row.ndim == 0 else row)
        return found

    def _guarded(self, name: str, n: int, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # a user's function may raise anything
            self.block.failed(name, n, f"raised {type(error).__name__}: {error}")


def _as_stored(values: torch.Tensor) -> torch.Tensor:
    return values.half().float() if values[0].numel() > WIDEST_FLOAT32 else values


def _finite(values: torch.Tensor) -> torch.Tensor:
    return torch.isfinite(values).reshape(len(values), -1).all(dim=1)


def _weights(vote: Any, lf: LabelingFunction, n_classes: int) -> Any:
    """Turn one answer into (k,) weights that sum to 1 or are zero."""
    weights = np.zeros(n_classes, np.float32)
    if lf.soft:
        weights[list(lf.classes or ())] = np.asarray(vote, np.float32)
        if not np.isfinite(weights).all() or (weights < 0).any():
            raise ValueError(f"returned {vote!r}; expected weights from 0 on")
        return weights / max(weights.sum(), 1e-12)
    valid = lf.classes if lf.classes is not None else range(n_classes)
    if vote != ABSTAIN and vote not in valid:
        raise ValueError(f"voted {vote!r}; it declares classes {tuple(valid)}")
    if vote != ABSTAIN:
        weights[int(vote)] = 1
    return weights
