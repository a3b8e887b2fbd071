"""Label models side by side: votes in, class probabilities and seconds out.

Each peer has its documented defaults, its own table of votes made beforehand, and is
not told the class balance, as ours are not.
"""

import contextlib
import logging
import signal
import time
import warnings
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from lfkit import ABSTAIN
from lfkit.aggregators import AGGREGATORS, DawidSkene

JUDGED, PLAIN = "auto", "majority-vote"
SNORKEL = "Snorkel LabelModel"
_OF_CROWD_KIT = ("DawidSkene", "OneCoinDawidSkene", "MMSR", "GLAD", "MACE")
OUT_OF_TIME = "out of time"
_BELIEVES_SILENCE = "dawid-skene (symbol)"


@dataclass(frozen=True)
class LabelMaking:
    """What a model gave.

    Attributes
    ----------
    proba : (n, k), or None with the reason why there is none.
    seconds : of the processor, on one thread; what else it was busy with is not in.
    chosen : what a model that chooses took.
    """

    proba: np.ndarray | None
    seconds: float = 0.0
    reason: str = ""
    chosen: str = ""


class TooSlow(Exception):
    """The time limit is over."""


def ours():
    """Give our models, and one in another setting: name → maker."""
    return AGGREGATORS | {_BELIEVES_SILENCE: partial(DawidSkene, abstain="symbol")}


def ours_without_seeds():
    """Give our models but the one that is a plain vote where there are no seeds."""
    return {name: made for name, made in ours().items() if name != "seed-weighted"}


def peers():
    """Give the peers that are installed: name → function of votes that gives a fit."""
    found = {}
    with contextlib.suppress(ImportError):
        import snorkel  # noqa: F401

        found[SNORKEL] = _snorkel
    with contextlib.suppress(ImportError):
        import crowdkit.aggregation

        found |= {
            f"crowd-kit {name}": _crowd_kit(getattr(crowdkit.aggregation, name))
            for name in _OF_CROWD_KIT
        }
    return found


def not_installed():
    """Give the names of the peers that are missing here."""
    everyone = [SNORKEL, *(f"crowd-kit {name}" for name in _OF_CROWD_KIT)]
    return [name for name in everyone if name not in peers()]


def chosen(names, text):
    """Choose among models by a text with commas; auto and majority-vote always stay."""
    if text is None:
        return names
    wanted = {*text.split(","), JUDGED, PLAIN}
    unknown = wanted - {*names}
    if unknown:
        raise SystemExit(
            f"there is no model {min(unknown)!r} here; choose from {', '.join(names)}."
        )
    return [name for name in names if name in wanted]


def fit(name, votes, limit):
    """Fit a model for so many seconds at most; what fails is part of the comparison."""
    if name not in ours():
        return timed_fit(peers()[name](votes), limit)
    model = ours()[name]()
    outcome = timed_fit(lambda: model.fit_predict_proba(votes), limit)
    return replace(outcome, chosen=getattr(model, "chosen_", ""))


def timed_fit(work, limit):
    """Have class probabilities made, for so many seconds at most."""
    start = time.process_time()
    try:
        if limit <= 0:
            raise TooSlow
        with _at_most(limit), _quiet():
            proba = work()
    except TooSlow:
        return LabelMaking(None, max(limit, 0), OUT_OF_TIME)
    except Exception as error:  # a peer may raise anything
        text = str(error).splitlines()[0][:80] if str(error) else ""
        return LabelMaking(None, reason=f"{type(error).__name__}: {text}")
    seconds = time.process_time() - start
    if not np.isfinite(proba).all():
        return LabelMaking(None, seconds, "NaN")
    return LabelMaking(proba, seconds)


def warm_up(names, limit=60):
    """Have each model import and compile what it needs before it is timed."""
    from benchmarks.vote_sets import Cell, draw

    small = draw(Cell(2, "balanced", "multi-class", "independent", 50), 0).votes
    for name in names:
        fit(name, small, limit)


def _snorkel(votes):
    from snorkel.labeling.model import LabelModel

    matrix = votes.hard.astype(np.int64)

    def work():
        model = LabelModel(cardinality=votes.n_classes, verbose=False)
        model.fit(matrix, progress_bar=False, seed=0)  # its default seed is random
        return model.predict_proba(matrix)

    return work


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
