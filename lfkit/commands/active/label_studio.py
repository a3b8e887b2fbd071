"""Label Studio: tasks to import, and what it exports."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from lfkit.commands.active.annotations import GivenAnswers, Questions, png
from lfkit.data.image_source import ImageSource
from lfkit.data.label_studio_export import read_tasks
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
    said: GivenAnswers = []
    for task in read_tasks(path, "label"):
        if task.image_id is None:
            raise DataError(
                f"task {task.number} of {path} has no image_id; import the tasks.json "
                "that lfkit wrote, and export all of its data."
            )
        said += [(task.image_id, name) for a in task.annotations for name in a.choices]
    return said
