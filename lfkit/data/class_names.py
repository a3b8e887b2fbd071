"""Class names, and what labels mean: matched with known names, or discovered.

Numbers are in numeric order, other names in alphabetical order. What can be read in two
ways is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.label_cells import (
    MAYBE_NOTHING,
    NOTHING,
    Cells,
    number,
    spelling,
)
from lfkit.errors import DataError

MOST_CLASSES = np.iinfo(np.int16).max  # votes are int16
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Reading:
    """What labels mean.

    Attributes
    ----------
    numbers : (u + 1,) the class of each spelling, -1 = no label; the last is -1.
    names : of the k classes; None if labels are class numbers and name nothing.
    notes : what was decided, for the user.
    """

    cells: Cells
    numbers: NDArray[np.int64]
    names: tuple[str, ...] | None
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> NDArray[np.int64]:
        """The classes, in the shape of the cells; -1 where there is none."""
        return self.numbers[self.cells.codes]


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sort names: numbers by value if all are numbers, else by their letters.

    >>> in_order(["10", "2", "1"]), in_order(["10", "2", "a"])
    (('1', '2', '10'), ('10', '2', 'a'))
    """
    names = sorted(names)
    values = {name: number(name) for name in names}
    if all(value is not None for value in values.values()):
        names.sort(key=lambda name: values[name] or Decimal(0))
    return tuple(names)


def checked_names(names: Iterable[object], where: str) -> tuple[str, ...]:
    """Bring a list of class names into their spellings; all must differ.

    Parameters
    ----------
    where : what has these names, to begin an error with.
    """
    written = [str(name) for name in names]
    found: dict[str | Decimal, str] = {}
    spelled = []
    for name in written:
        text = spelling(name)
        value = number(text)
        if not text or value == -1:
            raise DataError(
                f"{where} has a class named {name!r}, which means that there is no "
                "label; give it another name."
            )
        for key in (text, value):
            if key in found:
                raise DataError(
                    f"{where} has classes named {found[key]!r} and {name!r}, which "
                    "cannot be told apart in a file of labels; rename or join them."
                )
        found |= {key: name for key in (text, value) if key is not None}
        spelled.append(text)
    return tuple(spelled)


def same_but_for_case(names: Sequence[str]) -> tuple[str, ...]:
    """Say so where two classes differ only in capitals; they stay two classes."""
    first: dict[str, str] = {}
    twins = [
        (first[key], name)
        for name in names
        if first.setdefault(key := name.casefold(), name) != name
    ]
    if not twins:
        return ()
    one, other = twins[0]
    return (f"the classes {one!r} and {other!r} differ only in capitals: they are two",)


def match(
    cells: Cells, names: Sequence[str], where: str, place: Callable[[int], str]
) -> Reading:
    """Read labels of known classes.

    A label is a class's name. Where no class is named by a number, numbers from 0 to
    k - 1 are taken too.

    Parameters
    ----------
    names : of the k classes.
    where : what has these labels, for notes.
    place : tells what has the label at a place of the flattened cells, such as "a.csv
        gives image 'b.png'", to begin an error with.
    """
    names = tuple(names)
    found = _Matched(names, cells.spellings)
    if found.unknown:
        text = found.unknown[0]
        flat = cells.codes.reshape(-1)
        first = int((flat == cells.spellings.index(text)).argmax())
        strange = [cells.spellings.index(each) for each in found.unknown]
        raise DataError(
            f"{place(first)} the label {text!r}; {_choices(names)}; "
            f"{np.isin(flat, strange).sum()} of its {(flat >= 0).sum()} labels are so."
        )
    return Reading(cells, found.numbers, names, tuple(found.notes(where)))


def match_names(
    theirs: Sequence[str], ours: Sequence[str], where: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Find classes of one list in another: (u,) numbers, -1 where it has none; notes.

    Names of the first are numbers of the second only if they count from 0.
    """
    found = _Matched(tuple(ours), tuple(theirs))
    if found.by_position and not counts_from_zero(theirs):
        found.numbers[[theirs.index(name) for name in found.by_position]] = -1
        found.by_position = []
    return found.numbers[:-1], tuple(found.notes(where))


def counts_from_zero(names: Sequence[str]) -> bool:
    """Tell whether names are but the numbers of the classes, from 0 on."""
    return tuple(names) == tuple(map(str, range(len(names))))


def discover(
    cells: Cells, where: str, place: Callable[[int], str], n_classes: int | None = None
) -> Reading:
    """Read labels of classes that nothing names.

    Small whole numbers are class numbers; others, such as 1001 and 1002, are names, as
    is all text.

    Parameters
    ----------
    where, place : as for `match`.
    n_classes : k, if it is known.
    """
    texts = cells.spellings
    values = {text: number(text) for text in texts}
    kept = [t for t in texts if t not in NOTHING and values[t] != -1]
    told = [t for t in texts if t in NOTHING]
    sure = [t for t in kept if t not in MAYBE_NOTHING]
    if sure and all(values[text] is not None for text in sure):
        told += [text for text in kept if text not in sure]
        kept = sure
        _check_numbers(cells, kept, place)
    notes = _told_nothing(told, where)
    names = in_order(kept)
    if len(names) > MOST_CLASSES:
        raise DataError(
            f"{where} has {len(names):,} different labels; {len(names)} classes are "
            f"more than lfkit can count ({MOST_CLASSES})."
        )
    if _are_class_numbers(names, n_classes):
        numbers = [int(text) if text in kept else -1 for text in texts]
        return Reading(cells, np.asarray([*numbers, -1], np.int64), None, notes)
    _check_same_number(names, where)
    position = {name: y for y, name in enumerate(names)}
    numbers = [position.get(text, -1) for text in texts]
    if names and all(values[name] is not None for name in names):
        notes += (f"the numbers {_listed(names)} in {where} are names of classes",)
    notes += tuple(
        f"{name!r} in {where} is read as a class; empty cells are read as no label"
        for name in names
        if name in MAYBE_NOTHING
    )
    notes += same_but_for_case(names)
    return Reading(cells, np.asarray([*numbers, -1], np.int64), names, notes)


def number_names(
    written: Sequence[str | None], where: str
) -> tuple[NDArray[np.int64] | None, tuple[str, ...] | None, tuple[str, ...]]:
    """Turn names of the images' classes, such as folders', into numbers.

    Parameters
    ----------
    written : n names, None where there is none.
    where : what has these names, to begin an error with.

    Returns
    -------
    (n,) class numbers, -1 where there is no name, and the names, in order; None and
    None if there is no name. Notes.
    """
    different = sorted({name for name in written if name is not None})
    spelled = {name: spelling(name) for name in different}
    nothing = [
        name for name, text in spelled.items() if text in NOTHING or number(text) == -1
    ]
    kept = [name for name in different if name not in nothing]
    notes = _told_nothing(nothing, where)
    if not kept:
        return None, None, notes
    names = in_order(checked_names(kept, where))
    position = {text: y for y, text in enumerate(names)}
    label_of = {name: position.get(text, -1) for name, text in spelled.items()}
    labels = [-1 if name is None else label_of[name] for name in written]
    return np.asarray(labels, np.int64), names, notes + same_but_for_case(names)


def plausible_class_numbers(numbers: Iterable[int]) -> bool:
    """Tell whether numbers may count classes; 1001, 1002 and 1003 do not.

    >>> plausible_class_numbers([0, 2]), plausible_class_numbers([1001, 1002])
    (True, False)
    """
    different = set(numbers)
    return max(different, default=0) < max(10, 2 * len(different))


class _Matched:
    """Spellings found among the names of classes, and how."""

    def __init__(self, names: tuple[str, ...], texts: tuple[str, ...]) -> None:
        self.names = names
        by_name = {spelling(name): y for y, name in enumerate(names)}
        by_value = _unique((number(name), y) for name, y in by_name.items())
        by_case = _unique((name.casefold(), y) for name, y in by_name.items())
        self.by_position: list[str] = []
        self.alike: list[tuple[str, str]] = []
        self.nothing: list[str] = []
        self.unknown: list[str] = []
        # Names that are numbers, all of which could count the classes instead.
        values = [value for value in map(number, texts) if value not in (None, -1)]
        self.by_value = [
            text
            for text in texts
            if by_value
            and all(_is_position(v, len(names)) for v in values if v)
            and (value := number(text)) in by_value
            and by_value[value] != value
        ]
        numbers = np.full(len(texts) + 1, -1, np.int64)
        for i, text in enumerate(texts):
            value = number(text)
            if text in by_name:
                numbers[i] = by_name[text]
            elif value == -1:
                continue
            elif text in NOTHING:
                self.nothing.append(text)
            elif value is not None and value in by_value:
                numbers[i] = by_value[value]
                self.alike.append((text, names[numbers[i]]))
            elif value is not None and not by_value and _is_position(value, len(names)):
                numbers[i] = int(value)
                self.by_position.append(text)
            elif text.casefold() in by_case:
                numbers[i] = by_case[text.casefold()]
                self.alike.append((text, names[numbers[i]]))
            elif text in MAYBE_NOTHING:
                self.nothing.append(text)
            else:
                self.unknown.append(text)
        self.numbers = numbers

    def notes(self, where: str) -> Iterable[str]:
        yield from _told_nothing(self.nothing, where)
        if self.by_position:
            shown = [f"{y} is {name}" for y, name in enumerate(self.names)]
            yield f"{where} has class numbers: {_listed(shown)}"
        if self.by_value:
            yield (
                f"the numbers in {where} are names of classes "
                f"({_listed(self.by_value)}), and do not count them from 0"
            )
        if self.alike:
            shown = [f"{text!r} as {name!r}" for text, name in self.alike]
            yield f"labels of {where} are read by their nearest names: {_listed(shown)}"


def _is_position(value: Decimal, k: int) -> bool:
    return 0 <= value < k and value == int(value)


def _unique(pairs: Iterable[tuple[Any, int]]) -> dict[Any, int]:
    """Keep the keys that only one class has; None is no key."""
    found: dict[Any, int] = {}
    twice = set()
    for key, y in pairs:
        if key is None:
            continue
        if found.setdefault(key, y) != y:
            twice.add(key)
    return {key: y for key, y in found.items() if key not in twice}


def _choices(names: tuple[str, ...]) -> str:
    """Say which labels are read, and how."""
    listed = _listed(names, 20)
    if any(number(name) is not None for name in names):
        if counts_from_zero(names):
            return f"the classes are {listed}"
        return (
            f"the classes are {listed}, and as some of these names are numbers, labels "
            "are read as names, not as numbers that count from 0: write the names"
        )
    return f"the classes are {listed} (or 0..{len(names) - 1})"


def _check_numbers(cells: Cells, texts: list[str], place: Callable[[int], str]) -> None:
    """Refuse negative numbers and fractions: they are neither class numbers nor names.

    Parameters
    ----------
    texts : spellings that all are numbers.
    """
    for text in texts:
        value = number(text)
        assert value is not None, "all are numbers"
        if value < 0 or value != int(value):
            code = cells.spellings.index(text)
            first = int((cells.codes.reshape(-1) == code).argmax())
            raise DataError(
                f"{place(first)} the label {text!r}, which is no class; give a class "
                "number from 0 on or a name, and -1 or nothing where it is unknown."
            )


def _are_class_numbers(names: tuple[str, ...], n_classes: int | None) -> bool:
    """Tell whether labels count classes, rather than name them."""
    values = [number(name) for name in names]
    if any(value is None for value in values):
        return False
    if any(name != str(value) for name, value in zip(names, values, strict=True)):
        return False  # "01" is a name
    whole = [int(value) for value in values if value is not None]
    if n_classes is None:
        return plausible_class_numbers(whole)
    return max(whole, default=0) < n_classes or len(whole) != n_classes


def _check_same_number(names: tuple[str, ...], where: str) -> None:
    seen: dict[Decimal, str] = {}
    for name in names:
        value = number(name)
        if value is not None and seen.setdefault(value, name) != name:
            raise DataError(
                f"{where} has the labels {seen[value]!r} and {name!r}, the same "
                "number written in two ways; write one."
            )


def _told_nothing(texts: Sequence[str], where: str) -> tuple[str, ...]:
    if not texts:
        return ()
    shown = _listed([repr(text) for text in texts])
    return (f"{shown} in {where} is read as no label",)


def _listed(names: Sequence[str], most: int = _SHOWN) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
