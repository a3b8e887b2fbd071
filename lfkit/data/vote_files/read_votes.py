"""Read votes made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lfkit.data.arrays import said
from lfkit.data.label_studio_export import is_export, with_control
from lfkit.data.vote_files import (
    archives,
    label_studio_votes,
    long_table,
    wide_table,
    wrench,
)
from lfkit.data.vote_files.vote_file import VoteFile
from lfkit.errors import InputError, VotesError


def read_votes(
    path: Path,
    n_classes: int | None = None,
    class_names: Sequence[str] | None = None,
) -> VoteFile:
    """Read votes; in every format -1, NaN, None or an empty cell abstains.

    Parameters
    ----------
    path : one of
        .npy: Snorkel's label matrix, (n, m), of any number type.
        .npz: `votes` (n, m) and maybe `soft` (n, m, k), `allowed` (n, m, k), `names`
        (m,), `image_ids` (n,), `labels` or `y` (n,), `class_names` (k,), `n_classes`;
        or what `scipy.sparse.save_npz` writes: each stored entry is a vote, for class 0
        too.
        .csv or .parquet: one column per function, maybe image_id and label.
        .csv or .parquet with the columns task, worker and label: crowd-kit's table,
        one row per vote; its labels are class numbers or names.
        A crowd-kit folder: such a table, crowd_labels.csv, and maybe gt.csv with the
        columns task and label.
        .json: Label Studio's export, each annotator a voter; `export.json:NAME` where
        it has several choices.
        A WRENCH folder (train.json and label.json), or one of its .json files.
    n_classes : k; if neither given nor in the file one more than the largest vote or
        label, at least two.
    class_names : what the classes of the data are called: votes are these names or,
        where none of them is a number, numbers from 0 on. A file that names its classes
        is read by its own names. Without either, small whole numbers are class numbers;
        other numbers, and text in a table of one row per vote, are names.
    """
    path, control = with_control(path)
    ending = path.suffix.lower()
    if not path.exists():
        raise VotesError(f"there is no file {path} with votes.")
    if n_classes is not None and n_classes < 1:
        raise VotesError(f"there cannot be {n_classes} classes; give 1 or more.")
    try:
        if long_table.is_folder(path):
            return long_table.read(path, n_classes, class_names)
        if is_export(path):
            return label_studio_votes.read(path, control, n_classes, class_names)
        if path.is_dir() or ending == ".json":
            return wrench.read(path, n_classes, class_names)
        if ending in (".csv", ".parquet"):
            if long_table.is_long(path):
                return long_table.read(path, n_classes, class_names)
            return wide_table.read(path, n_classes, class_names)
        if ending == ".npy":
            return archives.read_matrix(path, n_classes, class_names)
        if ending == ".npz":
            return archives.read(path, n_classes, class_names)
    except InputError as error:
        text = str(error)
        raise VotesError(text if str(path) in text else f"{path}: {text}") from error
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise VotesError(f"{path} cannot be read: {said(error)}") from error
    raise VotesError(
        f"{path} is no vote file lfkit knows; give .npy, .csv, .parquet, .npz or "
        ".json, or a folder of WRENCH's or crowd-kit's."
    )
