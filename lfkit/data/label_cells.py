"""Labels as people and programs write them: one reader for columns of all files.

1.0 is 1; spaces around a name do not count, nor how its accents are composed; -1,
nothing, NaN and None are no label.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfkit.errors import DataError

_NUMBER = re.compile(r"[+-]?[0-9]{1,300}(\.[0-9]{0,300})?")
_WHOLE = re.compile(r"([+-]?[0-9]{1,300})\.0*")
# As np.savetxt writes 1; "1e5" may be a name.
_SCIENTIFIC = re.compile(r"[+-]?[0-9]\.[0-9]{1,30}[eE][+-][0-9]{1,2}")
# What Python, pandas, SQL and spreadsheets write where there is nothing.
NOTHING = {"", "nan", "NaN", "NAN", "-nan", "None", "<NA>", "NaT", "null", "NULL"}
NOTHING |= {"N/A", "n/a", "#N/A"}
# May be classes ("none of these", Namibia): nothing only where they are no class.
MAYBE_NOTHING = {"NA", "none", "NONE"}
_EXACT = 2**53  # beyond it, not every whole number is a float


@dataclass(frozen=True, eq=False)
class Cells:
    """Labels as they are written, each spelling once.

    Attributes
    ----------
    codes : of any shape: positions in `spellings`; -1 where there is nothing.
    spellings : u different texts.
    """

    codes: NDArray[np.signedinteger[Any]]
    spellings: tuple[str, ...]


def spelling(value: object) -> str:
    """Write a name or a label in the one way in which they are compared.

    >>> spelling(" cat "), spelling(3.0), spelling("3.0"), spelling("03")
    ('cat', '3', '3', '03')
    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)
    text = unicodedata.normalize("NFC", str(value)).strip().strip("\ufeff").strip()
    if _SCIENTIFIC.fullmatch(text) and float(text).is_integer():
        return str(int(float(text)))
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def number(text: str) -> Decimal | None:
    """Give a spelling's value; None if it is no number.

    >>> number("010"), number("ten")
    (Decimal('10'), None)
    """
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def read_cells(values: Any, where: str) -> Cells:
    """Read a column or matrix of labels: numbers, text, or both, with gaps.

    Parameters
    ----------
    values : a NumPy array of any shape, an Arrow array, or a list.
    where : what has these labels, to begin an error with.
    """
    shape = values.shape if isinstance(values, np.ndarray) else (len(values),)
    if isinstance(values, np.ndarray):
        if (found := _small_numbers(values)) is not None:
            return found
        values = values.reshape(-1)
        if values.dtype == np.float16:
            values = values.astype(np.float32)
    codes, distinct = _encoded(values, where)
    spelled = [_spelled(value, where) for value in distinct]
    position = {text: i for i, text in enumerate(dict.fromkeys(filter(None, spelled)))}
    own = [position.get(text or "", -1) for text in spelled]
    renumbered = np.asarray([*own, -1], np.int32)
    return Cells(renumbered[codes].reshape(shape), tuple(position))


def unified(parts: Sequence[Cells]) -> list[Cells]:
    """Bring cells to one list of spellings."""
    if len(parts) == 1:
        return [*parts]
    position: dict[str, int] = {}
    for part in parts:
        for text in part.spellings:
            position.setdefault(text, len(position))
    found = []
    for part in parts:
        own = np.asarray([*(position[text] for text in part.spellings), -1], np.int32)
        found.append(Cells(own[part.codes], tuple(position)))
    return found


def joined(columns: Sequence[Cells], n_rows: int) -> Cells:
    """Put columns, (n,) each, side by side: (n, m)."""
    parts = unified(columns)
    codes = np.empty((n_rows, len(parts)), np.int32)
    for column, part in enumerate(parts):
        codes[:, column] = part.codes
    return Cells(codes, parts[0].spellings if parts else ())


def means_nothing(text: str) -> bool:
    """Tell whether a spelling may say that there is no label."""
    return text in NOTHING or text in MAYBE_NOTHING


def _small_numbers(values: NDArray[Any]) -> Cells | None:
    """Encode whole numbers of a small range by a table, in two passes."""
    if values.dtype.kind not in "iu" or not values.size:
        return None
    low, high = int(values.min()), int(values.max())
    if high - low >= 2**16 or high >= 2**31 or low <= -(2**31):
        return None
    # Of a hundred million votes, four bytes each would be many copies of 400 MB.
    kind = np.int16 if high - low < 2**15 and abs(low) < 2**15 else np.int32
    offsets = np.subtract(values, low, dtype=kind, casting="unsafe")
    seen = np.zeros(high - low + 1, bool)
    seen[offsets] = True
    held = np.flatnonzero(seen)
    table = np.full(len(seen), -1, kind)
    table[held] = np.arange(len(held))
    return Cells(table[offsets], tuple(str(low + v) for v in held.tolist()))


def _encoded(values: Any, where: str) -> tuple[NDArray[np.int64], list[Any]]:
    """Give each value's position among the different ones, -1 for gaps; and these."""
    if not isinstance(values, (pa.Array, pa.ChunkedArray)):
        try:
            values = pa.array(values, from_pandas=True)
        except (pa.ArrowException, OverflowError):  # numbers and text side by side
            values = pa.array(
                [None if value is None else spelling(value) for value in values],
                pa.string(),
            )
    try:
        if not pa.types.is_dictionary(values.type):
            values = values.dictionary_encode()
    except pa.ArrowException as error:
        raise DataError(
            f"{where} is of type {values.type}; give class numbers or names."
        ) from error
    if isinstance(values, pa.ChunkedArray):
        values = values.unify_dictionaries().combine_chunks()
        if isinstance(values, pa.ChunkedArray):  # of no chunk, in older versions
            values = pa.concat_arrays(values.chunks)
    codes = values.indices.fill_null(-1).to_numpy().astype(np.int64)
    return codes, values.dictionary.to_pylist()


def _spelled(value: object, where: str) -> str | None:
    """Spell one of the different values; None and NaN are nothing."""
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, float) and (
        not value.is_integer() or abs(value) >= _EXACT
    ):  # inf among them
        raise DataError(
            f"{where} has the label {value:g}, of a type with fractions; give class "
            "numbers or names."
        )
    if isinstance(value, (list, dict)):
        raise DataError(f"{where} has lists or records; give class numbers or names.")
    return spelling(value)
