"""The file of answers: the labels `lfkit apply --seed-labels` reads, and who gave them.

One row per image: image_id, label, who, when, why. Columns that were there before stay.
"""

from __future__ import annotations

import csv
import getpass
import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfkit.data.cells import from_cell, to_cell
from lfkit.data.files import write_atomically
from lfkit.data.seed_labels import GivenLabels, read_labels
from lfkit.errors import DataError, storage_error

COLUMNS = ("image_id", "label", "who", "when", "why")
_IDS = ("image_id", "path", "file_name")
_MOST_UNDONE = 1000


@dataclass(frozen=True)
class Change:
    """What one answer did: image id → the row that was there before, None for none."""

    before: dict[str, dict[str, str] | None]


class SeedAnswers:
    """The answers given so far, kept in a CSV that is whole at every moment.

    Parameters
    ----------
    path : the file; it is made by the first answer.
    ids : n image ids of the data.
    class_names : the k classes an answer may be.
    who : the name noted with each answer; the user's by default.
    """

    def __init__(
        self,
        path: Path,
        ids: Sequence[str],
        class_names: tuple[str, ...],
        who: str | None = None,
    ) -> None:
        self.path, self.ids, self.class_names = path, ids, class_names
        self.who = who or _user()
        self._row_of = {name: row for row, name in enumerate(ids)}
        self._lock = threading.Lock()
        self._done: list[Change] = []
        self._fields = list(COLUMNS)
        self._rows: dict[str, dict[str, str]] = {}
        self._label_of: dict[str, int] = {}
        self._stamp: tuple[int, int] | None = None
        self._read()

    def __len__(self) -> int:
        return len(self._label_of)

    @property
    def rows(self) -> NDArray[np.int64]:
        """(s,) rows of the answered images, ascending."""
        return self.given().rows

    def given(self) -> GivenLabels:
        """Give the answered images and their classes."""
        with self._lock:
            pairs = sorted((self._row_of[i], y) for i, y in self._label_of.items())
        rows = np.asarray([row for row, _ in pairs], np.int64)
        return GivenLabels(rows, np.asarray([y for _, y in pairs], np.int64))

    def why(self) -> dict[int, str]:
        """Tell why each answered image was asked: row → reason, "" where unknown."""
        with self._lock:
            return {
                self._row_of[name]: (self._rows[name].get("why") or "").strip()
                for name in self._label_of
            }

    def give(self, rows: Sequence[int], label: int | None, why: str) -> None:
        """Note an answer for some images and write the file.

        Parameters
        ----------
        label : a class; None takes the images' answers back.
        why : why they were asked, such as "random".
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._lock:
            change: dict[str, dict[str, str] | None] = {}
            for row in dict.fromkeys(rows):
                name = self.ids[row]
                change[name] = self._rows.get(name)
                if label is None:
                    self._rows.pop(name, None)
                    self._label_of.pop(name, None)
                    continue
                self._rows[name] = {
                    **(change[name] or {}),
                    self._fields[0]: name,
                    "label": self.class_names[label],
                    "who": self.who,
                    "when": now,
                    "why": why,
                }
                self._label_of[name] = label
            self._done = [*self._done[1 - _MOST_UNDONE :], Change(change)]
            self._write()

    def undo(self) -> list[int]:
        """Take the last answer of this session back; gives the rows it was about."""
        with self._lock:
            if not self._done:
                return []
            change = self._done.pop()
            number = {name: y for y, name in enumerate(self.class_names)}
            for name, row in change.before.items():
                if row is None:
                    self._rows.pop(name, None)
                    self._label_of.pop(name, None)
                else:
                    self._rows[name] = row
                    self._label_of[name] = number[row["label"]]
            self._write()
            return [self._row_of[name] for name in change.before]

    def reread(self) -> bool:
        """Read the file again if another program has changed it; True if it has."""
        with self._lock:
            if self._stamp == _stamp(self.path):
                return False
            self._read()
            self._done.clear()
            return True

    def _read(self) -> None:
        self._rows, self._label_of = {}, {}
        self._stamp = _stamp(self.path)
        if self._stamp is None:
            return
        try:
            with open(self.path, newline="", encoding="utf-8-sig") as handle:
                table = csv.DictReader(handle)
                held = [name for name in table.fieldnames or () if name]
                listed = list(table)
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{self.path} is not a CSV in UTF-8: {error}.") from error
        except OSError as error:
            raise storage_error(error, self.path) from error
        plain = {name.lower(): name for name in held}
        key = next((plain[name] for name in _IDS if name in plain), None)
        label = plain.get("label")
        if key is None or label is None:
            raise DataError(
                f"{self.path} needs the columns image_id and label, it has "
                f"{', '.join(held) or 'none'}."
            )
        self._fields = [key, "label", *(n for n in held if n not in (key, label))]
        self._fields += [name for name in COLUMNS[2:] if name not in self._fields]
        answered = [row for row in listed if (row.get(label) or "").strip()]
        if not answered:
            return
        given = read_labels(self.path, self.ids, self.class_names)
        label_of = dict(zip(given.rows.tolist(), given.labels.tolist(), strict=True))
        for row in answered:
            written = from_cell(row[key])
            place = self._row_of.get(written.strip())
            if place is None:
                place = self._row_of.get(written.replace("\\", "/"), -1)
            if place not in label_of:
                continue  # a cell that means "no label"
            name, y = self.ids[place], label_of[place]
            texts = {k: from_cell(v) for k, v in row.items() if isinstance(v, str)}
            texts |= {key: name, "label": self.class_names[y]}
            self._rows[name], self._label_of[name] = texts, y

    def _write(self) -> None:
        text = io.StringIO()
        table = csv.DictWriter(
            text, self._fields, restval="", extrasaction="ignore", lineterminator="\n"
        )
        table.writeheader()
        for row in self._rows.values():
            table.writerow({name: to_cell(cell) for name, cell in row.items()})
        data = text.getvalue().encode("utf-8", "backslashreplace")
        write_atomically(self.path, data)
        self._stamp = _stamp(self.path)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return "unknown"
