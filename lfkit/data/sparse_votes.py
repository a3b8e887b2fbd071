"""Sparse vote matrices: what is stored is a vote, what is not stored abstains."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import VotesError

# Others fill up with zeros of their own (bsr, dia), which would be votes for class 0.
_FORMATS = ("csr", "csc", "coo")


def is_sparse(matrix: Any) -> bool:
    """Tell whether it is one of scipy's sparse matrices."""
    # By name: who has no such matrix need not wait for the import of scipy.
    return any(
        kind.__module__.partition("._")[0] == "scipy.sparse"
        for kind in type(matrix).__mro__
    )


def dense_votes(matrix: Any, n_classes: int) -> NDArray[np.int16]:
    """Return a sparse matrix as (n, m) votes: empty cells abstain, a stored 0 votes 0.

    Parameters
    ----------
    matrix : scipy's csr, csc or coo, matrix or array, (n, m).
    """
    cells = sparse_cells(matrix)
    rows, columns = cells.coords
    wrong = cells.data >= n_classes
    if wrong.any():
        at = int(wrong.argmax())
        raise VotesError(
            f"vote {cells.data[at]} of function {columns[at]} on image {rows[at]} is "
            f"outside 0..{n_classes - 1}; in a sparse matrix the classes count from 0, "
            "a vote for class 0 is a stored 0, and whoever abstains has no entry."
        )
    hard = np.full(cells.shape, -1, np.int16)
    hard[rows, columns] = cells.data
    if np.count_nonzero(hard != -1) < cells.nnz:
        raise VotesError(
            "the sparse matrix stores several votes of one function on one image; "
            "store one."
        )
    return hard


def sparse_cells(matrix: Any) -> Any:
    """Return the stored votes of a sparse matrix, as a coo array.

    A matrix that stores -1 stands for one in which class 0 got lost, and is refused.
    """
    if matrix.format not in _FORMATS:
        raise VotesError(
            f"sparse votes must be {', '.join(_FORMATS)}, got {matrix.format}, which "
            "does not tell a vote for class 0 from no vote."
        )
    from scipy.sparse import coo_array

    cells = coo_array(matrix)
    if cells.data.dtype.kind not in "iuf" or (cells.data != np.round(cells.data)).any():
        raise VotesError(
            f"sparse votes must be whole numbers, the classes voted for; got "
            f"{cells.data.dtype}."
        )
    if (cells.data < 0).any():
        raise VotesError(
            "the sparse matrix stores -1 for abstain and so has lost the votes for "
            "class 0, which are empty cells: pass the dense matrix it was made of."
        )
    return cells
