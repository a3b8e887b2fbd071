""".npy and .npz: matrices, everything lfkit knows of votes, scipy's sparse matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lfkit.data.arrays import npz_names, read_npy, read_npz
from lfkit.data.class_names import (
    MOST_CLASSES,
    checked_names,
    counts_from_zero,
    plausible_class_numbers,
)
from lfkit.data.files import written_whole
from lfkit.data.label_cells import read_cells
from lfkit.data.sparse_votes import dense_votes, sparse_cells
from lfkit.data.vote_files.vote_file import (
    VoteFile,
    checked_labels,
    checked_matrix,
    default_names,
    numbered,
    positional,
)
from lfkit.data.votes import ABSTAIN
from lfkit.errors import VotesError

_DENSE_BYTES, _DENSE_TIMES = 1 << 28, 100
_OURS = ("votes", "names", "image_ids", "class_names", "labels", "soft", "allowed")
_SPARSE = ("format", "shape", "data", "indices", "indptr", "row", "col")


def read(
    path: Path, n_classes: int | None, class_names: Sequence[str] | None
) -> VoteFile:
    """Read an .npz; class names of its own say what its numbers count."""
    arrays = read_npz(path, (*_OURS, "y", "n_classes", *_SPARSE))
    if "votes" not in arrays and {"format", "shape", "data"} <= arrays.keys():
        return _read_sparse(arrays, n_classes, class_names)
    if "votes" not in arrays:
        held = ", ".join(npz_names(path)) or "nothing"
        raise VotesError(f"it holds {held}, expected an array named votes.")
    names, ids, own = (
        tuple(map(str, arrays[key].reshape(-1).tolist())) if key in arrays else None
        for key in ("names", "image_ids", "class_names")
    )
    matrix = checked_matrix(arrays["votes"])
    labels = arrays.get("labels", arrays.get("y"))
    functions = names or default_names(matrix.shape[1])
    soft, allowed = (arrays.get(key) for key in ("soft", "allowed"))
    graded = soft if allowed is None else allowed
    if own is not None:
        own = checked_names(own, "class_names")
        if counts_from_zero(own):  # it says no more than how many there are
            n_classes, own = len(own), None
    classes = class_names if own is None else own
    if classes is not None and (own is not None or graded is not None):
        # Numbers count the file's own names, or the last axis of its soft votes.
        if matrix.dtype.kind != "U" and (labels is None or labels.dtype.kind != "U"):
            return positional(
                matrix, labels, functions, classes, ids=ids, soft=soft, allowed=allowed
            )
    elif n_classes is None and "n_classes" in arrays:
        n_classes = int(arrays["n_classes"].item())
        if n_classes < 1:
            raise VotesError(f"its n_classes is {n_classes}; expected 1 or more.")
    elif n_classes is None and graded is not None and graded.ndim == 3:
        n_classes = graded.shape[-1]
    return numbered(
        read_cells(matrix, "votes"),
        None
        if labels is None
        else read_cells(checked_labels(labels, len(matrix)), "labels"),
        functions,
        n_classes,
        classes,
        ids=ids,
        soft=soft,
        allowed=allowed,
    )


def read_matrix(
    path: Path, n_classes: int | None, class_names: Sequence[str] | None
) -> VoteFile:
    """Read Snorkel's label matrix."""
    matrix = checked_matrix(read_npy(path))
    functions = default_names(matrix.shape[1])
    cells = read_cells(matrix, "votes")
    return numbered(cells, None, functions, n_classes, class_names)


def write_matrix(path: Path, file: VoteFile) -> None:
    """Write Snorkel's label matrix."""
    with written_whole(path) as partial:
        np.save(partial, _small(file.votes.hard, file.votes.n_classes))


def write(path: Path, file: VoteFile) -> None:
    """Write everything."""
    votes = file.votes
    arrays: dict[str, Any] = {
        "votes": _small(votes.hard, votes.n_classes),
        "names": np.asarray(votes.names, str),
        "n_classes": votes.n_classes,
        "soft": votes.soft,
        "allowed": votes.allowed,
        "labels": file.labels,
        "image_ids": None if file.ids is None else np.asarray(file.ids, str),
        "class_names": None if file.class_names is None else [*file.class_names],
    }
    with written_whole(path) as partial:
        np.savez(
            partial,
            allow_pickle=False,
            **{key: value for key, value in arrays.items() if value is not None},
        )


def write_sparse(path: Path, file: VoteFile) -> None:
    """Write scipy's sparse matrix; a vote for class 0 is a stored 0."""
    hard = _small(file.votes.hard, file.votes.n_classes)
    place = np.nonzero(hard != ABSTAIN)
    with written_whole(path) as partial:
        matrix = sparse.csr_array((hard[place], place), hard.shape)
        sparse.save_npz(partial, matrix, compressed=False)


def _read_sparse(
    arrays: dict[str, NDArray[Any]],
    n_classes: int | None,
    class_names: Sequence[str] | None,
) -> VoteFile:
    try:
        matrix = _sparse_matrix(arrays)
    except (KeyError, TypeError, IndexError, OverflowError) as error:
        raise VotesError(
            f"it cannot be read as a sparse matrix: {type(error).__name__}: {error}."
        ) from error
    voted = sparse_cells(matrix).data
    highest = int(voted.max(initial=0))
    counts = plausible_class_numbers(np.unique(voted).astype(int).tolist())
    told = n_classes is not None or class_names is not None
    if not told and counts and len(voted) and voted.min() > 0:
        raise VotesError(
            "no entry of the sparse matrix is a vote for class 0, so it cannot be told "
            "whether its classes count from 0 or, with 0 for abstain, from 1; say how "
            "many classes count from 0, or store the dense matrix."
        )
    if highest > MOST_CLASSES:
        raise VotesError(
            f"vote {highest} is beyond the {MOST_CLASSES} classes that lfkit can count."
        )
    _check_dense(matrix.shape, sum(array.nbytes for array in arrays.values()))
    k = n_classes if n_classes and class_names is None else max(2, 1 + highest)
    cells = read_cells(dense_votes(matrix, k), "votes")
    functions = default_names(matrix.shape[1])
    return numbered(cells, None, functions, n_classes, class_names)


def _check_dense(shape: tuple[int, ...], n_bytes: int) -> None:
    """Refuse a shape that its few entries cannot mean: it would fill the memory."""
    if 2 * math.prod(shape) > max(_DENSE_BYTES, _DENSE_TIMES * n_bytes):
        raise VotesError(
            f"the sparse matrix has the shape {shape}, but only {n_bytes:,} bytes of "
            "entries; is it damaged? Store the dense matrix."
        )


def _sparse_matrix(arrays: dict[str, NDArray[Any]]) -> Any:
    """Put together what `scipy.sparse.save_npz` took apart."""
    shape = tuple(arrays["shape"].tolist())
    layout = arrays["format"].item()
    layout = layout.decode() if isinstance(layout, bytes) else str(layout)
    if layout in ("csr", "csc"):
        make = sparse.csr_array if layout == "csr" else sparse.csc_array
        parts = (arrays["data"], arrays["indices"], arrays["indptr"])
        matrix = make(parts, shape=shape)
        matrix.check_format()  # else a wrong index is read beyond the end
        return matrix
    if layout == "coo":
        place = (arrays["row"], arrays["col"])
        return sparse.coo_array((arrays["data"], place), shape=shape)
    raise VotesError(
        f"it is a sparse matrix of scipy's {layout} format, which does not tell a vote "
        "for class 0 from no vote; convert it to csr."
    )


def _small(hard: NDArray[np.int16], n_classes: int) -> NDArray[Any]:
    """Return the votes as int8 where that holds all classes."""
    return hard.astype(np.int8) if n_classes <= np.iinfo(np.int8).max else hard
