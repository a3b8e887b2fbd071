"""The vote matrix: what every labeling function said about every image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.hashing import mixed_bits
from lfkit.data.sparse_votes import dense_votes, is_sparse
from lfkit.errors import VotesError

ABSTAIN = -1


@dataclass(frozen=True, eq=False)
class Patterns:
    """The distinct rows of a vote matrix; fits and predictions need nothing else.

    Attributes
    ----------
    votes : Votes
        One row per distinct pattern, (u, m).
    counts : (u,) float64, how many images (or how much weight) share the pattern.
    inverse : (n,) the pattern of each image.
    """

    votes: Votes
    counts: NDArray[np.float64]
    inverse: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Votes:
    """What m labeling functions said about n images, with k classes.

    `np.asarray(votes)` is Snorkel's label matrix: (n, m), -1 where a function abstains.

    Attributes
    ----------
    hard : (n, m) int16
        One class per vote, -1 = abstain. Any whole numbers are taken, and scipy's
        sparse matrices, whose stored entries are the votes, class 0 among them.
    names : the m functions' names.
    n_classes : k.
    soft : (n, m, k) float16 or None
        A vote as a distribution ("60 % a 4"); its argmax is `hard`. Rows that abstain
        are zero; functions that vote hard have one-hot rows.
    allowed : (n, m, k) bool or None
        A vote as a set ("car or truck"): another likelihood, hence another array.
        A set of one class is that class in `hard`; a larger set is -1 there. A set of
        all classes says nothing, and is no vote.
    seed_rows : (s,) row numbers of the images whose true label was given, or None.
    seed_labels : (s,) their labels, or None.
    seed_out_of_fold : Votes or None
        The votes on the seeds by functions and features refitted without them
        (K-fold): the only votes from which a weight may be learned.

    >>> votes = Votes(np.array([[0, -1], [0, 1]]), names=("a", "b"), n_classes=2)
    >>> votes.coverage
    1.0
    >>> np.asarray(votes)
    array([[ 0, -1],
           [ 0,  1]], dtype=int16)
    """

    hard: NDArray[np.int16]
    names: tuple[str, ...]
    n_classes: int
    soft: NDArray[np.float16] | None = None
    allowed: NDArray[np.bool_] | None = None
    seed_rows: NDArray[np.int64] | None = None
    seed_labels: NDArray[np.int64] | None = None
    seed_out_of_fold: Votes | None = None

    def __post_init__(self) -> None:
        hard = self.hard
        if is_sparse(hard):
            hard = dense_votes(hard, self.n_classes)
        hard = np.asarray(hard)
        if hard.ndim != 2:
            raise VotesError(
                f"votes must be a matrix (images, labeling functions), got an array "
                f"of shape {hard.shape}."
            )
        if hard.dtype.kind == "f" and not np.array_equal(hard, np.round(hard)):
            raise VotesError(
                "votes must be whole numbers (a class, or -1 for abstain); found "
                f"{hard[hard != np.round(hard)][0]}. Pass probabilities as `soft`."
            )
        if hard.size and (hard.min() < ABSTAIN or hard.max() >= self.n_classes):
            row, column = np.argwhere((hard < ABSTAIN) | (hard >= self.n_classes))[0]
            raise VotesError(
                f"vote {hard[row, column]} of function {column} on image {row} is "
                f"outside 0..{self.n_classes - 1} (-1 = abstain). Is n_classes right?"
            )
        names = tuple(str(name) for name in self.names)
        if self.n_classes > np.iinfo(np.int16).max:
            raise VotesError(
                f"{self.n_classes} classes are more than lfkit can count (32767)."
            )
        if len(names) != hard.shape[1]:
            raise VotesError(
                f"{len(names)} names for {hard.shape[1]} columns of votes; give one "
                "name per labeling function."
            )
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise VotesError(
                f"two labeling functions are named {twice!r}; rename one of them."
            )
        for label, array in (("soft", self.soft), ("allowed", self.allowed)):
            if array is not None and array.shape != (*hard.shape, self.n_classes):
                raise VotesError(
                    f"`{label}` has shape {array.shape}, expected (images, functions, "
                    f"classes) = {(*hard.shape, self.n_classes)}."
                )
        hard = hard.astype(np.int16, copy=False)
        if self.allowed is not None:
            hard, allowed = _plain_sets(hard, self.allowed)
            object.__setattr__(self, "allowed", allowed)
        object.__setattr__(self, "hard", hard)
        object.__setattr__(self, "names", names)

    def __array__(
        self, dtype: Any = None, copy: bool | None = None
    ) -> NDArray[np.int16]:
        return np.array(self.hard, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.hard)

    @property
    def n_functions(self) -> int:
        """m, the number of labeling functions."""
        return self.hard.shape[1]

    @cached_property
    def voted(self) -> NDArray[np.bool_]:
        """(n, m): True where a function said something, a set of classes included."""
        voted = self.hard != ABSTAIN
        return voted if self.allowed is None else voted | self.allowed.any(axis=2)

    def right(self, truth: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which votes name the true class, alone or in a set, (n, m).

        A soft vote names its most probable class, or the set of those tied for it.

        Parameters
        ----------
        truth : (n,) classes; nothing is right where it is -1.
        """
        if self.soft is not None:
            return self.as_sets().right(truth)
        known = truth >= 0
        right = (self.hard == truth[:, None]) & known[:, None]
        if self.allowed is not None:
            rows = np.flatnonzero(known & (truth < self.n_classes))
            right[rows] |= self.allowed[rows, :, truth[rows]]
        return right

    def as_sets(self) -> Votes:
        """Return soft votes as what they name, without the seeds' extra arrays.

        That is the most probable class, or the set of those tied for it: "a hat or a
        pair of shoes" names no hat. A tie of all classes would be no vote; it stays one
        for the first.
        """
        if self.soft is None:
            return self.rows(slice(None))
        soft = self.soft
        # Equal bits are equal numbers but for zeros, and compared ten times as fast.
        bits = soft.view(np.uint16) if soft.dtype == np.float16 else soft
        first = np.maximum(self.hard, 0)[:, :, None].astype(np.int64)
        tied = bits == np.take_along_axis(bits, first, axis=2)
        n_tied = np.count_nonzero(tied, axis=2)
        cells = (self.hard != ABSTAIN) & (n_tied > 1) & (n_tied < self.n_classes)
        cells &= np.take_along_axis(soft, first, axis=2)[:, :, 0] > 0
        hard, allowed = self.hard, self.allowed
        if cells.any():
            hard = np.where(cells, ABSTAIN, hard)
            allowed = self._graded_cells()[1].copy()
            allowed[cells] |= tied[cells]
        return Votes(hard, self.names, self.n_classes, allowed=allowed)

    def named(self, row: int, column: int) -> tuple[int, ...]:
        """Return the classes that a vote names; none if the function abstained."""
        if self.soft is not None:
            return self.rows(np.array([row])).select([column]).as_sets().named(0, 0)
        label = int(self.hard[row, column])
        if label != ABSTAIN:
            return (label,)
        if self.allowed is None:
            return ()
        return tuple(np.flatnonzero(self.allowed[row, column]).tolist())

    @property
    def coverage(self) -> float:
        """The share of images with at least one vote; NaN when there are no images."""
        return float(self.voted.any(axis=1).mean()) if len(self) else float("nan")

    def unseeded(self) -> Votes:
        """Give the same votes, of which no seed is known."""
        return replace(self, seed_rows=None, seed_labels=None, seed_out_of_fold=None)

    def select(self, columns: Sequence[int] | NDArray[np.int64]) -> Votes:
        """Return the votes of some functions only, seeds included."""
        columns = np.asarray(columns, dtype=np.int64)
        fold = self.seed_out_of_fold
        return replace(
            self,
            hard=self.hard[:, columns],
            names=tuple(self.names[j] for j in columns),
            soft=None if self.soft is None else self.soft[:, columns],
            allowed=None if self.allowed is None else self.allowed[:, columns],
            seed_out_of_fold=None if fold is None else fold.select(columns),
        )

    def rows(self, rows: NDArray[np.int64] | slice) -> Votes:
        """Return the votes on some images only, without the seeds' extra arrays."""
        return Votes(
            hard=self.hard[rows],
            names=self.names,
            n_classes=self.n_classes,
            soft=None if self.soft is None else self.soft[rows],
            allowed=None if self.allowed is None else self.allowed[rows],
        )

    def replaced(self, rows: NDArray[np.int64], others: Votes) -> Votes:
        """Return these votes with other votes on some images in their place, (r, m)."""
        before = self.rows(rows)
        pairs: list[tuple[NDArray[Any], NDArray[Any]]] = [(before.hard, others.hard)]
        if any(v.soft is not None or v.allowed is not None for v in (self, others)):
            pairs += zip(before._graded_cells(), others._graded_cells(), strict=True)
        if all(np.array_equal(own, other) for own, other in pairs):
            return self
        hard = self.hard.copy()
        hard[rows] = others.hard
        soft, allowed = self.soft, self.allowed
        if soft is not None or others.soft is not None:
            soft = self._graded_cells()[0].copy()
            soft[rows] = others._graded_cells()[0]
        if allowed is not None or others.allowed is not None:
            allowed = self._graded_cells()[1].copy()
            allowed[rows] = others._graded_cells()[1]
        return replace(self, hard=hard, soft=soft, allowed=allowed)

    def of_classes(self, classes: NDArray[np.int64]) -> Votes:
        """Return votes on some sorted classes only, numbered anew; others abstain."""
        number = np.full(self.n_classes + 1, ABSTAIN)
        number[classes] = np.arange(len(classes))
        hard = number[self.hard]  # -1 is the last: it stays
        soft = None if self.soft is None else self.soft[:, :, classes]
        allowed = None if self.allowed is None else self.allowed[:, :, classes]
        return Votes(hard, self.names, len(classes), soft=soft, allowed=allowed)

    def _graded_cells(self) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
        """Return `soft` and `allowed`, made of zeros where there is none."""
        shape = (*self.hard.shape, self.n_classes)
        soft = np.zeros(shape, np.float16) if self.soft is None else self.soft
        return soft, np.zeros(shape, bool) if self.allowed is None else self.allowed

    def patterns(self, sample_weight: NDArray[np.float64] | None = None) -> Patterns:
        """Group equal rows: exact for every model that treats images alike.

        Parameters
        ----------
        sample_weight : (n,) summed per pattern; None counts each image once.
        """
        arrays = [a for a in (self.hard, self.soft, self.allowed) if a is not None]
        for salt in count():
            keys = _row_keys(arrays, salt)
            _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
            if len(first) == len(self) and len(arrays) > 1:
                # No two rows are equal, and to sort soft votes would copy gigabytes.
                weights = np.ones(len(self)) if sample_weight is None else sample_weight
                everyone = np.arange(len(self))
                return Patterns(self, np.asarray(weights, np.float64), everyone)
            same = first[inverse]
            copies = np.flatnonzero(same != np.arange(len(self)))
            if _equal_rows(arrays, copies, same[copies]):
                break
        counts = np.bincount(
            inverse, weights=sample_weight, minlength=len(first)
        ).astype(np.float64)
        return Patterns(self.rows(first), counts, inverse)


def concatenate(parts: Sequence[Votes]) -> Votes:
    """Join votes of the same functions on different images, without the seeds'."""
    first = parts[0]
    for part in parts[1:]:
        if part.names != first.names or part.n_classes != first.n_classes:
            raise VotesError(
                f"votes to be joined differ: {first.n_functions} functions and "
                f"{first.n_classes} classes, then {part.n_functions} functions and "
                f"{part.n_classes} classes; they need the same names in the same order."
            )
    whole = Votes(
        np.concatenate([part.hard for part in parts]), first.names, first.n_classes
    )
    if all(part.soft is None and part.allowed is None for part in parts):
        return whole
    cells = [part._graded_cells() for part in parts]
    soft = allowed = None
    if any(part.soft is not None for part in parts):
        soft = np.concatenate([found for found, _ in cells])
    if any(part.allowed is not None for part in parts):
        allowed = np.concatenate([found for _, found in cells])
    return replace(whole, soft=soft, allowed=allowed)


def with_known(
    votes: Votes, rows: NDArray[np.int64], labels: NDArray[np.int64]
) -> Votes:
    """Add images of known class, from which no function has learned, to the seeds.

    Their votes are out of fold as they are; the seeds' own stay. Where the seeds have
    none, nothing is known of which votes have learned from what, and none are added.

    Parameters
    ----------
    rows, labels : (a,) images that are no seeds, and their classes.
    """
    held_out: Votes | None = votes.rows(rows)
    if votes.seed_rows is not None and votes.seed_labels is not None:
        fold = votes.seed_out_of_fold
        held_out = None if fold is None else concatenate([fold, votes.rows(rows)])
        rows = np.concatenate([votes.seed_rows, rows])
        labels = np.concatenate([votes.seed_labels, labels])
    order = np.argsort(rows)
    return replace(
        votes,
        seed_rows=rows[order],
        seed_labels=labels[order],
        seed_out_of_fold=None if held_out is None else held_out.rows(order),
    )


def merge_patterns(parts: Sequence[Patterns]) -> Patterns:
    """Add up the counts of vote patterns found in different images.

    The same as the patterns of all images at once: shards can be counted apart. The
    images of the parts follow one another in `inverse`.
    """
    joined = concatenate([part.votes for part in parts])
    found = joined.patterns(np.concatenate([part.counts for part in parts]))
    starts = np.cumsum([0, *(len(part.counts) for part in parts[:-1])])
    inverse = [
        found.inverse[start + part.inverse]
        for start, part in zip(starts, parts, strict=True)
    ]
    return replace(found, inverse=np.concatenate(inverse))


def _plain_sets(
    hard: NDArray[np.int16], allowed: NDArray[np.bool_]
) -> tuple[NDArray[np.int16], NDArray[np.bool_] | None]:
    """Turn sets of one class into votes for it, and those of all classes into none.

    None for `allowed` where no other set is left.
    """
    sizes = allowed.sum(axis=2, dtype=np.int16)  # (n, m)
    alone = (sizes == 1) & (hard == ABSTAIN)
    plain = alone | (sizes == allowed.shape[2])
    if not plain.any():
        return hard, allowed
    hard = np.where(alone, allowed.argmax(axis=2), hard).astype(np.int16)
    left = allowed & ~plain[:, :, None]
    return hard, left if left.any() else None


def _row_keys(arrays: Sequence[NDArray[Any]], salt: int) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each row, (n,); equal rows have equal keys."""
    # Sorting the rows themselves would hold three more copies of the soft votes.
    keys = np.zeros(len(arrays[0]), dtype=np.uint64)
    for position, array in enumerate(arrays):
        width = array[:1].nbytes
        n_words = -(-width // 8)
        offsets = np.random.default_rng([salt, position]).integers(
            2**64, size=n_words, dtype=np.uint64
        )
        for rows in _chunks(array, len(array)):
            flat = np.ascontiguousarray(array[rows]).view(np.uint8)
            words = np.zeros((len(flat), n_words * 8), dtype=np.uint8)
            words[:, :width] = flat.reshape(len(flat), width)
            keys[rows] += mixed_bits(words.view(np.uint64) ^ offsets).sum(axis=1)
    return keys


def _equal_rows(
    arrays: Sequence[NDArray[Any]], rows: NDArray[np.int64], others: NDArray[np.int64]
) -> bool:
    """Return whether row rows[i] equals row others[i] for all i."""
    return all(
        np.array_equal(array[rows[part]], array[others[part]])
        for array in arrays
        for part in _chunks(array, len(rows))
    )


def _chunks(array: NDArray[Any], n: int) -> Iterator[slice]:
    """Yield ranges of n rows, each of at most 8 MB."""
    n_rows = max(1, 2**23 // max(1, array[:1].nbytes))
    for start in range(0, n, n_rows):
        yield slice(start, start + n_rows)
