"""A folder that FiftyOne loads as an image classification data set."""

from __future__ import annotations

import json
from pathlib import Path

from lfkit.data.label_files.label_format import (
    ImagesToExport,
    LabelFormat,
    number_names,
    pictures,
)
from lfkit.data.progress import Progress


class FiftyOne(LabelFormat):
    """`labels.json` with labels and confidences, `data.json` with the images' places.

    Images that are files are not copied. Each image has, beside its label, whether
    that was given, the image's id, the share of the votes that agree with the label
    and what each function said; these stand in `labels.json`, from where FiftyOne
    takes them as attributes of the label.
    """

    hint = (
        "Load it: import fiftyone as fo; fo.Dataset.from_dir({out!r}, "
        'fo.types.FiftyOneImageClassificationDataset, data_path="data.json"). '
        "data_path says where the images are."
    )

    def _write(
        self, out: Path, images: ImagesToExport, progress: Progress | None
    ) -> list[str]:
        numbers = number_names(len(images.labels))
        places, labels = {}, {}
        drawn = [row for row in images.rows.tolist() if not images.source.path(row)]
        for row in images.rows.tolist():
            path = images.source.path(row)
            if path is not None:
                places[numbers[row]] = str(Path(path).resolve())
            labels[numbers[row]] = _label(images, row)
        if drawn:
            (out / "data").mkdir()
            for row, data, ending in pictures(images, progress):
                name = f"data/{numbers[row]}{ending}"
                (out / name).write_bytes(data)
                places[numbers[row]] = name
        text = {"classes": list(images.class_names), "labels": labels}
        (out / "labels.json").write_text(json.dumps(text), encoding="utf-8")
        (out / "data.json").write_text(json.dumps(places), encoding="utf-8")
        return []


def _label(images: ImagesToExport, row: int) -> dict[str, object] | None:
    name = images.name(row)
    if name is None:
        return None
    told = {
        "seed": bool(images.is_seed[row]),
        "image_id": str(images.source.ids[row]),
        "agreement": images.agreement(row),
        "margin": images.margin(row),
    }
    return {
        "label": name,
        "confidence": images.confidence(row),
        "attributes": {**told, "votes": images.said(row)},
    }
