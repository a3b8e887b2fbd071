"""What `lfkit active` was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lfkit.commands.active.query_strategies import QUERIES
from lfkit.errors import InputError

ORACLES = ("data", "csv", "label-studio")


@dataclass(frozen=True)
class ActiveOptions:
    """What `lfkit active` was asked for.

    Attributes
    ----------
    name : of the generator.
    budget : labels to ask for, in all.
    per_round : labels to ask for before the next training; None: a quarter of them.
    query : a name of QUERIES.
    oracle : who answers: "data", "csv" or "label-studio".
    quota : no predicted class gives more than its share of a round.
    answers : what was exported from Label Studio.
    settings : of the generator and its plan, by name.
    restart : begin anew; answers of people are kept under another name.
    lfs : where the run's functions are taken from; empty: where it says itself.
    trust_code : run what the run names, whoever wrote it.
    """

    name: str
    budget: int
    per_round: int | None = None
    query: str = "uncertainty"
    oracle: str = "data"
    quota: bool = True
    answers: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    restart: bool = False
    lfs: tuple[str, ...] = ()
    trust_code: bool = False

    def sizes(self) -> list[int]:
        """Count the images of each round."""
        each = self.per_round or -(-self.budget // 4)
        whole, rest = divmod(self.budget, each)
        return [each] * whole + [rest] * (rest > 0)

    def check(self) -> None:
        """Refuse what makes no sense, before anything is begun."""
        if self.budget < 1:
            raise InputError(f"--budget is {self.budget}; give 1 or more.")
        if self.per_round is not None and not 1 <= self.per_round <= self.budget:
            raise InputError(
                f"--per-round is {self.per_round}; give 1 to {self.budget}, the budget."
            )
        if self.query not in QUERIES:
            raise InputError(
                f"there is no query {self.query!r}; choose from {', '.join(QUERIES)}."
            )
        if self.oracle not in ORACLES:
            raise InputError(
                f"there is no oracle {self.oracle!r}; choose from {', '.join(ORACLES)}."
            )
        if self.answers is not None and self.oracle != "label-studio":
            raise InputError(
                "--answers is what Label Studio exported; give --oracle label-studio "
                "with it, or leave it out."
            )
        if self.answers is not None and not self.answers.is_file():
            raise InputError(f"there is no file {self.answers} with answers.")
