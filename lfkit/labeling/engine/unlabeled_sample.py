"""A sample of images without labels, for features that learn what images look like."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_source import ImageSource
from lfkit.data.image_tensors import to_unit_range
from lfkit.data.vote_columns import originals
from lfkit.errors import DataError, DeclarationError
from lfkit.features.feature import Feature, ancestors, finite_rows, image
from lfkit.labeling.engine.evaluator import Evaluated, Evaluator

N_UNLABELED = 2048
_LEAST = 16
_MOST_PIXELS = 2**26  # of a sample read as images: 256 MB per channel in float32
_STREAM = 0x5A3B1E  # apart from all other draws of the same random_state


class UnlabeledSample:
    """Up to 2,048 images of a source, drawn once; nobody looks at their labels.

    Seeds may be among them. Large images are fewer: 64 megapixels in all, but 16.
    """

    def __init__(
        self, source: ImageSource, evaluator: Evaluator, random_state: int
    ) -> None:
        self._source = source
        self._evaluator = evaluator
        self._random_state = random_state
        self._values: dict[Feature, NDArray[np.float32]] = {}
        self._failed: dict[Feature, str] = {}

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Rows of the source, ascending; of copies the first only: (u,)."""
        source = self._source
        distinct = np.unique(originals(source.keys))
        problems = list(source.known_problems)
        usable = np.setdiff1d(distinct, np.asarray(problems, np.int64))
        h, w = source.shape[:2]
        most = min(N_UNLABELED, max(_LEAST, _MOST_PIXELS // (h * w)))
        rng = np.random.default_rng([self._random_state, _STREAM])
        if len(usable) > most:
            usable = rng.choice(usable, most, replace=False)
        return np.sort(usable)

    @property
    def identity(self) -> NDArray[Any]:
        """Give what the sample is, for the keys of what is learned from it."""
        return np.asarray(self._source.keys[self.rows])

    def values(self, node: Feature) -> tuple[Any, ...]:
        """Give a feature's inputs on the sample, one tensor (u, ...) each.

        Rows on which any of them failed are left out.
        """
        self._compute([source for source in node.of if source is not image])
        usable = np.ones(len(self.rows), bool)
        for source in node.of:
            if source is not image:
                usable &= finite_rows(self._values[source])
        pixels = None
        if image in node.of:
            read = self._source.read(self.rows)
            require_lasting(bool(read.transient))
            usable[list(read.problems)] = False
            pixels = read.pixels[usable]
        if not usable.any():
            reasons = [self._failed[s] for s in node.of if s in self._failed]
            raise DeclarationError(
                reasons[0]
                if reasons
                else f"feature {node.name!r} learns from unlabeled images, but finds "
                "none on which all that it reads has a value."
            )
        return tuple(
            as_input(node, pixels if source is image else self._values[source][usable])
            for source in node.of
        )

    def _compute(self, nodes: Sequence[Feature]) -> None:
        missing = [node for node in dict.fromkeys(nodes) if node not in self._values]
        if not missing:
            return
        done = self._evaluator.evaluate(self._source, self.rows, missing, [])
        require_lasting(done.is_transient)
        for node in missing:
            self._values[node] = done.raw[node]
            reason = why_on_all(node, done, "unlabeled image")
            if reason is not None:
                self._failed[node] = reason


def as_input(node: Feature, values: Any) -> Any:
    """Give values as the feature's functions take them: tensors if it is batched."""
    if not node.batched:
        return values
    if values.dtype == np.uint8:
        return to_unit_range(values)
    import torch

    return torch.from_numpy(values)


def require_lasting(is_transient: bool) -> None:
    """Fit on all readable images or not at all: what is fitted is kept for good."""
    if is_transient:
        raise DataError(
            "an image to learn from could not be read just now, or changed meanwhile; "
            "run the same command again."
        )


def why_on_all(node: Feature, done: Evaluated, what: str) -> str | None:
    """Explain why a feature failed on every one of some images; None if it did not."""
    if finite_rows(done.raw[node]).any():
        return None
    for part in ancestors([node]):
        if failures := done.faults.get(part.name):
            return (
                f"feature {part.name!r} failed on every {what}: {failures[0].message}"
            )
    return None
