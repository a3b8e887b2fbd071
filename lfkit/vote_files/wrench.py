"""WRENCH's folders: train.json, one object per image, and label.json.

Zhang et al. (2021), https://arxiv.org/abs/2109.11377.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lfkit.data.files import written_whole
from lfkit.errors import VotesError
from lfkit.vote_files.vote_file import VoteFile, make_votes
from lfkit.votes import ABSTAIN

_ROWS = 2**14  # written at once


def read(path: Path, n_classes: int | None) -> VoteFile:
    """Read {id: {"label": y, "weak_labels": [...]}} with label.json beside it."""
    split = path / "train.json" if path.is_dir() else path
    if not split.is_file():
        raise VotesError(
            "it has no train.json; a WRENCH folder holds train.json and label.json."
        )
    try:
        rows = json.loads(split.read_text())
        matrix = np.asarray([row["weak_labels"] for row in rows.values()])
        labels = np.asarray([row.get("label", -1) for row in rows.values()], np.int64)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VotesError(
            f"{split.name} is not WRENCH's format (an object of rows with "
            f"weak_labels): "
            f"{type(error).__name__}: {error}"
        ) from error
    if not rows:
        matrix = matrix.reshape(0, 0)
    k, names = n_classes, None
    listing = split.parent / "label.json"
    if listing.is_file():
        names = _class_names(listing)
        k = len(names)
        if names == tuple(map(str, range(k))):
            names = None
    votes = make_votes(matrix, None, k, labels)
    return VoteFile(votes, _image_ids(rows), labels, names)


def write(folder: Path, file: VoteFile) -> None:
    """Write train.json and label.json; images go by their id, as key and as path."""
    if folder.is_file():
        raise VotesError(f"{folder} is a file; a WRENCH data set is a folder.")
    k = file.votes.n_classes
    names = file.class_names or tuple(str(y) for y in range(k))
    with written_whole(folder / "label.json") as partial:
        partial.write_text(json.dumps({str(y): name for y, name in enumerate(names)}))
    n = len(file.votes)
    labels = np.full(n, ABSTAIN) if file.labels is None else file.labels
    with (
        written_whole(folder / "train.json") as partial,
        open(partial, "w") as out,
    ):
        out.write("{")
        for start in range(0, n, _ROWS):
            part = slice(start, start + _ROWS)
            rows = zip(
                file.image_ids[part],
                labels[part].tolist(),
                file.votes.hard[part].tolist(),
                strict=True,
            )
            out.write(",\n" if start else "\n")
            out.write(",\n".join(_row(*row) for row in rows))
        out.write("\n}\n")


def _row(image_id: str, label: int, votes: list[int]) -> str:
    key = json.dumps(image_id)
    return (
        f'{key}: {{"label": {label}, "weak_labels": {votes}, '
        f'"data": {{"image_path": {key}}}}}'
    )


def _image_ids(rows: dict[str, Any]) -> tuple[str, ...]:
    """Return the images' paths where all rows have one, else the rows' keys."""
    data = [row.get("data") for row in rows.values()]
    if all(isinstance(row, dict) and "image_path" in row for row in data):
        return tuple(str(row["image_path"]) for row in data)
    return tuple(rows)


def _class_names(listing: Path) -> tuple[str, ...]:
    try:
        found = json.loads(listing.read_text())
        return tuple(str(found[key]) for key in sorted(found, key=int))
    except (ValueError, TypeError) as error:
        raise VotesError(
            f"label.json is not an object of class numbers and names: {error}"
        ) from error
