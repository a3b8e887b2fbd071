"""Write votes for other tools, and say what their formats cannot hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.vote_files import archives, long_table, wide_table, wrench
from lfkit.data.vote_files.vote_file import VoteFile
from lfkit.data.votes import ABSTAIN, Votes
from lfkit.errors import VotesError


@dataclass(frozen=True)
class VoteFormat:
    """A format of votes.

    Attributes
    ----------
    endings : of its files; "" is a folder.
    holds : what it keeps beside one class per vote.
    """

    write: Callable[[Path, VoteFile], None]
    endings: tuple[str, ...]
    holds: tuple[str, ...]


_IDS, _LABELS, _NAMES, _CLASSES = (
    "image ids",
    "labels",
    "names of functions",
    "names of classes",
)
FORMATS = {
    "npz": VoteFormat(archives.write, (".npz",), (_IDS, _LABELS, _NAMES, _CLASSES)),
    "table": VoteFormat(
        wide_table.write, (".csv", ".parquet"), (_IDS, _LABELS, _NAMES)
    ),
    "snorkel": VoteFormat(archives.write_matrix, (".npy",), ()),
    "wrench": VoteFormat(wrench.write, ("",), (_IDS, _LABELS, _CLASSES)),
    "crowd-kit": VoteFormat(
        long_table.write, (".csv", ".parquet"), (_IDS, _NAMES, _CLASSES)
    ),
    "sparse": VoteFormat(archives.write_sparse, (".npz",), ()),
}
"""The formats by name; an ending alone means the first that has it."""


def write_votes(
    path: Path,
    votes: Votes,
    *,
    ids: Sequence[str] | None = None,
    labels: NDArray[Any] | None = None,
    class_names: Sequence[str] | None = None,
    format: str | None = None,
) -> list[str]:
    """Write votes, and return a sentence for each thing the format cannot hold.

    Parameters
    ----------
    ids : n image ids.
    labels : (n,) true classes, -1 where unknown.
    class_names : k names.
    format : a name in FORMATS; None: by the ending of the path.
    """
    name = _format_of(path, format)
    file = VoteFile(
        votes,
        None if ids is None else tuple(ids),
        labels,
        None if class_names is None else tuple(class_names),
    )
    FORMATS[name].write(path, file)
    return [*_left_out(file, name)]


def _format_of(path: Path, name: str | None) -> str:
    ending = "" if path.is_dir() else path.suffix
    if name is None:
        for found, member in FORMATS.items():
            if ending in member.endings:
                return found
        raise VotesError(
            f"{path} has no ending that votes are written with; give .npz, .csv, "
            ".parquet, .npy, or a name without ending for a WRENCH folder."
        )
    if name not in FORMATS:
        raise VotesError(
            f"there is no format {name!r} of votes; choose from {', '.join(FORMATS)}."
        )
    # A folder may be called anything.
    if name != "wrench" and ending not in FORMATS[name].endings:
        raise VotesError(
            f"{path} cannot be {name}: its files end in "
            f"{' or '.join(FORMATS[name].endings)}."
        )
    return name


def _left_out(file: VoteFile, name: str) -> Iterator[str]:
    votes, holds = file.votes, FORMATS[name].holds
    default = tuple(f"function_{j}" for j in range(votes.n_functions))
    known = {
        _IDS: file.ids is not None,
        _LABELS: file.labels is not None and bool((file.labels >= 0).any()),
        _NAMES: votes.names != default,
        _CLASSES: file.class_names is not None,
    }
    lost = [what for what, has in known.items() if has and what not in holds]
    if lost:
        yield f"{_listed(lost)} are left out: {name} holds none."
    if votes.seed_rows is not None:
        yield (
            f"Which {len(votes.seed_rows):,} images are seeds, and how functions "
            "fitted without them vote there, is left out."
        )
    if name == "npz":
        return
    if votes.soft is not None:
        yield "Soft votes are written as their most probable class; .npz keeps them."
    n_sets = int((votes.voted & (votes.hard == ABSTAIN)).sum())
    if n_sets:
        yield f"{n_sets:,} votes for several classes are left out; .npz keeps them."
    if name == "crowd-kit":
        yield from _left_out_of_long_tables(file)
    elif name != "wrench" and _largest(file, name) + 1 < votes.n_classes:
        yield (
            f"That there are {votes.n_classes} classes is left out: say so when you "
            "read it."
        )


def _left_out_of_long_tables(file: VoteFile) -> Iterator[str]:
    cast = file.votes.hard != ABSTAIN
    silent = {"images": ~cast.any(axis=1), "functions": ~cast.any(axis=0)}
    lost = [
        f"{int(rows.sum()):,} {what}" for what, rows in silent.items() if rows.any()
    ]
    if lost:
        yield f"{_listed(lost)} without a vote are left out: it has a row per vote."
    given = np.unique(file.votes.hard[cast]).tolist()
    names = file.class_names
    if names is None:
        if max(given, default=0) + 1 < file.votes.n_classes:
            yield (
                f"That there are {file.votes.n_classes} classes is left out: say so "
                "when you read it."
            )
    elif sorted(names[y] for y in given) != [*names]:
        yield "The numbers of the classes are left out: labels are their names."


def _largest(file: VoteFile, name: str) -> int:
    """Return the largest class that a reader will see; it takes two for granted."""
    found = max(1, int(file.votes.hard.max(initial=0)))
    if file.labels is None or _LABELS not in FORMATS[name].holds:
        return found
    return max(found, int(file.labels.max(initial=0)))


def _listed(parts: list[str]) -> str:
    text = " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)
    return text[:1].upper() + text[1:]
