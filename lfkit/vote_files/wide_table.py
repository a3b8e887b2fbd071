"""A table of votes: one row per image, one column per labeling function."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lfkit.data.files import written_whole
from lfkit.errors import VotesError
from lfkit.vote_files.vote_file import VoteFile, make_votes

_ID_COLUMNS = ("image_id", "path", "id")


def read(path: Path, n_classes: int | None) -> VoteFile:
    """Read a .csv or .parquet; empty cells abstain."""
    import pandas as pd

    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
    else:
        table = pd.read_csv(path, dtype=dict.fromkeys(_ID_COLUMNS, str))  # "007" stays
    column = next((name for name in _ID_COLUMNS if name in table.columns), None)
    ids = None
    if column is not None:
        ids = tuple(table.pop(column).astype(str))
    labels = None
    if "label" in table.columns:
        labels = table.pop("label").fillna(-1).to_numpy(np.int64)
    wrong = [name for name in table if table[name].dtype.kind not in "iuf"]
    if wrong and len(table):  # a .csv without rows does not say what columns hold
        raise VotesError(
            f"column {wrong[0]!r} is not numeric; votes are class numbers, -1 = "
            "abstain."
        )
    matrix = table.to_numpy(np.float64, na_value=np.nan)
    names = [str(name) for name in table]
    return VoteFile(make_votes(matrix, names, n_classes, labels), ids, labels)


def write(path: Path, file: VoteFile) -> None:
    """Write a .csv or .parquet, with image_id and label where they are known."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    taken = [name for name in file.votes.names if name in (*_ID_COLUMNS, "label")]
    if taken:
        raise VotesError(
            f"labeling function {taken[0]!r} would be read back as a column of ids or "
            "labels; write .npz, or rename it."
        )
    columns = {}
    if file.ids is not None:
        columns["image_id"] = pa.array(file.ids, pa.string())
    if file.labels is not None:
        columns["label"] = pa.array(file.labels)
    for j, name in enumerate(file.votes.names):
        columns[name] = pa.array(np.ascontiguousarray(file.votes.hard[:, j]))
    table = pa.table(columns)
    with written_whole(path) as partial:
        if path.suffix == ".parquet":
            pq.write_table(table, partial)
        else:
            pa_csv.write_csv(table, partial)
