"""Votes made elsewhere: .npy, .csv, .parquet, .npz, or a WRENCH folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import VotesError
from lfkit.votes import Votes

_ID_COLUMNS = ("image_id", "path", "id")


@dataclass(frozen=True, eq=False)
class VoteFile:
    """Votes, and what else the file knew.

    Attributes
    ----------
    ids : the rows' image ids, or None.
    labels : (n,) true classes, -1 where unknown, or None.
    class_names : or None.
    """

    votes: Votes
    ids: tuple[str, ...] | None = None
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] | None = None


def read_votes(path: Path, n_classes: int | None = None) -> VoteFile:
    """Read a vote matrix.

    Parameters
    ----------
    path : .npy (n, m); .csv or .parquet, one column per function and maybe image_id;
        .npz with `votes` (n, m) and maybe `soft` (n, m, k), `names`; or a WRENCH folder
        (train.json and label.json), or one of its .json files. -1 = abstain.
    n_classes : k; if neither given nor in the file one more than the largest vote, at
        least two.
    """
    if not path.exists():
        raise VotesError(f"there is no file {path} with votes.")
    try:
        if path.is_dir() or path.suffix == ".json":
            return _wrench(path, n_classes)
        if path.suffix in (".csv", ".parquet"):
            return _table(path, n_classes)
        if path.suffix in (".npy", ".npz"):
            # Opened here: numpy leaves a file open that turns out to be truncated.
            with open(path, "rb") as handle:
                stored = np.load(handle, allow_pickle=False)
                if isinstance(stored, np.ndarray):
                    return VoteFile(_votes(stored, None, n_classes, None))
                return _archive(dict(stored), n_classes)
    except VotesError as error:
        raise VotesError(f"{path}: {error}") from error
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise VotesError(f"{path} cannot be read: {error}") from error
    raise VotesError(
        f"{path} is no vote file lfkit knows; give .npy, .csv, .parquet, .npz or a "
        "WRENCH folder."
    )


def _archive(arrays: dict[str, NDArray[np.generic]], n_classes: int | None) -> VoteFile:
    if "votes" not in arrays:
        raise VotesError(
            f"it holds {', '.join(arrays) or 'nothing'}, expected an array named votes."
        )
    soft = arrays.get("soft")
    if soft is not None:
        n_classes = n_classes or soft.shape[-1]
    names = arrays["names"].tolist() if "names" in arrays else None
    return VoteFile(_votes(arrays["votes"], names, n_classes, soft))


def _table(path: Path, n_classes: int | None) -> VoteFile:
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
    if wrong:
        raise VotesError(
            f"column {wrong[0]!r} is not numeric; votes are class numbers, -1 = "
            "abstain."
        )
    matrix = table.to_numpy(np.float64, na_value=np.nan)
    votes = _votes(matrix, [str(name) for name in table], n_classes, None)
    return VoteFile(votes, ids, labels)


def _wrench(path: Path, n_classes: int | None) -> VoteFile:
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
    names = None
    listing = split.parent / "label.json"
    if listing.is_file():
        try:
            found = json.loads(listing.read_text())
            names = tuple(str(found[key]) for key in sorted(found, key=int))
        except (ValueError, TypeError) as error:
            raise VotesError(
                f"label.json is not an object of class numbers and names: {error}"
            ) from error
    k = n_classes if names is None else len(names)
    return VoteFile(_votes(matrix, None, k, None), tuple(rows), labels, names)


def _votes(
    matrix: NDArray[np.generic],
    names: list[str] | None,
    n_classes: int | None,
    soft: NDArray[np.generic] | None,
) -> Votes:
    if matrix.ndim != 2 or matrix.dtype.kind not in "iuf":
        raise VotesError(
            f"votes must be numbers of shape (images, functions), got {matrix.dtype} "
            f"of shape {matrix.shape}."
        )
    k = n_classes or max(2, int(np.nan_to_num(matrix).max(initial=0)) + 1)
    columns = names or [f"function_{j}" for j in range(matrix.shape[1])]
    half = None if soft is None else soft.astype(np.float16)
    return Votes(np.nan_to_num(matrix, nan=-1), tuple(columns), k, soft=half)
