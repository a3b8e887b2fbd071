"""Label models side by side: votes in, class probabilities and seconds out.

Each peer has its documented defaults, its own table of votes made beforehand, and is
not told the class balance, as ours are not.
"""

import contextlib
import logging
import signal
import time
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lfkit import ABSTAIN
from lfkit.aggregators import AGGREGATORS


@dataclass(frozen=True)
class LabelMaking:
    """What a model gave.

    Attributes
    ----------
    proba : (n, k), or None with the reason why there is none.
    seconds : of the processor, on one thread; what else it was busy with is not in.
    """

    proba: np.ndarray | None
    seconds: float = 0.0
    reason: str = ""


class TooSlow(Exception):
    """The time limit of a cell is over."""


def ours(votes):
    """Give the names of our models for such votes."""
    return [
        name
        for name, member in AGGREGATORS.items()
        if name == "auto"
        or not member.learns_from_seeds
        or votes.seed_out_of_fold is not None
    ]


def peers():
    """Give the peers that are installed: name → function of votes that gives a fit."""
    found = {}
    with contextlib.suppress(ImportError):
        import snorkel  # noqa: F401

        found |= {
            "Snorkel majority": _snorkel_majority,
            "Snorkel LabelModel": _snorkel_label_model,
        }
    with contextlib.suppress(ImportError):
        import crowdkit.aggregation

        found |= {
            f"crowd-kit {name}": _crowd_kit(getattr(crowdkit.aggregation, name))
            for name in ("DawidSkene", "MMSR", "GLAD", "MACE")
        }
    return found


def prepare(name, votes):
    """Return a function that fits a model and gives class probabilities, (n, k)."""
    if name in AGGREGATORS:
        return lambda: AGGREGATORS[name]().fit_predict_proba(votes)
    return peers()[name](votes)


def fit(name, votes, limit):
    """Fit a model for so many seconds at most; what fails is part of the comparison."""
    work = prepare(name, votes)
    start = time.process_time()
    try:
        if limit <= 0:
            raise TooSlow
        with _at_most(limit), _quiet():
            proba = work()
    except TooSlow:
        return LabelMaking(None, max(limit, 0), "the time of the cell is over")
    except Exception as error:  # a peer may raise anything
        text = str(error).splitlines()[0][:80] if str(error) else ""
        return LabelMaking(None, reason=f"{type(error).__name__}: {text}")
    seconds = time.process_time() - start
    if not np.isfinite(proba).all():
        return LabelMaking(None, seconds, "NaN")
    return LabelMaking(proba, seconds)


def warm_up(names):
    """Have each model import and compile what it needs before it is timed."""
    from benchmarks.vote_sets import Cell, draw

    small = draw(Cell(2, "balanced", "multi-class", "independent", 50), 0).votes
    for name in names:
        fit(name, small, 60)


def _snorkel_label_model(votes):
    from snorkel.labeling.model import LabelModel

    matrix = votes.hard.astype(np.int64)

    def work():
        model = LabelModel(cardinality=votes.n_classes, verbose=False)
        model.fit(matrix, progress_bar=False, seed=0)  # its default seed is random
        return model.predict_proba(matrix)

    return work


def _snorkel_majority(votes):
    from snorkel.labeling.model import MajorityLabelVoter

    matrix = votes.hard.astype(np.int64)
    model = MajorityLabelVoter(cardinality=votes.n_classes)
    return lambda: model.predict_proba(matrix)


def _crowd_kit(member):
    def with_votes(votes):
        row, column = np.nonzero(votes.hard != ABSTAIN)
        label = votes.hard[row, column].astype(np.int64)
        table = pd.DataFrame({"task": row, "worker": column, "label": label})
        n, k = len(votes), votes.n_classes

        def work():
            model = member()
            if hasattr(model, "fit_predict_proba"):
                found = model.fit_predict_proba(table)
            else:
                found = pd.get_dummies(model.fit_predict(table), dtype=float)
            whole = found.reindex(index=range(n), columns=range(k), fill_value=0)
            return whole.to_numpy(np.float64)

        return work

    return with_votes


@contextlib.contextmanager
def _at_most(seconds):
    """Interrupt what is inside after some seconds of work: peers have no limit."""

    def stop(*_):
        raise TooSlow

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextlib.contextmanager
def _quiet():
    """Silence progress and warnings of peers: tables go to the same place."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
