"""Questions about single images and their answers, and the tables that hold them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from lfkit.data.cells import from_cell, to_cell
from lfkit.data.class_names import match
from lfkit.data.image_source import ImageSource
from lfkit.data.label_cells import read_cells
from lfkit.errors import DataError, RunError
from lfkit.runs.store import write_atomically

SHEET, TASKS = "ask.csv", "tasks.json"  # what people are given
ANSWERS = "answers.csv"
_HEADER = ("image_id", "label", "round")
_LEAST_SIDE = 128  # px: smaller images are enlarged for people to see

GivenAnswers = list[tuple[str, str]]  # image ids, and the labels given to them


@dataclass(frozen=True, eq=False)
class Questions:
    """Images to be labeled.

    Attributes
    ----------
    ids : q image ids.
    guesses : their predicted classes, by name.
    confidences : how sure the predictions are.
    """

    ids: tuple[str, ...]
    guesses: tuple[str, ...]
    confidences: tuple[float, ...]


def write_guesses(path: Path, questions: Questions) -> None:
    """Keep questions, as a CSV."""
    each = zip(questions.ids, questions.guesses, questions.confidences, strict=True)
    rows = [(name, guess, f"{sure:.6f}") for name, guess, sure in each]
    write_csv(path, ("image_id", "guess", "confidence"), rows)


def read_guesses(path: Path) -> Questions | None:
    """Read what `write_guesses` wrote; None if there is nothing."""
    if not path.exists():
        return None
    rows = read_csv(path, ("image_id", "guess", "confidence"))
    try:
        sure = tuple(float(row["confidence"]) for row in rows)
    except ValueError as error:
        raise DataError(
            f"{path} cannot be read ({error}); delete it: it is made anew."
        ) from error
    ids, guesses = ([row[key] for row in rows] for key in ("image_id", "guess"))
    return Questions(tuple(ids), tuple(guesses), sure)


@dataclass(frozen=True, eq=False)
class Answers:
    """All answers so far: rows (a,), their classes (a,), the rounds (a,), from 1 on."""

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    rounds: NDArray[np.int64]

    @classmethod
    def none(cls) -> Answers:
        """Nobody was asked yet."""
        nothing = np.zeros(0, np.int64)
        return cls(nothing, nothing, nothing)

    def where(self, kept: NDArray[np.bool_]) -> Answers:
        """Take some of them, (a,)."""
        return Answers(self.rows[kept], self.labels[kept], self.rounds[kept])

    def joined(self, others: Answers) -> Answers:
        """Add others after these."""
        return Answers(
            np.concatenate([self.rows, others.rows]),
            np.concatenate([self.labels, others.labels]),
            np.concatenate([self.rounds, others.rounds]),
        )


def write_answers(
    path: Path, answers: Answers, ids: Sequence[str], class_names: Sequence[str]
) -> None:
    """Write them as a table: image_id, label, round."""
    each = zip(answers.rows, answers.labels, answers.rounds, strict=True)
    lines = [(ids[row], class_names[label], count) for row, label, count in each]
    write_csv(path, _HEADER, lines)


def read_answers(path: Path, ids: Sequence[str], class_names: Sequence[str]) -> Answers:
    """Read what `write_answers` wrote; none where there is no file."""
    if not path.exists():
        return Answers.none()
    lines = read_csv(path, _HEADER)
    row_of = {name: row for row, name in enumerate(ids)}
    label_of = {name: label for label, name in enumerate(class_names)}
    try:
        found = [
            (row_of[line["image_id"]], label_of[line["label"]], int(line["round"]))
            for line in lines
        ]
    except (KeyError, ValueError) as error:
        raise RunError(
            f"{path} cannot be read: {error} is no image, class or round of this run; "
            "mend it, or give --restart: it is kept under another name."
        ) from error
    return Answers(*np.asarray(found, np.int64).reshape(-1, 3).T)


def write_sheet(
    path: Path, questions: Questions, source: ImageSource, rows: NDArray[np.int64]
) -> None:
    """Write a CSV whose column `label` is to be filled in.

    Images that are no files of their own are written as PNG beside it.

    Parameters
    ----------
    rows : (q,) where the questions' images are in the source.
    """
    lines = []
    each = zip(questions.guesses, questions.confidences, rows.tolist(), strict=True)
    for name, (guess, sure, row) in zip(questions.ids, each, strict=True):
        file = source.path(row)
        if file is None:
            picture = path.parent / "images" / f"{row}.png"
            write_atomically(picture, png(source.read(np.asarray([row])).pixels[0]))
            file = str(picture)
        lines.append((name, file, guess, f"{sure:.4f}", ""))
    write_csv(path, ("image_id", "path", "guess", "confidence", "label"), lines)


def read_sheet(path: Path) -> GivenAnswers:
    """Read the labels that were filled in; rows without one are left out."""
    rows = read_csv(path, ("image_id", "label"))
    said = [(row["image_id"].strip(), row["label"].strip()) for row in rows]
    return [(name, label) for name, label in said if label]


def checked(
    said: GivenAnswers,
    path: Path,
    *,
    asked: Sequence[str],
    before: Iterable[str],
    all_ids: Iterable[str],
    class_names: Sequence[str],
    note: Callable[[str], None] = lambda text: None,
) -> dict[str, int]:
    """Match answers to questions: image id → class.

    Parameters
    ----------
    asked : ids of the questions.
    before : ids that were answered in earlier rounds; they are passed over.
    all_ids : of the data.
    class_names : the k classes; if no name is a number, their
        numbers are taken, too.
    note : takes what was decided when labels were read.
    """
    cells = read_cells([label for _, label in said], f"labels of {path}")
    found_labels = match(
        cells,
        class_names,
        path.name,
        lambda place: f"nothing was taken: {path} gives image {said[place][0]!r}",
    )
    for remark in found_labels.notes:
        note(remark)
    each = zip(said, found_labels.labels.tolist(), strict=True)
    numbered = [(name, label) for (name, _), label in each if label >= 0]
    open_ids, earlier = set(asked), set(before)
    strange = [name for name, _ in numbered if name not in open_ids | earlier]
    if strange:
        known = set(all_ids)
        why = "was not asked about" if strange[0] in known else "is not in the data"
        raise DataError(
            f"{path} names image {strange[0]!r}, which {why}; {len(strange)} of its "
            f"{len(numbered)} labels are so; nothing was taken."
        )
    found: dict[str, int] = {}
    for name, label in numbered:
        if name not in open_ids:
            continue
        if found.setdefault(name, label) != label:
            raise DataError(
                f"{path} gives image {name!r} two labels, "
                f"{class_names[found[name]]!r} and {class_names[label]!r}; leave one. "
                "Nothing was taken."
            )
    return found


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV whole or not at all."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(map(to_cell, map(str, row)))
    # Names of files may be bytes that are no text.
    write_atomically(path, text.getvalue().encode("utf-8", "backslashreplace"))


def read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read columns of a CSV, as spreadsheets write it; rows without text are left out.

    Short rows end with empty cells.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            # Spreadsheets set to many European languages part cells by semicolons.
            separator = max(",;\t", key=file.readline().count)
            file.seek(0)
            table = pd.read_csv(
                file, sep=separator, header=None, dtype=str, keep_default_na=False
            )
    except (OSError, ValueError) as error:  # all that pandas raises are ValueErrors
        raise DataError(
            f"{path} cannot be read as a table ({error}); save it as CSV in UTF-8, "
            "with every quote closed."
        ) from error
    held = [name.strip() for name in table.iloc[0].fillna("")]
    for name in columns:
        if name not in held:
            raise DataError(f"{path} has no column {name}; it has {', '.join(held)}.")
        if held.count(name) > 1:
            raise DataError(f"{path} has two columns named {name!r}; keep one of them.")
    cells = table.iloc[1:, [held.index(name) for name in columns]].fillna("")
    rows = cells.map(from_cell).to_numpy().tolist()
    return [dict(zip(columns, row, strict=True)) for row in rows if any(row)]


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (h, w, c), small ones enlarged by a whole number."""
    times = max(1, -(-_LEAST_SIDE // min(pixels.shape[:2])))
    large = pixels.repeat(times, axis=0).repeat(times, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(large[..., 0] if large.shape[2] == 1 else large).save(buffer, "PNG")
    return buffer.getvalue()
