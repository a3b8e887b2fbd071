"""A run with answers: what people said of single images joins its votes and labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators.aggregate import aggregate, keep_precise
from lfkit.data.labels import Labels, same_content, score
from lfkit.data.votes import Votes, with_known
from lfkit.runs.run import Run
from lfkit.runs.run_files import image_keys, unreadable_rows


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
    plain = replace(loaded.config.options, refine=False, stages=(), max_minutes=None)
    config = loaded.config.model_copy(update={"options": plain})
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


@dataclass(frozen=True)
class AnsweredAccuracy:
    """Accuracies on the images that are neither seed nor answered.

    No label counts as wrong.

    Attributes
    ----------
    before, before_by_votes : of the run before any answer, refined if it was, and by
        its votes alone.
    after : of the labels by votes and answers.
    n : images behind these.
    """

    before: float
    before_by_votes: float
    after: float
    majority_vote: float
    n: int


def accuracies(
    loaded: Run, now: Run, majority: NDArray[np.int64]
) -> AnsweredAccuracy | None:
    """Score labels before and after the answers; None if no truth is known.

    Parameters
    ----------
    loaded, now : the run before any answer, and with them.
    majority : (n,) labels by majority vote.
    """

    def of(labels: NDArray[np.int64]) -> float:
        found = score(labels, loaded.truth, now.given)
        assert found is not None, "some truth is known"
        return found.of_all

    after = score(now.labels.labels, loaded.truth, now.given)
    if after is None:
        return None
    return AnsweredAccuracy(
        before=of(loaded.labels.labels),
        before_by_votes=of(loaded.labels.vote_labels),
        after=after.of_all,
        majority_vote=of(majority),
        n=after.n,
    )


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
