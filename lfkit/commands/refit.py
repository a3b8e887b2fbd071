"""A labeler whose aggregator is fitted again, on the votes of all shards."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lfkit.aggregators import AGGREGATORS
from lfkit.aggregators.vote_model import PARTS, VoteModel, fit_vote_model
from lfkit.commands.labeler_card import card
from lfkit.commands.options import AggregateOptions
from lfkit.data.places import find_places, inside, read_place, size_of
from lfkit.data.vote_patterns import read_patterns
from lfkit.data.votes import Patterns, Votes
from lfkit.errors import InputError
from lfkit.runs.labeler_files import (
    ARRAYS,
    CARD,
    LabelerFiles,
    LabelerRecord,
    check_new,
    read_labeler,
    write_labeler,
)
from lfkit.runs.object_tree import TreeReader, TreeWriter
from lfkit.runs.run_config import versions

ENDING = ".patterns.parquet"


@dataclass(frozen=True)
class Refitted:
    """Result of `lfkit aggregate` on patterns of votes.

    Attributes
    ----------
    folder : of the new labeler.
    images, patterns : that the aggregator was fitted on.
    chosen, reason : the aggregator, and why.
    held_out_accuracy : on the seeds of the run that was frozen; None without any.
    """

    folder: str
    images: int
    patterns: int
    chosen: str
    reason: str
    held_out_accuracy: float | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON-ready values."""
        return asdict(self)


def are_patterns(votes: Path) -> bool:
    """Tell a file, or a pattern of names, of `lfkit label --patterns`."""
    return str(votes).endswith(ENDING)


def refit(options: AggregateOptions) -> Refitted:
    """Fit an aggregator on the votes of all shards; write the labeler that has it.

    The same as a fit on each image's votes. No function is called, and no code of the
    labeler is run.

    Raises
    ------
    InputError : there are no such files, or the labeler that voted is not found.
    """
    if options.out is None:
        raise InputError(
            "patterns of votes make a labeler; give a new folder with --out LABELER."
        )
    if options.aggregator not in AGGREGATORS:
        raise InputError(
            f"there is no aggregator {options.aggregator!r}; choose from "
            f"{', '.join(AGGREGATORS)}."
        )
    check_new(options.out)
    # As it was given: pathlib makes one slash of the two of a URL.
    places = find_places(str(options.votes).replace(":/", "://"))
    if not places:
        raise InputError(
            f"there is no file {options.votes}; `lfkit label --patterns` writes them."
        )
    _check_all_there(places)
    patterns, about = read_patterns(places)
    old = _labeler(options, places[0], about["labeler"])
    balance = options.class_balance or old.record.class_balance
    seed = old.record.seed if options.seed is None else options.seed
    model = fit_vote_model(
        _with_seeds(patterns.votes, old),
        options.aggregator,
        balance,
        seed,
        sample_weight=patterns.counts,
    )
    record, arrays = _refitted(old, options.aggregator, patterns, model)
    others = [name for name in old.record.files if name not in (ARRAYS, CARD)]
    sources = {name: (old.folder / name).read_bytes() for name in others}
    write_labeler(options.out, record, arrays, sources, card(record))
    return Refitted(
        folder=str(options.out),
        images=int(patterns.counts.sum()),
        patterns=len(patterns.counts),
        chosen=model.chosen,
        reason=getattr(model.aggregator, "reason_", ""),
        held_out_accuracy=model.held_out_accuracy,
        notes=(*model.aggregator.warnings_, *record.notes),
    )


def _check_all_there(places: Sequence[str]) -> None:
    """Refuse the patterns of some shards only: they are not those of all images."""
    counts = Counter(_beside(place) for place in places)
    for place, n_given in counts.items():
        if size_of(place) is None:
            continue
        try:
            n_shards = int(json.loads(read_place(place))["n_shards"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{place} cannot be read, so it is not known whether all shards are "
                "there; run `lfkit label` again with another --out."
            ) from error
        if n_given < n_shards:
            raise InputError(
                f"patterns of {n_shards - n_given} of {n_shards} shards are missing, "
                f"as {place} says; run the same `lfkit label` until all shards are "
                "done (--limit and --shards leave some out), and give the patterns of "
                "all."
            )


def _beside(patterns: str) -> str:
    """Name the label.json of a shard's patterns."""
    return inside(patterns.rpartition("/")[0] or ".", "label.json")


def _labeler(options: AggregateOptions, patterns: str, known: str) -> LabelerFiles:
    """Find the labeler that voted."""
    folder = options.labeler
    if folder is None:
        place = _beside(patterns)
        if size_of(place) is None:
            raise InputError(
                f"{patterns} has no label.json beside it; name the labeler that voted "
                "with --labeler."
            )
        try:
            folder = Path(json.loads(read_place(place))["labeler_folder"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{place} cannot be read; name the labeler that voted with --labeler."
            ) from error
    found = read_labeler(folder)
    if found.hash != known:
        raise InputError(
            f"{folder} is not the labeler that voted in {patterns}; name that with "
            "--labeler."
        )
    return found


def _with_seeds(votes: Votes, old: LabelerFiles) -> Votes:
    """Add the held-out votes on the seeds of the run that was frozen."""
    held = TreeReader(PARTS, old.arrays).read(old.record.seeds)
    if held is None:
        return votes
    fold = Votes(
        held["hard"], votes.names, votes.n_classes, held["soft"], held["allowed"]
    )
    return replace(votes, seed_labels=held["labels"], seed_out_of_fold=fold)


def _refitted(
    old: LabelerFiles, name: str, patterns: Patterns, model: VoteModel
) -> tuple[LabelerRecord, dict[str, np.ndarray[Any, Any]]]:
    """Put another model in the place of a labeler's."""
    trees = TreeWriter(PARTS)
    written = trees.write((model.aggregator, model.calibration), "model")
    kept = {
        n: a
        for n, a in old.arrays.items()
        if not n.partition(":")[2].startswith("model")
    }
    evidence: dict[str, Any] = {
        "seeds": old.record.evidence.get("seeds", 0),
        "votes_refitted_on": int(patterns.counts.sum()),
    }
    if model.held_out_accuracy is not None:
        evidence["held_out_accuracy_of_votes"] = model.held_out_accuracy
        evidence["votes_are_calibrated"] = model.calibration is not None
    notes = old.record.notes
    if old.record.refinement is not None:
        notes = (
            *notes,
            "the votes' model was fitted again, what refinement had learned was not",
        )
    if old.record.least_confidence is not None:
        notes = (
            *notes,
            "all images get a label: the least confidence that --target-precision "
            "asked for is that of the model of before, and is left out",
        )
    record = old.record.model_copy(
        update={
            "least_confidence": None,
            "aggregator": name,
            "chosen": model.chosen,
            "model": written,
            "evidence": evidence,
            "notes": notes,
            "versions": versions(),
        }
    )
    return record, {**kept, **trees.arrays}
