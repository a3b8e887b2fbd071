"""What `lfkit apply` does without --with, on several draws of seeds.

    python -m benchmarks.default_on_draws [--data digits] [--lfs lf_library.digits]
        [--draws 10] [--seeds-per-class 20] [--out FOLDER]

Prints Markdown: accuracy on the images that are no seeds, a row for each draw
(`--seed 0`, 1, …), then mean and range over the draws: of the default, of the plain
vote, of the models that the default chooses from, and of the best baseline, which the
true classes choose: no user could.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.common import machine, markdown
from lfkit.aggregators.aggregate import aggregate
from lfkit.commands.apply import apply
from lfkit.data.labels import score
from lfkit.runs.apply_options import ApplyOptions
from lfkit.runs.run import load_run

_MODELS = ("seed-weighted", "dawid-skene")
HEADER = [
    "seed",
    "default",
    "it chose",
    "plain vote",
    *_MODELS,
    "best baseline by truth",
]


def main(arguments=None):
    """Print what the options ask for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="digits")
    parser.add_argument("--lfs", default="lf_library.digits")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--seeds-per-class", type=int, default=20)
    parser.add_argument("--out", type=Path, help="where features are kept for later")
    options = parser.parse_args(arguments)
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            measured(options, seed, options.out or Path(folder))
            for seed in range(options.draws)
        ]
    print(markdown(HEADER, [*map(shown, rows), *summed(rows)]))


def measured(options, seed, out):
    """Label with the seeds of one draw: a row of shares, the name chosen among them."""
    summary = apply(
        ApplyOptions(
            data=options.data,
            out=out,
            lfs=(options.lfs,),
            seeds_per_class=options.seeds_per_class,
            seed=seed,
            sheet=False,
        )
    )
    run = load_run(out)
    models = [aggregate(run.votes, name, random_state=seed) for name in _MODELS]
    shares = [score(m.labels, run.truth, run.given).of_all for m in models]
    baselines = [baseline.accuracy for baseline in summary.baselines]
    default, plain = (
        each.of_all for each in (summary.accuracy, summary.majority_vote_accuracy)
    )
    chosen = summary.chosen
    return [seed, default, chosen, plain, *shares, max(baselines, default=np.nan)]


def shown(row):
    """Write shares as percentages."""
    return [f"{100 * x:.1f}" if isinstance(x, float) else str(x) for x in row]


def summed(rows):
    """Give mean and range of each column of shares."""
    columns = list(zip(*rows, strict=True))
    means, ranges = [], []
    for column in columns[1:]:
        shares = isinstance(column[0], float)
        values = np.asarray(column, float) * 100 if shares else None
        means.append("" if values is None else f"{values.mean():.1f}")
        ranges.append(
            "" if values is None else f"{values.min():.1f} to {values.max():.1f}"
        )
    return [["mean", *means], ["range", *ranges]]


if __name__ == "__main__":
    main()
