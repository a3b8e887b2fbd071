"""A run with answers: what people said of single images joins its votes and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators.aggregate import aggregate, keep_precise
from lfkit.commands.active.annotation_files import read_csv, write_csv
from lfkit.data.labels import Labels, same_content, score
from lfkit.data.votes import Votes, with_known
from lfkit.errors import RunError
from lfkit.runs.run import Run
from lfkit.runs.run_files import image_keys, unreadable_rows

ANSWERS = "answers.csv"
_HEADER = ("image_id", "label", "round")


@dataclass(frozen=True, eq=False)
class Answers:
    """All answers so far: rows (a,), their classes (a,), the rounds (a,), from 1 on."""

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    rounds: NDArray[np.int64]

    @classmethod
    def none(cls) -> Answers:
        """Nobody was asked yet."""
        nothing = np.zeros(0, np.int64)
        return cls(nothing, nothing, nothing)

    def where(self, kept: NDArray[np.bool_]) -> Answers:
        """Take some of them, (a,)."""
        return Answers(self.rows[kept], self.labels[kept], self.rounds[kept])

    def joined(self, others: Answers) -> Answers:
        """Add others after these."""
        return Answers(
            np.concatenate([self.rows, others.rows]),
            np.concatenate([self.labels, others.labels]),
            np.concatenate([self.rounds, others.rounds]),
        )


def write_answers(
    path: Path, answers: Answers, ids: Sequence[str], class_names: Sequence[str]
) -> None:
    """Write them as a table: image_id, label, round."""
    each = zip(answers.rows, answers.labels, answers.rounds, strict=True)
    lines = [(ids[row], class_names[label], count) for row, label, count in each]
    write_csv(path, _HEADER, lines)


def read_answers(path: Path, ids: Sequence[str], class_names: Sequence[str]) -> Answers:
    """Read what `write_answers` wrote; none where there is no file."""
    if not path.exists():
        return Answers.none()
    lines = read_csv(path, _HEADER)
    row_of = {name: row for row, name in enumerate(ids)}
    label_of = {name: label for label, name in enumerate(class_names)}
    try:
        found = [
            (row_of[line["image_id"]], label_of[line["label"]], int(line["round"]))
            for line in lines
        ]
    except (KeyError, ValueError) as error:
        raise RunError(
            f"{path} cannot be read: {error} is no image, class or round of this run; "
            "mend it, or give --restart: it is kept under another name."
        ) from error
    return Answers(*np.asarray(found, np.int64).reshape(-1, 3).T)


def with_answers(
    loaded: Run, rows: NDArray[np.int64], labels: NDArray[np.int64]
) -> Run:
    """Label a run anew, by its votes and the answers, without refinement.

    Answered images become seeds. No function was fitted on them, so their votes are
    out of fold as they are, and sharpen what the aggregator knows of the functions.

    Parameters
    ----------
    rows : (a,) answered images, none of them a seed.
    labels : (a,) their classes.
    """
    options = replace(loaded.config.options, refine=False, stages=(), max_minutes=None)
    config = loaded.config.model_copy(update={"options": options})
    votes = with_known(loaded.votes, rows, labels)
    held_out = votes
    if votes.seed_out_of_fold is None:
        # Functions have learned from the seeds, too few to be judged without one.
        only = replace(loaded.votes, seed_rows=None, seed_labels=None)
        held_out = with_known(only, rows, labels)
    found = aggregate(
        held_out,
        config.options.aggregator,
        config.options.class_balance,
        random_state=config.options.seed,
        unreadable=unreadable_rows(loaded.index),
    )
    found = _with_seeds(found, votes)
    if config.options.target_precision is not None:
        found = keep_precise(found, config.options.target_precision)
    copies = same_content(image_keys(loaded.index), rows)
    return replace(
        loaded, config=config, votes=votes, labels=found, given=loaded.given | copies
    )


def accuracies(
    loaded: Run, now: Run, majority: NDArray[np.int64]
) -> dict[str, Any] | None:
    """Score labels on the images that are neither seed nor answered.

    Parameters
    ----------
    loaded, now : the run before any answer, and with them.
    majority : (n,) labels by majority vote.

    Returns
    -------
    shares of right labels, where none counts as wrong, and the number of images; None
    if the truth is not known.
    """
    found = {
        "before": score(loaded.labels.labels, loaded.truth, now.given),
        "before_by_votes": score(loaded.labels.vote_labels, loaded.truth, now.given),
        "after": score(now.labels.labels, loaded.truth, now.given),
        "majority_vote": score(majority, loaded.truth, now.given),
    }
    if found["after"] is None:
        return None
    shares = {name: each.of_all for name, each in found.items() if each is not None}
    return shares | {"n": found["after"].n}


def _with_seeds(labels: Labels, votes: Votes) -> Labels:
    """Give every known image its class."""
    assert votes.seed_rows is not None, "answers are known"
    assert votes.seed_labels is not None, "answers are known"
    rows, known = votes.seed_rows, votes.seed_labels
    named, proba = labels.labels.copy(), labels.proba.copy()
    is_seed = labels.is_seed.copy()
    named[rows], proba[rows], is_seed[rows] = (
        known,
        np.eye(votes.n_classes)[known],
        True,
    )
    return replace(
        labels,
        labels=named,
        proba=proba,
        is_seed=is_seed,
        vote_labels=named,
        vote_confidence=proba.max(axis=1, initial=0.0),
    )
