"""What a file of votes holds, whatever its format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.class_names import Reading, discover, match
from lfkit.data.label_cells import Cells, means_nothing, number, unified
from lfkit.data.votes import Votes
from lfkit.errors import VotesError


@dataclass(frozen=True, eq=False)
class VoteFile:
    """Votes, and what else the file knew.

    Attributes
    ----------
    ids : the rows' image ids, or None.
    labels : (n,) true classes, -1 where unknown, or None.
    class_names : or None.
    notes : what was decided on reading, for the user.
    is_partial : images that it leaves out have no vote, as in a table of one row per
        vote.
    """

    votes: Votes
    ids: tuple[str, ...] | None = None
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    is_partial: bool = False

    def __post_init__(self) -> None:
        n, k = len(self.votes), self.votes.n_classes
        if self.ids is not None:
            _check_ids(self.ids, n)
        if self.labels is not None:
            object.__setattr__(self, "labels", _checked_labels(self.labels, n, k))
        if self.class_names is not None and len(self.class_names) != k:
            raise VotesError(
                f"there are {len(self.class_names)} class names for {k} classes; give "
                "one name per class."
            )

    @property
    def image_ids(self) -> tuple[str, ...]:
        """The rows' image ids, or else their numbers."""
        return self.ids or tuple(str(row) for row in range(len(self.votes)))


def numbered(
    votes: Cells,
    labels: Cells | None,
    functions: Sequence[str],
    n_classes: int | None,
    class_names: Sequence[str] | None,
    *,
    ids: tuple[str, ...] | None = None,
    notes: tuple[str, ...] = (),
    soft: NDArray[Any] | None = None,
    allowed: NDArray[Any] | None = None,
) -> VoteFile:
    """Make votes of cells, (n, m), and true labels, (n,), as files have them.

    Parameters
    ----------
    n_classes : None: as many as the names; without names, one more than the largest
        vote or label, at least two.
    class_names : None: the classes are those that occur; they must be numbers.
    """
    n, m = votes.codes.shape
    if len(functions) != m:
        raise VotesError(
            f"{len(functions)} names for {m} columns of votes; give one name per "
            "labeling function."
        )
    if ids is not None:
        _check_ids(ids, n)

    def place(cell: int) -> str:
        row, column = divmod(cell, m) if cell < n * m else (cell - n * m, m)
        image = f"image {row}" if ids is None else f"image {ids[row]!r}"
        if column == m:
            return f"column 'label' gives {image}"
        return f"function {functions[column]!r} gives {image}"

    parts = unified([votes] if labels is None else [votes, labels])
    flat = [part.codes.reshape(-1) for part in parts]
    codes = np.concatenate(flat) if len(flat) > 1 else flat[0]
    everything = Cells(codes, parts[0].spellings)
    if class_names is not None:
        found = match(everything, class_names, "the file of votes", place)
    else:
        _check_numeric(everything, n * m, functions)
        found = discover(everything, "the file of votes", place, n_classes)
    return VoteFile(
        Votes(
            _small(found.numbers)[parts[0].codes],
            tuple(functions),
            _n_classes(found, n_classes),
            soft=None if soft is None else _checked_soft(soft),
            allowed=None if allowed is None else _checked_allowed(allowed),
        ),
        ids,
        None if labels is None else found.numbers[parts[1].codes],
        found.names,
        notes + found.notes,
    )


def positional(
    matrix: NDArray[Any],
    labels: NDArray[Any] | None,
    functions: Sequence[str],
    class_names: Sequence[str],
    *,
    ids: tuple[str, ...] | None = None,
    soft: NDArray[Any] | None = None,
    allowed: NDArray[Any] | None = None,
) -> VoteFile:
    """Make votes of numbers that are positions in the file's own list of classes."""
    return VoteFile(
        Votes(
            _without_nan(matrix),
            tuple(functions),
            len(class_names),
            soft=None if soft is None else _checked_soft(soft),
            allowed=None if allowed is None else _checked_allowed(allowed),
        ),
        ids,
        None if labels is None else _without_nan(labels),
        tuple(class_names),
    )


def checked_matrix(matrix: NDArray[Any]) -> NDArray[Any]:
    """Refuse what is no matrix of votes."""
    if matrix.ndim != 2 or matrix.dtype.kind not in "iufU":
        raise VotesError(
            f"votes must be numbers of shape (images, functions), got {matrix.dtype} "
            f"of shape {matrix.shape}."
        )
    if not matrix.shape[1] and len(matrix):
        raise VotesError(f"votes of shape {matrix.shape} are of no function.")
    return matrix


def checked_labels(labels: NDArray[Any], n: int) -> NDArray[Any]:
    """Refuse true labels that are not one per image."""
    if labels.shape != (n,):
        raise VotesError(
            f"labels must be whole numbers of shape ({n},), one per image, got "
            f"{labels.dtype} of shape {labels.shape}."
        )
    return labels


def default_names(n_functions: int) -> list[str]:
    """Name functions that a file does not name."""
    return [f"function_{j}" for j in range(n_functions)]


def _check_numeric(cells: Cells, n_votes: int, functions: Sequence[str]) -> None:
    """Refuse text where nothing says which classes there are: it may be anything."""
    for code, text in enumerate(cells.spellings):
        if number(text) is not None or means_nothing(text):
            continue
        place = int((cells.codes == code).argmax())
        column = functions[place % len(functions)] if place < n_votes else "label"
        raise VotesError(
            f"column {column!r} is not numeric; votes are class numbers, -1 = "
            f"abstain, or names of classes that the data has; got {text!r}."
        )


def _n_classes(found: Reading, n_classes: int | None) -> int:
    if found.names is not None:
        return len(found.names)
    return n_classes or max(2, 1 + int(found.numbers.max()))


def _small(numbers: NDArray[np.int64]) -> NDArray[Any]:
    """Give the classes as votes store them, where they are classes at all."""
    fits = numbers.max() <= np.iinfo(np.int16).max
    return numbers.astype(np.int16) if fits else numbers


def _without_nan(numbers: NDArray[Any]) -> NDArray[Any]:
    if numbers.dtype.kind != "f":
        return numbers
    filled = np.nan_to_num(numbers, nan=-1)
    is_whole = bool(np.array_equal(filled, np.round(filled)))
    return filled.astype(np.int64) if is_whole else filled


def _check_ids(ids: tuple[str, ...], n: int) -> None:
    if len(ids) != n:
        raise VotesError(f"there are {len(ids)} image ids for {n} rows of votes.")
    if len(set(ids)) < n:
        twice, _ = Counter(ids).most_common(1)[0]
        raise VotesError(
            f"two rows have the image id {twice!r}; give one row per image."
        )


def _checked_labels(labels: NDArray[Any], n: int, k: int) -> NDArray[np.int64]:
    labels = np.asarray(labels)
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise VotesError(
            f"labels must be whole numbers of shape ({n},), one per image, got "
            f"{labels.dtype} of shape {labels.shape}."
        )
    wrong = (labels < -1) | (labels >= k)
    if wrong.any():
        row = int(wrong.argmax())
        raise VotesError(
            f"label {labels[row]} of image {row} is outside 0..{k - 1} (-1 = unknown). "
            "Is n_classes right?"
        )
    return labels.astype(np.int64)


def _checked_soft(soft: NDArray[Any]) -> NDArray[np.float16]:
    if soft.dtype.kind not in "iuf" or not (np.isfinite(soft) & (soft >= 0)).all():
        raise VotesError(
            "`soft` must hold shares of the classes: finite numbers, none negative."
        )
    return soft.astype(np.float16)


def _checked_allowed(allowed: NDArray[Any]) -> NDArray[np.bool_]:
    if allowed.dtype.kind not in "biu" or ((allowed != 0) & (allowed != 1)).any():
        raise VotesError(
            "`allowed` must be true or 1 where a vote allows a class, else false or 0; "
            f"got {allowed.dtype} with other values."
        )
    return allowed.astype(bool)
