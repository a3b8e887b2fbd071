"""A run with answers: what people said of single images joins its votes and labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.labels import Labels, aggregate, keep_precise, same_content, score
from lfkit.loaded_run import LoadedRun
from lfkit.run import image_keys
from lfkit.votes import Votes, concatenate


def with_answers(
    loaded: LoadedRun, rows: NDArray[np.int64], labels: NDArray[np.int64]
) -> LoadedRun:
    """Label a run anew, by its votes and the answers, without refinement.

    Answered images become seeds. No function was fitted on them, so their votes are
    out of fold as they are, and sharpen what the aggregator knows of the functions.

    Parameters
    ----------
    rows : (a,) answered images, none of them a seed.
    labels : (a,) their classes.
    """
    config = loaded.config.model_copy(update={"refine": False})
    votes = _known(loaded.votes, rows, labels)
    held_out = votes
    if votes.seed_out_of_fold is None:
        # Seeds came with a file of votes: functions may have seen them.
        only = replace(loaded.votes, seed_rows=None, seed_labels=None)
        held_out = _known(only, rows, labels)
    found = aggregate(held_out, config.aggregator, config.class_balance)
    found = _with_seeds(found, votes)
    if config.target_precision is not None:
        found = keep_precise(found, config.target_precision)
    copies = same_content(image_keys(loaded.index), rows)
    return replace(
        loaded, config=config, votes=votes, labels=found, given=loaded.given | copies
    )


def accuracies(
    loaded: LoadedRun, now: LoadedRun, majority: NDArray[np.int64]
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


def _known(votes: Votes, rows: NDArray[np.int64], labels: NDArray[np.int64]) -> Votes:
    """Add images of known class to the seeds; their votes are held out."""
    held_out = votes.rows(rows)
    if votes.seed_rows is not None and votes.seed_labels is not None:
        rows = np.concatenate([votes.seed_rows, rows])
        labels = np.concatenate([votes.seed_labels, labels])
        if votes.seed_out_of_fold is None:
            order = np.argsort(rows)
            return replace(votes, seed_rows=rows[order], seed_labels=labels[order])
        held_out = concatenate([votes.seed_out_of_fold, held_out])
    order = np.argsort(rows)
    return replace(
        votes,
        seed_rows=rows[order],
        seed_labels=labels[order],
        seed_out_of_fold=held_out.rows(order),
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
