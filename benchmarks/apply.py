"""How fast lfkit applies labeling functions: ratios against Snorkel, in one run.

    python -m benchmarks.apply [--images N]

Three comparisons. The same per-image Python functions under lfkit and under Snorkel's
LFApplier; ten rules of lf_library.fashion against the same written per image under
Snorkel; and a run after one edited function against the whole run.
Fashion-MNIST where Debian's package put it.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table
from snorkel.labeling import LabelingFunction as SnorkelFunction
from snorkel.labeling import LFApplier as SnorkelApplier

from benchmarks.common import draw_rows, fit, machine, one_thread, timed
from benchmarks.peers_rules import (
    fastest,
    peers_of,
    per_image,
    planes,
    skimage_first,
    ten_of,
)
from lf_library import fashion
from lfkit import ABSTAIN, LFApplier, labeling_function
from lfkit.aggregators.aggregate import aggregate
from lfkit.data.datasets import open_images
from lfkit.runs.run_files import save_labels
from lfkit.runs.store import RunStore

# The run of which one function is edited: rules in code and rules by features, cheap
# and dear ones, as a library of twenty would have them.
TWENTY = (
    "leg_gap_is_trouser",
    "slim_in_one_piece_is_dress",
    "short_sleeves_is_t_shirt",
    "hanging_sleeves_is_pullover_coat_or_shirt",
    "collar_over_broad_body_is_coat",
    "airy_and_lopsided_is_sandal",
    "low_and_solid_is_sneaker",
    "shaft_on_one_side_is_ankle_boot",
    "broad_and_even_is_bag",
    "histogram_resembles_class",
    "spread_is_that_of_class",
    "outline_resembles_class",
    "long_edges_are_where_class_has_them",
    "patches_are_found_in_class",
    "hog_resembles_class",
    "gist_resembles_class",
    "texture_resembles_class",
    "patch_words_are_those_of_class",
    "few_seeds_of_class_explain_it",
    "lenet_sees_class",
)


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
    table = Table(title=f"lfkit apply, {machine()}")
    for title in ("what", "lfkit", "peer", "ratio", "target"):
        table.add_column(title, justify="left" if title == "what" else "right")
    table.add_row(*python_rules(images))
    for row in library(images, fit(ten_of(fashion.LFS), source)):
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

    expected, theirs = timed(peer)
    votes, mine = timed(ours)
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


def library(images, fitted):
    """Time rules of lf_library.fashion against the same written per image.

    In the time of one core: Snorkel uses one, lfkit all there are.
    """
    peers = peers_of([node for lf in fitted for node in lf.features])
    with tempfile.TemporaryDirectory() as folder:
        votes, mine = core_timed(
            lambda: LFApplier(fitted).apply(images, store=RunStore(Path(folder)))
        )
    for name, choose, n, target in (
        ("scikit-image", skimage_first, 200, 40),
        ("the faster of OpenCV and scikit-image", fastest, 1000, 5),
    ):
        chosen = choose(peers)
        applier = SnorkelApplier([per_image(lf, chosen) for lf in fitted])
        points = planes(images[:n])
        with one_thread():  # their calls are too small to share
            expected, theirs = core_timed(
                lambda applier=applier, points=points: applier.apply(
                    points, progress_bar=False
                )
            )
        alike = (expected == votes.hard[: len(points)]).mean()
        yield _row(
            f"{len(fitted)} rules of lf_library.fashion, {alike:.1%} of votes equal, "
            f"core time, peer: {name}",
            mine / len(images),
            theirs / len(points),
            "Snorkel",
            target,
        )


def core_timed(work):
    """Call something: its result and the seconds that cores were busy with it."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def edited(source, labels):
    """Time a whole run, the run after one edited function, and the unchanged run."""
    by_name = {lf.name: lf for lf in fashion.LFS}
    lfs = [by_name[name] for name in TWENTY]
    seeds = draw_rows(labels)

    def run(functions):
        applier = LFApplier(functions, n_classes=10)
        votes = applier.apply(
            source, seed_rows=seeds, seed_labels=labels[seeds], store=RunStore(folder)
        )
        found = aggregate(votes, "majority-vote")
        save_labels(folder, source.ids, found, class_names=fashion.CLASSES)
        return applier.report_.n_calls

    def sharper(values, *, rule):
        return rule(values) ** 2

    edits, repeats = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, whole = timed(lambda: run(lfs))
        for position in range(len(lfs)):
            if "rule" not in lfs[position].thresholds:
                continue
            lfs[position] = dataclasses.replace(lfs[position], fn=sharper)
            calls, seconds = timed(lambda: run(lfs))
            assert calls == len(source) + len(seeds), "not one column was computed"
            edits.append(seconds)
            calls, seconds = timed(lambda: run(lfs))
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
    return min(timed(lambda: subprocess.run(command, check=True))[1] for _ in range(5))


def _row(what, mine, theirs, peer, target):
    return (
        what,
        f"{1e3 * mine:.3f} ms/image",
        f"{1e3 * theirs:.3f} ms/image {peer}",
        f"{theirs / mine:.1f}",
        f"≥ {target}",
    )


if __name__ == "__main__":
    main()
