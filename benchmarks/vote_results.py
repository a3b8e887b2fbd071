"""Accuracies of label models over repeats, and how they are written."""

from collections import Counter, defaultdict

import numpy as np
from scipy.stats import t as student

from benchmarks.label_model_peers import JUDGED, fit, ours
from benchmarks.vote_scores import score


class Result:
    """Accuracies and seconds of models on the sets of votes of one cell.

    Attributes
    ----------
    accuracy : name → (r,) per repeat, NaN where there is none.
    seconds : name → (r,)
    reasons : name → why an accuracy is missing.
    chosen : what the judged model took, and how often.
    """

    def __init__(self, sets, names, limit):
        self.accuracy, self.seconds = defaultdict(list), defaultdict(list)
        self.reasons, self.chosen = {}, Counter()
        for found in sets:
            for name in names:
                self._add(name, found, limit)

    def _add(self, name, found, limit):
        left = limit - sum(self.seconds[name])
        outcome = fit(name, found.votes, left)
        self.seconds[name].append(outcome.seconds)
        if outcome.proba is None:
            done = int((~np.isnan(self.accuracy[name])).sum())
            why = f"{outcome.reason} ({done} repeats done before)"
            self.reasons.setdefault(name, why)
            self.accuracy[name].append(np.nan)
            return
        self.accuracy[name].append(score(outcome.proba, found).accuracy)
        if name == JUDGED:
            self.chosen[outcome.chosen] += 1

    def mean(self, name):
        """Give the mean accuracy, in points; NaN if no repeat was done."""
        done = np.asarray(self.accuracy.get(name, [np.nan]))
        return 100 * done[~np.isnan(done)].mean() if (~np.isnan(done)).any() else np.nan

    def lead(self, name, over):
        """Give the mean lead in points on the repeats that both did, and its ±."""
        leads = self._leads(name, over)
        if len(leads) == 0:
            return np.nan, np.nan
        if len(leads) == 1:
            return leads[0], np.nan
        return leads.mean(), student.ppf(0.975, len(leads) - 1) * _error(leads)

    def is_below(self, name, over, chance=0.01):
        """Tell whether a model is below another, as chance shows in 1 % of cases."""
        leads = self._leads(name, over)
        if len(leads) < 2:
            return False
        least = student.ppf(1 - chance, len(leads) - 1) * _error(leads)
        return bool(leads.mean() + least < 0)

    def _leads(self, name, over):
        both = np.asarray(self.accuracy[name]) - np.asarray(self.accuracy[over])
        return 100 * both[~np.isnan(both)]

    def best(self, names):
        """Give the name that leads the judged model most (or follows it least)."""
        done = [name for name in names if not np.isnan(self.mean(name))]
        return min(done, key=lambda name: self.lead(JUDGED, name)[0], default=None)


def best_own(r):
    return r.best([name for name in r.accuracy if name in ours() and name != JUDGED])


def peers_of(r):
    return [name for name in r.accuracy if name not in ours()]


def written_lead(r, over):
    lead, interval = r.lead(JUDGED, over)
    if np.isnan(interval):
        return number(lead, "+.2f")
    done = int((~np.isnan(r.accuracy[over])).sum())
    some = "" if done == len(r.accuracy[over]) else f" ({done} repeats)"
    return f"{lead:+.2f} ± {interval:.2f}{some}"


def line(cell, r):
    """Say at once what a cell gave: the tables come when all are done."""
    found = (f"{name} {number(r.mean(name), '.1f')}" for name in r.accuracy)
    return f"{cell}: {', '.join(found)}"


def written_seconds(r, name):
    pairs = zip(r.seconds[name], r.accuracy[name], strict=True)
    done = [seconds for seconds, right in pairs if not np.isnan(right)]
    return f"{np.median(done):.3f}" if done else "-"


def number(value, form):
    return "-" if np.isnan(value) else format(value, form)


def _error(leads):
    return leads.std(ddof=1) / np.sqrt(len(leads))
