"""crowd-kit's table: one row per vote, with the columns task, worker and label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.files import written_whole
from lfkit.errors import VotesError
from lfkit.vote_files.vote_file import VoteFile, make_votes
from lfkit.votes import ABSTAIN

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMNS = ("task", "worker", "label")
# Cells written at once: 20 million votes as text are not held in memory together.
_CELLS = 2**22


def is_long(path: Path) -> bool:
    """Tell whether a .csv or .parquet has one row per vote."""
    import pandas as pd
    import pyarrow.parquet as pq

    if path.suffix == ".parquet":
        names = pq.read_schema(path).names
    else:
        names = [*pd.read_csv(path, nrows=0).columns]
    return set(_COLUMNS) <= set(names)


def read(
    path: Path, n_classes: int | None, class_names: Sequence[str] | None
) -> VoteFile:
    """Read a .csv or .parquet; other columns are left alone, empty labels abstain.

    Images and functions come in the order in which the table first has them.
    """
    table = _table(path)
    task, tasks = _codes(table, "task")
    worker, workers = _codes(table, "worker")
    label, labels = _codes(table, "label")
    for codes, column in ((task, "task"), (worker, "worker")):
        if (codes < 0).any():
            row = int((codes < 0).argmax())
            raise VotesError(f"row {row} has no {column}; each vote needs one.")
    names, numbers = _classes(labels, n_classes, class_names)
    votes = np.append(numbers, ABSTAIN)[label]
    shape = (len(tasks), len(workers))
    low = int(votes.min(initial=ABSTAIN))
    if low < ABSTAIN:
        raise VotesError(f"label {low} is no class; classes count from 0.")
    matrix = np.full(shape, ABSTAIN, np.int64)
    np.maximum.at(matrix, (task, worker), votes)
    twice = (votes != ABSTAIN) & (matrix[task, worker] != votes)
    if twice.any():
        row = int(twice.argmax())
        raise VotesError(
            f"worker {workers[worker[row]]!r} gave task {tasks[task[row]]!r} several "
            "labels; keep one."
        )
    k = n_classes if names is None else len(names)
    found = make_votes(matrix, [str(name) for name in workers], k)
    return VoteFile(found, tuple(map(str, tasks)), class_names=names)


def write(path: Path, file: VoteFile) -> None:
    """Write a .csv or .parquet; labels are class names where they are known."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    label = pa.string() if file.class_names is not None else pa.int16()
    kinds = zip(_COLUMNS, (pa.string(), pa.string(), label), strict=True)
    schema = pa.schema([*kinds])
    writer = pq.ParquetWriter if path.suffix == ".parquet" else pa_csv.CSVWriter
    with written_whole(path) as partial, writer(partial, schema) as out:
        for part in _parts(file):
            out.write_table(pa.table(part, schema=schema))


def _parts(file: VoteFile) -> Iterator[list[pa.Array]]:
    """Yield the columns of some images at a time."""
    import pyarrow as pa

    ids, names = pa.array(file.image_ids, pa.string()), pa.array(file.votes.names)
    size = max(1, _CELLS // max(1, file.votes.n_functions))
    for start in range(0, len(file.votes), size):
        hard = file.votes.hard[start : start + size]
        row, column = np.nonzero(hard != ABSTAIN)
        label = pa.array(hard[row, column])
        if file.class_names is not None:
            label = pa.array(file.class_names, pa.string()).take(label)
        yield [ids.take(pa.array(start + row)), names.take(pa.array(column)), label]


def _table(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    if path.suffix == ".parquet":
        # As dictionaries: 15 million strings took 38 s one by one.
        return pq.read_table(path, columns=[*_COLUMNS], read_dictionary=[*_COLUMNS])
    text = pa.dictionary(pa.int32(), pa.string())  # "007" stays
    options = pa_csv.ConvertOptions(
        include_columns=[*_COLUMNS],
        column_types=dict.fromkeys(_COLUMNS, text),
        null_values=[""],
        strings_can_be_null=True,
    )
    return pa_csv.read_csv(path, convert_options=options)


def _codes(table: pa.Table, column: str) -> tuple[NDArray[np.int64], list[Any]]:
    """Return numbers for a column's values, as they first come, (rows,), and these."""
    import pyarrow as pa

    values = table.column(column)
    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    values = values.unify_dictionaries().combine_chunks()
    if isinstance(values, pa.ChunkedArray):  # of no chunk, in older versions
        values = pa.concat_arrays(values.chunks)
    codes = values.indices.fill_null(-1).to_numpy().astype(np.int64)
    return codes, values.dictionary.to_pylist()


def _classes(
    labels: list[Any], n_classes: int | None, class_names: Sequence[str] | None
) -> tuple[tuple[str, ...] | None, NDArray[np.int64]]:
    """Return the classes' names, if labels are names, and the class of each label."""
    if class_names is not None and {str(label) for label in labels} <= {*class_names}:
        names = tuple(class_names)
    elif (numbers := _whole_numbers(labels)) is not None:
        return None, numbers
    elif class_names is not None:
        strange = min({str(label) for label in labels} - {*class_names})
        raise VotesError(
            f"label {strange!r} is none of the classes {', '.join(class_names)}."
        )
    else:
        names = tuple(sorted(str(label) for label in labels))
        if n_classes not in (None, len(names)):
            raise VotesError(
                f"its labels name {len(names)} classes ({', '.join(names[:5])}"
                f"{', …' if len(names) > 5 else ''}), {n_classes} were asked for; "
                "write class numbers, since some class has no vote."
            )
    number = {name: y for y, name in enumerate(names)}
    return names, np.asarray([number[str(label)] for label in labels], np.int64)


def _whole_numbers(labels: list[Any]) -> NDArray[np.int64] | None:
    """Return labels as class numbers, NaN as -1; None if some label is a name."""
    try:
        found = np.asarray([float(label) for label in labels])
    except (TypeError, ValueError):
        return None
    found = np.where(np.isnan(found), ABSTAIN, found)
    whole = np.isfinite(found) & (found == np.round(found))
    return found.astype(np.int64) if whole.all() else None
