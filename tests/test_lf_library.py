import gzip

import numpy as np
import pytest
from sklearn.datasets import load_digits

import lfkit
from lf_library import digits, fashion
from lfkit.datasets.fashion_mnist import DEBIAN_FOLDER
from lfkit.labeling.labeling_function import KINDS
from lfkit.labeling.nearest import NearestMean

SEEDS_PER_CLASS = 20
every_library = pytest.mark.parametrize(
    "library", [digits, fashion], ids=["digits", "fashion"]
)


def digit_images():
    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8) / 16 * 255).round().astype(np.uint8)
    return images, labels.astype(np.int64)


def fashion_images():
    if not (DEBIAN_FOLDER / "t10k-images-idx3-ubyte.gz").exists():
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    parts = []
    for kind, header in (("images-idx3", 16), ("labels-idx1", 8)):
        packed = (DEBIAN_FOLDER / f"t10k-{kind}-ubyte.gz").read_bytes()
        parts.append(np.frombuffer(gzip.decompress(packed), np.uint8, offset=header))
    return parts[0].reshape(-1, 28, 28)[:2000], parts[1][:2000].astype(np.int64)


class Applied:
    """A library applied to real images, its accuracies on those that are no seeds."""

    def __init__(self, library, images, labels):
        order = np.random.default_rng(0).permutation(len(labels))
        seeds = np.concatenate(
            [order[labels[order] == c][:SEEDS_PER_CLASS] for c in range(10)]
        )
        applier = lfkit.LFApplier(library.LFS, n_classes=10, n_workers=0, strict=True)
        votes = applier.apply(images, seed_rows=seeds, seed_labels=labels[seeds])
        rest = np.setdiff1d(np.arange(len(labels)), seeds)
        self.names, self.labels = votes.names, labels[rest]
        self.hard, self.soft = votes.hard[rest], votes.soft[rest].astype(np.float32)

    def accuracy(self, name):
        column = self.hard[:, self.names.index(name)]
        voted = column >= 0
        return voted.mean(), (column == self.labels)[voted].mean()

    @property
    def majority(self):
        return (self.soft.sum(axis=1).argmax(axis=1) == self.labels).mean()


@pytest.fixture(scope="module")
def digit_votes():
    return Applied(digits, *digit_images())


@pytest.fixture(scope="module")
def fashion_votes():
    return Applied(fashion, *fashion_images())


@every_library
def test_names_are_unique_and_documented(library):
    names = [lf.name for lf in library.LFS]
    assert len(set(names)) == len(names)
    assert all(lf.doc.endswith((".", ").")) for lf in library.LFS)


@every_library
def test_three_kinds_of_functions(library):
    kinds = [lf.kind for lf in library.LFS]
    assert len(kinds) >= 17
    assert set(kinds) == set(KINDS)
    assert kinds.count("heuristic") >= 10
    assert kinds.count("image-processing") >= 5


@every_library
def test_classes_are_declared_ones(library):
    assert len(library.CLASSES) == 10
    for lf in library.LFS:
        assert set(lf.classes) <= set(range(10))


@pytest.mark.parametrize("lf", digits.LFS, ids=lambda lf: lf.name)
def test_digit_function_beats_chance_where_it_votes(lf, digit_votes):
    coverage, accuracy = digit_votes.accuracy(lf.name)
    assert coverage > 0.01
    assert accuracy > 0.15


@pytest.mark.parametrize("lf", fashion.LFS, ids=lambda lf: lf.name)
def test_fashion_function_beats_chance_where_it_votes(lf, fashion_votes):
    coverage, accuracy = fashion_votes.accuracy(lf.name)
    assert coverage > 0.01
    assert accuracy > 0.15


def test_digit_majority_is_right(digit_votes):
    assert digit_votes.majority > 0.9


def test_fashion_majority_is_right(fashion_votes):
    assert fashion_votes.majority > 0.74
    nearest = [
        fashion_votes.accuracy(lf.name)[1]
        for lf in fashion.LFS
        if any(isinstance(t, NearestMean) for t in lf.thresholds.values())
    ]
    assert np.mean(nearest) > 0.62


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
