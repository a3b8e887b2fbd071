"""Votes that are there already: those of a run folder, or of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfkit.data.vote_files import VoteFile, read_votes
from lfkit.runs.run_config import load_config
from lfkit.runs.run_files import load_images, load_votes, not_scored, unreadable_rows


@dataclass(frozen=True, eq=False)
class StoredVotes:
    """Votes, and what is known of their images.

    Attributes
    ----------
    file : votes, image ids, classes and known labels, those of the seeds among them.
    given : (n,) images not to be scored.
    run : the folder of the run; None: a file.
    unreadable : rows without pixels.
    class_balance, seed : of the run.
    """

    file: VoteFile
    given: NDArray[np.bool_]
    run: Path | None = None
    unreadable: Sequence[int] = field(default=())
    class_balance: tuple[float, ...] | None = None
    seed: int = 0

    @property
    def class_names(self) -> tuple[str, ...]:
        """The k classes; numbers where they have no names."""
        numbers = map(str, range(self.file.votes.n_classes))
        return self.file.class_names or tuple(numbers)

    @property
    def truth(self) -> NDArray[np.int64]:
        """(n,) known classes, or -1."""
        labels = self.file.labels
        return np.full(len(self.file.votes), -1) if labels is None else labels


def read_stored_votes(path: Path, n_classes: int | None = None) -> StoredVotes:
    """Read the votes of a run folder or of a file.

    Parameters
    ----------
    n_classes : of a file that does not say it.
    """
    if (path / "run.json").exists():
        return _of_run(path)
    file = read_votes(path, n_classes)
    given = np.zeros(len(file.votes), bool)
    if file.votes.seed_rows is not None:
        given[file.votes.seed_rows] = True
    return StoredVotes(file, given)


def _of_run(run: Path) -> StoredVotes:
    config = load_config(run)
    votes = load_votes(run, config)
    index = load_images(run)
    assert index is not None, "load_votes has read it"
    labels = index.column("true_class").to_numpy().astype(np.int64)
    if votes.seed_rows is not None and votes.seed_labels is not None:
        labels[votes.seed_rows] = votes.seed_labels
    ids = tuple(index.column("image_id").to_pylist())
    return StoredVotes(
        VoteFile(votes, ids, labels, config.class_names),
        not_scored(index, votes),
        run,
        unreadable_rows(index),
        config.options.class_balance,
        config.options.seed,
    )
