"""The tables of the ADP paper, redone at our scale: a table a command.

    python -m benchmarks.paper_tables table-4 RUN --test fashion-mnist:test

Tables: 4 (a classifier that learns from real and generated pairs, over its training's
length), 6 and 7 (`adp` with other numbers and kinds of functions), 8 (Parzen windows),
figure 4 (what a classifier of true labels says of generated pairs and of SMOTE's) and
13a (of labels by a vote, by data programming and by ADP, on the same images). Figure
13b has a benchmark of its own, `benchmarks.estimators`.

Generators are trained as rows of `benchmarks.joint` are, with the same --out; what is
measured is kept there: killed, it goes on.
"""

import sys
from functools import partial

import numpy as np
from imblearn.over_sampling import SMOTE

from benchmarks.common import machine, markdown, over_seeds
from benchmarks.joint import (
    N_SAMPLES,
    ROWS,
    Bench,
    cross_entropy,
    macro,
    read_arguments,
)
from benchmarks.paper_claims import COUNTS, KINDS, with_functions
from lfkit.aggregators.aggregate import make_aggregator
from lfkit.commands.training_data import TrainingData
from lfkit.metrics import ImageSet
from lfkit.metrics.trained_classifiers import Pairs, Recipe, draw_pairs, train_and_test

RIVALS = ("adp", "triple-gan", "ss-infogan", "cogan", "cgan", "acgan", "vote")
LENGTHS = (250, 500, 1000)  # of the classifier's training


class FewerFunctions(Bench):
    """`adp` with some of the functions only; its labels are of their votes alone."""

    def __init__(self, options):
        super().__init__(options)
        self.known = dict.fromkeys(
            [
                *(f"{n} functions" for n in COUNTS),
                *(f"{kind} only" for kind in KINDS),
                "all functions",
            ],
            ("adp", {}),
        )

    def training_data_of(self, name):
        """Choose the functions of a row, and label the images by their votes."""
        m = with_functions(self.material, name, self.options.seed)
        found = make_aggregator("auto", None, self.options.seed).fit(m.votes)
        proba = found.predict_proba(m.votes)
        proba = np.where((m.votes.hard < 0).all(axis=1)[:, None], 0.0, proba)
        return TrainingData(m.pixels, m.votes, proba, m.lfs, None)


def table_4(options):
    """Give the cross-entropy on real images of who learns from which pairs."""
    bench, rows = Bench(options), {}
    for seed in options.seeds:
        options.seed = seed
        for n_steps in LENGTHS:
            key = f"table-4 | {options.steps} steps | seed {seed} | {options.test}"
            key += f" | {options.samples} samples | learners of {n_steps}"
            for text, loss in bench.once(key, partial(learned, bench, n_steps)).items():
                rows.setdefault(text, {}).setdefault(n_steps, []).append({"loss": loss})
    head = ["trained on → tested on", *(f"{n:,} steps" for n in LENGTHS)]
    return markdown(
        head,
        [
            [text, *(over_seeds(found[n], "loss", 3) for n in LENGTHS)]
            for text, found in rows.items()
        ],
    )


def learned(bench, n_steps):
    """Train on each kind of pairs and give the cross-entropies on others."""
    n, tools = bench.options.samples, bench.evaluation.tools
    generator, _ = bench.trained("adp")
    made = generator.sample(n, random_state=1)
    images = ImageSet(made.images, made.proba, name="ADP")
    weak = ImageSet(bench.source, bench.loaded.labels.proba, name="real, weak labels")
    true = ImageSet(bench.source, np.eye(len(bench.names))[bench.loaded.truth], name="")
    real, pairs, known = (draw_pairs(each, n, 0) for each in (weak, images, true))
    half = [Pairs(of.pixels[::2], of.proba[::2]) for of in (pairs, real)]
    recipe = Recipe(n_steps, 1, n)
    test = tools.test

    def loss(given, on, text):
        found = train_and_test(recipe, given, [on], tools, text)[0]
        return float(found.cross_entropy.mean())

    return {
        "real, true labels → real": loss(known, test, "true"),
        "real, the run's labels → real": loss(real, test, "real"),
        "ADP → real": loss(pairs, test, "adp"),
        "real, the run's labels → ADP": loss(real, images, "real"),
        "half ADP, half real → real": loss(half[0] + half[1], test, "half"),
        "ADP and real → real": loss(pairs + real, test, "both"),
    }


def tables_6_and_7(options):
    """Give `adp` with few functions, and with those of one kind."""
    bench = FewerFunctions(options)
    rows = score(bench, [*bench.known], options)
    head = ["functions", "cross-entropy of its labels", "of the functions' vote"]
    head += ["fidelity", "FID[domain]"]
    return markdown(
        head,
        [
            [
                f"{name} ({found[0]['n_lfs']})",
                over_seeds(found, "label", 2),
                over_seeds(found, "vote", 2),
                over_seeds(found, "fidelity", 3),
                over_seeds(found, "fid", 2),
            ]
            for name, found in rows.items()
        ],
    )


def table_8(options):
    """Give the log-density of real test images by Parzen windows, in nats."""
    rows = score(Bench(options), RIVALS, options)
    return markdown(
        ["generator", "Parzen"],
        [[name, over_seeds(found, "parzen", 0)] for name, found in rows.items()],
    )


def figure_4(options):
    """Give what the judge says of generated pairs, of SMOTE's and of real ones."""
    bench = Bench(options)
    rows = score(bench, RIVALS, options)
    for name in ("SMOTE", "real, the run's labels"):
        for seed in options.seeds:
            key = f"figure-4 | {name} | seed {seed} | {options.samples} samples"
            found = bench.once(
                key, lambda name=name, seed=seed: plain(bench, name, seed)
            )
            rows.setdefault(name, []).append(found)
    return markdown(
        ["pairs", "cross-entropy", "fidelity"],
        [
            [name, over_seeds(found, "label", 2), over_seeds(found, "fidelity", 3)]
            for name, found in rows.items()
        ],
    )


def plain(bench, name, seed):
    """Judge real pairs with the run's labels, or what SMOTE makes of them."""
    weak = ImageSet(bench.source, bench.loaded.labels.proba, name="real")
    pairs = draw_pairs(weak, bench.options.samples, seed)
    pixels, labels = pairs.pixels, pairs.proba.argmax(axis=1)
    k = len(bench.names)
    if name == "SMOTE":
        counts = np.bincount(labels, minlength=k)
        wanted = {c: 2 * int(counts[c]) for c in range(k) if counts[c] > 1}
        flat = pixels.reshape(len(pixels), -1).astype(np.float32)
        made, named = SMOTE(
            sampling_strategy=wanted,
            k_neighbors=int(min(5, min(counts[c] for c in wanted) - 1)),
            random_state=seed,
        ).fit_resample(flat, labels)
        new = made[len(pixels) :].round().clip(0, 255).astype(np.uint8)
        pixels, labels = new.reshape(-1, *pixels.shape[1:]), named[len(pixels) :]
    seen = bench.evaluation.tools.judge(pixels)
    return {
        "label": cross_entropy(seen, labels),
        "fidelity": macro(seen.argmax(axis=1), labels, k),
    }


def figure_13a(options):
    """Give the judge's cross-entropy of three kinds of labels of ADP's images."""
    rows = score(Bench(options), ["adp", "vote"], options)
    head = ["images of", "their own label", "plain vote", "data programming"]
    return markdown(
        head,
        [
            [
                name,
                *(over_seeds(found, of, 2) for of in ("label", "vote", "programmed")),
            ]
            for name, found in rows.items()
        ],
    )


def score(bench, names, options):
    """Train and score rows; gives name → what a table tells of each seed."""
    for seed in options.seeds:
        for name in names:
            options.seed = seed
            bench.row(name)
    rows = {}
    for found in bench.rows().values():
        of_these = found.get("row") in names and found["steps"] == options.steps
        if of_these and found["n_samples"] == options.samples:
            rows.setdefault(found["row"], []).append(told(found))
    return {name: rows[name] for name in names}


def told(found):
    """Give the figures of a row, by name."""
    scores = {one["metric"]: one["value"] for one in found["scores"]}
    of = found["cross_entropy"]
    return {
        "label": of["label"],
        "vote": of["vote"],
        "programmed": of["data programming"],
        "fidelity": found["fidelity"],
        "fid": next(v for name, v in scores.items() if name.startswith("FID")),
        "parzen": scores["Parzen"],
        "n_lfs": found["n_lfs"],
    }


TABLES = {
    "table-4": table_4,
    "tables-6-and-7": tables_6_and_7,
    "table-8": table_8,
    "figure-4": figure_4,
    "figure-13a": figure_13a,
}


def main(arguments=None):
    """Measure what is not there yet of a table, and print it."""
    arguments = [*(sys.argv[1:] if arguments is None else arguments)]
    name = arguments.pop(0) if arguments else ""
    if name not in TABLES:
        raise SystemExit(f"expected one of {', '.join(TABLES)}, not {name!r}.")
    options = read_arguments(arguments, list(ROWS), "joint", 2000, N_SAMPLES)
    print(f"{machine()}\n")
    print(TABLES[name](options))


if __name__ == "__main__":
    main()
