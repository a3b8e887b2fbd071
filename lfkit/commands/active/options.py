"""Options of `lfkit active`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from lfkit.commands.active.query_strategies import QUERIES
from lfkit.commands.options import GivenLFs, RunFolder, TrustCode
from lfkit.commands.train_options import training_settings
from lfkit.errors import InputError
from lfkit.runs.options import Option, as_declared

ORACLES = ("data", "csv", "studio", "label-studio")


@dataclass(frozen=True)
class ActiveOptions:
    """Options of `lfkit active`: of the command line and of Python.

    Raises
    ------
    InputError : a value is out of range, or two exclude each other.
    """

    run: RunFolder
    budget: Annotated[int, Option("Labels to ask for, in all.", metavar="N")]
    generator: Annotated[
        str,
        Option("The generator (lfkit list generators).", name="--with", metavar="NAME"),
    ] = "acgan"
    query: Annotated[
        str,
        Option(
            "Which images: the most confident ones (most-confidence, large-margin, "
            "least-entropy: three measures), uncertainty (the least confident), or "
            "random.",
            metavar="RULE",
        ),
    ] = "uncertainty"
    per_round: Annotated[
        int | None,
        Option(
            "Labels asked for before it is trained again; by default a quarter.",
            metavar="K",
        ),
    ] = None
    quota: Annotated[
        bool,
        Option(
            "Every predicted class gives at most its even share of a round, while "
            "others have images left."
        ),
    ] = True
    oracle: Annotated[
        str,
        Option(
            "Who answers: data (a simulation, by the data's own labels), csv (you fill "
            "in a table), studio (you press keys on a page: see `lfkit studio`) or "
            "label-studio (tasks to import).",
            metavar="WHO",
        ),
    ] = "data"
    answers: Annotated[
        Path | None, Option("A JSON export of Label Studio.", metavar="FILE")
    ] = None
    steps: Annotated[
        int | None, Option("Updates of the networks, each round.", metavar="N")
    ] = None
    settings: Annotated[
        tuple[str, ...],
        Option("A setting. May be repeated.", name="--set", metavar="KEY=VALUE"),
    ] = ()
    seed: Annotated[int, Option("For every random choice.")] = 0
    restart: Annotated[
        bool, Option("Start anew; people's answers are kept under another name.")
    ] = False
    lfs: GivenLFs = ()
    trust_code: TrustCode = False

    def __post_init__(self) -> None:
        as_declared(self)
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

    @property
    def round_sizes(self) -> list[int]:
        """The number of images of each round."""
        each = self.per_round or -(-self.budget // 4)
        whole, rest = divmod(self.budget, each)
        return [each] * whole + [rest] * (rest > 0)

    def generator_settings(self) -> dict[str, Any]:
        """Read the settings of the generator."""
        return training_settings(None, self.settings, self.steps, self.seed)
