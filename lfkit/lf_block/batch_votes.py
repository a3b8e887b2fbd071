"""Labeling functions called on a batch of generated images, on the device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
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
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.votes import ABSTAIN


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
        self._order = ancestors(
            list(dict.fromkeys(f for lf in lfs for f in lf.features))
        )
        self._evaluate = BatchedEvaluator(device)
        slow = [node.name for node in self._order if not node.batched]
        slow += [lf.name for lf in self.lfs if not lf.batched]
        self.per_image = tuple(slow)

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Vote on (n, c, h, w) images in [0, 1].

        Returns
        -------
        (n, m, k) float32: one weight per class, summing to 1; zeros where it abstains.
        """
        images = images.detach().float().clamp(0, 1).mul(255).round().div(255)
        images = images.contiguous()
        n = len(images)
        self._pixels: Any = None
        values: dict[Feature, torch.Tensor | None] = {image: images}
        for node in self._order:
            if node is not image:
                values[node] = self._feature(node, values, images)
        votes = torch.zeros(n, len(self.lfs), self.n_classes, device=images.device)
        for j, lf in enumerate(self.lfs):
            inputs = [values[source] for source in lf.features]
            if any(value is None for value in inputs):
                self._failed(lf.name, n, "reads a feature that failed")
                continue
            found = [value for value in inputs if value is not None]
            if lf.batched:
                call = partial(self._together, votes, j, lf, found)
                self._guarded(lf.name, n, call)
            else:
                self._one_by_one(votes, j, lf, found)
        return votes

    def _feature(
        self,
        node: Feature,
        values: dict[Feature, torch.Tensor | None],
        images: torch.Tensor,
    ) -> torch.Tensor | None:
        inputs = [values[source] for source in node.of]
        if any(value is None for value in inputs):
            return None
        known = [value for value in inputs if value is not None]
        found: list[torch.Tensor] = []

        def compute() -> None:
            if node.batched:
                found.append(self._evaluate(node, known))
                return
            rows = [
                call_per_image(node, self._row(node.of, known, i))
                for i in range(len(images))
            ]
            found.append(torch.from_numpy(np.stack(rows)).to(images.device))

        self._guarded(node.name, len(images), compute)
        if not found:
            return None
        if found[0][0].numel() > WIDEST_FLOAT32:
            return found[0].half().float()
        return found[0]

    def _together(
        self,
        votes: torch.Tensor,
        j: int,
        lf: LabelingFunction,
        inputs: Sequence[torch.Tensor],
    ) -> None:
        found = torch.as_tensor(lf.fn(*inputs, **lf.keywords), device=votes.device)
        usable = torch.stack([_finite(value) for value in inputs]).all(dim=0)
        if lf.soft:
            classes = torch.as_tensor(lf.classes, device=votes.device)
            weights = torch.zeros(votes.shape[::2], device=votes.device)
            weights[:, classes] = found.float()
            usable = usable & _finite(weights) & (weights >= 0).all(dim=1)
        else:
            valid = lf.classes if lf.classes is not None else range(self.n_classes)
            known = torch.as_tensor([*valid], device=votes.device)
            names_one = torch.isin(found.long(), known)
            weights = torch.nn.functional.one_hot(
                found.long().clamp(0, self.n_classes - 1), self.n_classes
            ).float()
            weights = weights * names_one[:, None]
            usable = usable & (names_one | (found.long() == ABSTAIN))
        lost = len(votes) - int(usable.sum())
        if lost:
            self._failed(lf.name, lost, "voted an undeclared class or what is no vote")
            weights = torch.where(usable[:, None], weights, torch.zeros_like(weights))
        total = weights.sum(dim=1, keepdim=True)
        votes[:, j] = weights / total.clamp_min(1e-12)

    def _one_by_one(
        self,
        votes: torch.Tensor,
        j: int,
        lf: LabelingFunction,
        inputs: Sequence[torch.Tensor],
    ) -> None:
        rows = np.zeros(votes.shape[::2], np.float32)
        for i in range(len(rows)):

            def call(i: int = i) -> None:
                vote = lf.fn(*self._row(lf.features, inputs, i), **lf.keywords)
                rows[i] = _weights(vote, lf, self.n_classes)

            self._guarded(lf.name, 1, call)
        votes[:, j] = torch.from_numpy(rows).to(votes.device)

    def _row(
        self, sources: Sequence[Feature], values: Sequence[torch.Tensor], i: int
    ) -> list[Any]:
        found: list[Any] = []
        for source, value in zip(sources, values, strict=True):
            if source is image:
                if self._pixels is None:
                    self._pixels = to_pixels(value)
                found.append(self._pixels[i].copy())
            else:
                row = value[i].cpu().numpy()
                found.append(float(row) if row.ndim == 0 else row)
        return found

    def _guarded(self, name: str, n: int, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # a user's function may raise anything
            self._failed(name, n, f"raised {type(error).__name__}: {error}")

    def _failed(self, name: str, n: int, why: str) -> None:
        self.faults[name] += n
        self.messages.setdefault(name, why)


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
