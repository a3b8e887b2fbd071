"""Scores laid out to be read: of the scores of many classes only the worst."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lfkit.metrics.metric import Score

_MOST_CLASSES = 20
_WORST = 5


@dataclass(frozen=True)
class ScoreRow:
    """One score of every set that has it.

    Attributes
    ----------
    cells : name of a set → its score.
    """

    title: str
    better: str
    cells: Mapping[str, Score]


@dataclass(frozen=True)
class ScoreBlock:
    """One score, or those of all classes.

    Attributes
    ----------
    shown : its rows; of more than twenty classes the worst five, the worst first.
    folded : the other classes', the worst first.
    note : what is folded, or "".
    """

    shown: Sequence[ScoreRow]
    folded: Sequence[ScoreRow] = ()
    note: str = ""


def score_blocks(sets: Mapping[str, Sequence[Score]]) -> list[ScoreBlock]:
    """Lay out the scores of sets of images, by the sets' names, in their order."""
    cells: dict[str, dict[str, Score]] = {}
    for name, scores in sets.items():
        for score in scores:
            cells.setdefault(score.title, {})[name] = score
    blocks: dict[tuple[str, str], list[ScoreRow]] = {}
    for title, found in cells.items():
        score = next(iter(found.values()))
        part_of = score.part_of
        key = (part_of, score.protocol.extractor if part_of else title)
        blocks.setdefault(key, []).append(ScoreRow(title, score.better, found))
    return [_block(part_of, rows) for (part_of, _), rows in blocks.items()]


def _block(part_of: str, rows: Sequence[ScoreRow]) -> ScoreBlock:
    if len(rows) <= _MOST_CLASSES:
        return ScoreBlock(rows)
    ordered = sorted(rows, key=_badness, reverse=True)
    note = f"{part_of}: {len(rows) - _WORST} more classes, the worst are above"
    return ScoreBlock(ordered[:_WORST], ordered[_WORST:], note)


def _badness(row: ScoreRow) -> float:
    """Say how bad the worst score of a row is; -inf if none could be computed."""
    found = [-math.inf]
    for score in row.cells.values():
        value = score.value
        if math.isnan(value):
            continue
        if row.better:
            found.append(value if row.better == "lower" else -value)
        else:
            # The share of a class: far from the wanted one.
            wanted = score.protocol.details.get("wanted", 0)
            found.append(abs(value - float(wanted)))
    return max(found)
