"""`lfkit aggregate`: other labels from votes that are there already."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lfkit.aggregators import AGGREGATORS
from lfkit.aggregators.aggregate import aggregate as aggregate_votes
from lfkit.commands.options import AggregateOptions
from lfkit.commands.stored_votes import StoredVotes, read_stored_votes
from lfkit.data.labels import Accuracy, Labels, score
from lfkit.errors import VotesError
from lfkit.runs.run_files import save_labels


@dataclass(frozen=True)
class Aggregated:
    """Result of `lfkit aggregate`.

    Attributes
    ----------
    chosen, reason : the aggregator whose labels these are, and why.
    accuracy, majority_vote_accuracy : on scored images; None without any.
    files : that were written.
    notes : what was decided when a file of votes was read.
    """

    images: int
    labeled: int
    chosen: str
    reason: str
    accuracy: Accuracy | None
    majority_vote_accuracy: Accuracy | None
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
    balance = options.class_balance or stored.class_balance
    labels = _labels(options, stored, balance)
    majority = aggregate_votes(votes, "majority-vote", balance)
    folder, stem = _place(options, stored)
    ids, names = stored.file.image_ids, stored.class_names
    files = save_labels(folder, ids, labels, class_names=names, stem=stem)
    return Aggregated(
        images=len(votes),
        labeled=int((labels.labels >= 0).sum()),
        chosen=labels.chosen,
        reason=labels.reason,
        accuracy=score(labels.labels, stored.truth, stored.given),
        majority_vote_accuracy=score(majority.labels, stored.truth, stored.given),
        files=tuple(map(str, files)),
        notes=stored.file.notes,
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
    return aggregate_votes(
        stored.file.votes, options.aggregator, balance, seed, stored.unreadable
    )


def _place(options: AggregateOptions, stored: StoredVotes) -> tuple[Path, str]:
    """Choose the folder and the name of the files: a run's own labels stay."""
    if stored.run is not None and options.out is None:
        return stored.run, f"labels-{options.aggregator}"
    return options.out or Path(), "labels"
