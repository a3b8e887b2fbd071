"""How functions go together, against loops over pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfkit.data.votes import Votes
from lfkit.errors import InputError
from lfkit.metrics.labels.lf_agreement import (
    agreements,
    error_correlations,
    mean_error_correlation,
)


def make_votes(matrix, n_classes, **arrays):
    matrix = np.asarray(matrix)
    names = tuple(f"f{j}" for j in range(matrix.shape[1]))
    return Votes(matrix, names, n_classes, **arrays)


def random_votes(n, m, k, seed, silent=0.3):
    """Functions of very different accuracy that err together; some labels unknown."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    hard_image = rng.random(n)
    matrix = np.zeros((n, m), np.int64)
    for j in range(m):
        wrong = 0.5 * rng.random(n) + 0.5 * hard_image > rng.random()
        matrix[:, j] = np.where(wrong, (truth + rng.integers(1, k, n)) % k, truth)
        matrix[rng.random(n) < silent, j] = -1
    truth[rng.random(n) < 0.2] = -1
    return make_votes(matrix, k), truth


several = settings(max_examples=20, deadline=None)
some_votes = given(
    n=st.integers(1, 120),
    m=st.integers(1, 6),
    k=st.integers(2, 5),
    seed=st.integers(0, 999),
    silent=st.sampled_from([0.0, 0.3, 0.95]),
)


@several
@some_votes
def test_agreement_is_the_share_of_equal_votes_where_either_votes(
    n, m, k, seed, silent
):
    votes, _ = random_votes(n, m, k, seed, silent)
    found = agreements(votes)
    for i in range(m):
        for j in range(m):
            a, b = votes.hard[:, i], votes.hard[:, j]
            either = (a >= 0) | (b >= 0)
            want = np.nan
            if either.any():
                want = (a == b)[either].mean()
            np.testing.assert_allclose(found[i, j], want, rtol=1e-12)


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Degrees of freedom:RuntimeWarning")
@several
@some_votes
def test_errors_correlate_as_numpy_says(n, m, k, seed, silent):
    votes, truth = random_votes(n, m, k, seed, silent)
    found = error_correlations(votes, truth, least_common=5)
    for i in range(m):
        for j in range(m):
            a, b = votes.hard[:, i], votes.hard[:, j]
            both = (a >= 0) & (b >= 0) & (truth >= 0)
            want = np.nan
            if both.sum() >= 5:
                want = np.corrcoef((a != truth)[both], (b != truth)[both])[0, 1]
            np.testing.assert_allclose(found[i, j], want, atol=1e-9)


@several
@some_votes
def test_both_tables_are_symmetric_with_ones_on_the_diagonal(n, m, k, seed, silent):
    votes, truth = random_votes(n, m, k, seed, silent)
    for table in (agreements(votes), error_correlations(votes, truth, least_common=2)):
        assert table.shape == (m, m)
        np.testing.assert_allclose(table, table.T, rtol=1e-12)
        diagonal = np.diagonal(table)
        np.testing.assert_allclose(diagonal[np.isfinite(diagonal)], 1, rtol=1e-9)


def test_many_images_are_counted_in_parts():
    votes, truth = random_votes(40_000, 3, 3, 0)
    right = votes.hard == truth[:, None]
    known = (truth >= 0) & (votes.hard >= 0).all(axis=1)
    whole = make_votes(np.where(known[:, None], votes.hard, -1), 3)
    want = np.corrcoef(~right[known], rowvar=False)
    np.testing.assert_allclose(error_correlations(whole, truth), want, atol=1e-9)
    a, b = votes.hard[:, 0], votes.hard[:, 1]
    want = ((a == b) & (a >= 0)).sum() / ((a >= 0) | (b >= 0)).sum()
    assert agreements(votes)[0, 1] == pytest.approx(want, rel=1e-12)


def test_two_functions_that_always_agree_where_both_vote_are_not_the_same():
    votes = make_votes([[0, 0], [0, -1], [-1, 0], [-1, -1]], 2)
    assert agreements(votes)[0, 1] == pytest.approx(1 / 3)


def test_who_never_votes_agrees_with_nobody():
    votes = make_votes([[0, -1, -1], [1, -1, -1]], 2)
    assert agreements(votes)[0, 1] == 0
    assert np.isnan(agreements(votes)[1, 2])


def test_a_soft_vote_counts_as_its_most_probable_class():
    soft = np.zeros((2, 2, 2), np.float16)
    soft[:, 0] = [0.9, 0.1]
    soft[:, 1] = [[0.6, 0.4], [0.4, 0.6]]
    votes = make_votes(soft.argmax(axis=2), 2, soft=soft)
    assert agreements(votes)[0, 1] == 0.5


def test_pairs_with_few_images_in_common_are_not_judged():
    votes, truth = random_votes(60, 2, 3, 5, silent=0.0)
    known = int((truth >= 0).sum())
    assert np.isfinite(error_correlations(votes, truth, least_common=known)).all()
    assert np.isnan(error_correlations(votes, truth, least_common=known + 1)).all()


def test_who_is_always_right_or_always_wrong_errs_with_nobody():
    truth = np.tile([0, 1], 50)
    matrix = np.stack([truth, 1 - truth, np.tile([0, 1, 1, 0], 25)], axis=1)
    found = error_correlations(make_votes(matrix, 2), truth)
    assert np.isnan(found[:2]).all()
    assert found[2, 2] == pytest.approx(1)


def test_a_copy_errs_together_and_an_opposite_never():
    rng = np.random.default_rng(0)
    truth, first = rng.integers(0, 2, 200), rng.integers(0, 2, 200)
    matrix = np.stack([first, first, 1 - first], axis=1)
    found = error_correlations(make_votes(matrix, 2), truth)
    np.testing.assert_allclose(found, [[1, 1, -1], [1, 1, -1], [-1, -1, 1]])
    mean = mean_error_correlation(make_votes(matrix, 2), truth)
    assert mean == pytest.approx(-1 / 3)


def test_the_mean_is_over_the_pairs_that_have_a_correlation():
    votes, truth = random_votes(300, 4, 3, 1)
    silent = make_votes(np.column_stack([votes.hard, np.full(300, -1)]), 3)
    table = error_correlations(votes, truth)
    want = table[np.triu_indices(4, 1)].mean()
    assert mean_error_correlation(silent, truth) == pytest.approx(want)


def test_without_pairs_the_mean_is_unknown():
    assert np.isnan(mean_error_correlation(make_votes([[0], [1]], 2), [0, 1]))
    votes, truth = random_votes(300, 3, 3, 1)
    assert np.isnan(mean_error_correlation(votes, np.full_like(truth, -1)))


def test_labels_of_other_images_are_refused():
    votes, truth = random_votes(30, 2, 3, 0)
    with pytest.raises(InputError, match=r"labels has shape \(29,\), expected \(30,\)"):
        error_correlations(votes, truth[1:])
