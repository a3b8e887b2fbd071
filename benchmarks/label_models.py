"""How right and how fast label models are, beside Snorkel's and crowd-kit's.

    python -m benchmarks.label_models [--cells k=10,unipolar] [--repeats 5] [--n 2000]
    python -m benchmarks.label_models --part families [--repeats 6]
    python -m benchmarks.label_models --part large

Prints Markdown. A model's accuracy is that of its most probable class on the images
with at least one vote; of tied classes each counts by its share. Nobody is told the
class balance, everybody has one thread. Differences are paired: the same votes, drawn
anew for each repeat; ± is a 95 % interval. Seconds are those of the processor. Votes of
runs and files are for `benchmarks.published_votes`.
"""

import argparse
import sys
from functools import partial

import numpy as np

from benchmarks.common import machine, markdown, one_thread
from benchmarks.family_tables import print_families
from benchmarks.label_model_peers import (
    JUDGED,
    PLAIN,
    chosen,
    ours_without_seeds,
    peers,
    warm_up,
)
from benchmarks.large_votes import print_large, print_ratios
from benchmarks.unseen_families import UNSEEN
from benchmarks.unseen_families_2 import UNSEEN_2
from benchmarks.vote_families import FAMILIES
from benchmarks.vote_results import (
    Result,
    best_own,
    line,
    number,
    peers_of,
    written_lead,
    written_seconds,
)
from benchmarks.vote_sets import draw, grid

_NEAR = 0.5  # points: as good as the best


def main(arguments=None):
    """Print what the options ask for."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--part",
        choices=("grid", "large", "ratios", "families", "unseen"),
        help="only this; without, the first three",
    )
    parser.add_argument("--cells", default="", help="words that a cell must have")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--n", type=int, action="append", help="images of the grid; may be repeated"
    )
    parser.add_argument("--models", help="only these, and auto and majority-vote")
    parser.add_argument(
        "--limit", type=float, default=300, help="seconds of a model per cell"
    )
    options = parser.parse_args(arguments)
    names = chosen([*ours_without_seeds(), *peers()], options.models)
    parts = ("grid", "large", "ratios") if options.part is None else (options.part,)
    print(f"{machine()}, one thread\n")
    with one_thread():
        warm_up(names)
        for part in parts:
            if part == "large":
                print_large(names)
            elif part == "ratios":
                print_ratios()
            else:
                sets = _with_words(_sets(part, options.n), options.cells)
                results = compare(sets, options.repeats, names, options.limit)
                (print_results if part == "grid" else print_families)(results)


def _sets(part, sizes):
    """Give what is drawn: cell → function of the repeat that gives a set of votes."""
    if part == "grid":
        cells = grid(sizes or (2_000, 20_000))
        return {str(cell): partial(draw, cell) for cell in cells}
    families = FAMILIES if part == "families" else UNSEEN | UNSEEN_2
    return {cell: partial(_drawn_anew, cell, make) for cell, make in families.items()}


def _drawn_anew(cell, make, repeat):
    return make(np.random.default_rng([*cell.encode(), repeat]))


def _with_words(sets, text):
    words = {word for word in text.split(",") if word}
    return {cell: made for cell, made in sets.items() if words <= {*cell.split()}}


def compare(sets, repeats, names, limit):
    """Compare models on votes drawn cell by cell: cell → Result.

    Parameters
    ----------
    sets : cell → function of the repeat that gives a set of votes.
    """
    results = {}
    for cell, draw_votes in sets.items():
        drawn = (draw_votes(repeat) for repeat in range(repeats))
        results[cell] = Result(drawn, names, limit)
        print(line(cell, results[cell]), file=sys.stderr, flush=True)
    return results


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
                [cell, *(number(r.mean(name), ".1f") for name in names)]
                for cell, r in results.items()
            ],
        )
    )
    print("### All models on votes drawn: seconds to fit and predict, median\n")
    print(
        markdown(
            ["cell", *names],
            [
                [cell, *(written_seconds(r, name) for name in names)]
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
        own, peer = best_own(r), r.best(peers_of(r))
        rows.append(
            [
                cell,
                number(r.mean(JUDGED), ".1f"),
                written_lead(r, PLAIN),
                f"{own}: {written_lead(r, own)}" if own else "-",
                f"{peer}: {written_lead(r, peer)}" if peer else "-",
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
        for name in (best_own(r), r.best(peers_of(r))):
            if name and r.lead(JUDGED, name)[0] < -_NEAR:
                lines.append(f"- {cell}: {written_lead(r, name)} points to {name}")
        lead, interval = r.lead(JUDGED, PLAIN)
        if lead + interval < 0:
            lines.append(f"- {cell}: below {PLAIN}, {written_lead(r, PLAIN)}")
    title = (
        f"Where {JUDGED} is more than {_NEAR} points below the best, or below "
        f"{PLAIN} by more than chance:"
    )
    return f"{title}\n\n" + ("\n".join(lines) or "- nowhere") + "\n"


if __name__ == "__main__":
    main()
