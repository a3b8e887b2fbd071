"""Seconds to estimate accuracies and dependencies, estimator by estimator.

    python -m benchmarks.estimators RUN --out estimators --counts 35 45 55 65 75 85

The ADP paper (Pal & Balasubramanian 2018, figure 13b) says that its Θ and Φ are "almost
100x faster" than data programming's estimators. Here all read the hard votes of the
same functions on the same images, on one core, and stop by one rule: after 1, 2, 4,
8, ... passes, as soon as the accuracies differ by less than .005, on average over the
functions, from those at half as many passes. The window grows with the work: a fixed
one would stop a slow optimizer early. An accuracy is what the parameters say, of
log-linear models without regard to correlations, and of lfkit's models the mean
posterior of what a function votes for. Of estimators that yield parameters pass by pass
these are the mean of the passes' second half, as of a Markov chain. The test itself is
not timed; a fit of lfkit's models includes its prediction. At --limit seconds or
--passes an estimate is cut short: it has not converged.

Of Θ and Φ the seconds are those of a training of `adp` with them less those without.
Seconds are by the wall's clock, so nothing else should run beside.
Rows are kept in --out: killed, it goes on; called with others, it adds them.
"""

import argparse
import json
import time
from dataclasses import replace
from functools import cached_property, partial
from itertools import count
from pathlib import Path

import numpy as np

from benchmarks.common import machine, markdown, one_thread, over_seeds, timed
from benchmarks.log_linear import ESTIMATORS, VoteTable
from benchmarks.vote_sets import Cell, draw
from lfkit.aggregators import DawidSkene, LabelModel, MajorityVote
from lfkit.commands.make_generator import make_generator
from lfkit.commands.training_data import TrainingData, training_data
from lfkit.runs.json_text import to_json
from lfkit.runs.run import load_run
from lfkit.runs.store import write_atomically

_STILL = 0.005  # accuracies that move less, on average over functions, have converged
# lfkit's models that learn by rounds: name → model of so many rounds. `dawid-skene`
# learns tables where votes can tell them; both find dependent functions.
_ROUNDS = {
    "dawid-skene": lambda n: DawidSkene(max_iter=n),
    "label-model": lambda n: LabelModel(n_rounds=n),
}
PLAIN, ADP = "plain vote", "adp: Θ, Φ"
NAMES = [PLAIN, *ESTIMATORS, *_ROUNDS, ADP]


def main(arguments=None):
    """Measure what is not measured yet, and print all there is."""
    options = read_arguments(arguments)
    bench = Estimators(options)
    names = [name.strip() for name in options.rows.split(";")]
    with one_thread():
        warm_up(names)
        for seed in options.seeds:
            for n_functions in bench.counts:
                for name in names:
                    bench.row(name, n_functions, seed)
    print(f"{machine()}; one core\n")
    print(table(bench.rows()))


def read_arguments(arguments):
    """Read what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path, help="a folder of `lfkit apply`")
    parser.add_argument("--out", type=Path, default=Path("estimators"))
    parser.add_argument("--rows", default=";".join(NAMES), help="separated by ;")
    parser.add_argument(
        "--counts", type=int, nargs="+", default=[35, 45, 55, 65, 75, 85]
    )
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=2000, help="of a training of adp")
    parser.add_argument("--limit", type=float, default=300, help="seconds an estimate")
    parser.add_argument("--passes", type=int, default=512, help="at most")
    options = parser.parse_args(arguments)
    unknown = {name.strip() for name in options.rows.split(";")} - {*NAMES}
    if unknown:
        parser.error(
            f"there is no estimator {min(unknown)!r}; choose from {'; '.join(NAMES)}."
        )
    return options


class Estimators:
    """The votes of a run, and where rows are kept."""

    def __init__(self, options):
        self.options = options
        self.loaded = load_run(options.run)
        m = self.loaded.votes.n_functions
        self.counts = sorted({min(count, m) for count in options.counts})

    @cached_property
    def material(self):
        """Images, and the functions as the run fitted them."""
        return training_data(self.loaded)

    def rows(self):
        """Give what is known of every row."""
        path = self.options.out / "rows.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def row(self, name, n_functions, seed):
        """Measure a row, if it is not known."""
        options = self.options
        key = f"{name} | {n_functions} functions | seed {seed}"
        limits = f"{options.limit:g} s | {options.passes} passes"
        asked = f"{options.steps} steps" if name == ADP else limits
        key += f" | {options.images} images | {asked}"
        if key in self.rows():
            return
        columns = self.columns(n_functions, seed)
        if name == ADP:
            if not self.material.lfs:  # votes of a file: nothing to train with
                return
            found = self.of_training(columns, seed)
        else:
            votes, truth = self.votes(columns, seed)
            found = measured(name, votes, seed, options.limit, options.passes)
            found["right"] = right(found.pop("proba"), truth)
            found["n_images"] = len(votes)
        found = {"row": name, "n_functions": n_functions, "seed": seed} | found
        known = self.rows() | {key: found}
        write_atomically(options.out / "rows.json", to_json(known, indent=1).encode())

    def columns(self, n_functions, seed):
        """Draw functions; those of a smaller number are among those of a larger."""
        m = self.loaded.votes.n_functions
        rng = np.random.default_rng([seed, 1])
        return np.sort(rng.permutation(m)[:n_functions])

    def votes(self, columns, seed):
        """Draw images that are no seeds: hard votes, and the classes to score by."""
        votes, scored = self.loaded.votes, self.loaded.scored
        seeds = np.zeros(0, int) if votes.seed_rows is None else votes.seed_rows
        others = np.setdiff1d(np.arange(len(votes)), seeds)
        rng = np.random.default_rng([seed, 2])
        rows = np.sort(rng.permutation(others)[: self.options.images])
        chosen = votes.rows(rows).select(columns)
        return replace(chosen, soft=None, allowed=None), scored[rows]

    def of_training(self, columns, seed):
        """Time a step of `adp` with Θ and Φ, and one without."""
        m = self.material
        chosen = tuple(m.lfs[j] for j in columns)
        m = TrainingData(m.pixels, m.votes.select(columns), m.proba, chosen, None)
        steps = self.options.steps
        seconds = {}
        for trust in (True, False):
            settings = {"n_steps": steps, "random_state": seed, "trust": trust}
            generator = make_generator("adp", settings)
            of_images, of_pairs = generator.seconds_per_step(
                m.pixels, m.votes, proba=m.proba, lfs=m.lfs
            )
            first = generator.plan.first_pair
            # Without pairs there are no Θ and Φ: the steps are the same.
            seconds[trust] = of_pairs * (steps - first)
            if trust:
                all_seconds = seconds[trust] + of_images * first
        added = max(seconds[True] - seconds[False], 0.0)
        return {
            "seconds": added,
            "passes": None,
            "converged": True,
            "right": None,
            "share": added / all_seconds,
            "n_images": len(m.pixels),
        }


def warm_up(names):
    """Have each estimator load what it needs before it is timed."""
    small = draw(Cell(2, "balanced", "multi-class", "independent", 50), 0).votes
    for name in names:
        if name != ADP:
            measured(name, small, 0, limit=10, most_passes=1)


def measured(name, votes, seed, limit, most_passes):
    """Estimate until accuracies are still.

    Returns
    -------
    `proba` (n, k), `accuracy` (m,), `seconds`, `passes`, whether it `converged`, and a
    `note` where a model gave its estimate up for a plain vote.
    """
    if name == PLAIN:
        proba = MajorityVote().fit_predict_proba(votes)
        estimates = iter([(0, 0.0, proba, accuracies(proba, votes), "")])
    elif name in _ROUNDS:
        estimates = fits(_ROUNDS[name], votes)
    else:
        estimates = tail_means(ESTIMATORS[name], votes, seed, limit)
    before, half, converged = None, 0, name == PLAIN
    while True:
        passes, seconds, proba, accuracy, note = next(estimates)
        # At the limit of seconds there were less than twice as many passes.
        if half and passes == 2 * half:
            converged = bool(np.abs(accuracy - before).mean() < _STILL)
        if converged or seconds >= limit or passes >= most_passes:
            break
        before, half = accuracy, passes
    return {
        "proba": proba,
        "accuracy": accuracy.tolist(),
        "seconds": seconds,
        "passes": passes,
        "converged": converged,
        "note": note,
    }


def fits(model_of, votes):
    """Fit a model with twice as many rounds each time; seconds are of one fit."""
    passes = 1
    while True:
        model = model_of(passes)
        proba, seconds = timed(partial(model.fit_predict_proba, votes))
        is_plain = model.fell_back_ or getattr(model, "equal_", None) is not None
        note = "plain vote" if is_plain else ""
        yield passes, seconds, proba, accuracies(proba, votes), note
        passes *= 2


def tail_means(estimator, votes, seed, limit):
    """Yield after 1, 2, 4, ... passes, and at the limit of seconds."""
    start = time.perf_counter()
    votes_table = VoteTable(votes)
    thetas, due = [], 1
    estimates = estimator(votes_table, np.random.default_rng([seed, 3]))
    seconds = time.perf_counter() - start
    for passes in count(1):
        theta, taken = timed(lambda: next(estimates).copy())
        thetas.append(theta)
        seconds += taken
        if passes == due or seconds >= limit:
            tail = np.mean(thetas[passes // 2 :], axis=0)
            proba, accuracy = votes_table.posterior(tail), votes_table.accuracy(tail)
            yield passes, seconds, proba, accuracy, ""
            due = 2 * passes


def accuracies(proba, votes):
    """Give the mean posterior of what each function votes for, (m,)."""
    chosen = np.take_along_axis(proba, np.maximum(votes.hard, 0).astype(int), axis=1)
    return (chosen * votes.voted).sum(axis=0) / np.maximum(votes.voted.sum(axis=0), 1)


def right(proba, truth):
    """Give the share of right labels where truth is known; ties count in part."""
    known = truth >= 0
    if not known.any():
        return None
    best = proba[known] >= proba[known].max(axis=1, keepdims=True) - 1e-9
    hit = best[np.arange(known.sum()), truth[known]] / best.sum(axis=1)
    return float(hit.mean())


def table(rows):
    """Give the rows as Markdown, those that differ by their seed as one."""
    head = ["estimator", "functions", "images", "seeds", "seconds", "passes"]
    head += ["converged", "beside Θ, Φ", "share of training", "labels right", "note"]
    groups = {}
    for key, found in rows.items():
        # What was asked for apart from the seed: images, steps, limits.
        asked = tuple(part for part in key.split(" | ") if "seed" not in part)
        groups.setdefault(asked, []).append(found)
    own = {
        of[0]["n_functions"]: np.mean([one["seconds"] for one in of])
        for of in groups.values()
        if of[0]["row"] == ADP
    }
    order = {name: place for place, name in enumerate(NAMES)}
    lines = []
    for of in sorted(
        groups.values(), key=lambda of: (of[0]["n_functions"], order[of[0]["row"]])
    ):
        first, seconds = of[0], np.mean([one["seconds"] for one in of])
        by_adp = own.get(first["n_functions"], 0)
        is_ratio = by_adp > 0 and first["row"] not in (ADP, PLAIN)
        lines.append(
            [
                first["row"],
                first["n_functions"],
                f"{first['n_images']:,}",
                len(of),
                over_seeds(of, "seconds", 2),
                over_seeds(of, "passes", 0),
                f"{sum(one['converged'] for one in of)} of {len(of)}",
                f"{seconds / by_adp:.2g}x" if is_ratio else "",
                over_seeds(of, "share", 3),
                over_seeds(of, "right", 3),
                ", ".join(sorted({one.get("note", "") for one in of} - {""})),
            ]
        )
    return markdown(head, lines)


if __name__ == "__main__":
    main()
