"""summary.json: what a person wants to know of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lfkit.data.labels import Accuracy, Calibration, PlainVote, wilson_interval
from lfkit.errors import RunError
from lfkit.runs.reading import read_sealed, sealed
from lfkit.runs.run_config import AGAIN
from lfkit.runs.store import write_atomically

_FILE = "summary.json"


@dataclass(frozen=True)
class StageReport:
    """What a stage did to the labels.

    Attributes
    ----------
    seconds : it took, when it was computed; 0 where it was skipped.
    held_out : accuracy on seeds that neither stage nor votes have seen; None where
        that was not measured. The same seeds decide which stages are reverted.
    expected_gain : of `held_out` over the votes'.
    accuracy : of all labels with a known class, seeds left out; for scoring only.
    agreement : share of labels that are as the votes alone have them.
    confidence : mean probability of the labels.
    note : why it was skipped or reverted; "" where it counts.
    """

    name: str
    seconds: float
    held_out: float | None
    expected_gain: float | None
    accuracy: float | None
    agreement: float
    confidence: float
    note: str


@dataclass(frozen=True)
class RefinementSummary:
    """What refinement did, and what each of its stages did.

    Attributes
    ----------
    is_refined : the labels are refined ones; if not, `note` says why.
    unseeded : classes that votes name and no seed shows.
    agreement : share of labels that are as the votes alone have them.
    class_prior : (k,) shares of the classes; `class_prior_how` says where from.
    """

    is_refined: bool
    note: str
    unseeded: tuple[int, ...]
    agreement: float
    class_prior: tuple[float, ...]
    class_prior_how: str
    stages: tuple[StageReport, ...]


@dataclass(frozen=True)
class LFSummary:
    """One labeling function: what it votes for, on how many images, how well.

    Attributes
    ----------
    classes : that it has voted for.
    coverage, overlaps, conflicts : shares of all images, as in `LFAnalysis`.
    accuracy : on images of known class; None without any it votes on.
    seed_accuracy : on held-out seeds.
    """

    name: str
    kind: str | None
    classes: tuple[int, ...]
    coverage: float
    overlaps: float
    conflicts: float
    accuracy: float | None
    seed_accuracy: float | None


@dataclass(frozen=True)
class BaselineSummary:
    """A plain classifier trained on the seeds alone.

    Attributes
    ----------
    seed_cv_accuracy : cross-validated on the seeds; None where there are too few.
    accuracy : on the images that labels are scored on; None without a known class.
    n_scored : images behind `accuracy`.
    """

    name: str
    seed_cv_accuracy: float | None
    accuracy: float | None
    n_scored: int


@dataclass(frozen=True)
class Judged:
    """How far held-out seeds can judge the labels.

    Attributes
    ----------
    after : the last stage that they judge: "votes", or one of refinement.
    seeds : their number.
    too_few : which seeds these are, if they are too few; "" if not.
    per_class : their number of each class, where it is the same; None where not.
    """

    after: str
    seeds: int
    is_calibrated: bool
    too_few: str = ""
    per_class: int | None = None


@dataclass(frozen=True)
class Calibrations:
    """Confidence compared with accuracy, on held-out seeds and on scored images."""

    on_seeds: Calibration | None
    on_images: Calibration | None


@dataclass(frozen=True)
class KeptLabels:
    """Labels that reach a target precision together.

    Attributes
    ----------
    kept, of : their number, and that of all labels; seeds are not counted.
    accuracy_before : of all labels, on scored images.
    expected_precision : their mean confidence.
    least_confidence : the lowest of them.
    """

    target_precision: float
    kept: int
    of: int
    accuracy_before: float | None
    expected_precision: float | None
    least_confidence: float | None


@dataclass(frozen=True)
class FaultSummary:
    """How often a function failed: in all, by kind, and one message."""

    total: int
    kinds: dict[str, int]
    message: str


@dataclass(frozen=True)
class Crossover:
    """How many labels the functions that need none are worth.

    Attributes
    ----------
    functions : that have learned nothing from the seeds.
    seeds : on which they are judged.
    accuracy : of what is said of the seeds by their votes, or refined; no vote and a
        tie are wrong.
    features : by which seeds alone tell the classes best.
    per_class, seeds_alone : seeds per class, and how right LDA on as many is on others.
    worth : the seeds per class at which both are alike; None: more than the last.
    is_refined : True if images were looked at, too, without any seed.
    """

    functions: int
    seeds: int
    accuracy: float
    features: str
    per_class: tuple[int, ...]
    seeds_alone: tuple[float, ...]
    worth: float | None
    is_refined: bool = False

    @property
    def sentence(self) -> str:
        """Say it, with the curve."""
        if self.worth is None:
            n = self.per_class[-1]
            much = f"more than {n} label{'s' if n > 1 else ''}"
        elif self.worth < 1:
            much = "less than a label"
        else:
            n = round(self.worth)
            much = f"about {n} label{'s' if n > 1 else ''}"
        curve = ", ".join(
            f"{100 * share:.1f} % with {size}"
            for size, share in zip(self.per_class, self.seeds_alone, strict=True)
        )
        by = f"The {self.functions} functions that learn nothing from the seeds are"
        vote, wrong = "together they are", " (no vote and a tie count as wrong)"
        if self.functions == 1:
            by = "The one function that learns nothing from the seeds is"
            vote = "its vote is"
        if self.is_refined:
            count = (
                "one function" if self.functions == 1 else f"{self.functions} functions"
            )
            by = f"What {count} and the images tell without a seed is"
            vote, wrong = "these labels are", ""
        return (
            f"{by} worth {much} per class: {vote} right on "
            f"{100 * self.accuracy:.1f} % of the {self.seeds} seeds{wrong}; a "
            f"classifier that looks at {self.features} and learns from labels (LDA) is "
            f"right on {curve} per class."
        )


@dataclass(frozen=True)
class RunSummary:
    """What a person wants to know of a run.

    Attributes
    ----------
    images, labeled, seeds : how many there are.
    coverage : share of the images with a vote.
    aggregator, chosen, reason : the one asked for, the one whose labels these are, why.
    class_shares : how the shares of the classes were got, as `Labels` has it.
    accuracy, majority_vote_accuracy : on scored images; None without any.
    plain_vote : how many labels by votes, before refining, are not the majority vote's;
        None in runs of an earlier lfkit.
    seed_accuracy : on held-out seeds; None without any.
    confidence : mean of the labels', seeds left out; None in runs of an earlier lfkit.
    class_counts : (k,) labels per class.
    diagnosis : as `lfkit.metrics.labels.diagnosis` has it; `findings` in sentences.
    baselines : scored; `baseline` names the best one by cross-validation on the seeds.
    crossover : what the functions that need no seeds are worth, with the images if
        these have refined their labels; None without any, or with too few seeds.
    notes : what was decided, and should be known.
    problems : image id → why it cannot be read, of the first 20 of `unreadable`.
    left_out : function → why it did not run.
    lf_calls, feature_values : how many were computed now, not read from the store.
    seconds, seconds_of : all of it took, and each kind of work that tells its progress.
    """

    images: int
    labeled: int
    coverage: float
    seeds: int
    aggregator: str
    accuracy: Accuracy | None
    majority_vote_accuracy: Accuracy | None
    chosen: str
    reason: str
    seed_accuracy: float | None
    judged: Judged | None
    calibration: Calibrations
    class_names: tuple[str, ...]
    class_counts: tuple[int, ...]
    functions: tuple[LFSummary, ...]
    diagnosis: dict[str, Any]
    findings: tuple[str, ...]
    confidence: float | None = None
    plain_vote: PlainVote | None = None
    class_shares: str = ""
    data: str = ""
    out: str = ""
    files: tuple[str, ...] = ()
    refinement: RefinementSummary | None = None
    baselines: tuple[BaselineSummary, ...] = ()
    baseline: str | None = None
    kept: KeptLabels | None = None
    crossover: Crossover | None = None
    notes: tuple[str, ...] = ()
    unreadable: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    faults: dict[str, FaultSummary] = field(default_factory=dict)
    lf_calls: int = 0
    feature_values: int = 0
    seconds: float = 0.0
    seconds_of: dict[str, float] = field(default_factory=dict)

    @property
    def best_baseline(self) -> BaselineSummary | None:
        """The best plain classifier by cross-validation on the seeds."""
        return next((one for one in self.baselines if one.name == self.baseline), None)

    @property
    def refined_stages(self) -> tuple[StageReport, ...]:
        """The stages that made the labels; none where they are the votes'."""
        if self.refinement is None or not self.refinement.is_refined:
            return ()
        return tuple(stage for stage in self.refinement.stages if not stage.note)

    @property
    def is_calibrated(self) -> bool:
        """Whether held-out seeds say how far confidence can be believed."""
        return self.judged is not None and self.judged.is_calibrated

    @property
    def on_seeds(self) -> str:
        """Say what the accuracy on the seeds is of, and how far it is certain."""
        judged = self.judged
        if judged is None or self.seed_accuracy is None:
            return ""
        n = judged.seeds
        low, high = wilson_interval(round(self.seed_accuracy * n), n)
        each = "" if judged.per_class is None else f", {judged.per_class} of each class"
        said = (
            f"{100 * low:.0f} to {100 * high:.0f} % at 95 % certainty, of {n:,} "
            f"held-out seeds{each}"
        )
        return f"{said}: classes count alike" if each else said

    @property
    def unlike_plain_vote(self) -> str:
        """Say which share of labels is not a plain vote's; "" where none is."""
        said = "" if self.plain_vote is None else self.plain_vote.sentence()
        return f"Before refining, {said}" if said and self.refined_stages else said

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON-ready values."""
        return asdict(self)

    def without_scores(self) -> RunSummary:
        """Leave out what was scored by other true labels than those given now."""
        refinement = self.refinement
        if refinement is not None:
            stages = tuple(replace(one, accuracy=None) for one in refinement.stages)
            refinement = replace(refinement, stages=stages)
        baselines = tuple(replace(one, accuracy=None) for one in self.baselines)
        return replace(self, refinement=refinement, baselines=baselines)


def save_summary(folder: Path, summary: RunSummary) -> None:
    """Write summary.json, the last file of a run."""
    write_atomically(folder / _FILE, sealed(summary.to_dict()))


def forget_summary(folder: Path) -> None:
    """Delete summary.json: a run without it is not finished."""
    (folder / _FILE).unlink(missing_ok=True)


def load_summary(folder: Path) -> RunSummary:
    """Read summary.json."""
    path = folder / _FILE
    if not path.exists():  # it is written last
        raise RunError(
            f"{folder} has no {_FILE}: `lfkit apply` was stopped before its end; "
            f"{AGAIN}."
        )
    found: Mapping[str, Any] = read_sealed(path, AGAIN)
    try:
        return TypeAdapter(RunSummary).validate_python(dict(found))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "all"
        raise RunError(
            f"{path} cannot be read: {where}: {first['msg']}; {AGAIN}."
        ) from error
