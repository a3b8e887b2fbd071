"""What every library promises, on real images; what is special to one has its file."""

import gzip
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from command_line import call

import lfkit
from lf_library import clip_art, digits, fashion, street_digits
from lfkit.aggregators.aggregate import aggregate
from lfkit.data.datasets import open_images
from lfkit.data.datasets.array_source import ArraySource
from lfkit.data.datasets.fashion_mnist import DEBIAN_FOLDER
from lfkit.data.labels import scored_images
from lfkit.data.seed_labels import draw_seeds
from lfkit.errors import DataError
from lfkit.features.feature import ancestors
from lfkit.labeling.labeling_function import KINDS
from lfkit.metrics.labels.lf_agreement import agreements, mean_error_correlation
from lfkit.runs.run import load_run
from lfkit.runs.store import RunStore

ROOT = Path(__file__).parents[1]
DEMO = "lfkit apply digits --lfs lf_library.digits --seeds-per-class 20 --out demo-run"

LIBRARIES = {
    "digits": digits,
    "street_digits": street_digits,
    "fashion": fashion,
    "clip_art": clip_art,
}
# ADP (Pal & Balasubramanian, CVPR 2018), table 3, in the order of KINDS.
LEAST = {
    "digits": (43, 10, 1),
    "street_digits": (43, 10, 2),
    "fashion": (50, 6, 1),
    "clip_art": (46, 18, 2),
}
# A minute or two of votes each; what reads no images is tested of every library.
LONG = ("street_digits", "clip_art")


def marked(name, *more):
    """Mark what applies a library that takes long."""
    marks = [pytest.mark.slow] if name in LONG else []
    return pytest.param(name, *more, marks=marks)


every_library = pytest.mark.parametrize("name", LIBRARIES)
every_applied_library = pytest.mark.parametrize(
    "name", [marked(name) for name in LIBRARIES]
)
every_function = pytest.mark.parametrize(
    ("name", "lf"),
    [marked(name, lf) for name, library in LIBRARIES.items() for lf in library.LFS],
    ids=lambda value: getattr(value, "name", value),
)


def images_for(name):
    """Real images with labels; Fashion-MNIST's from the test set, the first 2,000."""
    if name == "fashion":
        if not (DEBIAN_FOLDER / "t10k-images-idx3-ubyte.gz").exists():
            pytest.skip("Debian's dataset-fashion-mnist is not installed")
        parts = []
        for kind, header in (("images-idx3", 16), ("labels-idx1", 8)):
            packed = (DEBIAN_FOLDER / f"t10k-{kind}-ubyte.gz").read_bytes()
            parts.append(np.frombuffer(gzip.decompress(packed), np.uint8, -1, header))
        pixels = parts[0].reshape(-1, 28, 28)[:2000]
        return ArraySource(pixels, labels=parts[1][:2000], class_names=fashion.CLASSES)
    try:
        return open_images(LIBRARIES[name].DATA)
    except DataError as error:
        pytest.skip(str(error))


def apply(name, source, seed=0, lfs=None, store=None):
    truth = np.asarray(source.labels, np.int64)
    seeds = draw_seeds(source, truth, source.class_names, 20, seed)
    library = LIBRARIES[name]
    lfs = library.LFS if lfs is None else lfs
    if name == "clip_art":  # EfficientNet's tests are in test_clip_art_library.py
        lfs = [lf for lf in lfs if lf.kind != "deep"]
    applier = lfkit.LFApplier(lfs, n_classes=len(library.CLASSES), n_workers=0)
    votes = applier.apply(
        source, seed_rows=seeds.rows, seed_labels=seeds.labels, store=store
    )
    assert not applier.report_.left_out
    assert not applier.report_.faults
    return votes, scored_images(source, votes, truth)


APPLIED, STORES = {}, {}


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    """Where what is computed of images is kept for the tests of this file."""
    for name in LIBRARIES:
        STORES[name] = RunStore(tmp_path_factory.mktemp(name))
    STORES["demo"] = tmp_path_factory.mktemp("demo")


def demo_run():
    """Give the run of the demo, which applies the library of digits."""
    run = STORES["demo"] / "demo-run"
    if not run.exists():
        call(*shlex.split(DEMO)[1:-1], run)
    return run


def applied(name):
    """Apply a library once for all tests of it."""
    if name not in APPLIED:
        if name == "digits":
            run = load_run(demo_run())
            told = json.loads((run.folder / "faults.json").read_text())
            assert not told["functions"]
            assert not told["left_out"]
            APPLIED[name] = run.votes, run.scored
        else:
            APPLIED[name] = apply(name, images_for(name), store=STORES[name])
    return APPLIED[name]


@every_library
def test_names_are_unique_and_claims_documented(name):
    lfs = LIBRARIES[name].LFS
    assert len({lf.name for lf in lfs}) == len(lfs)
    for lf in lfs:
        assert lf.doc.endswith((".", ").")), lf.name
        assert len(lf.doc) > 20, lf.name


@every_library
def test_functions_are_of_the_papers_kinds_and_as_many(name):
    kinds = [lf.kind for lf in LIBRARIES[name].LFS]
    for kind, least in zip(KINDS, LEAST[name], strict=True):
        assert kinds.count(kind) >= least


@every_library
def test_at_least_25_features_are_behind_a_library(name):
    nodes = ancestors([f for lf in LIBRARIES[name].LFS for f in lf.features])
    assert len({node.name for node in nodes if node is not lfkit.image}) >= 25
    read = {f.name for lf in LIBRARIES[name].LFS for f in lf.features}
    assert len(read) >= 25


@every_library
def test_classes_are_declared_ones(name):
    k = len(LIBRARIES[name].CLASSES)
    for lf in LIBRARIES[name].LFS:
        assert set(lf.classes) <= set(range(k))


@every_function
def test_function_beats_chance_where_it_votes(name, lf):
    if name == "clip_art" and lf.kind == "deep":
        pytest.skip("EfficientNet's tests are in test_clip_art_library.py")
    votes, truth = applied(name)
    column = votes.hard[:, votes.names.index(lf.name)]
    voted = (column >= 0) & (truth >= 0)
    assert voted.sum() > 0.005 * (truth >= 0).sum()
    right = (column == truth)[voted].mean()
    assert right > 1.15 / len(LIBRARIES[name].CLASSES)


@every_applied_library
def test_no_two_functions_are_the_same(name):
    votes, _ = applied(name)
    table = np.triu(agreements(votes), 1)
    alike = [(votes.names[i], votes.names[j]) for i, j in np.argwhere(table > 0.98)]
    assert not alike


@every_applied_library
def test_errors_are_hardly_correlated(name):
    votes, truth = applied(name)
    assert mean_error_correlation(votes, truth) <= 0.30


@pytest.mark.parametrize(
    ("name", "majority", "weighted"),
    [
        marked("digits", 0.94, 0.94),
        marked("street_digits", 0.55, 0.60),
        marked("fashion", 0.77, 0.79),
        marked("clip_art", 0.40, 0.42),
    ],
)
def test_labels_are_as_right_as_the_readme_says(name, majority, weighted):
    votes, truth = applied(name)
    scored = truth >= 0
    for aggregator, least in (("majority-vote", majority), ("seed-weighted", weighted)):
        labels = aggregate(votes, aggregator).labels
        assert (labels[scored] == truth[scored]).mean() > least, aggregator


def test_the_panel_is_what_the_demo_prints():
    page = (ROOT / "docs" / "few_seeds.md").read_text()
    (shown,) = [text for text in page.split("```") if DEMO in text]
    printed = dict(
        re.findall(r"(accuracy|coverage|on the seeds|baseline) +([\d.]+) %", shown)
    )
    summary = json.loads((demo_run() / "summary.json").read_text())
    (best,) = [b for b in summary["baselines"] if b["name"] == summary["baseline"]]
    found = {
        "accuracy": summary["accuracy"]["of_all"],
        "coverage": summary["coverage"],
        "on the seeds": summary["seed_accuracy"],
        "baseline": best["accuracy"],
    }
    assert set(printed) == set(found)
    for name, figure in printed.items():
        # Other processors round differently: a few digits may change sides.
        assert float(figure) == pytest.approx(100 * found[name], abs=1.0), name
    assert DEMO in (ROOT / "Makefile").read_text().replace("$(RUN)/", "")


def test_clothes_are_labeled_without_any_label():
    source = images_for("fashion")
    applier = lfkit.LFApplier(fashion.LFS, n_classes=10, n_workers=0)
    applied("fashion")  # computes what is read of images here, too
    pixels = source.read(np.arange(len(source))).pixels
    votes = applier.apply(ArraySource(pixels), store=STORES["fashion"])
    assert set(votes.names) == {lf.name for lf in fashion.WITHOUT_SEEDS}
    labels = aggregate(votes, "majority-vote").labels
    truth = np.asarray(source.labels)
    assert (labels == truth).mean() > 0.71
    right = [(labels == truth)[labels == label].mean() for label in range(10)]
    assert min(right) > 0.4


@pytest.mark.slow
def test_same_seeds_give_the_same_votes_and_other_seeds_others():
    source = images_for("digits")
    lfs = [lf for lf in digits.LFS if lf.thresholds][::3]
    first, _ = apply("digits", source, lfs=lfs)
    again, _ = apply("digits", source, lfs=lfs)
    np.testing.assert_array_equal(first.soft, again.soft)
    np.testing.assert_array_equal(
        first.seed_out_of_fold.soft, again.seed_out_of_fold.soft
    )
    other, _ = apply("digits", source, seed=1, lfs=lfs)
    assert (first.hard != other.hard).any(axis=0).mean() > 0.9


def ring(diameter):
    """A circle of that many pixels on 28x28, 3 wide."""
    rows, columns = np.mgrid[:28, :28] - 13.5
    radius = np.hypot(rows, columns)
    inside = (radius > diameter / 2) & (radius < diameter / 2 + 3)
    return (inside * 255).astype(np.uint8)


def test_large_ring_gets_the_weights_the_paper_prints():
    weights = digits.blobs_tell_digit(ring(16))
    assert weights == pytest.approx([0.4, 0, 0, 0, 0.1, 0, 0.3, 0, 0.1, 0.1], abs=1e-3)


def test_small_ring_without_stem_gets_the_weights_the_paper_prints():
    image = ring(5)
    weights = digits.blobs_tell_digit(image)
    assert weights == pytest.approx([0.6, 0, 0.2, 0, 0.1, 0, 0, 0, 0, 0.1], abs=1e-3)
    weights = digits.stems_tell_digit(image)
    assert weights == pytest.approx([0.8, 0, 0, 0, 0.1, 0, 0, 0, 0, 0.1], abs=1e-3)


def test_blank_image_gets_no_vote_from_loops():
    blank = np.zeros((28, 28), np.uint8)
    assert digits.two_holes_is_eight(blank) == lfkit.ABSTAIN
    assert not digits.blobs_tell_digit(blank).any()
    assert not digits.stems_tell_digit(blank).any()
