"""Options of `lfkit apply`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from lfkit.errors import DeclarationError, InputError
from lfkit.runs.options import (
    Option,
    as_declared,
    check_seed,
    parse_size,
    shares_of,
    split_list,
)

BASELINE = "baseline"  # instead of an aggregator: the best plain classifier

# Options that other commands have, too.
Data = Annotated[
    str,
    Option(
        "A named data set (digits, fashion-mnist), a folder of images, .npz, idx "
        "files, or a CSV/Parquet manifest.",
        metavar="DATA",
        is_argument=True,
    ),
]
Out = Annotated[Path, Option("The run folder.", metavar="RUN")]
Size = Annotated[
    tuple[int, int] | None,
    Option(
        "Resize every image: 64, or 64x48 (height x width).",
        metavar="SIZE",
        parse=parse_size,
    ),
]
Color = Annotated[
    str | None, Option("Convert every image: gray or rgb.", metavar="COLOR")
]
Kinds = Annotated[
    tuple[str, ...],
    Option(
        "Only functions of these kinds: heuristic,deep,…",
        metavar="KIND,…",
        parse=split_list,
    ),
]
ClassBalance = Annotated[
    tuple[float, ...] | None,
    Option(
        "Shares of the classes, if known: .5,.3,.2",
        metavar="P,…",
        parse=shares_of("--class-balance"),
    ),
]
Seed = Annotated[int, Option("For every random choice.")]


@dataclass(frozen=True)
class ApplyOptions:
    """Options of `lfkit apply`: of the command line, of Python, of run.json.

    Raises
    ------
    InputError, DeclarationError : a value is out of range, or two exclude each other.
    """

    data: Data
    lfs: Annotated[
        tuple[str, ...],
        Option(
            "Labeling functions: a module (lf_library.digits), a file (my_lfs.py) or "
            "one of its names (my_lfs.py:name). May be repeated.",
            metavar="SPEC",
        ),
    ] = ()
    votes: Annotated[
        Path | None, Option("Votes made elsewhere, instead of --lfs.", metavar="FILE")
    ] = None
    out: Out = Path("run")
    kinds: Kinds = ()
    seed_labels: Annotated[
        Path | None,
        Option(
            "The labels you have: a CSV with image_id and label, or Label Studio's "
            "JSON.",
            metavar="FILE",
        ),
    ] = None
    seeds_per_class: Annotated[
        int | None,
        Option(
            "Draw N labeled images per class as the only labels lfkit sees.",
            metavar="N",
        ),
    ] = None
    seed: Seed = 0
    aggregator: Annotated[
        str,
        Option(
            "How votes become labels (lfkit list); baseline: the labels of the best "
            "plain classifier trained on the seeds.",
            name="--with",
            metavar="NAME",
        ),
    ] = "auto"
    refine: Annotated[bool, Option("Improve the labels by looking at the images.")] = (
        False
    )
    stages: Annotated[
        tuple[str, ...],
        Option(
            "Only these stages of --refine: lda,align,self-training,"
            "diffuse,metric,fine-tune,cnn,joint",
            metavar="STAGE,…",
            parse=split_list,
        ),
    ] = ()
    encoders: Annotated[
        tuple[str, ...],
        Option(
            "A trained network that --refine looks with too (lfkit list encoders). May "
            "be repeated.",
            name="--encoder",
            metavar="NAME",
        ),
    ] = ()
    max_minutes: Annotated[float | None, Option("Time for --refine.", metavar="M")] = (
        None
    )
    target_precision: Annotated[
        float | None,
        Option(
            "Keep the largest set of labels whose estimated precision is at least P, "
            "such as .95.",
            metavar="P",
        ),
    ] = None
    class_balance: ClassBalance = None
    size: Size = None
    color: Color = None
    strict: Annotated[bool, Option("Stop at the first fault.")] = False
    lf_timeout: Annotated[
        float | None,
        Option("Seconds before one call of a per-image function is killed."),
    ] = 30.0
    recompute: Annotated[
        tuple[str, ...],
        Option(
            "Vote again with this function or feature, or all, and do not use what is "
            "stored. May be repeated.",
            metavar="NAME",
        ),
    ] = ()
    baselines: Annotated[
        bool, Option("Score plain classifiers trained on the seeds, to compare.")
    ] = True
    sheet: Annotated[bool, Option("Draw the contact sheet of the labels.")] = True

    def __post_init__(self) -> None:
        as_declared(self)
        if bool(self.lfs) == (self.votes is not None):
            raise DeclarationError(
                "give labeling functions with --lfs SPEC, or votes made elsewhere with "
                "--votes FILE."
            )
        if self.recompute and self.votes is not None:
            raise DeclarationError(
                "--recompute is for --lfs; a file of votes is read anew."
            )
        for_refining = (self.max_minutes is not None, self.stages, self.encoders)
        if not self.refine and any(for_refining):
            raise DeclarationError(
                "--max-minutes, --stages and --encoder are for --refine; add it."
            )
        if self.seed_labels is not None and self.seeds_per_class is not None:
            raise DeclarationError("give --seed-labels or --seeds-per-class, not both.")
        check_seed(self.seed)
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
