"""Read votes made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from lfkit.errors import VotesError
from lfkit.vote_files import archives, long_table, wide_table, wrench
from lfkit.vote_files.vote_file import VoteFile, make_votes


def read_votes(
    path: Path,
    n_classes: int | None = None,
    class_names: Sequence[str] | None = None,
) -> VoteFile:
    """Read votes; in every format -1, NaN or an empty cell abstains.

    Parameters
    ----------
    path : one of
        .npy: Snorkel's label matrix, (n, m), of any number type.
        .npz: `votes` (n, m) and maybe `soft` (n, m, k), `allowed` (n, m, k), `names`
        (m,), `image_ids` (n,), `labels` (n,), `class_names` (k,), `n_classes`; or what
        `scipy.sparse.save_npz` writes: each stored entry is a vote, for class 0 too.
        .csv or .parquet: one column per function, maybe image_id and label.
        .csv or .parquet with the columns task, worker and label: crowd-kit's table,
        one row per vote; its labels are class numbers or names.
        A WRENCH folder (train.json and label.json), or one of its .json files.
    n_classes : k; if neither given nor in the file one more than the largest vote or
        label, at least two.
    class_names : what the classes are called, for files that name them: decides their
        numbers. Without it they are numbered by name.
    """
    if not path.exists():
        raise VotesError(f"there is no file {path} with votes.")
    try:
        if path.is_dir() or path.suffix == ".json":
            return wrench.read(path, n_classes)
        if path.suffix in (".csv", ".parquet"):
            if long_table.is_long(path):
                return long_table.read(path, n_classes, class_names)
            return wide_table.read(path, n_classes)
        if path.suffix in (".npy", ".npz"):
            # Opened here: numpy leaves a file open that turns out to be truncated.
            with open(path, "rb") as handle:
                stored = np.load(handle, allow_pickle=False)
                if isinstance(stored, np.ndarray):
                    return VoteFile(make_votes(stored, n_classes=n_classes))
                return archives.read(dict(stored), n_classes)
    except VotesError as error:
        raise VotesError(f"{path}: {error}") from error
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise VotesError(f"{path} cannot be read: {error}") from error
    raise VotesError(
        f"{path} is no vote file lfkit knows; give .npy, .csv, .parquet, .npz or a "
        "WRENCH folder."
    )
