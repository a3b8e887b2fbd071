"""Parquet files as Hugging Face's `datasets` reads and writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lfkit.data.label_files.label_format import (
    ImagesToExport,
    LabelFormat,
    Picture,
    pictures,
)
from lfkit.data.progress import Progress

_PER_FILE = 10_000
_PER_GROUP = 500
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


class HuggingFace(LabelFormat):
    """Parquet with `Image` and `ClassLabel`: `load_dataset("parquet", data_files=…)`.

    A row has the image's bytes and name, its label (null without one), the label's
    confidence, whether it was given (a seed), and the probability of each class. The
    folder is a data set by itself: `load_dataset(OUT)`.
    """

    def _write(
        self, out: Path, images: ImagesToExport, progress: Progress | None
    ) -> list[str]:
        n_files = max(1, -(-len(images.rows) // _PER_FILE))
        schema = hugging_face_schema(images.class_names)
        waiting = pictures(images, progress)
        for number in range(n_files):
            name = f"train-{number:05d}-of-{n_files:05d}.parquet"
            with pq.ParquetWriter(out / name, schema) as file:
                for _ in range(-(-_PER_FILE // _PER_GROUP)):
                    some = [p for p, _ in zip(waiting, range(_PER_GROUP), strict=False)]
                    if not some and (number or len(images.rows)):
                        break
                    file.write_table(_table(images, some, schema))
        return []


def hugging_face_schema(class_names: Sequence[str]) -> pa.Schema:
    """Give the columns of labeled images, and what `datasets` has to know of them."""
    fields = [
        pa.field("image", _IMAGE),
        pa.field("label", pa.int64()),
        pa.field("confidence", pa.float32()),
        pa.field("seed", pa.bool_()),
        pa.field("image_id", pa.string()),
        *(pa.field(f"p_{name}", pa.float32()) for name in class_names),
    ]
    kinds: dict[str, dict[str, Any]] = {
        field.name: {"dtype": _dtype(field.type), "_type": "Value"} for field in fields
    }
    kinds["image"] = {"_type": "Image"}
    kinds["label"] = {"names": list(class_names), "_type": "ClassLabel"}
    told = json.dumps({"info": {"features": kinds}})
    return pa.schema(fields, metadata={"huggingface": told})


def _dtype(kind: pa.DataType) -> str:
    return {"float": "float32"}.get(str(kind), str(kind))


def _table(
    images: ImagesToExport, some: Sequence[Picture], schema: pa.Schema
) -> pa.Table:
    rows = [picture.row for picture in some]
    ids = images.source.ids
    labels = images.labels[rows] if rows else images.labels[:0]
    columns = [
        pa.array(
            [{"bytes": p.data, "path": f"{ids[p.row]}"} for p in some], type=_IMAGE
        ),
        pa.array([None if label < 0 else int(label) for label in labels], pa.int64()),
        pa.array([images.confidence(row) for row in rows], pa.float32()),
        pa.array([bool(images.is_seed[row]) for row in rows], pa.bool_()),
        pa.array([str(ids[row]) for row in rows], pa.string()),
        *(pa.array(column, pa.float32()) for column in images.proba[rows].T),
    ]
    return pa.table(columns, schema=schema)
