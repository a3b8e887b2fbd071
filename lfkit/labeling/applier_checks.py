"""Checks what `LFApplier` is given: functions, classes, seeds, names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_source import ImageSource
from lfkit.errors import DataError, DeclarationError
from lfkit.features.feature import Feature, ancestors
from lfkit.features.user_code.sealed_inputs import is_own
from lfkit.labeling.engine.seed_fitting import Seeds
from lfkit.labeling.labeling_function import (
    LabelingFunction,
    from_snorkel,
    is_snorkel,
)


def as_labeling_function(lf: Any) -> LabelingFunction:
    """Take a labeling function, wrapping Snorkel's."""
    if isinstance(lf, LabelingFunction):
        return lf
    if is_snorkel(lf):
        return from_snorkel(lf)
    name = getattr(lf, "__name__", repr(lf))
    raise DeclarationError(
        f"{name} is not a labeling function; decorate it with "
        "@labeling_function(classes=[...])."
    )


def checked_n_classes(lfs: Sequence[LabelingFunction], n_classes: int | None) -> int:
    """Count the classes; refuse names that occur twice and classes beyond."""
    if not lfs:
        raise DeclarationError("no labeling functions given; LFApplier needs one.")
    names = [lf.name for lf in lfs]
    for name in names:
        if names.count(name) > 1:
            raise DeclarationError(
                f"two labeling functions are named {name!r}; rename one of them."
            )
    features: dict[str, Feature] = {}
    for node in ancestors(node for lf in lfs for node in lf.features):
        if features.setdefault(node.name, node) is not node:
            raise DeclarationError(
                f"two features are named {node.name!r}; rename one of them."
            )
        if node.name in names:
            raise DeclarationError(
                f"a feature and a labeling function are both named {node.name!r}; "
                "rename one of them."
            )
    declared = [label for lf in lfs for label in lf.classes or ()]
    if n_classes is None:
        if not declared:
            raise DeclarationError(
                "no labeling function declares its classes; pass n_classes."
            )
        return max(declared) + 1
    for lf in lfs:
        if max(lf.classes or (0,)) >= n_classes:
            raise DeclarationError(
                f"labeling function {lf.name!r} declares class {max(lf.classes or ())}"
                f", but there are {n_classes} classes, 0..{n_classes - 1}."
            )
    return n_classes


def checked_seeds(
    rows: Sequence[int] | NDArray[np.int64] | None,
    labels: Sequence[int] | NDArray[np.int64] | None,
    n: int,
    n_classes: int,
) -> Seeds | None:
    """Take seeds of n images as arrays; None if there are none."""
    if rows is None and labels is None:
        return None
    if rows is None or labels is None or len(rows) != len(labels):
        raise DataError(
            "seed_rows and seed_labels go together, one label per row; got "
            f"{0 if rows is None else len(rows)} rows and "
            f"{0 if labels is None else len(labels)} labels."
        )
    row_array = np.asarray(rows, np.int64)
    label_array = np.asarray(labels, np.int64)
    if not len(row_array):
        return None
    if row_array.min() < 0 or row_array.max() >= n:
        raise DataError(
            f"seed row {row_array[(row_array < 0) | (row_array >= n)][0]} is outside "
            f"the {n} images."
        )
    if label_array.min() < 0 or label_array.max() >= n_classes:
        wrong = label_array[(label_array < 0) | (label_array >= n_classes)][0]
        raise DataError(f"seed label {wrong} is outside 0..{n_classes - 1}.")
    if len(np.unique(row_array)) != len(row_array):
        raise DataError("seed_rows names an image twice.")
    return Seeds(row_array, label_array)


def check_metadata(lfs: Sequence[LabelingFunction], source: ImageSource) -> None:
    """Refuse functions that read metadata that the images do not have."""
    for lf in lfs:
        for what in lf.metadata:
            try:
                source.metadata(what, np.zeros(0, np.int64))
            except DataError as error:
                raise DataError(
                    f"labeling function {lf.name!r} reads {what}: {error}"
                ) from error


def names_to_recompute(
    lfs: Sequence[LabelingFunction], names: Collection[str]
) -> set[str]:
    """List all whose stored values are not to be used, given some names, or "all"."""
    nodes = ancestors(node for lf in lfs for node in lf.features)
    known = [*(lf.name for lf in lfs), *(node.name for node in nodes)]
    if "all" in names and "all" not in known:
        return set(known)
    for name in names:
        if name not in known:
            raise DeclarationError(
                f"there is no function or feature {name!r} to recompute; choose "
                f"all, or from {', '.join(known)}."
            )
    found = set(names)
    for lf in lfs:
        if lf.name in names:  # lfkit's own features depend on nothing but images
            users = [n for n in ancestors(lf.features) if not is_own(n.fn)]
            found.update(node.name for node in users)
    return found
