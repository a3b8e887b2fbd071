"""Confidence that can be believed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfkit.aggregators.calibration import (
    best_temperature,
    bootstrap_intervals,
    cross_calibrated,
    fit_calibrator,
    log_losses,
    measure,
    precise_enough,
    tempered,
)


def too_sure(n, k, temperature, seed):
    """Posteriors whose 1/temperature-th power was honest."""
    rng = np.random.default_rng(seed)
    honest = rng.dirichlet(np.full(k, 0.5), n)
    labels = (rng.random((n, 1)) > honest.cumsum(axis=1)).sum(axis=1)
    sure = honest**temperature
    return sure / sure.sum(axis=1, keepdims=True), np.minimum(labels, k - 1), honest


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_temperature_is_recovered(temperature):
    proba, labels, honest = too_sure(4000, 4, temperature, seed=0)
    found = best_temperature(proba, labels)
    assert found == pytest.approx(temperature, rel=0.1)
    np.testing.assert_allclose(tempered(proba, found), honest, atol=0.08)


def test_posteriors_that_say_nothing_keep_their_temperature():
    assert best_temperature(np.full((5, 3), 1 / 3), np.zeros(5, int)) == 1.0
    assert best_temperature(np.zeros((0, 3)), np.zeros(0, int)) == 1.0


def test_posteriors_that_are_always_right_stay_finite():
    proba = np.tile([0.9, 0.1], (50, 1))
    found = best_temperature(proba, np.zeros(50, int))
    assert 0 < found < 1
    assert np.isfinite(tempered(proba, found)).all()


def test_calibration_lowers_the_error_it_measures():
    proba, labels, _ = too_sure(3000, 3, 4.0, seed=1)
    calibrated = cross_calibrated(proba, labels)
    before, after = measure(proba, labels), measure(calibrated, labels)
    assert before.ece > 0.15
    assert after.ece < 0.05
    assert after.brier < before.brier
    assert log_losses(calibrated, labels).mean() < log_losses(proba, labels).mean()
    np.testing.assert_array_equal(calibrated.argmax(axis=1), proba.argmax(axis=1))


def test_isotonic_steps_need_a_thousand_seeds():
    proba, labels, _ = too_sure(1500, 3, 2.0, seed=2)
    assert fit_calibrator(proba[:900], labels[:900]).confidences is None
    many = fit_calibrator(proba, labels)
    assert many.confidences is not None
    calibrated = many(proba)
    np.testing.assert_allclose(calibrated.sum(axis=1), 1)
    np.testing.assert_array_equal(calibrated.argmax(axis=1), proba.argmax(axis=1))


def test_measures_by_hand():
    proba = np.array([[0.8, 0.2], [0.6, 0.4]])
    found = measure(proba, np.array([0, 1]))
    assert found.brier == pytest.approx((0.04 + 0.04 + 0.36 + 0.36) / 2)
    assert found.ece == pytest.approx(abs(1.4 - 1) / 2)  # one bin
    assert found.accuracy == 0.5
    assert found.confidence == pytest.approx(0.7)
    assert measure(proba[:0], np.zeros(0, int)) is None


def test_bootstrap_intervals_hold_the_estimate_and_shrink_with_the_images():
    proba, labels, _ = too_sure(2000, 3, 1.0, seed=3)
    wide = bootstrap_intervals(proba[:100], labels[:100], 200)
    narrow = bootstrap_intervals(proba, labels, 200)
    low, high = narrow["accuracy"]
    assert low < measure(proba, labels).accuracy < high
    assert high - low < (wide["accuracy"][1] - wide["accuracy"][0]) / 2
    assert narrow == bootstrap_intervals(proba, labels, 200)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(st.floats(0.1, 1.0).map(lambda x: round(x, 2)), max_size=30),
    st.sampled_from([0.5, 0.8, 0.95]),
)
def test_as_many_labels_are_kept_as_reach_the_target(confidences, target):
    confidence = np.array(confidences)
    kept = precise_enough(confidence, target)
    if kept.any():
        assert confidence[kept].mean() >= target - 1e-12
        assert confidence[kept].min() > confidence[~kept].max(initial=0)
    # One more step of equal confidences would miss it.
    rest = confidence[~kept]
    if len(rest):
        more = kept | (confidence == rest.max())
        assert confidence[more].mean() < target


def test_the_order_of_equally_sure_images_does_not_matter():
    proba = np.tile([0.8, 0.2], (400, 1))
    labels = np.repeat([0, 1], [320, 80])
    shuffled = np.random.default_rng(0).permutation(labels)
    assert measure(proba, labels).ece == pytest.approx(0, abs=1e-12)
    assert measure(proba, shuffled).ece == pytest.approx(0, abs=1e-12)
