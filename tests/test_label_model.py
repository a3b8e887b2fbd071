"""The label model: matrix completion on the moments of the votes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfkit.aggregators import MajorityVote
from lfkit.aggregators.label_model import LabelModel
from lfkit.data.votes import Votes
from lfkit.errors import InputError


def make_votes(matrix, n_classes, **arrays):
    matrix = np.asarray(matrix)
    names = tuple(f"f{j:04}" for j in range(matrix.shape[1]))
    return Votes(matrix, names=names, n_classes=n_classes, **arrays)


def simulate(n, m, k, kind="multi", *, prior=None, seed=0):
    """Votes, truth and the tables they were drawn from."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(k, n, p=prior)
    tables = np.zeros((m, k, k + 1))
    for j in range(m):
        if kind == "unipolar":
            tables[j, :, j % k] = 0.08
            tables[j, j % k, j % k] = rng.uniform(0.4, 0.8)
            tables[j, :, k] = 1 - tables[j, :, :k].sum(axis=1)
        else:
            hit, silent = rng.uniform(0.5, 0.8), rng.uniform(0, 0.4)
            tables[j, :, :k] = (1 - silent) * (1 - hit) / (k - 1)
            tables[j, np.arange(k), np.arange(k)] = (1 - silent) * hit
            tables[j, :, k] = silent
    cumulative = tables.cumsum(axis=2)[:, truth]  # (m, n, k + 1)
    symbols = (rng.random((m, n, 1)) > cumulative).sum(axis=2).T
    matrix = np.where(symbols >= k, -1, symbols)
    return make_votes(matrix, k), truth, tables


def accuracy(model, votes, truth):
    return np.mean(model.fit_predict_proba(votes).argmax(axis=1) == truth)


@pytest.mark.parametrize("kind", ["multi", "unipolar"])
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("skewed", [False, True])
def test_tables_and_prior_are_recovered(kind, k, skewed):
    prior = [0.8] + [0.2 / (k - 1)] * (k - 1) if skewed else [1 / k] * k
    votes, _, tables = simulate(20_000, 15, k, kind, prior=prior)
    model = LabelModel().fit(votes)
    np.testing.assert_allclose(model.class_prior_, prior, atol=0.05)
    assert np.abs(model.confusions_ - tables).mean() < 0.02
    assert (model.powers_ == 1).all()
    assert model.identified_.all()


def test_errors_shrink_with_the_number_of_images():
    errors = []
    for n in (500, 5000, 50_000):
        votes, _, tables = simulate(n, 10, 2)
        model = LabelModel(class_balance=[0.5, 0.5]).fit(votes)
        errors.append(np.abs(model.confusions_ - tables).mean())
    assert errors[1] < 0.6 * errors[0]
    assert errors[2] < 0.6 * errors[1]


@pytest.mark.parametrize("kind", ["multi", "unipolar"])
@pytest.mark.parametrize("k", [2, 3, 10])
def test_labels_are_no_worse_than_the_majority_vote(kind, k):
    votes, truth, _ = simulate(2000, 3 * k, k, kind)
    majority = accuracy(MajorityVote(), votes, truth)
    assert accuracy(LabelModel(), votes, truth) >= majority - 0.005


def test_unequal_functions_beat_the_majority_vote():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 3000)
    hits = np.array([0.95, 0.9] + [0.55] * 7)
    matrix = np.where(rng.random((3000, 9)) < hits, truth[:, None], 1 - truth[:, None])
    votes = make_votes(matrix, 2)
    assert accuracy(LabelModel(), votes, truth) > 0.94
    assert accuracy(MajorityVote(), votes, truth) < 0.85


def test_copies_do_not_outvote_the_others():
    votes, truth, _ = simulate(3000, 8, 3)
    five_alike = make_votes(votes.hard[:, [*range(8), 0, 0, 0, 0]], 3)
    careful = LabelModel().fit(five_alike)
    np.testing.assert_allclose(careful.powers_[[0, 8, 9, 10, 11]], 1 / 5)
    alone = accuracy(LabelModel(), votes, truth)
    assert accuracy(LabelModel(), five_alike, truth) > alone - 0.01
    assert accuracy(LabelModel(dependencies=None), five_alike, truth) < alone - 0.05


def test_named_pairs_are_left_out_of_the_moments():
    votes, _, tables = simulate(20_000, 6, 2)
    copied = make_votes(np.column_stack([votes.hard, votes.hard[:, 0]]), 2)
    model = LabelModel(dependencies=[("f0000", "f0006")]).fit(copied)
    assert (model.powers_ == 1).all()
    # Whoever takes the copies for independent finds them better than they are.
    naive = LabelModel(dependencies=None).fit(copied)
    error, naive_error = (
        np.abs(fitted.confusions_[:6] - tables).mean() for fitted in (model, naive)
    )
    assert error < naive_error


def brute_force(votes, tables, prior):
    """Posterior by enumeration of images, classes and functions."""
    k = votes.n_classes
    found = np.empty((len(votes), k))
    for i, row in enumerate(votes.hard):
        for y in range(k):
            found[i, y] = prior[y]
            for j, vote in enumerate(row):
                found[i, y] *= tables[j, y, k if vote < 0 else vote]
        found[i] /= found[i].sum()
    return found


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), k=st.integers(2, 3), m=st.integers(1, 4))
def test_posterior_equals_enumeration(seed, k, m):
    matrix = np.random.default_rng(seed).integers(-1, k, (12, m))
    votes = make_votes(matrix, k)
    model = LabelModel().fit(votes)
    expected = brute_force(votes, model.confusions_, model.class_prior_)
    np.testing.assert_allclose(model.predict_proba(votes), expected, atol=1e-9)
    np.testing.assert_allclose(model.confusions_.sum(axis=2), 1)


def test_objective_is_the_mean_misfit_of_the_pairs():
    votes, _, _ = simulate(300, 4, 2)
    model = LabelModel(dependencies=None).fit(votes)
    said = np.where(votes.hard < 0, 2, votes.hard)
    shares = np.stack([(said == v).mean(axis=0) for v in range(3)], axis=1)
    total = 0.0
    for i in range(4):
        for j in range(4):
            for v in range(3):
                for w in range(3):
                    if i == j or shares[i, v] * shares[j, w] == 0:
                        continue
                    moment = np.mean((said[:, i] == v) & (said[:, j] == w))
                    explained = sum(
                        model.class_prior_[y]
                        * model.confusions_[i, y, v]
                        * model.confusions_[j, y, w]
                        for y in range(2)
                    )
                    misfit = (moment - explained) ** 2
                    total += misfit / (shares[i, v] * shares[j, w])
    # The tables kept carry one imaginary image more.
    assert model.objective_[0] == pytest.approx(total / 12, rel=0.1)


def test_known_prior_is_kept_and_unknown_one_learned():
    votes, _, _ = simulate(4000, 10, 2, prior=[0.8, 0.2])
    known = LabelModel(class_balance=[0.7, 0.3]).fit(votes)
    np.testing.assert_allclose(known.class_prior_, [0.7, 0.3])
    assert LabelModel().fit(votes).class_prior_[0] > 0.72


@pytest.mark.parametrize("m", [1, 2])
def test_fewer_than_three_functions_are_not_identified(m):
    votes, truth, _ = simulate(1000, m, 2)
    model = LabelModel(dependencies=None).fit(votes)
    assert not model.identified_.any()
    majority = accuracy(MajorityVote(), votes, truth)
    assert np.mean(model.predict(votes, "first") == truth) >= majority - 0.02


def test_function_with_dependent_partners_only_is_not_identified():
    votes, _, _ = simulate(1000, 3, 2)
    model = LabelModel(dependencies=[("f0000", "f0001")]).fit(votes)
    assert model.identified_.tolist() == [False, False, True]


@pytest.mark.parametrize("matrix", [[[0]], [[-1]], [[1, -1, 0]], [[-1, -1, -1]] * 5])
def test_degenerate_votes(matrix):
    votes = make_votes(matrix, 2)
    proba = LabelModel().fit(votes).predict_proba(votes)
    assert np.isfinite(proba).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1)


def test_five_hundred_functions_are_fitted_in_groups():
    votes, truth, _ = simulate(400, 500, 3)
    model = LabelModel(dependencies=None).fit(votes)
    assert len(model.objective_) == 2  # 500 x 4 symbols in groups of 1024 at most
    proba = model.predict_proba(votes)
    assert np.isfinite(proba).all()
    assert np.mean(proba.argmax(axis=1) == truth) > 0.99


def test_classes_nobody_names_and_constant_functions():
    votes, _, _ = simulate(500, 5, 2)
    matrix = np.column_stack([votes.hard, np.zeros(500, int)])
    proba = LabelModel().fit(make_votes(matrix, 4)).predict_proba(make_votes(matrix, 4))
    assert np.isfinite(proba).all()
    assert proba[:, 2:].max() < 0.1


def test_soft_votes_and_sets_are_expectations():
    votes, truth, _ = simulate(3000, 8, 3)
    flat = np.where(votes.hard[:, :, None] >= 0, 0.8 * np.eye(3)[votes.hard] + 0.1, 0)
    flat[:, :, 0] *= 1.05  # so that no two classes tie
    flat /= np.maximum(flat.sum(axis=2, keepdims=True), 1)
    allowed = np.zeros((3000, 8, 3), bool)
    allowed[:, 7] = votes.hard[:, [7]] != np.arange(3)
    hard = votes.hard.copy()
    flat[:, 7], hard[:, 7] = 0, -1
    graded = make_votes(hard, 3, soft=flat.astype(np.float16), allowed=allowed)
    assert accuracy(LabelModel(), graded, truth) > 0.95 * accuracy(
        MajorityVote(), votes, truth
    )


def test_two_fits_are_bit_identical_and_rows_may_move():
    votes, _, _ = simulate(700, 7, 3)
    once = LabelModel().fit(votes)
    again = LabelModel().fit(votes.rows(np.random.default_rng(0).permutation(700)))
    np.testing.assert_array_equal(once.confusions_, again.confusions_)


def test_errors_say_what_is_wrong():
    votes = make_votes([[0, 1]], 2)
    for model, message in [
        (LabelModel(ridge=0), "LabelModel's ridge must be more than 0, got 0; second"),
        (LabelModel(n_rounds=0), "LabelModel's n_rounds must be at least 1, got 0"),
        (LabelModel(dependencies="x"), "dependencies must be 'auto', None or pairs"),
        (LabelModel(dependencies=[("f0000", "g")]), "dependencies name 'g'; no"),
    ]:
        with pytest.raises(InputError, match=message):
            model.fit(votes)
