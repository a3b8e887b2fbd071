"""What people said in Label Studio, as it exports it: JSON or JSON-MIN."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lfkit.errors import DataError

_IN_MIN = ("label", "choice")  # JSON-MIN does not say which of its columns is it
_SHOWN = 5


@dataclass(frozen=True)
class Annotation:
    """What one person chose for one image.

    Attributes
    ----------
    choices : none if the annotation has no choice, several where several were taken.
    """

    annotator: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class LabelStudioTask:
    """An image, and what people said of it.

    Attributes
    ----------
    number : its place in the file, from 1.
    image_id : as `lfkit export` and `lfkit active` give it to tasks; else None.
    place : where Label Studio takes the image from; "" where it is in the task itself.
    annotations : those that were submitted.
    cancelled, predictions : how many there are of these; they are no annotations.
    """

    number: int
    image_id: str | None
    place: str
    annotations: tuple[Annotation, ...]
    cancelled: int
    predictions: int

    @property
    def image(self) -> str:
        """The image's id, or else its place."""
        return self.place if self.image_id is None else self.image_id


def with_control(path: Path) -> tuple[Path, str | None]:
    """Take `export.json:species` apart into the file and the name of its choices."""
    file, colon, control = str(path).rpartition(":")
    if colon and file.lower().endswith(".json") and not path.exists():
        return Path(file), control
    return path, None


def is_export(path: Path) -> bool:
    """Tell whether a .json holds a list, as exports do, and no object."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["


def read_tasks(path: Path, control: str | None = None) -> list[LabelStudioTask]:
    """Read an export; each annotation that is not cancelled is somebody's.

    Parameters
    ----------
    control : name of the choices in the labeling interface; None: the only ones there
        are.

    Raises
    ------
    DataError : the file is no export, or has several choices and `control` is None.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path} with answers.")
    try:
        held = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); export as JSON or JSON-MIN."
        ) from error
    if not isinstance(held, list):
        raise DataError(
            f"{path} holds no list of tasks; export from Label Studio as JSON or "
            "JSON-MIN."
        )
    tasks = [task if isinstance(task, dict) else {} for task in held]
    if control is None:
        control = _only_control(path, tasks)
    return [_task(number, task, control) for number, task in enumerate(tasks, start=1)]


def only_choice(annotation: Annotation) -> str | None:
    """Give the class that an annotation names; None if it names none, or several."""
    different = set(annotation.choices)
    return different.pop() if len(different) == 1 else None


def told(tasks: Sequence[LabelStudioTask]) -> tuple[str, ...]:
    """Say how much of an export is nobody's answer."""
    given = [each for task in tasks for each in task.annotations]
    counts = {
        "cancelled": sum(task.cancelled for task in tasks),
        "without a choice": sum(not each.choices for each in given),
        "of several classes": sum(len(set(each.choices)) > 1 for each in given),
    }
    lost = [f"{count:,} {what}" for what, count in counts.items() if count]
    notes = [f"annotations that are left out: {', '.join(lost)}"] if lost else []
    if n_predictions := sum(task.predictions for task in tasks):
        notes.append(f"{n_predictions:,} predictions are left out: no person made them")
    return tuple(notes)


def _only_control(path: Path, tasks: Sequence[dict[str, Any]]) -> str:
    """Find the choices of a project that has but one question."""
    named = {
        str(result.get("from_name"))
        for task in tasks
        for annotation in _annotations(task)
        for result in _dicts(annotation.get("result"))
        if _names(result.get("value"))
    }
    if not named:
        return next((n for n in _IN_MIN if any(n in task for task in tasks)), "label")
    if len(named) > 1:
        listed = ", ".join(sorted(named)[:_SHOWN])
        raise DataError(
            f"{path} has several choices ({listed}); say which one names the class: "
            f"{path}:{min(named)}."
        )
    return named.pop()


def _task(number: int, task: dict[str, Any], control: str) -> LabelStudioTask:
    data = task.get("data", task)
    data = data if isinstance(data, dict) else {}
    name = data.get("image_id")
    predictions = task.get("predictions")
    if "data" in task or "annotations" in task or "completions" in task:
        each = _annotations(task)
        kept = [_annotation(one, control) for one in each if not _is_cancelled(one)]
        cancelled = len(each) - len(kept)
    else:
        cancelled = int(_is_cancelled(task))
        kept = [Annotation(_person(task.get("annotator")), _names(task.get(control)))]
        kept = [] if cancelled else kept
    return LabelStudioTask(
        number,
        None if name is None else str(name),
        _place(data),
        tuple(kept),
        cancelled,
        len(predictions) if isinstance(predictions, list) else 0,
    )


def _annotations(task: dict[str, Any]) -> list[dict[str, Any]]:
    return _dicts(task.get("annotations", task.get("completions")))


def _is_cancelled(annotation: dict[str, Any]) -> bool:
    return bool(annotation.get("was_cancelled"))


def _annotation(annotation: dict[str, Any], control: str) -> Annotation:
    results = _dicts(annotation.get("result"))
    own = [_names(r.get("value")) for r in results if r.get("from_name") == control]
    person = _person(annotation.get("completed_by"))
    return Annotation(person, tuple(name for names in own for name in names))


def _person(who: Any) -> str:
    """Name an annotator by what the export has: an address, or a number."""
    if isinstance(who, dict):
        who = who.get("email") or who.get("username") or who.get("id")
    if who is None:
        return "annotator"
    return f"annotator_{who}" if isinstance(who, int) else str(who)


def _dicts(value: Any) -> list[dict[str, Any]]:
    """Give those of a list; none where it is no list."""
    held = value if isinstance(value, list) else []
    return [each for each in held if isinstance(each, dict)]


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, dict):
        value = value.get("choices")
    if value is None or value == "":
        return ()
    return tuple(map(str, value if isinstance(value, list) else [value]))


def _place(data: dict[str, Any]) -> str:
    """Find where the image is: in the column image, or the only one with a place."""
    value = data.get("image")
    if not isinstance(value, str):
        places = [v for v in data.values() if isinstance(v, str) and "/" in v]
        value = places[0] if len(places) == 1 else ""
    if value.startswith("data:"):
        return ""
    try:
        url = urlsplit(value)
    except ValueError:  # "http://[a.png": brackets are of IPv6 addresses
        return value
    if url.path.endswith("/data/local-files/"):
        return next(_values(url.query, "d"), "")
    if url.scheme in ("http", "https") or value.startswith("/data/"):
        return unquote(url.path)
    return value


def _values(query: str, key: str) -> Iterator[str]:
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name == key:
            yield unquote(value)
