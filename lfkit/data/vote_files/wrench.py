"""WRENCH's folders: train.json, one object per image, and label.json.

Zhang et al. (2021), https://arxiv.org/abs/2109.11377.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from lfkit.data.class_names import checked_names, counts_from_zero
from lfkit.data.files import written_whole
from lfkit.data.label_cells import Cells, number, read_cells
from lfkit.data.vote_files.vote_file import VoteFile, default_names, numbered
from lfkit.data.votes import ABSTAIN
from lfkit.errors import DataError, VotesError

_ROWS = 2**14  # written at once


def read(
    path: Path, n_classes: int | None, class_names: Sequence[str] | None
) -> VoteFile:
    """Read {id: {"label": y, "weak_labels": [...]}} with label.json beside it.

    The numbers in label.json say which class a vote is for; they need not count from 0.
    """
    split = path / "train.json" if path.is_dir() else path
    if not split.is_file():
        raise VotesError(
            "it has no train.json; a WRENCH folder holds train.json and label.json."
        )
    try:
        rows = json.loads(split.read_text(encoding="utf-8-sig"))
        votes = [row["weak_labels"] for row in rows.values()]
        m = len(votes[0]) if votes else 0
        if any(len(row) != m for row in votes):
            raise ValueError("rows have different numbers of weak_labels")
        flat = read_cells([*chain.from_iterable(votes)], "weak_labels")
        labels = read_cells([row.get("label") for row in rows.values()], "label")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise VotesError(
            f"{split.name} is not WRENCH's format (an object of rows with "
            f"weak_labels): "
            f"{type(error).__name__}: {error}"
        ) from error
    cells = Cells(flat.codes.reshape(len(votes), m), flat.spellings)
    functions, ids = default_names(m), _image_ids(rows)
    listing = split.parent / "label.json"
    if not listing.is_file():
        return numbered(cells, labels, functions, n_classes, class_names, ids=ids)
    named = _class_names(listing)
    if counts_from_zero([*named]) and counts_from_zero([*named.values()]):
        # It says no more than how many classes there are.
        return numbered(cells, labels, functions, len(named), class_names, ids=ids)
    cells, labels = _by_name(cells, named), _by_name(labels, named)
    return numbered(cells, labels, functions, None, [*named.values()], ids=ids)


def _by_name(cells: Cells, named: dict[str, str]) -> Cells:
    """Write the names that label.json gives its numbers in their place."""
    name_of = {number(key): name for key, name in named.items()}
    names = []
    for text in cells.spellings:
        value = number(text)
        if value is not None and value != ABSTAIN and value not in name_of:
            raise VotesError(
                f"train.json has the class {text}; label.json names only "
                f"{', '.join(named)}."
            )
        names.append(text if value is None else name_of.get(value, text))
    return Cells(cells.codes, tuple(names))


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


def _class_names(listing: Path) -> dict[str, str]:
    """Read the classes' numbers and names, by number."""
    try:
        found = json.loads(listing.read_text(encoding="utf-8-sig"))
        keys = sorted(found, key=int)
        names = checked_names((found[key] for key in keys), "label.json")
        return dict(zip(checked_names(keys, "label.json"), names, strict=True))
    except DataError as error:
        raise VotesError(str(error)) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise VotesError(
            f"label.json is not an object of class numbers and names: {error}"
        ) from error
