"""The table of answers as it lies in a CSV: nothing that others wrote is lost."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lfkit.data.cells import from_cell, to_cell
from lfkit.data.label_cells import means_nothing, number, spelling
from lfkit.data.seed_labels import read_labels
from lfkit.errors import DataError, storage_error

COLUMNS = ("image_id", "label", "who", "when", "why")
_IDS = ("image_id", "path", "file_name")

Row = dict[str, str]


@dataclass
class AnswerTable:
    """Rows of a CSV in the order in which they stand there.

    Attributes
    ----------
    fields : the columns, of which `key` names images and `label` their classes.
    rows : image id → row; a number → row that is about no image of the data, or about
        one that another row is about.
    label_of : image id → class.
    """

    fields: list[str] = field(default_factory=lambda: [*COLUMNS])
    key: str = COLUMNS[0]
    label: str = COLUMNS[1]
    rows: dict[str | int, Row] = field(default_factory=dict)
    label_of: dict[str, int] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Write it as a CSV in UTF-8."""
        text = io.StringIO()
        table = csv.DictWriter(text, self.fields, restval="", lineterminator="\n")
        table.writeheader()
        for row in self.rows.values():
            table.writerow({name: to_cell(cell) for name, cell in row.items()})
        return text.getvalue().encode("utf-8", "backslashreplace")


def read_table(
    path: Path, ids: Sequence[str], class_names: tuple[str, ...]
) -> AnswerTable:
    """Read a CSV with columns image_id (or path, file_name) and label.

    Where there is no file, the table is empty.

    Parameters
    ----------
    ids : n image ids of the data.
    class_names : the k classes an answer may be.
    """
    place_of = {name: place for place, name in enumerate(ids)}
    try:
        with open(path, newline="", encoding="utf-8-sig") as handle:
            table = csv.DictReader(handle, restval="")
            held = [*(table.fieldnames or ())]
            listed = list(table)
    except FileNotFoundError:
        return AnswerTable()
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a CSV in UTF-8: {error}.") from error
    except OSError as error:
        raise storage_error(error, path) from error
    plain = {name.lower(): name for name in held}
    key = next((plain[name] for name in _IDS if name in plain), None)
    label = plain.get("label")
    if key is None or label is None:
        raise DataError(
            f"{path} needs the columns image_id and label, it has "
            f"{', '.join(held) or 'none'}."
        )
    if len(set(held)) != len(held):
        twice = next(name for name in held if held.count(name) > 1)
        raise DataError(f"{path} has two columns {twice!r}; rename one.")
    long = next((at for at, row in enumerate(listed, 1) if None in row), None)
    if long is not None:
        raise DataError(
            f"{path} has more cells in its row {long} than columns; put text "
            "with commas in quotation marks."
        )
    fields = [*held, *(name for name in COLUMNS[2:] if name not in held)]
    found = AnswerTable(fields, key, label)
    texts = [{k: from_cell(v) for k, v in row.items()} for row in listed]
    label_of: dict[int, int] = {}
    if any(row[label].strip() for row in texts):
        given = read_labels(path, ids, class_names)
        label_of = dict(zip(given.rows.tolist(), given.labels.tolist(), strict=True))
    places = [_place(row[key], place_of) for row in texts]
    # An image may have rows without a label, too: its answer is in another one.
    row_of: dict[int, int] = {}
    for at, (place, row) in enumerate(zip(places, texts, strict=True)):
        first = row_of.setdefault(place, at)
        if not _is_label(texts[first][label]) and _is_label(row[label]):
            row_of[place] = at
    for at, (place, row) in enumerate(zip(places, texts, strict=True)):
        if place < 0 or row_of[place] != at:
            found.rows[at] = row
            continue
        name = ids[place]
        found.rows[name] = row
        if place in label_of:
            found.label_of[name] = label_of[place]
            row |= {key: name, label: class_names[label_of[place]]}
    return found


def _place(written: str, place_of: Mapping[str, int]) -> int:
    """Find an image by its id as somebody wrote it; -1 where there is none."""
    spellings = (written, written.strip(), written.replace("\\", "/"))
    return next((place_of[each] for each in spellings if each in place_of), -1)


def _is_label(text: str) -> bool:
    spelled = spelling(text)
    return not means_nothing(spelled) and number(spelled) != -1
