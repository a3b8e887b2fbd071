"""Questions about single images, and their answers, as files: CSV and Label Studio."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lfkit.data.cells import from_cell, to_cell
from lfkit.data.class_names import match
from lfkit.data.image_source import ImageSource
from lfkit.data.label_cells import read_cells
from lfkit.errors import DataError
from lfkit.runs.json_text import to_json
from lfkit.runs.store import write_atomically

SHEET, TASKS = "ask.csv", "tasks.json"  # what people are given
_LEAST_SIDE = 128  # px: smaller images are enlarged for people to see

Said = list[tuple[str, str]]  # image ids, and the labels given to them


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
            write_atomically(picture, _png(source.read(np.asarray([row])).pixels[0]))
            file = str(picture)
        lines.append((name, file, guess, f"{sure:.4f}", ""))
    write_csv(path, ("image_id", "path", "guess", "confidence", "label"), lines)


def read_sheet(path: Path) -> Said:
    """Read the labels that were filled in; rows without one are left out."""
    rows = read_csv(path, ("image_id", "label"))
    said = [(row["image_id"].strip(), row["label"].strip()) for row in rows]
    return [(name, label) for name, label in said if label]


def write_tasks(
    path: Path,
    questions: Questions,
    source: ImageSource,
    rows: NDArray[np.int64],
    class_names: Sequence[str],
    model: str,
) -> None:
    """Write tasks for Label Studio, the guesses as predictions, and its interface.

    Every task holds its picture, so no file has to be served.

    Parameters
    ----------
    model : what the predictions are called.
    """
    tasks = []
    each = zip(questions.guesses, questions.confidences, rows.tolist(), strict=True)
    for name, (guess, sure, row) in zip(questions.ids, each, strict=True):
        png = _png(source.read(np.asarray([row])).pixels[0])
        picture = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        choice = {
            "from_name": "label",
            "to_name": "image",
            "type": "choices",
            "value": {"choices": [guess]},
        }
        prediction = {"model_version": model, "score": sure, "result": [choice]}
        tasks.append(
            {
                "data": {"image": picture, "image_id": name},
                "predictions": [prediction],
            }
        )
    choices = "\n".join(
        f"    <Choice value={quoteattr(name)}/>" for name in class_names
    )
    interface = (
        '<View>\n  <Image name="image" value="$image"/>\n'
        '  <Choices name="label" toName="image" choice="single" showInLine="true">\n'
        f"{choices}\n  </Choices>\n</View>\n"
    )
    write_atomically(path.parent / "labeling_config.xml", interface.encode())
    write_atomically(path, to_json(tasks, indent=1).encode())


def read_export(path: Path) -> Said:
    """Read what Label Studio exports, as JSON or JSON-MIN; skipped tasks are left out.

    Tasks are known by the `image_id` that `write_tasks` gave them.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path} with answers.")
    try:
        tasks = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); export as JSON or JSON-MIN."
        ) from error
    if not isinstance(tasks, list):
        raise DataError(
            f"{path} holds no list of tasks; export from Label Studio as JSON or "
            "JSON-MIN."
        )
    said: Said = []
    for place, task in enumerate(tasks, start=1):
        held = task if isinstance(task, dict) else {}
        data = held.get("data", held)
        name = data.get("image_id") if isinstance(data, dict) else None
        if name is None:
            raise DataError(
                f"task {place} of {path} has no image_id; import the tasks.json that "
                "lfkit wrote, and export all of its data."
            )
        said += [(str(name), label) for label in _choices(held)]
    return said


def checked(
    said: Said,
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
    """Read a CSV with at least these columns, as spreadsheets write it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as a table ({error}); save it as CSV in UTF-8."
        ) from error
    first = text.split("\n", 1)[0]
    # Spreadsheets set to many European languages part cells by semicolons.
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(
        io.StringIO(text, newline=""), restval="", delimiter=delimiter
    )
    try:
        held = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = held
    except csv.Error as error:
        raise _no_table(path, error) from error
    for name in columns:
        if name not in held:
            raise DataError(
                f"{path} has no column {name}; it has {', '.join(held) or 'none'}."
            )
        if held.count(name) > 1:
            raise DataError(f"{path} has two columns named {name!r}; keep one of them.")
    try:
        return [
            {name: from_cell(cell) for name, cell in row.items() if name is not None}
            for row in reader
            if any(row.values())
        ]
    except csv.Error as error:
        raise _no_table(path, error) from error


def _no_table(path: Path, error: csv.Error) -> DataError:
    return DataError(
        f"{path} cannot be read as a table ({error}); is a quote left open?"
    )


def _choices(task: dict[str, Any]) -> list[str]:
    """List the labels that people gave to a task, in either form of export."""
    if "annotations" not in task and "completions" not in task:
        if task.get("was_cancelled"):
            return []
        return _names(task.get("label"))
    found = []
    for annotation in _dicts(task.get("annotations", task.get("completions"))):
        if annotation.get("was_cancelled"):
            continue
        for result in _dicts(annotation.get("result")):
            if result.get("from_name") == "label":
                found += _names(result.get("value"))
    return found


def _dicts(value: Any) -> list[dict[str, Any]]:
    """Give those of a list; none where it is no list."""
    held = value if isinstance(value, list) else []
    return [each for each in held if isinstance(each, dict)]


def _names(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = value.get("choices")
    if value is None or value == "":
        return []
    return [str(each) for each in (value if isinstance(value, list) else [value])]


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (h, w, c), small ones enlarged by a whole number."""
    times = max(1, -(-_LEAST_SIDE // min(pixels.shape[:2])))
    large = pixels.repeat(times, axis=0).repeat(times, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(large[..., 0] if large.shape[2] == 1 else large).save(buffer, "PNG")
    return buffer.getvalue()
