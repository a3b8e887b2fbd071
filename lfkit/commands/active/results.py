"""What `lfkit active` reports: each round, the labels gained, what it waits for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lfkit.commands.active.answered_run import AnsweredAccuracy


@dataclass(frozen=True)
class RoundSummary:
    """One round of questions.

    Attributes
    ----------
    round : its number, from 1.
    asked : images that were answered.
    guesses_right : share of them whose class the generator guessed; None without any.
    classes : class → answers.
    largest_share : of the answers, of one class.
    accuracy : of the labels with the answers so far; None if no truth is known.
    """

    round: int
    asked: int
    guesses_right: float | None
    classes: dict[str, int]
    largest_share: float
    accuracy: AnsweredAccuracy | None


@dataclass(frozen=True)
class WaitingFor:
    """What people have to do before the command can go on.

    Attributes
    ----------
    file : to fill in or to import.
    asked, missing : images.
    what : to do, in a sentence.
    """

    file: str
    asked: int
    missing: int
    what: str


@dataclass(frozen=True)
class LabeledCounts:
    """How many images have a label, before and after the answers."""

    before: int
    after: int


@dataclass(frozen=True)
class ActiveSummary:
    """Result of `lfkit active`.

    Attributes
    ----------
    asked : images that were answered, of `budget`.
    accuracy : after the last round.
    refined_before : the run's own labels were refined.
    waiting : None when all is done.
    trained : name of the last generator; None while waiting.
    """

    generator: str
    query: str
    oracle: str
    budget: int
    asked: int
    rounds: tuple[RoundSummary, ...]
    accuracy: AnsweredAccuracy | None
    labeled: LabeledCounts
    refined_before: bool
    waiting: WaitingFor | None
    notes: tuple[str, ...]
    trained: str | None
    files: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON-ready values."""
        return asdict(self)
