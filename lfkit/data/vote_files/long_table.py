"""crowd-kit's table: one row per vote, with the columns task, worker and label."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.cells import to_cells
from lfkit.data.class_names import Reading, discover, match
from lfkit.data.files import written_whole
from lfkit.data.label_cells import Cells, read_cells, unified
from lfkit.data.tables import column_names, read_table
from lfkit.data.vote_files.vote_file import VoteFile
from lfkit.data.votes import ABSTAIN, Votes
from lfkit.errors import VotesError

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMNS = ("task", "worker", "label")
_FILE, _TRUTH = "crowd_labels.csv", "gt.csv"  # in a folder of crowd-kit's
# Cells written at once: 20 million votes as text are not held in memory together.
_CELLS = 2**22


def is_folder(path: Path) -> bool:
    """Tell whether a folder has such a table, by the name that crowd-kit gives it."""
    return (path / _FILE).is_file()


def is_long(path: Path) -> bool:
    """Tell whether a .csv or .parquet has one row per vote."""
    wanted, held = set(_COLUMNS), column_names(path)
    is_long = wanted <= set(held)
    if not is_long and wanted <= {name.lower() for name in held}:
        raise VotesError(
            f"it has the columns {', '.join(held)}; name those of a table with one row "
            f"per vote {', '.join(_COLUMNS)}."
        )
    return is_long


def read(
    path: Path, n_classes: int | None, class_names: Sequence[str] | None
) -> VoteFile:
    """Read a .csv or .parquet; other columns are left alone, empty labels abstain.

    Images and functions come in the order in which the table first has them.

    Parameters
    ----------
    path : or a folder, whose gt.csv has the true labels; tasks without a vote are left
        out.
    """
    truth = None
    if path.is_dir():
        path, gold = path / _FILE, path / _TRUTH
        truth = read_table(gold, ("task", "label")) if gold.is_file() else None
    table = read_table(path, _COLUMNS)
    return from_table(table, n_classes, class_names, "the table of votes", truth)


def from_table(
    table: pa.Table,
    n_classes: int | None,
    class_names: Sequence[str] | None,
    where: str,
    truth: pa.Table | None = None,
) -> VoteFile:
    """Make votes of a table with the columns task, worker and label.

    Parameters
    ----------
    where : what has these votes, for notes.
    truth : the true labels, with the columns task and label.
    """
    (task, tasks), (worker, workers) = _codes(table, "task"), _codes(table, "worker")
    cells = read_cells(table.column("label"), "column 'label'")
    known = None if truth is None else _true_cells(truth, tasks)
    found = _classes(cells, known, n_classes, class_names, tasks, task, where)
    votes = found.labels[: len(task)]
    matrix: NDArray[Any] = np.full((len(tasks), len(workers)), ABSTAIN)
    np.maximum.at(matrix, (task, worker), votes)
    twice = (votes != ABSTAIN) & (matrix[task, worker] != votes)
    if twice.any():
        row = int(twice.argmax())
        raise VotesError(
            f"worker {workers[worker[row]]!r} gave task {tasks[task[row]]!r} several "
            "labels; keep one."
        )
    if found.names is not None:
        k = len(found.names)
    else:
        k = n_classes or max(2, 1 + int(found.labels.max(initial=ABSTAIN)))
    return VoteFile(
        Votes(matrix, tuple(workers), k),
        tuple(tasks),
        None if known is None else found.labels[len(task) :],
        found.names,
        notes=found.notes,
        is_partial=True,
    )


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
        for part in _parts(file, to_cells if writer is pa_csv.CSVWriter else None):
            out.write_table(pa.table(part, schema=schema))


def _parts(
    file: VoteFile, written: Callable[[pa.Array], pa.Array] | None
) -> Iterator[list[pa.Array]]:
    """Yield the columns of some images at a time, their text as it is written."""
    import pyarrow as pa

    texts = (file.image_ids, file.votes.names, file.class_names or ())
    ids, names, classes = (pa.array(text, pa.string()) for text in texts)
    if written is not None:
        ids, names, classes = map(written, (ids, names, classes))
    size = max(1, _CELLS // max(1, file.votes.n_functions))
    for start in range(0, len(file.votes), size):
        hard = file.votes.hard[start : start + size]
        row, column = np.nonzero(hard != ABSTAIN)
        label = pa.array(hard[row, column])
        if file.class_names is not None:
            label = classes.take(label)
        yield [ids.take(pa.array(start + row)), names.take(pa.array(column)), label]


def _codes(table: pa.Table, column: str) -> tuple[NDArray[np.int64], list[str]]:
    """Return numbers for a column's values, as they first come, (rows,), and these."""
    import pyarrow as pa

    values = table.column(column)
    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    values = values.unify_dictionaries().combine_chunks()
    if isinstance(values, pa.ChunkedArray):  # of no chunk, in older versions
        values = pa.concat_arrays(values.chunks)
    codes = values.indices.fill_null(-1).to_numpy().astype(np.int64)
    if (codes < 0).any():
        row = int((codes < 0).argmax())
        raise VotesError(f"row {row} has no {column}; each needs one.")
    return codes, [str(value) for value in values.dictionary.to_pylist()]


def _true_cells(truth: pa.Table, tasks: Sequence[str]) -> Cells:
    """Read the true labels of the tasks that are voted on, (n,)."""
    if not {"task", "label"} <= set(truth.column_names):
        raise VotesError(f"{_TRUTH} needs the columns task and label.")
    row, named = _codes(truth, "task")
    if len(named) < len(row):
        twice = named[int(np.bincount(row).argmax())]
        raise VotesError(f"{_TRUTH} has task {twice!r} twice; keep one row.")
    cells = read_cells(truth.column("label"), f"column 'label' of {_TRUTH}")
    place = {name: at for at, name in enumerate(named)}
    codes = np.append(cells.codes[np.argsort(row)], -1)
    return Cells(codes[[place.get(name, -1) for name in tasks]], cells.spellings)


def _classes(
    votes: Cells,
    known: Cells | None,
    n_classes: int | None,
    class_names: Sequence[str] | None,
    tasks: Sequence[str],
    task: NDArray[np.int64],
    where: str,
) -> Reading:
    """Read the labels: of the classes that are given, or of those that occur.

    Parameters
    ----------
    known : the tasks' true labels; they follow the votes in what is read.
    """
    cells = votes
    if known is not None:
        votes, known = unified([votes, known])
        cells = Cells(np.concatenate([votes.codes, known.codes]), votes.spellings)

    def place(row: int) -> str:
        if row >= len(task):
            return f"{_TRUTH} gives task {tasks[row - len(task)]!r}"
        return f"row {row} gives task {tasks[task[row]]!r}"

    if class_names is not None:
        return match(cells, class_names, where, place)
    found = discover(cells, where, place, n_classes)
    if found.names is not None and n_classes not in (None, len(found.names)):
        names = found.names
        raise VotesError(
            f"its labels name {len(names)} classes ({', '.join(names[:5])}"
            f"{', …' if len(names) > 5 else ''}), {n_classes} were asked for; "
            "write class numbers, since some class has no vote."
        )
    return found
