"""What each save of a function file did: figures over time, and the labels' change."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lfkit.data.files import write_atomically
from lfkit.studio.outcome import Outcome

_MOST = 200


@dataclass(frozen=True)
class LabelChange:
    """How labels differ between two outcomes, on the images that both have.

    Attributes
    ----------
    labeled, lost : images that have a label now and had none, and the other way round.
    changed : images with another label than before.
    of : images compared.
    accuracy_before, accuracy : on held-out answers; None without any.
    """

    labeled: int
    lost: int
    changed: int
    of: int
    accuracy_before: float | None
    accuracy: float | None

    @property
    def sentence(self) -> str:
        """Say it in a line.

        >>> LabelChange(312, 0, 41, 2000, 0.81, 0.84).sentence
        '+312 labeled, 41 changed, right on answers .81 → .84'
        """
        parts = []
        if self.labeled or not self.lost:
            parts.append(f"+{self.labeled:,} labeled")
        if self.lost:
            parts.append(f"{self.lost:,} no longer")
        parts.append(f"{self.changed:,} changed")
        if self.accuracy is not None:
            now = _short(self.accuracy)
            before = self.accuracy_before
            parts.append(
                f"right on answers {now}"
                if before is None or _short(before) == now
                else f"right on answers {_short(before)} → {now}"
            )
        return ", ".join(parts)


@dataclass(frozen=True)
class Save:
    """One save: when, the labels' change, and name → [coverage, accuracy]."""

    when: str
    sentence: str
    edited: tuple[str, ...]
    functions: dict[str, list[float | None]] = field(default_factory=dict)


class Saves:
    """All saves of a run, kept in a file.

    Parameters
    ----------
    path : the file; what cannot be read counts as no save.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.saves: list[Save] = _read(path)

    def add(
        self, when: str, before: Outcome | None, now: Outcome, edited: tuple[str, ...]
    ) -> Save:
        """Note an outcome that came of a save."""
        sentence = "" if before is None else label_change(before, now).sentence
        save = Save(
            when,
            sentence,
            edited,
            {one.name: [one.coverage, one.accuracy] for one in now.functions},
        )
        self.saves = [*self.saves, save][-_MOST:]
        text = json.dumps([asdict(one) for one in self.saves])
        write_atomically(self.path, text.encode())
        return save

    def coverage_of(self, name: str) -> list[float]:
        """Give a function's coverage after each save in which it was there."""
        found = [save.functions.get(name) for save in self.saves]
        return [
            float(one[0]) for one in found if one is not None and one[0] is not None
        ]


def label_change(before: Outcome, now: Outcome) -> LabelChange:
    """Compare the labels of two outcomes; class names count, not their numbers."""
    _, old, new = np.intersect1d(
        before.rows[before.is_shown], now.rows[now.is_shown], return_indices=True
    )
    names = list(dict.fromkeys([*before.class_names, *now.class_names]))
    number = {name: y for y, name in enumerate(names)}
    a, b = (
        np.asarray([*(number[name] for name in one.class_names), -1])[
            one.labels[one.is_shown][rows]
        ]
        for one, rows in ((before, old), (now, new))
    )
    return LabelChange(
        labeled=int(((a < 0) & (b >= 0)).sum()),
        lost=int(((a >= 0) & (b < 0)).sum()),
        changed=int(((a >= 0) & (b >= 0) & (a != b)).sum()),
        of=len(a),
        accuracy_before=_accuracy(before),
        accuracy=_accuracy(now),
    )


def edited_functions(before: Outcome | None, now: Outcome) -> tuple[str, ...]:
    """Name the functions that are new or whose code has changed."""
    keys = {} if before is None else {one.name: one.key for one in before.functions}
    return tuple(one.name for one in now.functions if keys.get(one.name) != one.key)


def _accuracy(outcome: Outcome) -> float | None:
    return outcome.seed_right / outcome.seed_judged if outcome.seed_judged else None


def _short(share: float) -> str:
    text = f"{share:.2f}"
    return text.removeprefix("0") if share < 1 else text


def _read(path: Path) -> list[Save]:
    try:
        held: list[dict[str, Any]] = json.loads(path.read_bytes())
        return [Save(**{**one, "edited": tuple(one["edited"])}) for one in held]
    except (OSError, ValueError, TypeError, KeyError):
        return []
