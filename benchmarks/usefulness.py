"""Do generated images help? Few images, few labels or a rare class: one row a call.

    python -m benchmarks.usefulness --data fashion-mnist --lfs lf_library.fashion
        --images 1000 --seeds-per-class 5 --out useful
    python -m benchmarks.usefulness --data cifar-10 --lfs lf_library.cifar10
        --rare cat:.01 --out useful

Of each draw: a part of the images, labels by `lfkit apply --refine`, a generator, and
the same classifier with and without generated images, tested on images that none of
them has seen. Draws are kept in OUT/usefulness.jsonl and trainings in folders of OUT:
killed, the same call goes on. The table has all rows of OUT; its differences are to the
better one of `real` and `real again`, with standard errors over the draws.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np

from benchmarks.common import machine, markdown
from benchmarks.knowledge import Kept
from lfkit.commands.apply import apply
from lfkit.commands.judge_usefulness import (
    learned_pairs,
    n_generated_for,
    supply_of,
    unlabeled_pixels,
)
from lfkit.commands.train import train
from lfkit.commands.train_options import TrainOptions
from lfkit.commands.trained_generator import load_generator
from lfkit.data.datasets import open_images
from lfkit.metrics import MetricContext
from lfkit.metrics.evaluator import held_out_images
from lfkit.metrics.trained_classifiers import DEFAULT_STEPS, Recipe
from lfkit.metrics.usefulness import AGAIN, REAL, ROWS, paired_difference, usefulness
from lfkit.nn.compute import best_device
from lfkit.runs.apply_options import ApplyOptions
from lfkit.runs.options import parse_size, split_list
from lfkit.runs.run import load_run

TESTS = {"fashion-mnist": "fashion-mnist:test", "cifar-10": "cifar-10:test"}
HEADER = ["setting", "learned from", "accuracy", "difference, points"]
HEADER += ["rare class", "cross-entropy", "labels right", "draws"]
_STAGES = ("lda", "align", "self-training", "diffuse", "metric")
_MOST_TESTED = 10_000


def main(arguments=None):
    """Measure the draws of a row that are not yet in the folder; print the table."""
    options = read_arguments(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "usefulness.jsonl"
    kept = Kept(path)
    for draw in range(options.draws):
        kept.get((setting(options), protocol(options), draw), measured, options)
    print(f"{machine()}\n")
    print(table([json.loads(line) for line in path.read_text().splitlines()]))


def read_arguments(arguments):
    """Read what one row is of."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--lfs", required=True)
    parser.add_argument("--test", help="held-out images; else a third of --data")
    parser.add_argument("--images", default="all", help="a number, or all")
    parser.add_argument("--seeds-per-class", type=int, default=5)
    parser.add_argument("--rare", help="CLASS:SHARE of the images")
    parser.add_argument("--size", type=parse_size)
    parser.add_argument("--stages", type=split_list, default=_STAGES)
    parser.add_argument("--encoder", action="append", default=[])
    parser.add_argument("--generator", default="two-stage")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--learner-steps", type=int, default=DEFAULT_STEPS)
    parser.add_argument("--rows", default=";".join(ROWS), help="separated by ;")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    options.test = options.test or TESTS.get(options.data)
    return options


def setting(options):
    """Name what images and labels a row has."""
    parts = [options.data]
    if options.size is not None:
        parts.append("x".join(map(str, options.size)))
    parts.append(f"{options.images} images, {options.seeds_per_class} seeds per class")
    if options.rare:
        parts.append(f"rare {options.rare}")
    return ", ".join(parts)


def protocol(options):
    """Name all else that figures depend on."""
    return (
        f"{options.lfs}, {','.join(options.stages)}, {','.join(options.encoder)}, "
        f"{options.generator} of {options.steps} steps, learners of "
        f"{options.learner_steps}, {options.repeats} repeats of {options.rows}, test "
        f"{options.test}"
    )


def measured(options, _, draw):
    """Label a draw of the images, train a generator, and compare classifiers."""
    of = (setting(options), options.lfs, options.stages, options.encoder, options.test)
    of += (options.generator, options.steps)
    digest = hashlib.blake2b(repr(of).encode(), digest_size=6)
    folder = options.out / digest.hexdigest() / str(draw)
    folder.mkdir(parents=True, exist_ok=True)
    data, test = written(options, draw, folder)
    summary = apply(
        ApplyOptions(
            data=str(data),
            out=folder / "run",
            lfs=(options.lfs,),
            seeds_per_class=options.seeds_per_class or None,
            seed=draw,
            refine=True,
            stages=tuple(options.stages),
            encoders=tuple(options.encoder),
            size=options.size,
            baselines=False,
            sheet=False,
        )
    )
    rare = None
    if options.rare:
        rare = summary.class_names.index(options.rare.rpartition(":")[0])
    told = train(
        TrainOptions(folder / "run", options.generator, steps=options.steps, seed=draw)
    )
    run = load_run(folder / "run")
    source = run.open_images()
    tools = MetricContext(
        test=held_out_images(run, source, str(test))[0],
        random_state=100 * draw,  # no two draws share a repeat's seed
        device=best_device(),
    )
    known = learned_pairs(run, source, draw)
    found = usefulness(
        known,
        supply_of(run, load_generator(run, options.generator)),
        tools,
        Recipe(options.learner_steps, options.repeats),
        n_generated=n_generated_for(known),
        unlabeled=unlabeled_pixels(run, source, draw),
        rows=tuple(name.strip() for name in options.rows.split(";")),
    )
    return found.to_dict() | {
        "labels_right": summary.accuracy.of_all,
        "images": len(source),
        "rare": rare,
        "broken": told.broken,
    }


def written(options, draw, folder):
    """Write a draw's images, and held-out ones if none are given; their places."""
    source = open_images(options.data, size=options.size)
    labels, every = np.asarray(source.labels), np.flatnonzero(source.labels >= 0)
    test = options.test
    if test is None:  # the same for every draw and setting
        every = np.random.default_rng(0).permutation(every)
        n = min(len(every) // 3, _MOST_TESTED)
        test, held_out = folder / "test.npz", every[:n]
        every = np.sort(every[n:])
        write_images(source, held_out, test)
    rng = np.random.default_rng([1, draw])
    rows = rng.permutation(every)
    count = len(rows) if options.images == "all" else int(options.images)
    if options.rare:
        rows = thinned(rows, labels, source.class_names, options.rare, count)
    write_images(source, np.sort(rows[:count]), folder / "images.npz")
    return folder / "images.npz", test


def thinned(rows, labels, names, rare, count):
    """Keep so few images of one class that it has its share of all, of `count`."""
    name, _, share = rare.rpartition(":")
    is_rare = labels[rows] == list(names).index(name)
    others = rows[~is_rare]
    n_others = min(len(others), round(count * (1 - float(share))))
    n_rare = max(1, round(n_others * float(share) / (1 - float(share))))
    return np.concatenate([rows[is_rare][:n_rare], others[:n_others]])


def write_images(source, rows, path):
    """Write some images with their true labels, for scoring only."""
    if not path.exists():
        temporary = path.with_suffix(".part.npz")
        np.savez(
            temporary,
            images=source.read(rows).pixels,
            labels=np.asarray(source.labels)[rows],
            class_names=np.array(source.class_names),
        )
        temporary.replace(path)


def table(draws):
    """Give means over the draws, ranges, and differences, as Markdown."""
    groups = {}
    for draw in draws:
        groups.setdefault(tuple(draw["task"][:2]), []).append(draw)
    lines = []
    for (text, _), of in groups.items():
        at = max((REAL, AGAIN), key=lambda name: means(of, name).mean())
        names = [name for name in ROWS if all(name in one["rows"] for one in of)]
        for name in names:
            lines.append(
                [
                    text,
                    name,
                    ranged(means(of, name)),
                    "" if name == at else compared(of, name, at),
                    ranged(rare_class(of, name)),
                    f"{means(of, name, 'cross_entropy').mean():.2f}",
                    ranged(np.array([one["labels_right"] for one in of], float)),
                    f"{len(of)}{' (broken generator)' * any(o['broken'] for o in of)}",
                ]
            )
    return markdown(HEADER, lines)


def means(draws, name, figure="accuracy"):
    """Give the mean over the repeats of each draw."""
    return np.array([np.mean(one["rows"][name][figure]) for one in draws])


def rare_class(draws, name):
    """Give the share of right answers in the rare class, of each draw."""
    return np.array(
        [
            np.mean([each[one["rare"]] for each in one["rows"][name]["by_class"]])
            for one in draws
            if one["rare"] is not None
        ]
    )


def compared(draws, name, at):
    """Give the difference to the baseline in points, and its standard error."""
    if len(draws) == 1:  # over its repeats
        values, baseline = (
            np.array(draws[0]["rows"][n]["accuracy"]) for n in (name, at)
        )
    else:
        values, baseline = means(draws, name), means(draws, at)
    found = paired_difference(values, baseline)
    return f"{100 * found.mean:+.1f} ± {100 * found.error:.1f}"


def ranged(values):
    """Give the mean and, of several draws, from where to where they reach."""
    if not len(values):
        return ""
    mean = f"{values.mean():.3f}"
    if len(values) == 1:
        return mean
    return f"{mean} ({values.min():.3f}-{values.max():.3f})"


if __name__ == "__main__":
    main()
