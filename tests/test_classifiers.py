"""The contract of every classifier, then what is special to each."""

import numpy as np
import pytest
from assertions import assert_refused
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from lfkit.classifiers import (
    CLASSIFIERS,
    ShrinkageLDA,
    SoftLogisticRegression,
    one_hot,
)

every_classifier = pytest.mark.parametrize("cls", CLASSIFIERS.values(), ids=CLASSIFIERS)


def blobs(n, d, k, seed=0, distance=3.0):
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % k
    centers = rng.normal(size=(k, d)) * distance / np.sqrt(d)
    return (centers[truth] + rng.normal(size=(n, d))).astype(np.float32), truth


@every_classifier
def test_rows_are_distributions_and_input_stays_as_it_was(cls):
    x, truth = blobs(60, 5, 3)
    proba, x_before = one_hot(truth, 3), x.copy()
    answers = cls().fit(x, proba).predict_proba(x)
    assert answers.shape == (60, 3)
    assert answers.dtype == np.float64
    np.testing.assert_allclose(answers.sum(axis=1), 1)
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(proba, one_hot(truth, 3))


@every_classifier
def test_separate_classes_are_learned(cls):
    x, truth = blobs(300, 8, 4, distance=8)
    model = cls().fit(x, one_hot(truth, 4))
    assert np.mean(model.predict(x) == truth) > 0.95


@every_classifier
def test_refit_and_clone_give_the_same_answer(cls):
    x, truth = blobs(60, 5, 3)
    model = cls().fit(x, one_hot(truth, 3))
    once = model.predict_proba(x)
    np.testing.assert_array_equal(
        model.fit(x, one_hot(truth, 3)).predict_proba(x), once
    )
    again = clone(model).fit(x, one_hot(truth, 3))
    np.testing.assert_array_equal(again.predict_proba(x), once)


@every_classifier
def test_class_without_examples_gets_probability_zero(cls):
    x, truth = blobs(60, 5, 2)
    answers = cls().fit(x, one_hot(2 * truth, 4)).predict_proba(x)
    assert (answers[:, [1, 3]] == 0).all()
    np.testing.assert_allclose(answers.sum(axis=1), 1)


@every_classifier
def test_single_class_gets_probability_one(cls):
    x, _ = blobs(10, 3, 2)
    answers = cls().fit(x, one_hot([1] * 10, 3)).predict_proba(x)
    np.testing.assert_array_equal(answers, [[0, 1, 0]] * 10)


@every_classifier
def test_rows_without_label_or_weight_are_ignored(cls):
    x, truth = blobs(60, 5, 3)
    proba = one_hot(truth, 3)
    some = np.arange(60) < 30
    fitted_on_some = cls().fit(x[some], proba[some]).predict_proba(x)
    x_with_nan = np.where(some[:, None], x, np.nan)
    unlabeled = cls().fit(x_with_nan, proba * some[:, None])
    np.testing.assert_array_equal(unlabeled.predict_proba(x), fitted_on_some)
    weighted = cls().fit(x, proba, sample_weight=some.astype(float))
    np.testing.assert_array_equal(weighted.predict_proba(x), fitted_on_some)


@every_classifier
def test_duplicate_rows_equal_sample_weights(cls):
    x, truth = blobs(40, 4, 2, distance=1)
    proba, times = one_hot(truth, 2), 1 + np.arange(40) % 2
    model = cls()
    if cls is ShrinkageLDA:  # its estimate of the shrinkage counts independent rows
        model.set_params(shrinkage=0.2)
    repeated = clone(model).fit(
        np.repeat(x, times, axis=0), np.repeat(proba, times, axis=0)
    )
    weighted = clone(model).fit(x, proba, sample_weight=times)
    np.testing.assert_allclose(
        repeated.predict_proba(x), weighted.predict_proba(x), atol=1e-3
    )


@every_classifier
def test_soft_label_equals_weighted_copies(cls):
    x, truth = blobs(40, 4, 2, distance=1)
    soft = 0.8 * one_hot(truth, 2) + 0.1
    model = cls()
    if cls is ShrinkageLDA:
        model.set_params(shrinkage=0.2)
    copies = clone(model).fit(
        np.concatenate([x, x]),
        np.repeat(np.eye(2), 40, axis=0),
        sample_weight=soft.T.reshape(-1),
    )
    np.testing.assert_allclose(
        clone(model).fit(x, soft).predict_proba(x), copies.predict_proba(x), atol=1e-3
    )


@every_classifier
def test_images_are_read_as_pixels_from_0_to_1(cls):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 4, 4, 3), dtype=np.uint8)
    proba = one_hot(np.arange(30) % 2, 2)
    rows = images.reshape(30, -1) / np.float32(255)
    from_images = cls().fit(images, proba)
    from_rows = cls().fit(rows, proba)
    np.testing.assert_array_equal(
        from_images.predict_proba(images), from_rows.predict_proba(rows)
    )
    assert from_images.predict_proba(images[:0]).shape == (0, 2)


@every_classifier
def test_unfitted_raises_not_fitted_error(cls):
    with pytest.raises(NotFittedError):
        cls().predict_proba(np.zeros((1, 2)))


@every_classifier
def test_errors_say_what_is_wrong(cls):
    name = cls.__name__
    x, truth = blobs(6, 2, 2)
    proba = one_hot(truth, 2)

    with assert_refused(names="x", values=["float32", "(2,)"], allowed="(n, d)"):
        cls().fit(x[0], proba)
    with assert_refused(names="proba", values="(2, 2)", allowed="(6, classes)"):
        cls().fit(x, proba[:2])
    with assert_refused(names=["proba", "row 0"], values="[2.0, 0.0]", allowed=1):
        cls().fit(x, proba * 2)
    with assert_refused(names=name, values="6 rows"):
        cls().fit(x, proba * 0)
    for weights, shape in (([1, 2], "(2,)"), ([-1] * 6, "(6,)")):
        with assert_refused(names="sample_weight", values=shape, allowed=6):
            cls().fit(x, proba, sample_weight=weights)
    model = cls().fit(x, proba)
    with assert_refused(names=name, values=3, allowed=2):
        model.predict(np.zeros((1, 3)))
    with assert_refused(names=["row 1", "x"], values="NaN"):
        model.predict(np.array([[0, 0], [0, np.nan]]))


def test_label_outside_the_classes_is_named():
    with assert_refused(values=["label 2", "row 1"], allowed="0..1"):
        one_hot([0, 2], 2)


def test_parameter_errors():
    x, truth = blobs(6, 2, 2)
    proba = one_hot(truth, 2)
    with assert_refused(names="shrinkage", values=2, allowed=[0, 1]):
        ShrinkageLDA(shrinkage=2).fit(x, proba)
    with assert_refused(names="blocks", values=3, allowed=2):
        ShrinkageLDA(blocks=[1, 2]).fit(x, proba)
    with assert_refused(names=["C", "max_iter"], values=0):
        SoftLogisticRegression(C=0, max_iter=5).fit(x, proba)


# ShrinkageLDA


@pytest.mark.reference
@pytest.mark.parametrize(("n", "d"), [(200, 20), (40, 90)])
@pytest.mark.parametrize("shrinkage", [0.1, 0.5, 1.0])
def test_lda_equals_scikit_learns(n, d, shrinkage):
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.preprocessing import StandardScaler

    x, truth = blobs(n, d, 3)
    truth[:10] = 0  # unequal classes
    standardised = StandardScaler().fit_transform(x.astype(np.float64))
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
    np.testing.assert_allclose(
        ShrinkageLDA(shrinkage).fit(x, one_hot(truth, 3)).predict_proba(x),
        reference.fit(standardised, truth).predict_proba(standardised),
        atol=1e-4,
    )


@pytest.mark.reference
@pytest.mark.parametrize(("n", "d"), [(200, 20), (40, 90)])
def test_estimated_shrinkage_equals_scikit_learns(n, d):
    from sklearn.covariance import ledoit_wolf_shrinkage
    from sklearn.preprocessing import StandardScaler

    x, truth = blobs(n, d, 3)
    standardised = StandardScaler().fit_transform(x.astype(np.float64))
    means = np.stack([standardised[truth == label].mean(axis=0) for label in range(3)])
    expected = ledoit_wolf_shrinkage(standardised - means[truth], assume_centered=True)
    model = ShrinkageLDA().fit(x, one_hot(truth, 3))
    assert model.shrinkage_ == pytest.approx(expected, rel=1e-5)


def test_both_forms_of_the_system_give_the_same_answer():
    x, truth = blobs(30, 40, 2)
    soft = 0.9 * one_hot(truth, 2) + 0.05  # 60 residuals for 40 features: one form,
    nearly_hard = one_hot(truth, 2)  # 30 residuals: the other
    direct = ShrinkageLDA(0.3).fit(x, soft * 1e-9 + nearly_hard * (1 - 1e-9))
    by_rows = ShrinkageLDA(0.3).fit(x, nearly_hard)
    np.testing.assert_allclose(
        direct.predict_proba(x), by_rows.predict_proba(x), atol=1e-4
    )


def test_scale_and_constant_features_change_nothing():
    x, truth = blobs(50, 6, 2, distance=1)
    proba = one_hot(truth, 2)
    expected = ShrinkageLDA().fit(x, proba).predict_proba(x)
    scaled = x * np.float32([1, 10, 100, 0.1, 5, 2]) + 3
    answers = ShrinkageLDA().fit(scaled, proba).predict_proba(scaled)
    np.testing.assert_allclose(answers, expected, atol=1e-3)
    shifted = np.column_stack([x, np.full(50, 7.3, dtype=np.float32)])
    model = ShrinkageLDA(0.2).fit(shifted, proba)
    moved = shifted.copy()
    moved[:, 6] = 1000
    np.testing.assert_array_equal(
        model.predict_proba(moved), model.predict_proba(shifted)
    )


def test_blocks_count_alike_whatever_their_width():
    rng = np.random.default_rng(0)
    truth = np.arange(60) % 2
    signal = (truth[:, None] + 0.4 * rng.normal(size=(60, 2))).astype(np.float32)
    noise = rng.normal(size=(60, 400)).astype(np.float32)
    x, proba = np.concatenate([signal, noise], axis=1), one_hot(truth, 2)
    train, test = slice(0, 40), slice(40, 60)
    plain = ShrinkageLDA(0.9).fit(x[train], proba[train])
    blocked = ShrinkageLDA(0.9, blocks=[2, 400]).fit(x[train], proba[train])
    assert np.mean(blocked.predict(x[test]) == truth[test]) > np.mean(
        plain.predict(x[test]) == truth[test]
    )


def test_one_example_per_class_is_the_nearest_example():
    x = np.float32([[0, 0], [4, 4], [0, 9]])
    model = ShrinkageLDA().fit(x, np.eye(3))
    assert model.predict(x + np.float32(0.5)).tolist() == [0, 1, 2]
    assert np.isfinite(model.predict_proba(x)).all()


def test_a_matrix_of_features_by_features_is_never_made():
    x, truth = blobs(20, 200_000, 2)  # it would be 320 GB
    model = ShrinkageLDA().fit(x, one_hot(truth, 2))
    assert model.predict(x).tolist() == truth.tolist()


# SoftLogisticRegression


@pytest.mark.reference
def test_logistic_regression_equals_scikit_learns():
    from sklearn.linear_model import LogisticRegression

    x, truth = blobs(100, 5, 3, distance=1)
    np.testing.assert_array_equal(
        SoftLogisticRegression(C=0.5).fit(x, one_hot(truth, 3)).predict_proba(x),
        LogisticRegression(C=0.5, max_iter=300).fit(x, truth).predict_proba(x),
    )


def test_stopping_early_warns_nobody():
    x, truth = blobs(100, 5, 3)
    SoftLogisticRegression(max_iter=1).fit(x, one_hot(truth, 3))
