"""Tasks of Label Studio, with the labels as predictions."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from lfkit.data.label_files.label_format import ImagesToExport, LabelFormat
from lfkit.data.progress import Progress
from lfkit.errors import DataError

MODEL = "lfkit"
_FROM, _TO = "label", "image"


class LabelStudio(LabelFormat):
    """A JSON file of tasks: each has its image, and its label as a prediction.

    Columns to sort by: whether the label was given, the share of votes that agree with
    it, the distance of the two most probable classes, how many functions vote. Images
    stay where they are. Label Studio serves files of its document root only if a
    storage of the project has their folder, and takes no storage that is the root: so
    the root is one above the folder that holds all images.
    """

    ending: ClassVar[str] = ".json"

    def _write(
        self, out: Path, images: ImagesToExport, progress: Progress | None
    ) -> list[str]:
        rows = images.rows.tolist()
        paths = [images.source.path(row) for row in rows]
        if None in paths:
            raise DataError(
                f"the images of {images.source.name} are no files, which Label Studio "
                "needs; write them with `lfkit export --as folders`, and label these."
            )
        found = [os.path.abspath(path) for path in paths if path is not None]
        root = os.path.dirname(_common_folder(found))
        # One folder, but where the images have none in common.
        storages = sorted({_first_below(root, path) for path in found})
        tasks = []
        for row, path in zip(rows, found, strict=True):
            tasks.append(_task(images, row, quote(os.path.relpath(path, root))))
            if progress is not None:
                progress("writing tasks", len(tasks), len(rows))
        out.write_text(json.dumps(tasks, ensure_ascii=False), encoding="utf-8")
        return [
            "Label Studio shows the images if it runs with "
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true "
            f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={shlex.quote(root)}",
            "and if its project has a source storage of type Local files with the "
            f"absolute path {' and another with '.join(storages)}: add it, never "
            "sync it.",
            f"Its labeling interface: {interface(images.class_names)}",
        ]


def interface(class_names: Sequence[str]) -> str:
    """Give the labeling interface that the predictions fit, as XML."""
    choices = "".join(f"<Choice value={_attribute(name)}/>" for name in class_names)
    return (
        f'<View><Image name="{_TO}" value="$image"/>'
        f'<Choices name="{_FROM}" toName="{_TO}">{choices}</Choices></View>'
    )


def _attribute(text: str) -> str:
    from xml.sax.saxutils import quoteattr

    return quoteattr(text)


def _common_folder(paths: Sequence[str]) -> str:
    return os.path.commonpath([os.path.dirname(path) for path in paths] or ["/"])


def _first_below(root: str, path: str) -> str:
    return os.path.join(root, os.path.relpath(path, root).split(os.sep)[0])


def _task(images: ImagesToExport, row: int, place: str) -> dict[str, Any]:
    name, confidence = images.name(row), images.confidence(row)
    data = {
        "image": f"/data/local-files/?d={place}",
        "image_id": str(images.source.ids[row]),
        "seed": bool(images.is_seed[row]),
        "agreement": images.agreement(row),
        "margin": images.margin(row),
        "n_votes": int(images.votes.voted[row].sum()),
    }
    if name is None:
        return {"data": data}
    result = {
        "from_name": _FROM,
        "to_name": _TO,
        "type": "choices",
        "value": {"choices": [name]},
    }
    prediction = {"model_version": MODEL, "score": confidence, "result": [result]}
    return {"data": data, "predictions": [prediction]}
