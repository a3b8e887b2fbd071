"""Options of the commands that read votes or a finished run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from lfkit.errors import InputError
from lfkit.runs.options import Option, as_declared, check_seed, shares_of, split_list

RunFolder = Annotated[Path, Option("A run folder of `lfkit apply`.", is_argument=True)]
GivenLFs = Annotated[
    tuple[str, ...],
    Option(
        "The run's functions, given anew, if they are not yours. May be repeated.",
        metavar="SPEC",
    ),
]
TrustCode = Annotated[
    bool, Option("Run the code that the run names, whoever wrote it.")
]
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
VotesOrPatterns = Annotated[
    Path,
    Option(
        "A run folder, or a file of votes (.npy, .csv, …); or what `lfkit label "
        "--patterns` wrote: 'OUT/*.patterns.parquet'.",
        is_argument=True,
    ),
]
NClasses = Annotated[int | None, Option("Number of classes of a file of votes.")]


@dataclass(frozen=True)
class AggregateOptions:
    """Options of `lfkit aggregate`."""

    votes: VotesOrPatterns
    aggregator: Annotated[
        str,
        Option(
            "How votes become labels (lfkit list): an aggregator, or a generator "
            "trained in the run.",
            name="--with",
            metavar="NAME",
        ),
    ] = "auto"
    out: Annotated[
        Path | None,
        Option(
            "Where the labels go: a .parquet or .csv, or a folder for labels.parquet "
            "and labels.csv; without it labels-NAME.* beside the run's own labels. Of "
            "patterns: a new folder for the labeler.",
            metavar="FILE",
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
    labeler: Annotated[
        Path | None,
        Option(
            "Of patterns: the labeler that voted; by default as label.json says.",
            metavar="LABELER",
        ),
    ] = None

    def __post_init__(self) -> None:
        as_declared(self)
        check_seed(self.seed or 0)


@dataclass(frozen=True)
class FreezeOptions:
    """Options of `lfkit freeze`."""

    run: RunFolder
    out: Annotated[Path, Option("A new folder for the labeler.", metavar="LABELER")]
    lfs: GivenLFs = ()
    trust_code: TrustCode = False

    def __post_init__(self) -> None:
        as_declared(self)


@dataclass(frozen=True)
class ExportOptions:
    """Options of `lfkit export`."""

    votes: VotesPath
    out: Annotated[
        Path | None,
        Option(
            "Where it goes: votes to .npz (everything), .npy (Snorkel), .csv or "
            ".parquet, or a name without ending (a WRENCH folder); labeled images to a "
            "new folder, of Label Studio to .json. A file that is there is replaced.",
            metavar="FILE",
        ),
    ] = None
    format: Annotated[
        str | None,
        Option(
            "Votes: npz, table, snorkel, wrench, crowd-kit (task, worker, label) or "
            "sparse (scipy's .npz); without it the ending decides. Labeled images of "
            "a run: huggingface, label-studio, fiftyone or folders (copies, named by "
            "row and name).",
            name="--as",
            metavar="FORMAT",
        ),
    ] = None
    n_classes: NClasses = None
    classifier: Annotated[
        Path | None,
        Option(
            "Instead of --out: a small network that learns the run's labels, for new "
            "images, as .onnx.",
            metavar="FILE",
        ),
    ] = None
    classifier_steps: Annotated[int, Option("Of the training of --classifier.")] = 1300

    def __post_init__(self) -> None:
        as_declared(self)
        if (self.out is None) == (self.classifier is None):
            raise InputError(
                "give --out FILE for votes or labeled images, or --classifier "
                "FILE.onnx for a network; not both."
            )
        if self.classifier_steps < 1:
            raise InputError(
                f"--classifier-steps is {self.classifier_steps}; give a number from 1 "
                "on."
            )


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of `lfkit evaluate`."""

    run: RunFolder
    generated: GeneratedFiles = ()
    against: Annotated[
        str | None,
        Option(
            "Real images that nothing was trained on, such as fashion-mnist:test.",
            metavar="DATA",
        ),
    ] = None
    extractor: Annotated[str, Option("domain, efficientnet-lite0 or inception.")] = (
        "domain"
    )
    weights: Annotated[Path | None, Option("Weights of inception.", metavar="FILE")] = (
        None
    )
    metrics: Annotated[
        tuple[str, ...] | None,
        Option("Only these (lfkit list metrics).", metavar="A,…", parse=split_list),
    ] = None
    slow: Annotated[
        bool, Option("Also metrics that train classifiers.", name="--all")
    ] = False
    human: Annotated[
        tuple[Path, ...],
        Option("Ratings from the report's Turing test.", metavar="FILE"),
    ] = ()
    judge_steps: Annotated[
        int | None,
        Option("Steps of the domain classifier's training, which is for scoring only."),
    ] = None
    labels: LabelsFile = None
    useful: Annotated[
        bool,
        Option(
            "Only whether generated images help: classifiers trained with them and "
            "without, tested on --against (about ten minutes)."
        ),
    ] = False
    generator: Annotated[
        str,
        Option(
            "Of --useful: the generator, if the run has several.",
            name="--with",
            metavar="NAME",
        ),
    ] = ""
    learner_steps: Annotated[
        int | None,
        Option("Of --useful: steps of each training; by default 1,000 or fewer."),
    ] = None
    seed: Annotated[int, Option("For every random choice.")] = 0

    def __post_init__(self) -> None:
        as_declared(self)
        check_seed(self.seed)
        for name, steps in (
            ("--judge-steps", self.judge_steps),
            ("--learner-steps", self.learner_steps),
        ):
            if steps is not None and steps < 1:
                raise InputError(f"{name} is {steps}; give a number above 0.")
        self._check_useful()

    def _check_useful(self) -> None:
        """Refuse options of the other question."""
        others = {
            "--metrics": self.metrics is not None,
            "--all": self.slow,
            "--human": bool(self.human),
            "--extractor": self.extractor != "domain",
            "--weights": self.weights is not None,
            "--judge-steps": self.judge_steps is not None,
        }
        own = {
            "--with": bool(self.generator),
            "--learner-steps": self.learner_steps is not None,
        }
        unused = [
            name for name, given in (others if self.useful else own).items() if given
        ]
        if unused and self.useful:
            raise InputError(
                f"--useful has no use for {unused[0]}: it trains classifiers and "
                "computes no other score; leave one of them out."
            )
        if unused:
            raise InputError(f"{unused[0]} is an option of --useful; give that too.")
        if self.useful and (
            len(self.generated) > 1 or (self.generated and self.generator)
        ):
            raise InputError(
                "--useful is about one set of generated images; give one --generated "
                "FILE or --with NAME."
            )


@dataclass(frozen=True)
class ReportOptions:
    """Options of `lfkit report`."""

    run: RunFolder
    labels: LabelsFile = None
    generated: GeneratedFiles = ()
    out: Annotated[Path | None, Option("Default: RUN/report.html.", metavar="FILE")] = (
        None
    )

    def __post_init__(self) -> None:
        as_declared(self)


@dataclass(frozen=True)
class AnalyzeOptions:
    """Options of `lfkit analyze`."""

    run: RunFolder
    labels: LabelsFile = None
    sheet: Annotated[
        bool, Option("Draw images that each function voted for: lf_sheet.png.")
    ] = False
    bootstrap: Annotated[
        int, Option("Give 95 % intervals from this many redraws of the images.")
    ] = 0

    def __post_init__(self) -> None:
        as_declared(self)
        if self.bootstrap < 0:
            raise InputError(
                f"--bootstrap is {self.bootstrap}; give a number of draws, or 0."
            )


@dataclass(frozen=True)
class DiagnoseOptions:
    """Options of `lfkit diagnose`."""

    run: RunFolder
    labels: LabelsFile = None
    images: Annotated[
        bool,
        Option(
            "Look at the images, too: near-duplicates, images like no other, seeds "
            "that look wrong. Kept for the report."
        ),
    ] = False
    test: Annotated[
        str | None,
        Option(
            "With --images: images that should be none of the run's, such as "
            "fashion-mnist:test.",
            metavar="DATA",
        ),
    ] = None

    def __post_init__(self) -> None:
        as_declared(self)
        if self.test is not None and not self.images:
            raise InputError("--test is a set of images to compare; give --images too.")


@dataclass(frozen=True)
class SheetOptions:
    """Options of `lfkit list lfs --sheet`.

    Attributes
    ----------
    data : None for the DATA of the functions' module.
    out : None for lf_sheet_<module>.png in the current folder.
    """

    lfs: tuple[str, ...]
    data: str | None = None
    out: Path | None = None
    kinds: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    color: str | None = None
    seeds_per_class: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        as_declared(self)
        check_seed(self.seed)
        if self.out is not None and self.out.is_dir():
            raise InputError(f"{self.out} is a folder; --out takes a file.")
