""".npy and .npz: matrices, everything lfkit knows of votes, scipy's sparse matrices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lfkit.data.files import written_whole
from lfkit.errors import VotesError
from lfkit.sparse_votes import dense_votes, sparse_cells
from lfkit.vote_files.vote_file import VoteFile, make_votes
from lfkit.votes import ABSTAIN


def read(arrays: dict[str, NDArray[Any]], n_classes: int | None) -> VoteFile:
    """Read the arrays of an .npz."""
    if "votes" not in arrays and {"format", "shape", "data"} <= arrays.keys():
        return _read_sparse(arrays, n_classes)
    if "votes" not in arrays:
        raise VotesError(
            f"it holds {', '.join(arrays) or 'nothing'}, expected an array named votes."
        )
    names, ids, class_names = (
        tuple(map(str, arrays[key].tolist())) if key in arrays else None
        for key in ("names", "image_ids", "class_names")
    )
    labels, soft, allowed = (arrays.get(key) for key in ("labels", "soft", "allowed"))
    if class_names is not None:
        n_classes = len(class_names)
    elif n_classes is None and "n_classes" in arrays:
        n_classes = int(arrays["n_classes"].item())
    elif n_classes is None:
        graded = soft if allowed is None else allowed
        if graded is not None and graded.ndim == 3:
            n_classes = graded.shape[-1]
    votes = make_votes(arrays["votes"], names, n_classes, labels, soft, allowed)
    return VoteFile(votes, ids, labels, class_names)


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


def _read_sparse(arrays: dict[str, NDArray[Any]], n_classes: int | None) -> VoteFile:
    matrix = _sparse_matrix(arrays)
    voted = sparse_cells(matrix).data
    if n_classes is None and len(voted) and voted.min() > 0:
        raise VotesError(
            "no entry of the sparse matrix is a vote for class 0, so it cannot be told "
            "whether its classes count from 0 or, with 0 for abstain, from 1; say how "
            "many classes count from 0, or store the dense matrix."
        )
    k = n_classes or max(2, 1 + int(voted.max(initial=0)))
    return VoteFile(make_votes(dense_votes(matrix, k), n_classes=k))


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
