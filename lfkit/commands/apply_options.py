"""What `lfkit apply` was asked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from lfkit.errors import InputError


@dataclass(frozen=True)
class ApplyOptions:
    """What `lfkit apply` was asked; each field is an option of the command.

    Attributes
    ----------
    data : a named data set, folder or file.
    specs : where the labeling functions are; empty if `votes_file` is given.
    out : the run folder.
    size : (height, width) to resize every image to.
    aggregator : a name in AGGREGATORS, or "baseline": the labels are those of the plain
        classifier that votes have to beat.
    refine : improve the labels by looking at the images.
    stages : of refinement, by name; empty: all.
    max_minutes : of refinement; None: as long as it takes.
    target_precision : keep only labels that reach it together; None keeps all.
    lf_timeout : seconds; None waits for ever.
    recompute : functions and features whose stored values are not used, or "all".
    """

    data: str
    out: Path
    specs: tuple[str, ...] = ()
    votes_file: Path | None = None
    kinds: tuple[str, ...] = ()
    seed_labels: Path | None = None
    seeds_per_class: int | None = None
    seed: int = 0
    aggregator: str = "auto"
    refine: bool = False
    stages: tuple[str, ...] = ()
    max_minutes: float | None = None
    target_precision: float | None = None
    class_balance: tuple[float, ...] | None = None
    size: tuple[int, int] | None = None
    color: str | None = None
    strict: bool = False
    lf_timeout: float | None = 30.0
    baselines: bool = True
    sheet: bool = True
    recompute: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"--seed is {self.seed}; give a whole number from 0 on.")
        if self.max_minutes is not None and not 0 < self.max_minutes < math.inf:
            raise InputError(
                f"--max-minutes is {self.max_minutes:g}; give a number above 0."
            )
        if self.target_precision is not None and not 0 < self.target_precision < 1:
            raise InputError(
                f"--target-precision is {self.target_precision:g}; give a share "
                "between 0 and 1, such as .95."
            )
        if self.lf_timeout is not None and not 0 < self.lf_timeout < math.inf:
            raise InputError(
                f"--lf-timeout is {self.lf_timeout:g}; give a number of seconds above "
                "0."
            )
