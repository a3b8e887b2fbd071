"""FlyingSquid: tables in closed form from triplets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_label_model import accuracy, brute_force, make_votes, simulate

from lfkit.aggregators import MajorityVote
from lfkit.aggregators.flying_squid import FlyingSquid
from lfkit.errors import InputError


@pytest.mark.parametrize("kind", ["multi", "unipolar"])
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("skewed", [False, True])
def test_tables_are_recovered(kind, k, skewed):
    prior = [0.7] + [0.3 / (k - 1)] * (k - 1) if skewed else [1 / k] * k
    votes, _, tables = simulate(40_000, 15, k, kind, prior=prior)
    model = FlyingSquid(class_balance=prior).fit(votes)
    assert np.abs(model.confusions_ - tables).mean() < 0.02
    assert model.identified_.any(axis=1).all()


def test_one_triplet_is_the_formula_of_the_paper():
    votes, _, _ = simulate(5000, 3, 2)
    matrix = np.maximum(votes.hard, 0)  # nobody abstains
    model = FlyingSquid(class_balance=[0.5, 0.5], dependencies=None)
    model.fit(make_votes(matrix, 2))
    moments = np.cov(2 * matrix.T - 1, ddof=0)  # of votes -1 and 1
    for i, j, other in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
        gain = np.sqrt(moments[i, j] * moments[i, other] / moments[j, other])
        found = model.confusions_[i, 1, 1] - model.confusions_[i, 0, 1]
        assert found == pytest.approx(gain, abs=2e-3)


@pytest.mark.parametrize("kind", ["multi", "unipolar"])
@pytest.mark.parametrize("k", [2, 3, 10])
def test_labels_are_no_worse_than_the_majority_vote(kind, k):
    votes, truth, _ = simulate(3000, 4 * k, k, kind)
    majority = accuracy(MajorityVote(), votes, truth)
    assert accuracy(FlyingSquid(), votes, truth) >= majority - 0.005


def test_posteriors_of_many_classes_can_be_sure():
    votes, truth, _ = simulate(4000, 20, 10)
    proba = FlyingSquid().fit_predict_proba(votes)
    assert np.median(proba.max(axis=1)) > 0.99
    assert np.mean(proba.argmax(axis=1) == truth) > 0.95


def test_function_that_is_always_wrong_is_turned_around():
    votes, truth, _ = simulate(4000, 7, 2)
    matrix = votes.hard.copy()
    matrix[:, 2] = np.where(matrix[:, 2] >= 0, 1 - matrix[:, 2], -1)
    model = FlyingSquid().fit(make_votes(matrix, 2))
    assert model.confusions_[2, 0, 1] > model.confusions_[2, 0, 0]
    turned = accuracy(FlyingSquid(), make_votes(matrix, 2), truth)
    assert turned == pytest.approx(accuracy(FlyingSquid(), votes, truth), abs=0.01)


def test_copies_form_no_triplets():
    votes, truth, _ = simulate(4000, 8, 3)
    copied = make_votes(votes.hard[:, [*range(8), 0, 0, 0]], 3)
    alone = accuracy(FlyingSquid(), votes, truth)
    model = FlyingSquid().fit(copied)
    np.testing.assert_allclose(model.powers_[[0, 8, 9, 10]], 1 / 4)
    assert accuracy(FlyingSquid(), copied, truth) > alone - 0.01
    assert accuracy(FlyingSquid(dependencies=None), copied, truth) < alone - 0.03


def test_rare_votes_are_read_off_the_majority_vote():
    votes, truth, _ = simulate(2000, 6, 2)
    rare = np.full((2000, 1), -1)
    rare[np.flatnonzero(truth == 1)[:3], 0] = 1
    model = FlyingSquid().fit(make_votes(np.column_stack([votes.hard, rare]), 2))
    assert np.isfinite(model.confusions_).all()
    assert model.confusions_[6, 1, 1] > model.confusions_[6, 0, 1]


@pytest.mark.parametrize("m", [1, 2])
def test_fewer_than_three_functions_have_no_triplet(m):
    votes, truth, _ = simulate(1000, m, 2)
    model = FlyingSquid(dependencies=None).fit(votes)
    assert not model.identified_.any()
    majority = accuracy(MajorityVote(), votes, truth)
    assert np.mean(model.predict(votes, "first") == truth) >= majority - 0.02


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 3), m=st.integers(1, 4))
def test_posterior_equals_enumeration(seed, k, m):
    matrix = np.random.default_rng(seed).integers(-1, k, (12, m))
    votes = make_votes(matrix, k)
    model = FlyingSquid().fit(votes)
    expected = brute_force(votes, model.confusions_, model.class_prior_)
    np.testing.assert_allclose(model.predict_proba(votes), expected, atol=1e-9)
    np.testing.assert_allclose(model.confusions_.sum(axis=2), 1)
    assert (model.confusions_ >= 0).all()


@pytest.mark.parametrize("matrix", [[[0]], [[-1]], [[1, -1, 0]], [[-1, -1, -1]] * 5])
def test_degenerate_votes(matrix):
    votes = make_votes(matrix, 2)
    proba = FlyingSquid().fit(votes).predict_proba(votes)
    assert np.isfinite(proba).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1)


def test_five_hundred_functions():
    votes, truth, _ = simulate(600, 500, 2)
    proba = FlyingSquid(dependencies=None).fit_predict_proba(votes)
    assert np.isfinite(proba).all()
    assert np.mean(proba.argmax(axis=1) == truth) > 0.99


def test_soft_votes_are_expectations():
    votes, truth, _ = simulate(2000, 8, 3)
    flat = np.where(votes.hard[:, :, None] >= 0, 0.7 * np.eye(3)[votes.hard] + 0.1, 0)
    graded = make_votes(votes.hard, 3, soft=flat.astype(np.float16))
    hard = accuracy(FlyingSquid(), votes, truth)
    assert accuracy(FlyingSquid(), graded, truth) > hard - 0.02


def test_known_prior_is_kept_and_unknown_one_learned():
    votes, _, _ = simulate(4000, 10, 2, prior=[0.8, 0.2])
    known = FlyingSquid(class_balance=[0.7, 0.3]).fit(votes)
    np.testing.assert_array_equal(known.class_prior_, [0.7, 0.3])
    assert FlyingSquid().fit(votes).class_prior_[0] > 0.62


def test_two_fits_are_bit_identical():
    votes, _, _ = simulate(700, 7, 3)
    once, again = FlyingSquid().fit(votes), FlyingSquid().fit(votes)
    np.testing.assert_array_equal(once.confusions_, again.confusions_)


def test_errors_say_what_is_wrong():
    with pytest.raises(InputError, match="dependencies must be 'auto', None or pairs"):
        FlyingSquid(dependencies="x").fit(make_votes([[0, 1]], 2))
    with pytest.raises(InputError, match="dependencies name 'g'; no"):
        FlyingSquid(dependencies=[("g", "f0000")]).fit(make_votes([[0, 1]], 2))
