"""Class shares: estimated from votes and seeds, and brought into posteriors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfkit.errors import InputError
from lfkit.refinement.class_prior import align, estimate_prior, given_prior


def noisy(truth, k, accuracy, seed):
    """One posterior per image, of .8 for a class that is right with `accuracy`."""
    rng = np.random.default_rng(seed)
    wrong = (truth + rng.integers(1, k, size=len(truth))) % k
    said = np.where(rng.random(len(truth)) < accuracy, truth, wrong)
    return 0.8 * np.eye(k)[said] + 0.2 / k


def test_balanced_seeds_do_not_make_a_skewed_prior_uniform():
    rng = np.random.default_rng(0)
    truth = (rng.random(5000) < 0.1).astype(int)
    seeds = np.arange(200) % 2
    found = estimate_prior(
        noisy(truth, 2, 0.75, 1),
        seed_proba=noisy(seeds, 2, 0.75, 2),
        seed_labels=seeds,
    )
    mean = noisy(truth, 2, 0.75, 1).mean(axis=0)
    assert found.shares[0] == pytest.approx(0.9, abs=0.08)
    assert found.shares[0] > mean[0]  # errors flow from the large class to the small
    assert "200 seeds" in found.how


def test_without_seeds_the_prior_is_the_mean_posterior_and_says_so():
    proba = np.array([[0.9, 0.1], [0.7, 0.3]])
    found = estimate_prior(proba)
    np.testing.assert_allclose(found.shares, [0.8, 0.2])
    assert "no seeds" in found.how


def test_useless_posteriors_leave_the_prior_at_their_mean():
    proba = np.tile([0.7, 0.2, 0.1], (50, 1))
    seeds = np.arange(30) % 3
    found = estimate_prior(proba, seed_proba=proba[:30], seed_labels=seeds)
    assert found.shares.argmax() == 0
    assert np.isfinite(found.shares).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.permutations(range(4)))
def test_renaming_classes_renames_their_shares(seed, order):
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.ones(4) * 0.5, 40)
    labels = rng.integers(4, size=12)
    order = np.asarray(order)
    plain = estimate_prior(proba, seed_proba=proba[:12], seed_labels=labels).shares
    renamed = estimate_prior(
        proba[:, order],
        seed_proba=proba[:12, order],
        seed_labels=order.argsort()[labels],
    ).shares
    np.testing.assert_allclose(renamed, plain[order], atol=1e-6)


def test_aligned_posteriors_have_the_shares_and_still_sum_to_one():
    proba = np.random.default_rng(0).dirichlet([3, 1, 1], 500)
    shares = np.array([0.2, 0.5, 0.3])
    aligned = align(proba, shares, n_steps=50)
    np.testing.assert_allclose(aligned.sum(axis=1), 1)
    np.testing.assert_allclose(aligned.mean(axis=0), shares, atol=1e-3)


def test_alignment_leaves_certain_rows_and_impossible_classes_finite():
    proba = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
    aligned = align(proba, np.array([0.0, 0.5, 0.5]))
    assert np.isfinite(aligned).all()
    np.testing.assert_allclose(aligned.sum(axis=1), 1)
    np.testing.assert_allclose(aligned[2], [0, 1, 0])


def test_alignment_to_the_mean_changes_nothing():
    proba = np.random.default_rng(1).dirichlet(np.ones(3), 20)
    np.testing.assert_allclose(align(proba, proba.mean(axis=0)), proba)


def test_wrong_shares_are_explained():
    with pytest.raises(InputError, match=r"class_prior has shape \(2,\), expected one"):
        given_prior([0.5, 0.5], 3)
    with pytest.raises(InputError, match="class_prior must be shares that sum to 1"):
        given_prior([0.5, 0.9], 2)
    assert given_prior([0.25, 0.75], 2).how == "given"
