"""`lfkit aggregate`: other labels from votes that are there already."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lfkit.aggregators import AGGREGATORS
from lfkit.aggregators.aggregate import aggregate as aggregate_votes
from lfkit.aggregators.fitted_labels import aggregate_once
from lfkit.commands.options import AggregateOptions
from lfkit.commands.stored_votes import StoredVotes, read_stored_votes
from lfkit.data.labels import (
    Accuracy,
    Labels,
    PlainVote,
    compare_with_plain_vote,
    score,
)
from lfkit.data.votes import ABSTAIN
from lfkit.errors import InputError, VotesError
from lfkit.runs.run_files import write_labels
from lfkit.runs.store import RunStore

_ENDINGS = (".parquet", ".csv")


@dataclass(frozen=True)
class Aggregated:
    """Result of `lfkit aggregate`.

    Attributes
    ----------
    chosen, reason : the aggregator whose labels these are, and why.
    class_shares : how it got the shares of the classes, as `Labels` has it.
    accuracy, majority_vote_accuracy : on scored images; None without any.
    plain_vote : how many labels are not those of the majority vote.
    files : that were written.
    notes : what was decided when a file of votes was read, and which votes the
        aggregator is not made for.
    """

    images: int
    labeled: int
    chosen: str
    reason: str
    class_shares: str
    accuracy: Accuracy | None
    majority_vote_accuracy: Accuracy | None
    plain_vote: PlainVote
    files: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON-ready values."""
        return asdict(self)


def aggregate(options: AggregateOptions) -> Aggregated:
    """Turn the votes of a run or of a file into labels; no function is called."""
    stored = read_stored_votes(options.votes, options.n_classes)
    votes = stored.file.votes
    if not len(votes):
        raise VotesError(
            f"{options.votes} has votes on no image; give one row per image."
        )
    files = _places(options, stored)  # a wrong one is refused before the work
    balance = options.class_balance or stored.class_balance
    labels = _labels(options, stored, balance)
    majority = aggregate_votes(votes, "majority-vote", balance)
    ids, names = stored.file.image_ids, stored.class_names
    write_labels(files, ids, labels, class_names=names)
    taken_back = (labels.labels == ABSTAIN) & (labels.vote_labels != ABSTAIN)
    covered = votes.voted.any(axis=1) & ~labels.is_seed & ~taken_back
    return Aggregated(
        images=len(votes),
        labeled=int((labels.labels >= 0).sum()),
        chosen=labels.chosen,
        reason=labels.reason,
        class_shares=labels.class_shares,
        accuracy=score(labels.labels, stored.truth, stored.given),
        majority_vote_accuracy=score(majority.labels, stored.truth, stored.given),
        plain_vote=compare_with_plain_vote(labels.labels, majority.labels, covered),
        files=tuple(map(str, files)),
        notes=(*stored.file.notes, *labels.warnings),
    )


def _labels(
    options: AggregateOptions, stored: StoredVotes, balance: tuple[float, ...] | None
) -> Labels:
    """Ask an aggregator, or a generator that was trained in the run."""
    if stored.run is not None and options.aggregator not in AGGREGATORS:
        from lfkit.commands.relabel import relabel  # loads torch
        from lfkit.generators import GENERATORS

        if options.aggregator in GENERATORS:
            return relabel(stored.run, options.aggregator)[1]
    seed = stored.seed if options.seed is None else options.seed
    votes, lost = stored.file.votes, stored.unreadable
    if stored.run is None:
        return aggregate_votes(votes, options.aggregator, balance, seed, lost)
    # What it keeps are the labels of `lfkit apply`, which may be at work there.
    store = RunStore(stored.run)
    return aggregate_once(
        store, votes, options.aggregator, balance, seed, lost, keep=False
    )


def _places(options: AggregateOptions, stored: StoredVotes) -> list[Path]:
    """Choose the files to write: a run's own labels stay, and so do the votes."""
    out = options.out or Path()
    ending = "" if out.is_dir() else out.suffix.lower()
    if ending in _ENDINGS:
        if out.exists() and out.samefile(options.votes):
            raise InputError(f"{out} holds the votes; give --out another name.")
        return [out]
    if re.fullmatch(r"\.[a-z]\w*", ending):  # a folder may be called out-0.5
        raise InputError(
            f"labels are not written as {ending}; end {out} in .parquet or .csv, or "
            "give a name without ending for a folder with both."
        )
    stem = "labels"
    if stored.run is not None and options.out is None:
        out, stem = stored.run, f"labels-{options.aggregator}"
    return [out / f"{stem}{ending}" for ending in _ENDINGS]
