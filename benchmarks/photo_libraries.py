"""Functions that need no seeds, on photographs that nobody looked at.

`python -m benchmarks.photo_libraries cifar10 RUN` reads a run folder that `lfkit apply`
made of the library without seeds, and prints how right its labels are and what each
claim is worth, on all photographs but the 500 by which the cuts were set.
"""

import argparse
import importlib
from pathlib import Path

import numpy as np

from lfkit.aggregators.aggregate import aggregate
from lfkit.runs.run import load_run

_PER_CLASS = 50


def main():
    """Print the tables of one library."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", help="cifar10 or clothing")
    parser.add_argument("run", type=Path, help="made by `lfkit apply` without seeds")
    options = parser.parse_args()
    library = importlib.import_module(f"lf_library.{options.name}")
    run = load_run(options.run)
    truth = np.asarray(run.truth)
    new = np.setdiff1d(np.arange(len(truth)), looked_at(options.name, run, truth))
    print_labels(run, truth, new)
    print_claims(library, run.votes, truth, new)


def looked_at(name, run, truth):
    """Draw again the rows by which the cuts were set, 50 per class."""
    allowed = np.arange(len(truth))
    if name == "cifar10":
        allowed = allowed[8_000:10_000]
    else:
        ids = run.open_images().ids
        allowed = allowed[[str(image).startswith("train/") for image in ids]]
    rng = np.random.default_rng(0)
    drawn = [
        rng.permutation(allowed[truth[allowed] == label])[:_PER_CLASS]
        for label in range(10)
    ]
    return np.concatenate(drawn)


def print_labels(run, truth, new):
    """Print the share of right labels: of each network, votes, and the run's own."""
    print(f"| labels of {len(new):,} photographs | right |\n|---|---|")
    networks = [n for n, name in enumerate(run.votes.names) if name.endswith("_names")]
    for column in networks:
        right = run.votes.hard[new, column] == truth[new]
        print(f"| {run.votes.names[column]} alone | {right.mean():.1%} |")
    for aggregator in ("majority-vote", "auto"):
        labels = aggregate(run.votes, aggregator).labels
        print(f"| {aggregator} | {(labels[new] == truth[new]).mean():.1%} |")
    right = run.labels.labels[new] == truth[new]
    print(f"| the run's labels | {right.mean():.1%} |\n")


def print_claims(library, votes, truth, new):
    """Print of each claim where it votes, and how often a class that it names is right.

    Chance is the share of all photographs that are of a class it names.
    """
    known = {lf.name: lf for lf in library.NEEDS_NO_SEEDS if lf.kind == "heuristic"}
    print("| claim | coverage | precision | chance |\n|---|---|---|---|")
    for column, name in enumerate(votes.names):
        if name not in known:
            continue
        weights = votes.soft[:, column]
        voted = weights.any(axis=1)
        first = weights[voted][0]
        named = np.isin(truth, np.flatnonzero(first == first.max()))[new]
        on = voted[new]
        shares = on.mean(), named[on].mean(), named.mean()
        print(f"| {name} | {' | '.join(f'{share:.1%}' for share in shares)} |")


if __name__ == "__main__":
    main()
