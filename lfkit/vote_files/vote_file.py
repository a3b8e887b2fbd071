"""What a file of votes holds, whatever its format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import VotesError
from lfkit.votes import Votes


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


def make_votes(
    matrix: NDArray[Any],
    names: Sequence[str] | None = None,
    n_classes: int | None = None,
    labels: NDArray[np.int64] | None = None,
    soft: NDArray[Any] | None = None,
    allowed: NDArray[Any] | None = None,
) -> Votes:
    """Make votes of a matrix as files have it: of any number type, NaN = abstain.

    Parameters
    ----------
    names : None: function_0, function_1 and so on.
    n_classes : None: one more than the largest vote or label, at least two.
    """
    if matrix.ndim != 2 or matrix.dtype.kind not in "iuf":
        raise VotesError(
            f"votes must be numbers of shape (images, functions), got {matrix.dtype} "
            f"of shape {matrix.shape}."
        )
    if matrix.dtype.kind == "f":
        matrix = np.nan_to_num(matrix, nan=-1)
    if n_classes is None:
        numbers = [a for a in (matrix, labels) if a is not None and a.dtype.kind != "U"]
        n_classes = max(2, *(1 + int(a.max(initial=-1)) for a in numbers))
    columns = names or [f"function_{j}" for j in range(matrix.shape[1])]
    return Votes(
        matrix,
        tuple(columns),
        n_classes,
        soft=None if soft is None else _checked_soft(soft),
        allowed=None if allowed is None else _checked_allowed(allowed),
    )


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
