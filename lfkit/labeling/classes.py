"""The classes of a run: what the functions declare, the data names, and the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfkit.data.class_names import (
    counts_from_zero,
    match_names,
    plausible_class_numbers,
)
from lfkit.data.image_source import ImageSource
from lfkit.data.label_cells import number
from lfkit.errors import DeclarationError
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
    declared = {label for lf in loaded.lfs for label in lf.classes or ()}
    if loaded.class_names is None:
        _check_numbers_mean_one_thing(declared, bool(silent), source)
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
    if declared is not None:
        return _by_name(source, declared, truth)
    if source.class_names is None:
        names = tuple(str(label) for label in range(least))
        return _without_strange_labels(source, names, truth)
    names = source.class_names
    values = _values(names)
    if least > len(names):
        if values is None or least > max(values) + 1:
            raise DeclarationError(
                f"a labeling function votes for class {least - 1}, but {source.name} "
                f"has the classes 0..{len(names) - 1} ({', '.join(names)})."
            )
        # Functions vote the numbers that the classes are called.
        number_of = np.asarray([*values, -1], np.int64)
        names = tuple(str(label) for label in range(max(values) + 1))
        note = (
            f"the functions' class numbers are the names of the classes of "
            f"{source.name}, {_listed(source.class_names)}"
        )
        return Classes(names, number_of[truth], (note,))
    notes: tuple[str, ...] = ()
    if not counts_from_zero(names):
        shown = [f"{label} is {name}" for label, name in enumerate(names)]
        notes = (f"the functions' class numbers count the classes: {_listed(shown)}",)
    return Classes(names, np.asarray(truth, np.int64), notes)


def _check_numbers_mean_one_thing(
    declared: set[int], is_silent: bool, source: ImageSource
) -> None:
    """Refuse class numbers that may count the data's classes, or be their names.

    Parameters
    ----------
    declared : class numbers of the functions.
    is_silent : some function may vote for any number.
    """
    names = source.class_names
    if names is None:
        if not plausible_class_numbers(declared):
            raise DeclarationError(
                f"a labeling function votes for class {max(declared)}, and nothing "
                "names the classes; class numbers count from 0: write CLASSES = "
                "[...] in the functions' file, one name per class, and vote for "
                "positions in it."
            )
        return
    named = {number(name): label for label, name in enumerate(names)}
    if all(value in (None, label) for value, label in named.items()):
        return
    by_count = all(label < len(names) for label in declared)
    by_name = all(label in named for label in declared)
    if (by_count and by_name) or is_silent:
        shown = f"{list(names[:5])}"
        raise DeclarationError(
            f"the classes of {source.name} are named by numbers, "
            f"{_listed(names)}, and the functions' class numbers may be these names "
            f"or count from 0; write CLASSES = {shown.removesuffix(']')}"
            f"{', …' if len(names) > 5 else ''}] in the functions' file: votes are "
            "positions in it."
        )


def _values(names: tuple[str, ...]) -> list[int] | None:
    """Give class names as numbers; None unless all are small whole ones."""
    values = [number(name) for name in names]
    if any(value is None or value < 0 or value != int(value) for value in values):
        return None
    whole = [int(value) for value in values if value is not None]
    return whole if plausible_class_numbers(whole) else None


def _by_name(
    source: ImageSource, declared: tuple[str, ...], truth: NDArray[np.int64]
) -> Classes:
    """Give true classes their numbers in CLASSES; forget those it does not name."""
    theirs = source.class_names
    if theirs == declared:
        return Classes(declared, np.asarray(truth, np.int64), ())
    if theirs is None:
        if not any(number(name) is not None for name in declared):
            _check_counts_from_zero(source.name, truth[truth >= 0], declared)
            return _without_strange_labels(source, declared, truth)
        labels = np.unique(truth[truth >= 0])
        theirs = tuple(map(str, labels.tolist()))
        truth = np.where(truth < 0, -1, np.searchsorted(labels, truth))
    numbers, notes = match_names(theirs, declared, source.name)
    strange = [name for name, y in zip(theirs, numbers, strict=True) if y < 0]
    values = _values(theirs)
    if strange and values is not None and max(values) < len(declared):
        raise DeclarationError(
            f"{source.name} has the classes {_listed(theirs)}; read as names, "
            f"{strange[0]} is none of CLASSES ({_listed(declared)}), and read as "
            "numbers that count from 0 they contradict these names: write the names "
            "of the data's classes in CLASSES."
        )
    if strange:
        notes += (
            f"{source.name} has classes that CLASSES does not name "
            f"({_listed(strange)}); their images are labeled, not scored",
        )
    mapped = np.append(numbers, -1)[truth]
    return Classes(declared, mapped.astype(np.int64), notes)


def _check_counts_from_zero(
    where: str, labels: NDArray[np.int64], names: tuple[str, ...]
) -> None:
    """Refuse labels 1 to k for k names: each would be taken for the next class."""
    if len(labels) and labels.min() == 1 and labels.max() == len(names):
        raise DeclarationError(
            f"the labels of {where} go from 1 to {len(names)}, and CLASSES has "
            f"{len(names)} names ({_listed(names)}); class numbers count from 0: write "
            "the names, or subtract 1."
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


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
