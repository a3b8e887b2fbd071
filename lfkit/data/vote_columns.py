"""Stored votes of single functions, put together as the vote matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_source import content_groups
from lfkit.data.votes import ABSTAIN, Votes

_CHUNK_ROWS = 1 << 16


class VoteMatrices:
    """The vote matrix of n images, filled one function's column at a time.

    A stored column is (r,) classes, (r, classes) float weights if the function is soft,
    or (r, classes) bool where it voted for a set of classes on some image.

    Parameters
    ----------
    n, m, k : images, functions, classes.
    is_soft : whether any function is soft.
    blank : makes arrays of zeros, (shape, dtype): those of a store lie on its disk.
    """

    def __init__(
        self,
        n: int,
        m: int,
        k: int,
        *,
        is_soft: bool,
        blank: Callable[[tuple[int, ...], Any], NDArray[Any]] = np.zeros,
    ) -> None:
        self.n_classes = k
        self._blank = blank
        self.hard = blank((n, m), np.int16)
        self.hard[:] = ABSTAIN
        self.soft = blank((n, m, k), np.float16) if is_soft else None
        self.allowed: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, votes: Votes) -> VoteMatrices:
        """Start from votes that there are; they stay what they are."""
        k = votes.n_classes
        found = cls(0, votes.n_functions, k, is_soft=votes.soft is not None)
        found.hard = votes.hard.copy()
        found.soft = None if votes.soft is None else votes.soft.copy()
        found.allowed = None if votes.allowed is None else votes.allowed.copy()
        return found

    def place(
        self, lf: Any, votes: NDArray[Any], rows: NDArray[np.int64], column: int
    ) -> None:
        """Write one function's votes on some rows.

        Parameters
        ----------
        lf : anything with `soft` and `classes`.
        votes : (r,) or (r, classes), as they are stored.
        """
        if lf.soft:
            self._place_soft(lf, votes, rows, column)
            return
        if votes.dtype == np.bool_:
            votes = self._place_sets(lf, votes, rows, column)
        self.hard[rows, column] = votes
        if self.soft is not None:
            spoke = votes != ABSTAIN
            self.soft[rows[spoke], column, votes[spoke]] = 1

    def silence(self, column: int) -> None:
        """Take back all votes of one function."""
        self.hard[:, column] = ABSTAIN
        for graded in (self.soft, self.allowed):
            if graded is not None:
                graded[:, column] = 0

    def copy_rows(self, source: NDArray[np.int64], columns: Sequence[int]) -> None:
        """Give each image some functions' votes on the row that `source`, (n,), names.

        Parameters
        ----------
        source : of each image the first one with its content, itself perhaps.
        """
        copies = np.flatnonzero(source != np.arange(len(source)))
        chosen = np.asarray(columns, np.int64)
        for cells in (self.hard, self.soft, self.allowed):
            if cells is not None:
                for start in range(0, len(copies), _CHUNK_ROWS):
                    rows = copies[start : start + _CHUNK_ROWS, None]
                    cells[rows, chosen] = cells[source[rows], chosen]

    def votes(self, names: tuple[str, ...]) -> Votes:
        """Give what has been placed."""
        return Votes(
            self.hard, names, self.n_classes, soft=self.soft, allowed=self.allowed
        )

    def _place_soft(
        self, lf: Any, votes: NDArray[Any], rows: NDArray[np.int64], column: int
    ) -> None:
        assert self.soft is not None
        classes = np.asarray(lf.classes, np.int64)
        order = np.argsort(classes, kind="stable")
        if (order != np.arange(len(order))).any():
            # The first of equal weights in class order, whatever order was declared.
            classes, votes = classes[order], votes[:, order]
        if len(classes) == self.soft.shape[2]:
            self.soft[rows, column] = votes  # twice as fast as naming every class
        else:
            self.soft[rows[:, None], column, classes] = votes
        # Weights are never negative, so their bits order as they do; ints are faster.
        bits = np.ascontiguousarray(votes, np.float16).view(np.uint16)
        best = classes[bits.argmax(axis=1)]
        self.hard[rows, column] = np.where(bits.any(axis=1), best, ABSTAIN)

    def _place_sets(
        self,
        lf: Any,
        sets: NDArray[np.bool_],
        rows: NDArray[np.int64],
        column: int,
    ) -> NDArray[np.int64]:
        """Write (r, classes) sets; give those of one class as that class, (r,)."""
        if self.allowed is None:
            m, k = self.hard.shape[1], self.n_classes
            self.allowed = self._blank((len(self.hard), m, k), np.bool_)
        classes = np.asarray(_classes(lf, self.n_classes), np.int64)
        size = sets.sum(axis=1)
        self.allowed[rows[:, None], column, classes] = sets & (size > 1)[:, None]
        return np.where(size == 1, classes[sets.argmax(axis=1)], ABSTAIN)


def _classes(lf: Any, n_classes: int) -> tuple[int, ...]:
    """Give the classes of a function's stored sets, in their order."""
    return lf.classes or tuple(range(n_classes))


def alike(lf: Any, parts: Sequence[NDArray[Any]], n_classes: int) -> list[NDArray[Any]]:
    """Give parts of a function's column in one form: sets, if any part has sets.

    Parameters
    ----------
    lf : anything with `soft` and `classes`.
    """
    if lf.soft or not any(part.dtype == np.bool_ for part in parts):
        return list(parts)
    return [as_sets(lf, part, n_classes) for part in parts]


def as_sets(lf: Any, votes: NDArray[Any], n_classes: int) -> NDArray[np.bool_]:
    """Give votes of one class or of sets as sets, (r, classes)."""
    if votes.dtype == np.bool_:
        return votes
    return np.asarray(votes[:, None] == np.asarray(_classes(lf, n_classes)))


def silence_of(votes: NDArray[Any]) -> int:
    """Give what stands for no vote in a function's column, to be assigned to rows."""
    return ABSTAIN if votes.ndim == 1 else 0


def join_votes(lf: Any, parts: Sequence[NDArray[Any]], n_classes: int) -> NDArray[Any]:
    """Join parts of a function's column."""
    return np.concatenate(alike(lf, parts, n_classes))


def place_out_of_fold(
    votes: Votes, lfs: Sequence[Any], found: Mapping[str, NDArray[Any]]
) -> Votes:
    """Give the votes on the seeds with some functions' replaced, as they are stored.

    Parameters
    ----------
    votes : with `seed_rows`.
    lfs : per column, anything with `name`, `soft` and `classes`.
    found : function name → its out-of-fold votes; the others learn nothing.
    """
    assert votes.seed_rows is not None
    matrices = VoteMatrices.of(votes.rows(votes.seed_rows))
    for j, lf in enumerate(lfs):
        if lf.name in found:
            matrices.silence(j)
            matrices.place(lf, found[lf.name], np.arange(len(matrices.hard)), j)
    return matrices.votes(votes.names)


def with_copies(
    rows: NDArray[np.int64], keys: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give all images with the content of some, copies beside one another.

    Parameters
    ----------
    rows : (r,) images of different content.
    keys : (n, 16) content of all images.

    Returns
    -------
    Rows of the images, (a,), and the position in `rows` of the content of each, (a,),
    ascending.
    """
    first, group = content_groups(keys)
    place = np.full(len(first), -1)
    place[group[rows]] = np.arange(len(rows))
    place = place[group]  # (n,)
    order = np.argsort(place, kind="stable")
    order = order[np.count_nonzero(place < 0) :]
    return order, place[order]


def originals(keys: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Give, per image, the row of the first image with the same content, (n,)."""
    first, group = content_groups(keys)
    return first[group]


def in_places(votes: Votes, names: tuple[str, ...]) -> Votes:
    """Give votes the columns of all functions named; those without votes abstain.

    Seeds are left out.

    >>> np.asarray(in_places(Votes([[0], [1]], ("b",), 2), ("a", "b")))
    array([[-1,  0],
           [-1,  1]], dtype=int16)
    """
    if votes.names == names:
        return votes
    places = [names.index(name) for name in votes.names]
    shape = (len(votes), len(names))
    hard = np.full(shape, ABSTAIN, np.int16)
    hard[:, places] = votes.hard
    graded: dict[str, Any] = {}
    for name, cells in (("soft", votes.soft), ("allowed", votes.allowed)):
        if cells is not None:
            graded[name] = np.zeros((*shape, votes.n_classes), cells.dtype)
            graded[name][:, places] = cells
    return Votes(hard, names, votes.n_classes, **graded)
