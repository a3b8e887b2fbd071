"""Options of the commands that read votes or a finished run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from lfkit.errors import InputError
from lfkit.runs.options import Option, check_seed, parse_size, shares_of, split_list

RunFolder = Annotated[Path, Option("A run folder of `lfkit apply`.", is_argument=True)]
LabelsFile = Annotated[
    Path | None,
    Option("True labels: a CSV with image_id and label.", metavar="FILE"),
]
GeneratedFiles = Annotated[
    tuple[Path, ...],
    Option(
        "Generated images beside those of the run: .npz with images and proba. May be "
        "repeated.",
        metavar="FILE",
    ),
]
VotesPath = Annotated[
    Path, Option("A run folder, or a file of votes (.npy, .csv, …).", is_argument=True)
]
NClasses = Annotated[int | None, Option("Number of classes of a file of votes.")]


@dataclass(frozen=True)
class AggregateOptions:
    """Options of `lfkit aggregate`."""

    votes: VotesPath
    aggregator: Annotated[
        str,
        Option(
            "How votes become labels (lfkit list): an aggregator, or a generator "
            "trained in the run.",
            name="--with",
            metavar="NAME",
        ),
    ]
    out: Annotated[
        Path | None,
        Option(
            "Where labels.parquet and labels.csv go; without it labels-NAME.* beside "
            "the run's own labels.",
            metavar="FOLDER",
        ),
    ] = None
    class_balance: Annotated[
        tuple[float, ...] | None,
        Option(
            "Shares of the classes, if known.",
            metavar="P,…",
            parse=shares_of("--class-balance"),
        ),
    ] = None
    n_classes: NClasses = None
    seed: Annotated[
        int | None, Option("For every random choice; by default the run's, or 0.")
    ] = None

    def __post_init__(self) -> None:
        check_seed(self.seed or 0)


@dataclass(frozen=True)
class ExportOptions:
    """Options of `lfkit export`."""

    votes: VotesPath
    out: Annotated[
        Path,
        Option(
            "Where the votes go: .npz (everything), .npy (Snorkel), .csv or .parquet, "
            "or a name without ending (a WRENCH folder).",
            metavar="FILE",
        ),
    ]
    format: Annotated[
        str | None,
        Option(
            "npz, table, snorkel, wrench, crowd-kit (task, worker, label) or sparse "
            "(scipy's .npz); without it the ending decides.",
            name="--as",
            metavar="FORMAT",
        ),
    ] = None
    n_classes: NClasses = None
