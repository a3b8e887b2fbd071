"""`LFClassifier` is a classifier of scikit-learn, on images."""

from functools import partial

import cloudpickle
import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

import lfkit
from lf_library.digits import LFS
from lfkit import ABSTAIN, LFClassifier, Quantile, feature, labeling_function
from lfkit.errors import InputError
from lfkit.refinement import Refiner

# Those that are quick: some need no seeds, others fit thresholds.
QUICK = [lf for lf in LFS if lf.kind == "heuristic" and not lf.needs_seeds]
FITTED = [lf for lf in LFS if lf.kind == "heuristic" and lf.needs_seeds][:24]

# What scikit-learn asks of an estimator whatever its data are. `check_estimator` leaves
# these out, too, for one that takes no tables.
CHECKS = [
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_no_attributes_set_in_init",
    "check_get_params_invariance",
    "check_set_params",
    "check_estimators_unfitted",
]


@feature(batched=True)
def brightness(images):
    return images.mean(dim=(1, 2, 3))


@labeling_function(
    classes=[0, 1],
    features=[brightness],
    thresholds={"cut": Quantile(brightness, q=0.5)},
)
def bright_is_one(brightness, *, cut):
    return int(brightness > cut)


@labeling_function(classes=[0, 1])
def left_is_zero(image):
    left, right = image[:, :4].mean(), image[:, 4:].mean()
    return ABSTAIN if abs(left - right) < 5 else int(right > left)


def sides(n, seed=0):
    """Images of class 0, dark and lit on the left, and of class 1, the contrary."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    images = rng.integers(0, 60, (n, 8, 8)).astype(np.uint8)
    images += (60 * y[:, None, None]).astype(np.uint8)
    for image, label in zip(images, y, strict=True):
        image[:, 4 * label : 4 * label + 4] += 60
    return images, y


@pytest.fixture(scope="module")
def some_digits(digits):
    images, labels = digits
    rows = np.random.default_rng(0).permutation(len(labels))[:500]
    return images[rows], labels[rows]


@pytest.mark.parametrize("name", CHECKS)
def test_scikit_learns_own_checks_pass(name):
    getattr(estimator_checks, name)("LFClassifier", LFClassifier([left_is_zero]))


def test_check_estimator_passes_as_far_as_it_goes_for_images():
    with pytest.warns(SkipTestWarning):
        estimator_checks.check_estimator(LFClassifier([left_is_zero]))


def test_digits_are_told_apart_with_few_labels(some_digits):
    images, labels = some_digits
    y = np.where(np.arange(500) < 100, labels, -1)
    classifier = LFClassifier([*QUICK, *FITTED]).fit(images[:300], y[:300])
    assert is_classifier(classifier)
    assert classifier.classes_.tolist() == list(range(10))
    proba = classifier.predict_proba(images[300:])
    assert proba.shape == (200, 10)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    predicted = classifier.predict(images[300:])
    assert predicted.tolist() == proba.argmax(axis=1).tolist()
    accuracy = classifier.score(images[300:], labels[300:])
    assert accuracy == (predicted == labels[300:]).mean()
    assert accuracy > 0.6  # 0.1 by chance
    # Those without seeds alone know less.
    assert LFClassifier(QUICK, n_classes=10).fit(images[:300]).score(
        images[300:], labels[300:]
    ) < (accuracy)


def test_without_labels_functions_that_need_them_are_left_out_and_named():
    images, y = sides(40)
    found = LFClassifier([bright_is_one, left_is_zero]).fit(images)
    assert [lf.name for lf in found.lfs_] == ["left_is_zero"]
    assert [*found.report_.left_out] == ["bright_is_one"]
    assert found.score(images, y) == 1
    unknown = LFClassifier([bright_is_one, left_is_zero]).fit(images, np.full(40, -1))
    np.testing.assert_array_equal(
        found.predict_proba(images), unknown.predict_proba(images)
    )


def test_the_same_call_and_a_pickled_copy_give_the_same_posteriors(some_digits):
    images, labels = some_digits[0][:150], some_digits[1][:150]
    y = np.where(np.arange(150) < 60, labels, -1)
    made = [
        LFClassifier(FITTED[:6], n_classes=10, random_state=3).fit(images, y)
        for _ in range(2)
    ]
    again = clone(made[0]).fit(images, y)
    first = made[0].predict_proba(images[:50])
    for other in (made[1], again, cloudpickle.loads(cloudpickle.dumps(made[0]))):
        np.testing.assert_array_equal(other.predict_proba(images[:50]), first)


def test_a_clone_shares_functions_and_is_not_fitted():
    images, y = sides(30)
    fitted = LFClassifier([bright_is_one, left_is_zero], "majority-vote").fit(images, y)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert copy.lfs[0] is bright_is_one
    with pytest.raises(NotFittedError):
        copy.predict(images)


def test_cross_validation_and_grid_search_take_images():
    images, y = sides(60)
    classifier = LFClassifier([bright_is_one, left_is_zero])
    assert cross_val_score(classifier, images, y, cv=3).min() > 0.7
    partly = np.where(np.arange(60) % 2, y, -1)
    assert cross_val_score(classifier, images, partly, cv=3).min() > 0.7
    grid = {"aggregator": ["majority-vote", "seed-weighted"], "lfs": [[left_is_zero]]}
    found = GridSearchCV(classifier, grid, cv=2).fit(images, y)
    assert found.best_score_ == 1


def test_it_is_the_last_step_of_a_pipeline():
    images, y = sides(30)
    steps = FunctionTransformer(partial(np.subtract, np.uint8(255)))
    pipeline = make_pipeline(steps, LFClassifier([left_is_zero]))
    # Inverted, the other side is lit: all votes are wrong.
    assert pipeline.fit(images, y).predict(images).shape == (30,)
    assert (pipeline[-1].lfs_[0](steps.transform(images[:1])[0][..., None])) != y[0]


def test_refinement_is_that_of_the_refiner_given():
    images, y = sides(60)
    known = np.where(np.arange(60) < 20, y, -1)
    refiner = Refiner(stages=["metric"], device="cpu")
    found = LFClassifier([bright_is_one, left_is_zero], refine=refiner)
    assert found.get_params()["refine__stages"] == ["metric"]
    proba = found.fit(images, known).predict_proba(images)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert (proba.argmax(axis=1) == y).mean() > 0.7
    assert not hasattr(refiner, "refined_")


def test_only_known_images_are_scored():
    images, y = sides(20)
    found = LFClassifier([left_is_zero]).fit(images)
    wrong = np.where(np.arange(20) < 10, 1 - y, -1)
    assert found.score(images, wrong) == 0
    weight = np.where(np.arange(20) < 10, 0.0, 1.0)
    mixed = np.where(np.arange(20) < 10, 1 - y, y)
    assert found.score(images, mixed, weight) == 1
    with pytest.raises(InputError, match="y names no class"):
        found.score(images, np.full(20, -1))


@pytest.mark.parametrize(
    ("y", "said"),
    [
        ([0, 1, 7, 0], r"y of image 2 is 7, .* the classes 0 to 1; .* n_classes"),
        ([0, 1, 0], r"y has shape \(3,\), expected \(4,\)"),
        ([0, 0.5, 1, 0], r"y of image 1 is 0.5"),
        (["a", "b", "a", "b"], r"y holds <U1, such as \['a'\]; give class numbers"),
    ],
)
def test_labels_that_are_no_classes_are_refused(y, said):
    with pytest.raises(InputError, match=said):
        LFClassifier([left_is_zero]).fit(np.zeros((4, 8, 8), np.uint8), y)


def test_what_is_no_image_or_of_another_size_is_refused():
    images, y = sides(10)
    found = LFClassifier([left_is_zero])
    with pytest.raises(InputError, match="uint8"):
        found.fit(images / 255, y)
    with pytest.raises(InputError, match="shape"):
        found.fit(images.reshape(10, -1), y)
    with pytest.raises(InputError, match="no aggregator 'votes'"):
        LFClassifier([left_is_zero], "votes").fit(images)
    found.fit(images, y)
    with pytest.raises(InputError, match=r"\(9, 8, 1\) .* fitted on \(8, 8, 1\)"):
        found.predict(np.zeros((2, 9, 8), np.uint8))
    assert found.predict(images[:0]).shape == (0,)


def test_it_is_loaded_when_it_is_asked_for():
    assert lfkit.LFClassifier.__module__ == "lfkit.commands.lf_classifier"
    with pytest.raises(AttributeError, match="LFClassifierr"):
        lfkit.LFClassifierr  # noqa: B018
