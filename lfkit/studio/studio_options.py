"""Options of `lfkit studio`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from lfkit.errors import DeclarationError, InputError
from lfkit.runs.apply_options import (
    ApplyOptions,
    ClassBalance,
    Color,
    Data,
    Kinds,
    Out,
    Seed,
    Size,
)
from lfkit.runs.options import (
    Option,
    as_declared,
    check_seed,
)

FIRST_PORT = 8765


@dataclass(frozen=True)
class StudioOptions:
    """Options of `lfkit studio`: of the command line and of Python.

    Raises
    ------
    InputError, DeclarationError : a value is out of range, or one is missing.
    """

    data: Data
    lfs: Annotated[
        tuple[str, ...],
        Option(
            "Labeling functions: a file (my_lfs.py), a module, or one name of either "
            "(my_lfs.py:name). May be repeated.",
            metavar="SPEC",
        ),
    ] = ()
    out: Out = Path("run")
    seed_labels: Annotated[
        Path | None,
        Option(
            "The CSV of labels that answers are added to; RUN/seeds.csv without it.",
            metavar="FILE",
        ),
    ] = None
    size: Size = None
    color: Color = None
    aggregator: Annotated[
        str,
        Option("How votes become labels (lfkit list).", name="--with", metavar="NAME"),
    ] = "auto"
    kinds: Kinds = ()
    class_balance: ClassBalance = None
    seed: Seed = 0
    preview: Annotated[
        int, Option("Images that an edit is tried on first.", metavar="N")
    ] = 2000
    port: Annotated[
        int | None,
        Option(
            f"Where the page is served; without it the first free port from "
            f"{FIRST_PORT} on.",
            metavar="PORT",
        ),
    ] = None
    browser: Annotated[bool, Option("Open the page in a browser.")] = True

    def __post_init__(self) -> None:
        as_declared(self)
        if not self.lfs:
            raise DeclarationError(
                "give labeling functions with --lfs SPEC, such as --lfs my_lfs.py."
            )
        check_seed(self.seed)
        if self.preview < 1:
            raise InputError(f"--preview is {self.preview}; give at least 1 image.")
        if self.port is not None and not 0 <= self.port < 65536:
            raise InputError(f"--port is {self.port}; give a number from 0 to 65535.")
        if self.seed_labels is not None and self.seed_labels.suffix.lower() != ".csv":
            raise InputError(
                f"--seed-labels is {self.seed_labels}; the studio adds answers to a "
                "file that ends in .csv."
            )

    @property
    def answers(self) -> Path:
        """The file that answers are written to."""
        return self.seed_labels or self.out / "seeds.csv"

    def of_apply(self, *, has_seeds: bool) -> ApplyOptions:
        """Give what `lfkit apply` is asked for, on all images."""
        return ApplyOptions(
            self.data,
            lfs=self.lfs,
            out=self.out,
            seed_labels=self.answers if has_seeds else None,
            kinds=self.kinds,
            aggregator=self.aggregator,
            class_balance=self.class_balance,
            seed=self.seed,
            size=self.size,
            color=self.color,
            baselines=False,
            sheet=False,
        )
