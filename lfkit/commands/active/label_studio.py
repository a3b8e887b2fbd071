"""Label Studio: tasks to import, and what it exports."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from lfkit.commands.active.annotations import GivenAnswers, Questions, png
from lfkit.data.image_source import ImageSource
from lfkit.errors import DataError
from lfkit.runs.json_text import to_json
from lfkit.runs.store import write_atomically


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
        picture_bytes = png(source.read(np.asarray([row])).pixels[0])
        picture = f"data:image/png;base64,{base64.b64encode(picture_bytes).decode()}"
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


def read_export(path: Path) -> GivenAnswers:
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
    said: GivenAnswers = []
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
