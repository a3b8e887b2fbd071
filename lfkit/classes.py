"""The classes of a run: what the functions declare, the data names, and the labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import DeclarationError
from lfkit.images import ImageSource
from lfkit.labeling.loading import LoadedLFs


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of a run, and the data's true labels in their numbering.

    Attributes
    ----------
    names : k names.
    truth : (n,) true classes, -1 where unknown.
    notes : what a user should know of them.
    """

    names: tuple[str, ...]
    truth: NDArray[np.int64]
    notes: tuple[str, ...]


def least_classes(loaded: LoadedLFs, source: ImageSource) -> int:
    """Give the number of classes that the functions declare."""
    unnamed = loaded.class_names is None and source.class_names is None
    silent = [lf.name for lf in loaded.lfs if lf.classes is None]
    if unnamed and silent:
        raise DeclarationError(
            f"labeling function {silent[0]!r} does not declare its classes, and "
            f"{source.name} does not name any; write CLASSES = [...] in the functions' "
            "file, one name per class."
        )
    declared = [label for lf in loaded.lfs for label in lf.classes or ()]
    return max(declared, default=0) + 1


def reconcile(
    source: ImageSource, declared: tuple[str, ...] | None, least: int
) -> Classes:
    """Bring the data's class names and the functions' CLASSES together, by name.

    Parameters
    ----------
    declared : CLASSES, or None if the functions do not name any.
    least : the number of classes that they vote for, if they do not.
    """
    truth = source.labels
    if truth is None:
        truth = np.full(len(source), -1, np.int64)
    if declared is None:
        names = source.class_names or tuple(str(label) for label in range(least))
        if least > len(names):
            raise DeclarationError(
                f"a labeling function votes for class {least - 1}, but {source.name} "
                f"has the classes 0..{len(names) - 1} ({', '.join(names)})."
            )
        return _without_strange_labels(source, names, truth)
    if source.class_names is None or source.class_names == declared:
        return _without_strange_labels(source, declared, truth)
    number = {name: label for label, name in enumerate(declared)}
    mapped = np.asarray([number.get(name, -1) for name in source.class_names] + [-1])
    strange = [name for name in source.class_names if name not in number]
    notes: tuple[str, ...] = ()
    if strange:
        notes = (
            f"{source.name} has classes that CLASSES does not name "
            f"({', '.join(strange[:5])}{', …' if len(strange) > 5 else ''}); their "
            "images are labeled, not scored",
        )
    return Classes(declared, mapped[truth].astype(np.int64), notes)


def _without_strange_labels(
    source: ImageSource, names: tuple[str, ...], truth: NDArray[np.int64]
) -> Classes:
    """Forget true labels beyond the last class, and say so."""
    strange = truth >= len(names)
    if not strange.any():
        return Classes(tuple(names), np.asarray(truth, np.int64), ())
    note = (
        f"{source.name} has labels up to {truth.max()}, beyond the classes "
        f"0..{len(names) - 1} ({', '.join(names)}); those {strange.sum():,} images are "
        "labeled, not scored"
    )
    return Classes(tuple(names), np.where(strange, -1, truth).astype(np.int64), (note,))
