"""Classifiers trained on generated pairs, real ones, and both: on the digits."""

import sys
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from lfkit.data.datasets import ArraySource
from lfkit.data.image_source import ReadImages
from lfkit.errors import DataError, InputError
from lfkit.metrics import METRICS, ImageSet, MetricContext

K = 10
STEPS = 30  # nine in ten right, in a second

LACKING = "test images with labels that nothing has learned from (--against DATA)"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def digits():
    found = load_digits()
    pixels = np.rint(found.images * 255 / 16).astype(np.uint8)
    return pixels, found.target.astype(np.int64)


def part(start, name, step=3):
    """Every third of the digits, with true labels."""
    pixels, labels = digits()
    return ImageSet(pixels[start::step], np.eye(K)[labels[start::step]], name=name)


MADE, REAL, TEST = part(0, "made"), part(1, "digits:train"), part(2, "digits:test")


def relabeled(images, seed=0):
    """The same images and the same labels, no longer together."""
    order = np.random.default_rng(seed).permutation(len(images))
    return ImageSet(images.source, images.proba[order], name=images.name)


def only(images, keep):
    rows = np.flatnonzero(keep)
    return ImageSet(
        images.pixels(rows)[..., 0], images.proba[rows], name=f"part of {images.name}"
    )


def noise_for(images):
    pixels = np.random.default_rng(0).integers(256, size=(len(images), 8, 8))
    return ImageSet(pixels.astype(np.uint8), images.proba, name=images.name)


def scored(name, generated, real=REAL, test=TEST, seed=0, **settings):
    metric = METRICS[name](**{"n_steps": STEPS, **settings})
    tools = MetricContext(test=test, random_state=seed)
    assert metric.why_not(generated, real, tools) is None
    return {s.metric: s for s in metric.score(generated, real, tools)}


found = cache(scored)


def test_gan_train_of_the_real_images_is_their_ceiling():
    scores = found("gan-train", REAL)
    assert scores["GAN-train"].value > 0.85
    assert scores["GAN-train"].value == scores["GAN-train ceiling"].value
    entropy = scores["GAN-train cross-entropy"].value
    assert entropy == scores["GAN-train cross-entropy ceiling"].value
    assert 0 < entropy < 1


def test_relabeled_pairs_teach_nothing():
    good = found("gan-train", MADE, None)
    bad = found("gan-train", relabeled(MADE), None)
    assert good["GAN-train"].value > 0.85
    assert bad["GAN-train"].value < 0.35
    worse = bad["GAN-train cross-entropy"].value
    assert worse > good["GAN-train cross-entropy"].value + 0.5


def test_dropped_classes_lower_gan_train_by_their_share_and_leave_gan_test():
    few = only(MADE, MADE.labels < 7)
    unseen = (TEST.labels >= 7).mean()
    assert found("gan-train", few, None)["GAN-train"].value <= 1 - unseen
    whole = found("gan-test", MADE)["GAN-test"]
    assert whole.value > 0.85
    assert found("gan-test", few)["GAN-test"].value > whole.value - 0.03


def test_relabeled_pairs_and_noise_lower_gan_test_and_leave_its_ceiling():
    good = found("gan-test", MADE)
    beside = good["GAN-test of real images"]
    for worse in (relabeled(MADE), noise_for(MADE)):
        scores = found("gan-test", worse)
        assert scores["GAN-test"].value < 0.25
        assert scores["GAN-test of real images"].value == beside.value > 0.85
        entropy = scores["GAN-test cross-entropy"].value
        assert entropy > good["GAN-test cross-entropy"].value + 1


def test_gan_test_trains_on_the_labels_that_real_images_have():
    assert found("gan-test", MADE, relabeled(REAL))["GAN-test"].value < 0.35


def test_swapping_a_share_of_the_labels_lowers_gan_test_by_that_share_of_the_right():
    swapped = MADE.proba.copy()
    swapped[::2] = np.roll(swapped[::2], 1, axis=1)
    half = ImageSet(MADE.source, swapped, name="made")
    right = found("gan-test", MADE)["GAN-test"].value
    assert found("gan-test", half)["GAN-test"].value == pytest.approx(
        right / 2, abs=0.06
    )


def test_pairs_help_few_real_images_and_wrong_ones_do_not():
    few = only(REAL, np.arange(len(REAL)) < 20)
    good = found("augmentation", MADE, few)
    bad = found("augmentation", relabeled(MADE), few)
    gain = good["augmentation gain"].value
    alone = good["accuracy, real alone"].value
    assert gain > 0.1
    assert gain == good["accuracy, real + generated"].value - alone
    assert bad["accuracy, real alone"].value == alone
    assert bad["augmentation gain"].value < 0
    assert good["augmentation gain in cross-entropy"].value == pytest.approx(
        good["test cross-entropy, real + generated"].value
        - good["test cross-entropy, real alone"].value
    )
    assert good["accuracy, real alone"].protocol.n_generated == 0
    assert good["augmentation gain"].protocol.n_generated == len(MADE)
    assert good["augmentation gain"].protocol.n_real == 20


def test_both_real_and_generated_images_are_learned():
    real, made = only(REAL, REAL.labels < 5), only(MADE, MADE.labels >= 5)
    scores = found("augmentation", made, real)
    assert scores["accuracy, real alone"].value < 0.55
    assert scores["accuracy, real + generated"].value > 0.8


def test_smote_adds_as_many_images_as_there_are_generated_ones():
    pytest.importorskip("imblearn")
    few = only(REAL, np.arange(len(REAL)) < 60)
    scores = found("oversampling", MADE, few)
    score = scores["SMOTE gain"]
    assert score.protocol.details["SMOTE images"] == len(MADE)
    assert score.protocol.n_real == 60
    alone = found("augmentation", MADE, few)["accuracy, real alone"].value
    assert score.value == scores["accuracy, real + SMOTE"].value - alone
    assert scores["accuracy, real + SMOTE"].value > 0.5
    # Of generated images only the number counts.
    first, second = (
        found("oversampling", made, few, n_steps=3)["SMOTE gain in cross-entropy"]
        for made in (MADE, noise_for(MADE))
    )
    assert first.value == second.value


def test_smote_images_have_the_label_of_the_class_they_lie_in():
    pytest.importorskip("imblearn")
    # Bars at the left or at the right, and many times more SMOTE images than real ones.
    labels = np.arange(12) % 2
    pixels = np.random.default_rng(0).integers(100, size=(12, 8, 8)).astype(np.uint8)
    pixels[labels == 0, :, :3] += 100
    pixels[labels == 1, :, 5:] += 100
    bars = ImageSet(pixels, np.eye(2)[labels], name="bars")
    many = ImageSet(np.zeros((300, 8, 8), np.uint8), np.eye(2)[[0] * 300], name="many")
    scores = found("oversampling", many, bars, bars)
    assert scores["accuracy, real + SMOTE"].value == 1


def test_smote_leaves_a_class_of_one_image_alone():
    pytest.importorskip("imblearn")
    labels = REAL.labels
    keep = ((labels < 3) & (np.arange(len(REAL)) < 100)) | (
        np.arange(len(REAL)) == np.flatnonzero(labels == 9)[0]
    )
    score = found("oversampling", MADE, only(REAL, keep), n_images=100, n_steps=2)
    assert score["SMOTE gain"].protocol.details["SMOTE images"] == 100


def test_smote_beside_a_class_of_one_image_fills_up_the_only_other_class():
    pytest.importorskip("imblearn")
    keep = np.isin(np.arange(len(REAL)), [0, *np.flatnonzero(REAL.labels == 9)[:8]])
    assert sorted(np.bincount(REAL.labels[keep]))[-2:] == [1, 8]
    score = found("oversampling", MADE, only(REAL, keep), n_steps=2)["SMOTE gain"]
    assert score.protocol.details["SMOTE images"] == len(MADE)


def test_smote_makes_a_single_image_where_there_is_one_generated_image():
    pytest.importorskip("imblearn")
    single = only(MADE, np.arange(len(MADE)) == 0)
    score = found("oversampling", single, n_steps=2)["SMOTE gain"]
    assert score.protocol.details["SMOTE images"] == 1


def test_smote_says_between_how_many_neighbors_it_draws():
    pytest.importorskip("imblearn")
    order = np.argsort(REAL.labels, kind="stable")
    starts = np.searchsorted(REAL.labels[order], np.arange(K))
    threes = only(
        REAL, np.isin(np.arange(len(REAL)), order[starts[:, None] + [0, 1, 2]])
    )
    for real, neighbors in ((REAL, 5), (threes, 2)):
        score = found("oversampling", MADE, real, n_steps=2)["SMOTE gain"]
        assert score.protocol.details["neighbours"] == neighbors


def test_smote_says_what_is_missing(monkeypatch):
    pytest.importorskip("imblearn")
    metric, tools = METRICS["oversampling"](), MetricContext(test=TEST)
    singles = only(REAL, np.isin(np.arange(len(REAL)), [0, 1]))
    assert len({*singles.labels.tolist()}) == 2
    reason = metric.why_not(MADE, singles, tools)
    assert reason == (
        "no class of part of digits:train has two images to draw a line between"
    )
    ones = only(REAL, REAL.labels == 1)
    assert metric.why_not(MADE, ones, tools) == (
        "all labeled images of part of digits:train are of one class, and SMOTE of "
        "imbalanced-learn takes two"
    )
    nothing = ImageSet(np.zeros((0, 8, 8), np.uint8), np.zeros((0, K)), name="nothing")
    assert metric.why_not(nothing, REAL, tools) == (
        "nothing has no images, and SMOTE makes as many"
    )
    assert metric.why_not(MADE, nothing, tools) == "no image of nothing has a label"
    assert (
        metric.why_not(MADE, None, MetricContext())
        == f"it needs real, real labels, {LACKING}"
    )
    monkeypatch.setitem(sys.modules, "imblearn", None)
    assert metric.why_not(MADE, REAL, tools) == (
        "it needs the package imbalanced-learn, which is not installed; run: "
        'pip install "lfkit[bench]"'
    )


def test_the_ceiling_is_of_as_many_real_images():
    some = only(MADE, np.arange(len(MADE)) < 90)
    scores = found("gan-train", some, n_steps=2)
    assert scores["GAN-train"].protocol.n_generated == 90
    ceiling = scores["GAN-train ceiling"].protocol
    assert ceiling.details["trained on"] == "90 of digits:train"
    assert (ceiling.n_generated, ceiling.n_real) == (0, len(TEST))
    fewer = found("gan-train", MADE, only(REAL, REAL.labels == 1), n_steps=2)
    assert fewer["GAN-train ceiling"].note == (
        "There are 599 generated images and fewer real ones."
    )


def test_without_labeled_real_images_there_is_no_ceiling():
    bare = ImageSet(REAL.source, name="bare")
    for real in (None, bare):
        scores = found("gan-train", MADE, real, n_steps=2)
        assert {*scores} == {"GAN-train", "GAN-train cross-entropy"}
    assert "GAN-test of real images" not in found(
        "gan-test", MADE, test=None, n_steps=2
    )


def test_at_most_so_many_images_are_drawn_to_train_on():
    scores = found("augmentation", MADE, n_images=50, n_steps=2)
    protocol = scores["augmentation gain"].protocol
    assert (protocol.n_generated, protocol.n_real) == (50, 50)
    assert protocol.details["steps"] == 2


def test_several_trainings_give_their_mean_and_deviation():
    one = found("gan-train", MADE, None, n_steps=10)["GAN-train"]
    other = found("gan-train", MADE, None, seed=1, n_steps=10)["GAN-train"]
    both = found("gan-train", MADE, None, n_trainings=2, n_steps=10)["GAN-train"]
    assert one.error is None
    assert both.value == pytest.approx((one.value + other.value) / 2)
    assert both.error == pytest.approx(abs(one.value - other.value) / 2**0.5)
    assert one.value != other.value
    assert both.protocol.details["trainings"] == 2
    assert both.protocol.details["device"] == "cpu"


@pytest.mark.parametrize("name", ["gan-train", "gan-test", "augmentation"])
def test_the_same_seed_gives_the_same_scores(name):
    first, again = scored(name, MADE, n_steps=3), scored(name, MADE, n_steps=3)
    other = scored(name, MADE, seed=1, n_steps=3)
    for metric, score in first.items():
        assert again[metric].value == score.value
    assert any(other[metric].value != score.value for metric, score in first.items())


def test_images_without_a_label_teach_nothing():
    proba = MADE.proba.copy()
    proba[::2] = 0
    half = ImageSet(MADE.source, proba, name="half")
    kept = only(MADE, np.arange(len(MADE)) % 2 == 1)
    scores = found("gan-train", half, None, n_steps=3)
    assert scores["GAN-train"].protocol.n_generated == len(MADE) // 2
    same = found("gan-train", kept, None, n_steps=3)
    assert scores["GAN-train"].value == same["GAN-train"].value


class Torn(ArraySource):
    """Images of which only the first can be read."""

    def read(self, rows):
        problems = {place: "torn" for place in np.flatnonzero(rows).tolist()}
        return ReadImages(super().read(rows).pixels, problems)


def test_unreadable_images_are_left_out_and_their_labels_too():
    torn = ImageSet(Torn(MADE.pixels(np.arange(9))), MADE.proba[:9], name="torn")
    scores = found("gan-test", torn, n_steps=2)
    assert scores["GAN-test"].protocol.n_generated == 1
    lost = ImageSet(
        torn.source, np.eye(K)[[0] * 9] * (np.arange(9) > 0)[:, None], name="lost"
    )
    for name in ("gan-train", "gan-test"):
        with pytest.raises(DataError, match="none of the 8 labeled images of lost can"):
            found(name, lost, n_steps=2)


def test_smote_of_images_that_cannot_be_read_is_not_a_number_and_says_why():
    pytest.importorskip("imblearn")
    torn = ImageSet(Torn(REAL.pixels(np.arange(30))), REAL.proba[:30], name="torn")
    scores = found("oversampling", MADE, torn, n_steps=2)
    assert {*scores} == {
        "SMOTE gain",
        "SMOTE gain in cross-entropy",
        "accuracy, real + SMOTE",
    }
    for score in scores.values():
        assert np.isnan(score.value)
        assert score.note == ("no class of torn has two images to draw a line between.")


def test_sets_that_do_not_fit_together_are_refused():
    wide = ImageSet(np.zeros((3, 9, 8), np.uint8), np.eye(K)[:3], name="wide")
    unlabeled = ImageSet(MADE.source, np.zeros((len(MADE), K)), name="made")
    for name in ("gan-train", "gan-test", "augmentation"):
        metric, tools = METRICS[name](), MetricContext(test=TEST)
        reason = metric.why_not(wide, REAL, tools)
        assert reason.startswith(
            "wide is (height, width, channels, classes) (9, 8, 1, 10) and digits:t"
        )
        assert reason.endswith("(8, 8, 1, 10); they must be the same")
        assert metric.why_not(unlabeled, REAL, tools) == "no image of made has a label"
    assert METRICS["gan-test"]().why_not(MADE, None, tools) == (
        "it needs real, real labels"
    )
    assert (
        METRICS["augmentation"]().why_not(MADE, REAL, MetricContext())
        == f"it needs {LACKING}"
    )


@pytest.mark.parametrize("name", ["n_steps", "n_trainings", "n_images"])
@pytest.mark.parametrize(
    "metric", ["gan-train", "gan-test", "augmentation", "oversampling"]
)
def test_a_recipe_of_nothing_is_refused(metric, name):
    with pytest.raises(InputError, match=f"{name} is 0; it must be at least 1"):
        METRICS[metric](**{name: 0})


def test_progress_is_told_over_all_trainings():
    told = []
    tools = MetricContext(test=TEST, progress=lambda *news: told.append(news))
    METRICS["gan-train"](n_steps=10, n_trainings=2).score(MADE, None, tools)
    assert told == [("GAN-train", 10, 20), ("GAN-train", 20, 20)]


def test_metrics_with_the_same_tools_train_on_the_same_pairs_once():
    pytest.importorskip("imblearn")
    told = []
    shared = MetricContext(test=TEST, progress=lambda text, *_: told.append(text))
    names = ("augmentation", "oversampling", "gan-train", "gan-test")
    for name in names:
        scores = METRICS[name](n_steps=3, n_trainings=2).score(MADE, REAL, shared)
        alone = found(name, MADE, n_steps=3, n_trainings=2)
        assert [*scores] == [*alone.values()]
    assert {*told} == {"real alone", "real + generated", "real + SMOTE", "GAN-train"}


def test_other_labels_steps_and_seeds_are_trained_for_themselves():
    shared = MetricContext(test=TEST)
    for images, n_steps in ((REAL, 3), (relabeled(REAL), 3), (REAL, 4)):
        metric = METRICS["gan-test"](n_steps=n_steps)
        assert [*metric.score(MADE, images, shared)] == [
            *found("gan-test", MADE, images, n_steps=n_steps).values()
        ]
