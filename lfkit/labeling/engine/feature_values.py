"""Features of the few images that something is fitted on, computed once each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_source import ImageSource
from lfkit.data.image_tensors import to_unit_range
from lfkit.errors import DataError, DeclarationError
from lfkit.features.feature import Feature, ancestors, finite_rows, image
from lfkit.labeling.engine.file_reads import WatchedStore
from lfkit.labeling.engine.function_evaluator import (
    FunctionEvaluator,
    FunctionResults,
    result_key,
)


class FeatureValues:
    """Values of features on some rows of a source.

    Parameters
    ----------
    rows : (s,) of the source.
    what : one of these images, for messages.
    store, block_id : where values are kept, under which name; None: nowhere.

    Attributes
    ----------
    raw : feature → (s, ...) float32, NaN where it failed.
    rounded : the same, as the store keeps features, which is what functions see.
    """

    def __init__(
        self,
        source: ImageSource,
        evaluator: FunctionEvaluator,
        rows: NDArray[np.int64],
        what: str,
        *,
        store: WatchedStore | None = None,
        block_id: str = "",
    ) -> None:
        self._source, self._evaluator, self._rows = source, evaluator, rows
        self._what, self._store, self._block_id = what, store, block_id
        self.raw: dict[Feature, NDArray[np.float32]] = {}
        self.rounded: dict[Feature, NDArray[Any]] = {}
        self._failed: dict[Feature, str] = {}

    @property
    def identity(self) -> NDArray[np.uint8]:
        """(s, 16) content of the images, for the keys of what is learned from them."""
        return np.asarray(self._source.keys[self._rows])

    def inputs(
        self, node: Feature, among: NDArray[np.bool_] | None = None
    ) -> tuple[tuple[Any, ...], NDArray[np.bool_]]:
        """Give a feature's inputs where all of them have a value.

        Parameters
        ----------
        among : (s,) images to use; None: all.

        Returns
        -------
        One array or tensor (u, ...) per input, and (s,) True for these u images.
        """
        usable = np.ones(len(self._rows), bool) if among is None else among.copy()
        features = [source for source in node.of if source is not image]
        self.compute(features)
        for source in features:
            self.require_some(source)
            usable &= finite_rows(self.raw[source])
        pixels = None
        if image in node.of:
            read = self._source.read(self._rows)
            require_lasting(bool(read.transient))
            usable[list(read.problems)] = False
            pixels = read.pixels[usable]
        if not usable.any():
            raise DeclarationError(
                f"feature {node.name!r} learns from {self._what}s, but finds none on "
                "which all that it reads has a value."
            )
        values = [pixels if s is image else self.raw[s][usable] for s in node.of]
        return tuple(_as_input(node, value) for value in values), usable

    def compute(self, nodes: Iterable[Feature]) -> None:
        """Fill `raw` and `rounded`, from the store where it has the values."""
        missing = [
            node
            for node in dict.fromkeys(nodes)
            if node not in self.raw and not self._load(node)
        ]
        if not missing:
            return
        done = self._evaluator.evaluate(self._source, self._rows, missing, [])
        require_lasting(done.is_transient)
        for node in missing:
            self.raw[node], self.rounded[node] = done.raw[node], done.stored[node]
            reason = _why_on_all(node, done, self._what)
            if reason is not None:
                self._failed[node] = reason  # not kept: the reason would be lost
            elif self._store is not None:
                key, names = result_key(self._source, node), _names(node)
                arrays = {"raw": self.raw[node], "values": self.rounded[node]}
                self._store.save_reads("features", key, names)
                self._store.save("features", key, self._block_id, arrays)

    def require_some(self, node: Feature) -> None:
        """Raise why a feature failed on every image, not that there are no images."""
        if node in self._failed:
            raise DeclarationError(self._failed[node])

    def _load(self, node: Feature) -> bool:
        if self._store is None:
            return False
        key = result_key(self._source, node)
        self._store.begin("features", key, _names(node))
        stored = self._store.load("features", key, self._block_id)
        if stored is None or "raw" not in stored:
            return False
        self.raw[node], self.rounded[node] = stored["raw"], stored["values"]
        return True


def require_lasting(is_transient: bool) -> None:
    """Fit on all readable images or not at all: what is fitted is kept for good."""
    if is_transient:
        raise DataError(
            "an image to learn from could not be read just now, or changed meanwhile; "
            "run the same command again."
        )


def _as_input(node: Feature, values: Any) -> Any:
    """Give values as the feature's functions take them: tensors if it is batched."""
    if not node.batched:
        return values
    if values.dtype == np.uint8:
        return to_unit_range(values)
    import torch

    return torch.from_numpy(values)


def _why_on_all(node: Feature, done: FunctionResults, what: str) -> str | None:
    """Explain why a feature failed on every one of some images; None if it did not."""
    if finite_rows(done.raw[node]).any():
        return None
    for part in ancestors([node]):
        if failures := done.faults.get(part.name):
            return (
                f"feature {part.name!r} failed on every {what}: {failures[0].message}"
            )
    return None


def _names(node: Feature) -> list[str]:
    return [part.name for part in ancestors([node])]
