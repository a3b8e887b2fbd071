"""What fitted functions have learned, apart from their code, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lfkit.errors import InputError
from lfkit.features.feature import Feature
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.runs.cache_keys import fingerprint


def learned_by(lfs: Sequence[LabelingFunction]) -> dict[str, Any]:
    """Give what functions and their features have learned, in the order of the walk.

    The code decides the order, so the same code finds each part again.
    """
    return {
        "functions": [
            {
                "name": lf.name,
                "thresholds": {key: t.learned for key, t in lf.thresholds.items()},
            }
            for lf in lfs
        ],
        "features": [
            {"name": node.name, "learned": _learned(node)} for node in all_features(lfs)
        ],
    }


def with_learned(
    lfs: Sequence[LabelingFunction], learned: Mapping[str, Any]
) -> list[LabelingFunction]:
    """Give functions, as their code defines them, what they had learned.

    Raises
    ------
    InputError
        If the code defines other functions or features.
    """
    nodes, held = list(all_features(lfs)), learned["features"]
    names = [part["name"] for part in held]
    if [node.name for node in nodes] != names:
        now = sorted({node.name for node in nodes} ^ set(names))
        raise InputError(
            "the code of the labeling functions reads other features than those that "
            f"were frozen ({', '.join(now) or 'in another order'}); freeze the run "
            "again, or use the code of then."
        )
    fitted: dict[Feature, Feature] = {}
    for node, part in zip(nodes, held, strict=True):
        of = tuple(fitted.get(source, source) for source in node.of)
        if (node.fit is None) != (part["learned"] is None):
            raise InputError(
                f"feature {node.name!r} learns from images by the code of now or of "
                "then, not both; freeze the run again, or use the code of then."
            )
        if part["learned"]:
            fitted[node] = node.with_learned(part["learned"], of)
        elif of != node.of:
            fitted[node] = node.with_learned(node.learned or {}, of)
    found = []
    for lf, own in zip(lfs, learned["functions"], strict=True):
        if lf.name != own["name"] or set(lf.thresholds) != set(own["thresholds"]):
            raise InputError(
                f"the code of labeling function {own['name']!r} has other thresholds "
                "than when it was frozen; freeze the run again, or use the code of "
                "then."
            )
        thresholds = {}
        for key, threshold in lf.thresholds.items():
            read = fitted.get(threshold.feature, threshold.feature)
            moved, values = threshold.with_feature(read), own["thresholds"][key]
            thresholds[key] = moved if values is None else moved.with_learned(values)
        features = (fitted.get(node, node) for node in lf.features)
        found.append(lf.fitted(features, thresholds))
    return found


def code_keys(lfs: Sequence[LabelingFunction]) -> dict[str, str]:
    """Hash each function by its code, its files and what it has learned."""
    return {lf.name: fingerprint(lf) for lf in lfs}


def all_features(lfs: Sequence[LabelingFunction]) -> Iterator[Feature]:
    """Yield each feature once, inputs first, those of thresholds among them."""
    seen: set[Feature] = set()

    def walk(node: Feature) -> Iterator[Feature]:
        if node.is_given or node in seen:
            return
        for source in node.of:
            yield from walk(source)
        seen.add(node)
        yield node

    for lf in lfs:
        for node in (*lf.features, *(t.feature for t in lf.thresholds.values())):
            yield from walk(node)


def _learned(node: Feature) -> Any:
    """Give what a feature's `fit` gave: None if it has none, {} before fitting."""
    return None if node.fit is None else dict(node.learned or {})
