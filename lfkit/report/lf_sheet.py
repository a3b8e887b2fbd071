"""A picture of the votes: for each labeling function, some images it voted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_source import ImageSource
from lfkit.data.votes import ABSTAIN, Votes
from lfkit.labeling.analysis import LFAnalysis
from lfkit.report.examples import vote_examples
from lfkit.report.tile_sheet import Sheet, SheetRow, Tile

_PER_FUNCTION = 14
_MOST_FUNCTIONS = 400  # a picture that viewers still open
_NOTE = (
    "Under each image: the class voted for and, where that is wrong, what it is. "
    "Weighted votes: the most confident left, the least confident right."
)


def lf_sheet(
    source: ImageSource,
    votes: Votes,
    path: Path,
    *,
    class_names: Sequence[str],
    title: str,
    docs: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    truth: NDArray[np.int64] | None = None,
    exclude: NDArray[np.bool_] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a PNG with a row per labeling function: its claim, and images it voted on.

    Parameters
    ----------
    source : the n images that the votes are about; only those shown are read.
    docs, kinds : the m functions' claims and kinds.
    truth : (n,) true classes, -1 where unknown: for frames, marks and accuracies.
    exclude : (n,) images neither shown nor scored, such as the seeds.
    progress : called with the number of images read and the number of all.
    """
    kept = np.ones(len(votes), bool) if exclude is None else ~exclude
    known = np.full(len(votes), ABSTAIN) if truth is None else np.where(kept, truth, -1)
    table = LFAnalysis(votes)
    coverages, accuracies = table.lf_coverages(), table.lf_empirical_accuracies(known)
    rows = []
    for j, name in enumerate(votes.names[:_MOST_FUNCTIONS]):
        figures = [kinds[j]] if kinds else []
        figures.append(f"votes on {coverages[j]:.1%}")
        if not np.isnan(accuracies[j]):
            figures.append(f"right on {accuracies[j]:.1%} of them")
        tiles = _tiles(votes, j, kept, known, class_names)
        silence = "" if tiles else _silence(votes, j)
        claim = docs[j] if docs else ""
        rows.append(SheetRow(name, claim, " · ".join(figures), [tiles], silence))
    if len(rows) < votes.n_functions:
        title += f" (the first {len(rows)} of {votes.n_functions} functions)"
    sheet = Sheet(rows, title, _NOTE, class_names, _PER_FUNCTION, text_width=404)
    sheet.save(source, path, progress)


def _tiles(
    votes: Votes,
    j: int,
    kept: NDArray[np.bool_],
    truth: NDArray[np.int64],
    class_names: Sequence[str],
) -> list[Tile]:
    tiles = []
    for row in vote_examples(votes, j, kept, _PER_FUNCTION).tolist():
        named = votes.named(row, j)
        caption = " or ".join(class_names[label] for label in named)
        tiles.append(Tile(row, caption, named, int(truth[row])))
    return tiles


def _silence(votes: Votes, j: int) -> str:
    if not votes.voted[:, j].any():
        return f"never voted on these {len(votes):,} images"
    return "voted only on seeds, or on images that cannot be read"
