"""How right and how fast label models are, beside Snorkel's and crowd-kit's.

    python -m benchmarks.label_models [--cells k=10,unipolar] [--repeats 5] [--n 2000]
    python -m benchmarks.label_models --part large

Prints Markdown. A model's accuracy is that of its most probable class on the images
with at least one vote; of tied classes each counts by its share. Nobody is told the
class balance, everybody has one thread. Differences are paired: the same votes, drawn
anew for each repeat; ± is a 95 % interval. Seconds are those of the processor. Votes of
runs and files are for `benchmarks.published_votes`.
"""

import argparse
import sys
from collections import defaultdict

import numpy as np
from scipy.stats import t as student

from benchmarks.common import machine, markdown, one_thread
from benchmarks.label_model_peers import (
    JUDGED,
    PLAIN,
    chosen,
    fit,
    ours,
    peers,
    warm_up,
)
from benchmarks.large_votes import print_large, print_ratios
from benchmarks.vote_scores import score
from benchmarks.vote_sets import draw, grid
from lfkit.aggregators import AGGREGATORS

_NEAR = 0.5  # points: as good as the best


def main(arguments=None):
    """Print what the options ask for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", choices=("grid", "large", "ratios"), help="only this")
    parser.add_argument("--cells", default="", help="words that a cell must have")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--n", type=int, action="append", help="images; may be repeated"
    )
    parser.add_argument("--models", help="only these, and auto and majority-vote")
    parser.add_argument(
        "--limit", type=float, default=300, help="seconds of a model per cell"
    )
    options = parser.parse_args(arguments)
    names = chosen([*ours(), *peers()], options.models)
    print(f"{machine()}, one thread\n")
    with one_thread():
        warm_up(names)
        if options.part in (None, "grid"):
            words = [word for word in options.cells.split(",") if word]
            cells = [
                cell
                for cell in grid(options.n or (2_000, 20_000))
                if set(words) <= {*str(cell).split()}
            ]
            compare_drawn(cells, options.repeats, names, options.limit)
        if options.part in (None, "large"):
            print_large(names)
        if options.part in (None, "ratios"):
            print_ratios()


def compare_drawn(cells, repeats, names, limit):
    """Compare models on votes drawn cell by cell."""
    results = {}
    for cell in cells:
        drawn = (draw(cell, repeat) for repeat in range(repeats))
        results[str(cell)] = Result(drawn, names, limit)
        print(_line(str(cell), results[str(cell)]), file=sys.stderr, flush=True)
    print_results(results)


class Result:
    """Accuracies and seconds of models on the sets of votes of one cell.

    Attributes
    ----------
    accuracy : name → (r,) per repeat, NaN where there is none.
    seconds : name → (r,)
    reasons : name → why an accuracy is missing.
    """

    def __init__(self, sets, names, limit):
        self.accuracy, self.seconds = defaultdict(list), defaultdict(list)
        self.reasons = {}
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

    def mean(self, name):
        """Give the mean accuracy, in points; NaN if no repeat was done."""
        done = np.asarray(self.accuracy.get(name, [np.nan]))
        return 100 * done[~np.isnan(done)].mean() if (~np.isnan(done)).any() else np.nan

    def lead(self, name, over):
        """Give the mean lead in points on the repeats that both did, and its ±."""
        both = np.asarray(self.accuracy[name]) - np.asarray(self.accuracy[over])
        both = 100 * both[~np.isnan(both)]
        if len(both) == 0:
            return np.nan, np.nan
        if len(both) == 1:
            return both[0], np.nan
        error = both.std(ddof=1) / np.sqrt(len(both))
        return both.mean(), student.ppf(0.975, len(both) - 1) * error

    def best(self, names):
        """Give the name that leads the judged model most (or follows it least)."""
        done = [name for name in names if not np.isnan(self.mean(name))]
        return min(done, key=lambda name: self.lead(JUDGED, name)[0], default=None)


def print_results(results):
    """Print who leads, all accuracies, times, and what is missing."""
    print("### Accuracy on votes drawn, in points\n")
    print(_leaders(results))
    print(_losses(results))
    names = [*dict.fromkeys(name for r in results.values() for name in r.accuracy)]
    print("### All models on votes drawn: accuracy, mean\n")
    print(
        markdown(
            ["cell", *names],
            [
                [cell, *(_number(r.mean(name), ".1f") for name in names)]
                for cell, r in results.items()
            ],
        )
    )
    print("### All models on votes drawn: seconds to fit and predict, median\n")
    print(
        markdown(
            ["cell", *names],
            [
                [cell, *(_seconds(r, name) for name in names)]
                for cell, r in results.items()
            ],
        )
    )
    missing = [
        f"- {cell}: {name}: {reason}"
        for cell, r in results.items()
        for name, reason in r.reasons.items()
    ]
    if missing:
        print("Missing repeats:\n\n" + "\n".join(missing) + "\n")


def _leaders(results):
    rows = []
    for cell, r in results.items():
        own, peer = _best_own(r), r.best(_peers_of(r))
        rows.append(
            [
                cell,
                _number(r.mean(JUDGED), ".1f"),
                _lead(r, PLAIN),
                f"{own}: {_lead(r, own)}" if own else "-",
                f"{peer}: {_lead(r, peer)}" if peer else "-",
            ]
        )
    titles = [
        "cell", JUDGED, f"its lead over {PLAIN}", "over our best other",
        "over the best peer",
    ]  # fmt: skip
    return markdown(titles, rows)


def _losses(results):
    """Say where the judged model is clearly behind."""
    lines = []
    for cell, r in results.items():
        for name in (_best_own(r), r.best(_peers_of(r))):
            if name and r.lead(JUDGED, name)[0] < -_NEAR:
                lines.append(f"- {cell}: {_lead(r, name)} points to {name}")
        lead, interval = r.lead(JUDGED, PLAIN)
        if lead + interval < 0:
            lines.append(f"- {cell}: below {PLAIN}, {_lead(r, PLAIN)}")
    title = (
        f"Where {JUDGED} is more than {_NEAR} points below the best, or below "
        f"{PLAIN} by more than chance:"
    )
    return f"{title}\n\n" + ("\n".join(lines) or "- nowhere") + "\n"


def _best_own(r):
    return r.best(
        [name for name in r.accuracy if name in AGGREGATORS and name != JUDGED]
    )


def _peers_of(r):
    return [name for name in r.accuracy if name not in AGGREGATORS]


def _lead(r, over):
    lead, interval = r.lead(JUDGED, over)
    if np.isnan(interval):
        return _number(lead, "+.2f")
    done = int((~np.isnan(r.accuracy[over])).sum())
    some = "" if done == len(r.accuracy[over]) else f" ({done} repeats)"
    return f"{lead:+.2f} ± {interval:.2f}{some}"


def _line(cell, r):
    """Say at once what a cell gave: the tables come when all are done."""
    found = (f"{name} {_number(r.mean(name), '.1f')}" for name in r.accuracy)
    return f"{cell}: {', '.join(found)}"


def _seconds(r, name):
    pairs = zip(r.seconds[name], r.accuracy[name], strict=True)
    done = [seconds for seconds, right in pairs if not np.isnan(right)]
    return f"{np.median(done):.3f}" if done else "-"


def _number(value, form):
    return "-" if np.isnan(value) else format(value, form)


if __name__ == "__main__":
    main()
