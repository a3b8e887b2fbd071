"""A finished run, read back: its votes, labels, images and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfkit.data.datasets import open_images
from lfkit.data.image_source import ImageSource
from lfkit.data.labels import Labels
from lfkit.data.progress import Progress
from lfkit.data.seed_labels import read_labels
from lfkit.data.votes import Votes
from lfkit.errors import DataError, RunError
from lfkit.runs.run_config import AGAIN, RunConfig, load_config
from lfkit.runs.run_files import (
    image_keys,
    load_images,
    load_labels,
    load_votes,
    not_scored,
)
from lfkit.runs.run_summary import RunSummary, load_summary


@dataclass(frozen=True, eq=False)
class Run:
    """A run folder of `lfkit apply`.

    Attributes
    ----------
    truth : (n,) true classes, -1 where unknown.
    given : (n,) images not to be scored: seeds, copies of them, unreadable ones.
    stored : what `apply` wrote into summary.json.
    own_truth : true labels are the data's own, not a file's: `stored` was scored by
        them.
    notes : what was decided when the file of true labels was read.
    may_import : the user has said that the code of `config.options.lfs` may run.
    """

    folder: Path
    config: RunConfig
    index: pa.Table
    votes: Votes
    labels: Labels
    truth: NDArray[np.int64]
    given: NDArray[np.bool_]
    stored: RunSummary
    own_truth: bool = True
    notes: tuple[str, ...] = ()
    may_import: bool = False

    @property
    def scored(self) -> NDArray[np.int64]:
        """(n,) the classes to score by: -1 where unknown or given."""
        return np.where(self.given, -1, self.truth)

    def open_images(self, progress: Progress | None = None) -> ImageSource:
        """Open the images that the run has labeled, if they are still the same."""
        config = self.config
        try:
            source = open_images(
                config.options.data,
                size=config.options.size,
                color=config.options.color,
                known=self.index,
                progress=progress and partial(progress, "reading the files"),
            )
        except DataError as error:
            raise RunError(
                f"the images of {self.folder} cannot be opened: {error} Is this the "
                "folder in which `lfkit apply` was called?"
            ) from error
        if not np.array_equal(source.keys, image_keys(self.index)):
            raise RunError(
                f"the images of {config.options.data} are no longer those that "
                f"{self.folder} has labeled; {AGAIN}."
            )
        return source


def load_run(folder: Path, labels: Path | None = None) -> Run:
    """Read a run folder.

    Parameters
    ----------
    labels : a CSV of true labels; None: those that the data has.
    """
    config = load_config(folder)
    votes = load_votes(folder, config)
    index = load_images(folder)
    assert index is not None, "load_votes has read it"
    truth = index.column("true_class").to_numpy().astype(np.int64)
    notes: tuple[str, ...] = ()
    if labels is not None:
        given = read_labels(
            labels, index.column("image_id").to_pylist(), config.class_names
        )
        truth = np.full(len(truth), -1, np.int64)
        truth[given.rows] = given.labels
        notes = given.notes
    stored = load_summary(folder)
    return Run(
        folder,
        config,
        index,
        votes,
        load_labels(folder, config, index.column("image_id")),
        truth,
        not_scored(index, votes),
        stored if labels is None else stored.without_scores(),
        labels is None,
        notes,
    )
