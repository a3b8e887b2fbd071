"""The file of answers: the labels `lfkit apply --seed-labels` reads, and who gave them.

One row per image: image_id, label, who, when, why. Rows and columns that were there
before stay.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfkit.data.files import make_folder, write_atomically
from lfkit.data.seed_labels import GivenLabels
from lfkit.errors import LfkitError, storage_error
from lfkit.studio.answer_table import AnswerTable, Row, read_table

_MOST_UNDONE = 1000

Stamp = tuple[int, int, int]


State = tuple[Row | None, int | None]  # an image's row and class, None for none


@dataclass(frozen=True)
class Change:
    """What one answer did: image id → state before it and after it, and who gave it."""

    before: dict[str, State]
    after: dict[str, State]
    by: str


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
        self._table = AnswerTable()
        self._stamp: Stamp | None = None
        self._broken: tuple[Stamp | None, LfkitError] | None = None
        self._refresh()

    def __len__(self) -> int:
        return len(self._table.label_of)

    @property
    def rows(self) -> NDArray[np.int64]:
        """(s,) rows of the answered images, ascending."""
        return self.given().rows

    def given(self) -> GivenLabels:
        """Give the answered images and their classes."""
        with self._lock:
            known = self._table.label_of
            pairs = sorted((self._row_of[i], y) for i, y in known.items())
        rows = np.asarray([row for row, _ in pairs], np.int64)
        return GivenLabels(rows, np.asarray([y for _, y in pairs], np.int64))

    def why(self) -> dict[int, str]:
        """Tell why each answered image was asked: row → reason, "" where unknown."""
        with self._lock:
            rows = self._table.rows
            return {
                self._row_of[name]: rows[name].get("why", "").strip()
                for name in self._table.label_of
            }

    def give(
        self,
        rows: Sequence[int],
        label: int | None,
        why: str | Sequence[str],
        by: str = "",
    ) -> None:
        """Note an answer for some images and write the file.

        What another program has written meanwhile is read first. A file that cannot be
        read is not written: its error is raised, and nothing is noted.

        Parameters
        ----------
        label : a class; None takes the images' answers back.
        why : why they were asked, such as "random"; one text, or one for each image.
        by : who gives it, such as one of several browsers: each undoes its own.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        whys = [why] * len(rows) if isinstance(why, str) else why
        with self._lock, _locked(self.path):
            self._refresh()
            table = self._table
            change: dict[str, State] = {}
            for row, reason in dict(zip(rows, whys, strict=True)).items():
                name = self.ids[row]
                before = table.rows.get(name)
                change[name] = before, table.label_of.get(name)
                if label is None:
                    self._clear(name)
                    continue
                given = {"who": self.who, "when": now, "why": reason}
                given |= {table.key: name, table.label: self.class_names[label]}
                table.rows[name] = {**(before or {}), **given}
                table.label_of[name] = label
            made = Change(change, {name: self._state(name) for name in change}, by)
            self._write_or_restore(change)
            self._done = [*self._done[1 - _MOST_UNDONE :], made]

    def undo(self, by: str | None = None) -> list[int]:
        """Take the last answer of this session back; gives the rows it was about.

        Answers before a change by another program stay, and so do images that somebody
        else has answered since.

        Parameters
        ----------
        by : whose answer; None: whoever gave it.
        """
        with self._lock, _locked(self.path):
            self._refresh()
            mine = [each for each in self._done if by is None or each.by == by]
            for change in reversed(mine):
                wanted = {
                    name: state
                    for name, state in change.before.items()
                    if self._state(name) == change.after[name]
                }
                if wanted:
                    now = {name: self._state(name) for name in wanted}
                    self._restore(wanted)
                    self._write_or_restore(now)
                self._done = [each for each in self._done if each is not change]
                if wanted:
                    return [self._row_of[name] for name in wanted]
            return []

    def reread(self) -> bool:
        """Read the file again if another program has changed it; True if it has.

        Where it cannot be read, what was known stays and its error is raised.
        """
        with self._lock:
            return self._refresh()

    def _clear(self, name: str) -> None:
        """Take an answer away; a row in which others have written stays."""
        table = self._table
        if table.label_of.pop(name, None) is None:
            return
        emptied = dict.fromkeys((table.label, "who", "when", "why"), "")
        row = {**table.rows[name], **emptied}
        if any(cell for column, cell in row.items() if column != table.key):
            table.rows[name] = row
        else:
            del table.rows[name]

    def _state(self, name: str) -> State:
        return self._table.rows.get(name), self._table.label_of.get(name)

    def _restore(self, before: dict[str, State]) -> None:
        for name, (row, label) in before.items():
            if row is None:
                self._table.rows.pop(name, None)
            else:
                self._table.rows[name] = row
            if label is None:
                self._table.label_of.pop(name, None)
            else:
                self._table.label_of[name] = label

    def _write_or_restore(self, before: dict[str, State]) -> None:
        """Write the file; where that fails, what is known is what the file says."""
        try:
            write_atomically(self.path, self._table.to_bytes())
            self._stamp = _stamp(self.path)
        except BaseException:
            self._restore(before)
            raise

    def _refresh(self) -> bool:
        """Read the file if it is another one than was read or written last."""
        stamp = _stamp(self.path)
        if self._broken is not None and self._broken[0] == stamp:
            raise self._broken[1].with_traceback(None)  # else it grows
        if stamp == self._stamp:
            self._broken = None
            return False
        try:
            table = read_table(self.path, self.ids, self.class_names)
        except LfkitError as error:
            self._broken = stamp, error
            raise
        self._table, self._stamp, self._broken = table, stamp, None
        self._done.clear()
        return True


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait until no other studio reads and writes a file of this folder."""
    make_folder(path.parent)
    try:
        handle = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise storage_error(error, path.parent) from error
    try:
        # Some network drives know no locks: there, who is alone is as safe as ever.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return "unknown"
