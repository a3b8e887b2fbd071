"""How good the labeling functions of a library are: accuracies, kinds, families.

`python -m benchmarks.libraries fashion [--seeds 3] [--images 5000] [--functions]
[--families]` prints Markdown tables. Twenty seeds per class are drawn, and all other
images scored; with several draws each figure is their mean, and the range follows.
"""

import argparse
import importlib
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

import lfkit
from lfkit.aggregators.aggregate import aggregate
from lfkit.classifiers.baselines import find_baselines
from lfkit.data.datasets import open_images
from lfkit.data.datasets.array_source import ArraySource
from lfkit.data.labels import scored_images
from lfkit.data.seed_labels import draw_seeds
from lfkit.features.feature import ancestors
from lfkit.metrics.labels.lf_agreement import agreements, mean_error_correlation
from lfkit.runs.store import RunStore

MODELS = {
    "M1 all": ("heuristic", "image-processing", "deep"),
    "M3 heuristic": ("heuristic",),
    "M4 image processing": ("image-processing",),
    "M5 deep": ("deep",),
    "M6 heuristic + deep": ("heuristic", "deep"),
    "M7 image processing + deep": ("image-processing", "deep"),
    "M8 heuristic + image processing": ("heuristic", "image-processing"),
}
"""Which kinds of functions the models of the ADP paper's appendix C.1 have.

M2, the model without dependencies, has all functions and differs in training only.
"""

# Other models of the family are compared by `benchmarks.label_models`.
_COMPARED = ("majority-vote", "dawid-skene", "seed-weighted", "auto")
_SLOW = ("dawid-skene", "auto")  # on 60,000 soft votes: all functions, single kinds


def main():
    """Print the tables of one library."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", help="digits, street_digits, fashion or clip_art")
    parser.add_argument("--data", help="instead of the library's own data set")
    parser.add_argument("--seeds", type=int, default=3, help="draws of seed images")
    parser.add_argument("--images", type=int, help="at most so many, drawn at random")
    parser.add_argument("--functions", action="store_true", help="list each function")
    parser.add_argument("--families", action="store_true", help="leave each one out")
    options = parser.parse_args()
    library = importlib.import_module(f"lf_library.{options.name}")
    draws = []
    for seed in range(options.seeds):
        draws.append(Draw(library, options.data, seed, options.images))
        print(draws[-1].line(), flush=True)
    print(f"\n### {options.name}\n")
    print_composition(library)
    print_totals(library, draws)
    if options.families:
        print_families(draws)
    if options.functions:
        print_functions(library, draws)


class Draw:
    """A library applied with one draw of seeds."""

    def __init__(self, library, data, seed, most):
        source = open_images(data or library.DATA)
        if most is not None and most < len(source):
            source = some_of(source, most, seed)
        truth = np.asarray(source.labels, np.int64)
        seeds = draw_seeds(source, truth, source.class_names, 20, seed)
        applier = lfkit.LFApplier(library.LFS, n_classes=len(library.CLASSES))
        with tempfile.TemporaryDirectory() as folder:
            store = RunStore(Path(folder))
            start = time.perf_counter()
            self.votes = applier.apply(
                source,
                seed_rows=seeds.rows,
                seed_labels=seeds.labels,
                random_state=seed,
                store=store,
            )
            self.seconds = time.perf_counter() - start
            self.baselines = find_baselines(
                source,
                self.votes,
                truth,
                store,
                applier.feature_keys_,
                random_state=seed,
            )
        self.lfs = applier.lfs_
        self.left_out = applier.report_.left_out
        self.truth = scored_images(source, self.votes, truth)
        self.n = len(source)

    def accuracy(self, name, columns=None):
        """Score an aggregator on the votes of some functions."""
        votes = self.votes if columns is None else self.votes.select(columns)
        labels = aggregate(votes, name).labels
        scored = self.truth >= 0
        return float((labels[scored] == self.truth[scored]).mean())

    def columns(self, keep):
        """Positions of the functions that pass a test."""
        return [j for j, lf in enumerate(self.lfs) if keep(lf)]

    def line(self):
        """Say in one line how fast it was and what was left out."""
        speed = self.n / self.seconds
        text = f"{self.n:,} images in {self.seconds:.1f} s, {speed:,.0f} images/s"
        for name, why in self.left_out.items():
            text += f"\n  left out: {name}: {why}"
        return text


def some_of(source, n, seed):
    """Keep n random images, in memory."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(source))[:n])
    pixels = source.read(rows).pixels
    labels = np.asarray(source.labels)[rows]
    return ArraySource(pixels, labels=labels, class_names=source.class_names)


def family(lf):
    """Name the family of a function: where its first feature is written."""
    module = lf.features[0].fn.__module__.split(".")
    return "own features" if module[0] == "lf_library" else module[-1]


def print_composition(library):
    """Count functions by kind, and the features behind them."""
    kinds = [lf.kind for lf in library.LFS]
    n_fixed = sum(not lf.needs_seeds for lf in library.LFS)
    read = {node.name for lf in library.LFS for node in lf.features}
    behind = {node.name for lf in library.LFS for node in ancestors(lf.features)}
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    print(
        f"{len(kinds)} functions ({counts}) read {len(read)} features, "
        f"{len(behind)} with those in between; {n_fixed} vote without seeds.\n"
    )


def print_totals(library, draws):
    """Compare aggregators on all functions and those of each kind, with baselines.

    The row "no seeds" has the functions that vote without any; the row "seeds" has the
    others.
    """
    names = list(_COMPARED)
    print("| functions | m | " + " | ".join(names) + " |")
    print("|---|---|" + "---|" * len(names))
    needing = {lf.name for lf in library.LFS if lf.needs_seeds}
    chosen = {
        model: lambda lf, kinds=kinds: lf.kind in kinds
        for model, kinds in MODELS.items()
    }
    chosen["no seeds"] = lambda lf: lf.name not in needing
    chosen["seeds"] = lambda lf: lf.name in needing
    for model, keep in chosen.items():
        kinds = MODELS.get(model, ())
        columns = [draw.columns(keep) for draw in draws]
        if not columns[0]:
            continue
        cells = []
        for name in names:
            if name in _SLOW and len(kinds) == 2:
                cells.append("")
                continue
            found = [
                draw.accuracy(name, c) for draw, c in zip(draws, columns, strict=True)
            ]
            cells.append(spread(found))
        print(f"| {model} | {len(columns[0])} | " + " | ".join(cells) + " |")
    for position, baseline in enumerate(draws[0].baselines):
        found = spread([draw.baselines[position].accuracy for draw in draws])
        print(f"| baseline: {baseline.name} | | {found} |" + " |" * (len(names) - 1))
    correlation = [mean_error_correlation(draw.votes, draw.truth) for draw in draws]
    alike = [agreements(draw.votes) for draw in draws]
    print(f"\nMean error correlation of two functions: {spread(correlation)}.")
    for draw, table in zip(draws, alike, strict=True):
        names = draw.votes.names
        for i, j in np.argwhere(np.triu(table > 0.98, 1)):
            print(f"- {names[i]} and {names[j]} agree on {table[i, j]:.1%}")
    print()


def print_families(draws, name="seed-weighted"):
    """Show what leaving out each family of features costs."""
    print(f"| left out | m | {name} | cost | alone |")
    print("|---|---|---|---|---|")
    whole = np.mean([draw.accuracy(name) for draw in draws])
    members = defaultdict(list)
    for lf in draws[0].lfs:
        members[family(lf)].append(lf.name)
    rows = []
    for label, names in members.items():
        without, alone = [], []
        for draw in draws:
            kept = draw.columns(lambda lf, names=names: lf.name not in names)
            own = draw.columns(lambda lf, names=names: lf.name in names)
            without.append(draw.accuracy(name, kept))
            alone.append(draw.accuracy(name, own))
        rows.append((whole - np.mean(without), label, len(names), without, alone))
    for cost, label, m, without, alone in sorted(rows, reverse=True):
        print(
            f"| {label} | {m} | {spread(without)} | {100 * cost:+.2f} points | "
            f"{spread(alone)} |"
        )
    print()


def print_functions(library, draws):
    """List coverage and accuracy of each function, and whether it needs no seeds."""
    print("| function | kind | no seeds | coverage | accuracy |")
    print("|---|---|---|---|---|")
    no_seeds = {lf.name: "no" if lf.needs_seeds else "yes" for lf in library.LFS}
    found = defaultdict(list)
    for draw in draws:
        for lf, votes in zip(draw.lfs, draw.votes.hard.T, strict=True):
            scored = draw.truth >= 0
            voted = scored & (votes >= 0)
            right = (votes == draw.truth)[voted]
            found[lf.name, lf.kind].append(
                (voted.sum() / scored.sum(), right.mean() if len(right) else np.nan)
            )
    for (name, kind), values in found.items():
        coverage, accuracy = np.mean(values, axis=0)
        print(
            f"| {name} | {kind} | {no_seeds[name]} | {coverage:.1%} | {accuracy:.1%} |"
        )
    print()


def spread(values):
    """Write the mean and, of several values, the range."""
    middle = f"{np.mean(values):.3f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.3f}-{max(values):.3f})"


if __name__ == "__main__":
    main()
