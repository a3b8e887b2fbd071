"""How fast lfkit applies labeling functions: ratios against Snorkel, in one run.

    python -m benchmarks.apply [--images N]

Three comparisons. The same per-image Python functions under lfkit and under Snorkel's
LFApplier; the functions of lf_library.fashion against the same functions written per
image under Snorkel; and a run after one edited function against the whole run.
Fashion-MNIST where Debian's package put it.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from snorkel.labeling import LabelingFunction as SnorkelFunction
from snorkel.labeling import LFApplier as SnorkelApplier

from benchmarks.per_image_peers import FASTEST, SKIMAGE, deep_peers
from lf_library import fashion
from lfkit import ABSTAIN, LFApplier, labeling_function
from lfkit.datasets import ArraySource, open_images
from lfkit.labeling.evaluation import cpu_count
from lfkit.labels import aggregate
from lfkit.run import save_labels
from lfkit.store import RunStore

N_SEEDS = 20


# Ten rules as a user writes them: one image in, plain NumPy and OpenCV.
def bright(image):
    return 8 if image.mean() > 100 else ABSTAIN


def empty_middle(image):
    return 1 if image[14:, 12:16].mean() < 30 else ABSTAIN


def wide(image):
    columns = (image.max(axis=0) > 40).sum()
    return 7 if columns > 26 else ABSTAIN


def low(image):
    rows = (image.max(axis=1) > 40).sum()
    return 7 if rows < 14 else ABSTAIN


def many_edges(image):
    edges = cv2.Canny(image, 60, 120)
    return 5 if (edges > 0).mean() > 0.2 else ABSTAIN


def two_parts(image):
    count, _ = cv2.connectedComponents((image > 40).astype(np.uint8))
    return 5 if count > 3 else ABSTAIN


def symmetric(image):
    difference = np.abs(image.astype(int) - image[:, ::-1]).mean()
    return 3 if difference < 10 else ABSTAIN


def slanted(image):
    moments = cv2.moments((image > 40).astype(np.uint8))
    return 9 if abs(moments["nu11"]) > 0.05 else ABSTAIN


def rough(image):
    return 2 if cv2.Laplacian(image, cv2.CV_32F).var() > 4000 else ABSTAIN


def shades(image):
    counts = np.histogram(image, bins=16, range=(0, 256))[0]
    return 0 if counts[8:].sum() > 350 else ABSTAIN


PYTHON_RULES = (
    bright, empty_middle, wide, low, many_edges, two_parts, symmetric, slanted, rough,
    shades,
)  # fmt: skip


def main() -> None:
    """Run the comparisons and print their table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    n = parser.parse_args().images
    source = open_images("fashion-mnist")
    images = source.read(np.arange(n)).pixels
    labels = np.asarray(source.labels)
    table = Table(title=f"lfkit apply, {cpu_count()} cores, Python {_python()}")
    for title in ("what", "lfkit", "peer", "ratio", "target"):
        table.add_column(title, justify="left" if title == "what" else "right")
    table.add_row(*python_rules(images))
    fitted = fit(source, labels)
    for row in library(images, fitted):
        table.add_row(*row)
    for row in edited(source, labels):
        table.add_row(*row)
    table.add_row(*imports())
    Console(width=110).print(table)


def python_rules(images):
    """Time the same Python functions under lfkit and under Snorkel."""
    lfs = [SnorkelFunction(rule.__name__, rule) for rule in PYTHON_RULES]
    points = [image[:, :, 0] for image in images]
    planes = images[:, :, :, 0]
    on_planes = [_on_plane(rule) for rule in PYTHON_RULES]

    def peer():
        return SnorkelApplier(lfs).apply(points, progress_bar=False)

    def ours():
        declare = labeling_function(classes=range(10))
        return LFApplier([declare(rule) for rule in on_planes]).apply(planes).hard

    expected, theirs = _timed(peer)
    votes, mine = _timed(ours)
    assert np.array_equal(expected, votes), "lfkit and Snorkel disagree"
    return _row(
        f"{len(lfs)} per-image Python rules, the same votes",
        mine / len(images),
        theirs / len(images),
        "Snorkel",
        1.7,
    )


def _on_plane(rule):
    """Give a rule for (28, 28) arrays the (28, 28, 1) image that lfkit reads."""

    @functools.wraps(rule)
    def on_plane(image):
        return rule(image[:, :, 0])

    return on_plane


def fit(source, labels):
    """Fit lf_library.fashion on twenty seeds per class."""
    seeds = _seeds(labels)
    applier = LFApplier(fashion.LFS)
    small = ArraySource(source.read(seeds).pixels)
    applier.apply(small, seed_rows=np.arange(len(seeds)), seed_labels=labels[seeds])
    return applier.lfs_


def library(images, fitted):
    """Time lf_library.fashion against the same functions written per image."""
    features = {node.name: node for lf in fitted for node in lf.features}
    deep = deep_peers([node for name, node in features.items() if name not in FASTEST])

    with tempfile.TemporaryDirectory() as folder:
        votes, mine = _timed(
            lambda: LFApplier(fitted).apply(images, store=RunStore(Path(folder)))
        )
    for name, peers, n, target in (
        ("scikit-image", SKIMAGE, 400, 50),
        ("the faster of OpenCV and scikit-image", FASTEST, 2000, 4),
    ):
        lfs = [per_image(lf, peers | deep) for lf in fitted]
        points = list(images[:n, :, :, 0])
        expected, theirs = _timed(
            lambda lfs=lfs, points=points: SnorkelApplier(lfs).apply(
                points, progress_bar=False
            )
        )
        alike = (expected == votes.hard[:n]).mean()
        yield _row(
            f"lf_library.fashion, {alike:.1%} of votes equal, peer: {name}",
            mine / len(images),
            theirs / n,
            "Snorkel",
            target,
        )


def per_image(lf, peers):
    """Write a fitted function of the library as a Snorkel user would."""
    read = [_remembered(peers[node.name]) for node in lf.features]
    keywords = lf.keywords
    if "rule" in keywords:
        decide = _nearest(lf, keywords["rule"])
    else:
        decide = _HEURISTICS[lf.name](**keywords)
    return SnorkelFunction(lf.name, lambda image: decide(*(f(image) for f in read)))


def _remembered(function):
    """Compute a feature that several functions share once per image."""
    return _CACHE.setdefault(function, _Remembered(function))


class _Remembered:
    def __init__(self, function):
        self.function, self.image, self.value = function, None, None

    def __call__(self, image):
        if image is not self.image:
            self.image, self.value = image, self.function(image)
        return self.value


_CACHE: dict[object, _Remembered] = {}


def _nearest(lf, rule):
    """Write NearestMean or NearestNorm in NumPy."""
    learned = {name: np.asarray(value) for name, value in rule.learned.items()}
    if "mean_norms" in learned:
        means = learned["mean_norms"]
        return lambda v: int(np.abs(means - np.linalg.norm(v)).argmin())
    weights, bias = learned["weights"], learned["bias"]
    margin = float(learned["margin"])

    def decide(values):
        scores = np.asarray(values, np.float32).ravel() @ weights + bias
        best = np.partition(scores, -2)[-2:]
        return int(scores.argmax()) if best[1] - best[0] >= margin else ABSTAIN

    return decide


def _when(label, test):
    """Build `lambda **thresholds: rule`."""
    return lambda **cuts: lambda *values: label if test(*values, **cuts) else ABSTAIN


_HEURISTICS = {
    "leg_gap_is_trouser": _when(
        fashion.TROUSER, lambda depth, wide, gap, slim: depth > gap and wide <= slim
    ),
    "slim_in_one_piece_is_dress": _when(
        fashion.DRESS,
        lambda depth, hem, high, gap, slim, tall: (
            depth <= gap and hem <= slim and high >= tall
        ),
    ),
    "short_sleeves_is_t_shirt": _when(
        fashion.T_SHIRT,
        lambda by, hem, high, flare, broad: by > flare and hem >= broad and high > 0.8,
    ),
    "hanging_sleeves_is_pullover_coat_or_shirt": _when(
        fashion.PULLOVER,
        lambda share, uneven, gaps, lopsided: share > gaps and uneven <= lopsided,
    ),
    "collar_over_broad_body_is_coat": _when(
        fashion.COAT,
        lambda rises, hem, uneven, stands_up, broad, lopsided: (
            rises > stands_up and hem >= broad and uneven <= lopsided
        ),
    ),
    "airy_and_lopsided_is_sandal": _when(
        fashion.SANDAL,
        lambda filled, uneven, airy, lopsided: filled < airy and uneven >= lopsided,
    ),
    "low_and_solid_is_sneaker": _when(
        fashion.SNEAKER, lambda high, filled, low, solid: high < low and filled >= solid
    ),
    "shaft_on_one_side_is_ankle_boot": _when(
        fashion.ANKLE_BOOT,
        lambda rises, filled, tall, solid: rises > tall and filled >= solid,
    ),
    "broad_and_even_is_bag": _when(
        fashion.BAG,
        lambda waist, uneven, broad, lopsided: waist > broad and uneven <= lopsided,
    ),
}


def edited(source, labels):
    """Time a whole run, the run after one edited function, and the unchanged run."""
    lfs = list(fashion.LFS[:20])
    seeds = _seeds(labels)

    def run(functions):
        applier = LFApplier(functions, n_classes=10)
        votes = applier.apply(
            source, seed_rows=seeds, seed_labels=labels[seeds], store=RunStore(folder)
        )
        found = aggregate(votes, "majority-vote")
        save_labels(
            folder,
            source.ids,
            found.labels,
            found.proba,
            fashion.CLASSES,
            found.is_seed,
        )
        return applier.report_.n_calls

    def sharper(values, *, rule):
        return rule(values) ** 2

    edits, repeats = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, whole = _timed(lambda: run(lfs))
        for position in range(len(lfs)):
            if "rule" not in lfs[position].thresholds:
                continue
            lfs[position] = dataclasses.replace(lfs[position], fn=sharper)
            calls, seconds = _timed(lambda: run(lfs))
            assert calls == len(source) + len(seeds), "not one column was computed"
            edits.append(seconds)
            calls, seconds = _timed(lambda: run(lfs))
            assert calls == 0
            repeats.append(seconds)
    n, edit, again = len(source), float(np.median(edits)), float(np.median(repeats))
    yield (
        f"1 of {len(lfs)} functions edited (median of {len(edits)}), {n:,} images, "
        "votes and labels",
        f"{edit:.2f} s",
        f"{whole:.2f} s whole run",
        f"{whole / edit:.1f}",
        "≥ 15",
    )
    yield (
        f"nothing changed, {n:,} images, votes and labels",
        f"{again:.2f} s",
        f"{whole:.2f} s whole run",
        f"{whole / again:.1f}",
        "",
    )


def imports():
    """Time `import lfkit` against `import numpy`, each in a process of its own."""
    mine, theirs = (_import_time(name) for name in ("lfkit", "numpy"))
    return (
        "import, of the start-up of Python",
        f"{mine:.2f} s",
        f"{theirs:.2f} s numpy",
        f"{theirs / mine:.1f}",
        "≤ 0.5 s",
    )


def _import_time(module):
    command = [sys.executable, "-c", f"import {module}"]
    subprocess.run(command, check=True)
    return min(_timed(lambda: subprocess.run(command, check=True))[1] for _ in range(5))


def _seeds(labels):
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero(labels == c))[:N_SEEDS] for c in range(10)]
    return np.sort(np.concatenate(rows))


def _timed(work):
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def _row(what, mine, theirs, peer, target):
    return (
        what,
        f"{1e3 * mine:.3f} ms/image",
        f"{1e3 * theirs:.3f} ms/image {peer}",
        f"{theirs / mine:.1f}",
        f"≥ {target}",
    )


def _python():
    return f"{platform.python_version()}, torch {torch.__version__}"


if __name__ == "__main__":
    main()
