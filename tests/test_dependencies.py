"""Dependent functions: found where they are, nowhere else."""

import numpy as np
import pytest

from lfkit.aggregators.inference.dependencies import (
    find_dependencies,
    first_winners,
    read_dependencies,
)
from lfkit.aggregators.inference.pattern_sample import priority_sample
from lfkit.aggregators.inference.vote_likelihood import VoteLikelihood
from lfkit.data.votes import Votes
from lfkit.errors import InputError


def make_votes(matrix, n_classes, **arrays):
    matrix = np.asarray(matrix)
    names = tuple(f"f{j:04}" for j in range(matrix.shape[1]))
    return Votes(matrix, names=names, n_classes=n_classes, **arrays)


def independent(n, m, k, kind, *, prior=None, seed=0):
    """Functions that err independently; of one class each, or of all."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(k, n, p=prior)
    matrix = np.full((n, m), -1)
    for j in range(m):
        if kind == "unipolar":
            fires = np.where(truth == j % k, rng.uniform(0.3, 0.8), 0.1 / (k - 1))
            matrix[rng.random(n) < fires, j] = j % k
        else:
            wrong = (truth + rng.integers(1, k, n)) % k
            right = rng.random(n) < rng.uniform(0.55, 0.9)
            matrix[:, j] = np.where(right, truth, wrong)
            matrix[rng.random(n) < rng.uniform(0, 0.5), j] = -1
    return matrix


def copies(column, n_copies, share, seed=1):
    """Columns that repeat the given one but for some votes dealt at random."""
    rng = np.random.default_rng(seed)
    kept = rng.random((len(column), n_copies)) < share
    other = np.stack([rng.permutation(column) for _ in range(n_copies)], axis=1)
    return np.where(kept, column[:, None], other)


every_kind = pytest.mark.parametrize("kind", ["unipolar", "multi"])
every_k = pytest.mark.parametrize("k", [2, 3, 10])
every_prior = pytest.mark.parametrize("skewed", [False, True])


def shares(k, skewed):
    return [0.9] + [0.1 / (k - 1)] * (k - 1) if skewed else None


@every_kind
@every_k
@every_prior
@pytest.mark.parametrize("n", [500, 4000])
def test_independent_functions_keep_their_power(kind, k, skewed, n):
    for seed in range(3):
        matrix = independent(n, 20, k, kind, prior=shares(k, skewed), seed=seed)
        found = find_dependencies(make_votes(matrix, k))
        assert len(found.pairs) == 0
        assert found.groups == ()
        np.testing.assert_array_equal(found.powers, 1)


@pytest.mark.parametrize("m", [3, 5, 20])
def test_good_functions_agree_since_both_are_right(m):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 2000)
    errs = rng.random((2000, m)) < 0.04
    found = find_dependencies(make_votes(truth[:, None] ^ errs, 2))
    np.testing.assert_array_equal(found.powers, 1)


@every_kind
@every_k
@every_prior
def test_exact_copies_share_one_vote(kind, k, skewed):
    matrix = independent(1000, 12, k, kind, prior=shares(k, skewed))
    twice = np.column_stack([matrix, matrix[:, [0, 0, 0]]])
    found = find_dependencies(make_votes(twice, k))
    assert found.groups == ((0, 12, 13, 14),)
    expected = np.ones(15)
    expected[[0, 12, 13, 14]] = 1 / 4
    np.testing.assert_allclose(found.powers, expected)
    assert len(found.pairs) == 6
    np.testing.assert_array_equal(found.strengths, 1)


@every_kind
@pytest.mark.parametrize("k", [2, 3])
@every_prior
@pytest.mark.parametrize("n", [500, 4000])
def test_nearly_exact_copies_are_found(kind, k, skewed, n):
    matrix = independent(n, 12, k, kind, prior=shares(k, skewed))
    matrix = np.column_stack([matrix, copies(matrix[:, 0], 2, 0.9)])
    found = find_dependencies(make_votes(matrix, k))
    assert found.groups == ((0, 12, 13),)
    assert (found.powers[[0, 12, 13]] < 0.5).all()
    np.testing.assert_array_equal(found.powers[1:12], 1)


def test_two_groups_and_a_minority_of_honest_functions():
    matrix = independent(3000, 6, 3, "multi")
    first, second = (copies(matrix[:, j], 3, 0.9, seed=j) for j in (0, 1))
    found = find_dependencies(make_votes(np.column_stack([matrix, first, second]), 3))
    assert found.groups == ((0, 6, 7, 8), (1, 9, 10, 11))


def test_strength_is_the_share_of_votes_copied():
    matrix = independent(20_000, 10, 3, "multi")
    matrix = np.column_stack([matrix, copies(matrix[:, 2], 1, 0.7)])
    found = find_dependencies(make_votes(matrix, 3))
    assert found.pairs.tolist() == [[2, 10]]
    assert found.strengths[0] == pytest.approx(0.7, abs=0.1)
    np.testing.assert_allclose(found.powers[[2, 10]], 1 / (1 + found.strengths[0]))


def test_penalty_is_the_least_strength():
    matrix = independent(5000, 10, 2, "multi")
    votes = make_votes(np.column_stack([matrix, copies(matrix[:, 0], 1, 0.5)]), 2)
    assert find_dependencies(votes, penalty=0.3).groups == ((0, 10),)
    assert find_dependencies(votes, penalty=0.7).groups == ()


def test_few_joint_votes_prove_nothing():
    matrix = independent(400, 6, 2, "multi")
    rare = np.full((400, 2), -1)
    rare[:3] = 1  # three equal votes
    found = find_dependencies(make_votes(np.column_stack([matrix, rare]), 2))
    assert found.groups == ()


def test_order_of_functions_and_images_is_irrelevant():
    matrix = independent(9000, 12, 3, "multi")  # more patterns than are looked at
    matrix = np.column_stack([matrix, copies(matrix[:, 0], 2, 0.9)])
    votes = make_votes(matrix, 3)
    found = find_dependencies(votes)
    order = np.random.default_rng(0).permutation(14)
    moved = find_dependencies(votes.select(order))
    np.testing.assert_array_equal(moved.powers, found.powers[order])
    rows = np.random.default_rng(1).permutation(9000)
    again = find_dependencies(votes.rows(rows))
    np.testing.assert_array_equal(again.powers, found.powers)


def test_patterns_and_votes_give_the_same_answer():
    matrix = independent(600, 6, 2, "multi")
    votes = make_votes(np.column_stack([matrix, matrix[:, 1]]), 2)
    one, other = find_dependencies(votes), find_dependencies(votes.patterns())
    assert one.groups == other.groups == ((1, 6),)
    np.testing.assert_allclose(one.powers, other.powers)


def test_soft_votes_count_as_their_most_probable_class():
    matrix = independent(800, 6, 3, "multi")
    matrix = np.column_stack([matrix, matrix[:, 1]])
    noise = np.random.default_rng(0).random((800, 7, 3)) * 0.4
    soft = np.where(matrix[:, :, None] >= 0, np.eye(3)[matrix] + noise, 0)
    soft /= np.maximum(soft.sum(axis=2, keepdims=True), 1)
    votes = make_votes(matrix, 3, soft=soft.astype(np.float16))
    for given in (votes, votes.patterns()):
        assert find_dependencies(given).groups == ((1, 6),)


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize("m", [0, 1, 2, 3])
@pytest.mark.parametrize("k", [1, 3])
def test_tiny_matrices_have_no_dependencies(n, m, k):
    for fill in (0, -1):
        found = find_dependencies(make_votes(np.full((n, m), fill), k))
        np.testing.assert_array_equal(found.powers, np.ones(m))


def test_two_copies_alone_are_still_copies():
    column = np.random.default_rng(0).integers(0, 2, 100)
    found = find_dependencies(make_votes(np.column_stack([column, column]), 2))
    np.testing.assert_array_equal(found.powers, [0.5, 0.5])


def test_five_hundred_functions():
    matrix = independent(1500, 500, 2, "multi")
    matrix[:, 7] = copies(matrix[:, 3], 1, 0.9)[:, 0]
    found = find_dependencies(make_votes(matrix, 2))
    assert found.groups == ((3, 7),)


def test_related_are_the_functions_of_one_group():
    matrix = independent(500, 4, 2, "multi")
    found = find_dependencies(make_votes(np.column_stack([matrix, matrix[:, 0]]), 2))
    expected = np.eye(5, dtype=bool)
    expected[0, 4] = expected[4, 0] = True
    np.testing.assert_array_equal(found.related(), expected)


def test_sums_over_a_priority_sample_are_those_of_all_patterns():
    matrix = np.random.default_rng(0).integers(-1, 3, (20_000, 8))
    patterns = make_votes(matrix, 3).patterns()
    drawn = priority_sample(patterns, 2000)
    assert len(drawn.counts) == 2000
    for c in (-1, 0, 1, 2):
        truth = np.mean(matrix[:, 0] == c)
        estimate = drawn.counts @ (drawn.votes.hard[:, 0] == c) / 20_000
        assert estimate == pytest.approx(truth, abs=0.03)
    assert priority_sample(patterns, len(patterns.counts)) is patterns


def test_winners_of_a_vote_in_which_copies_share_one():
    votes = make_votes([[0, 0, 1, 1], [0, 0, -1, 1], [-1, -1, -1, -1]], 2)
    powers = np.array([0.5, 0.5, 1, 1])
    winners = first_winners(VoteLikelihood(votes), np.array([0.3, 0.7]), powers)
    np.testing.assert_allclose(winners, [[0, 1], [0.5, 0.5], [0.3, 0.7]])


def test_known_pairs_are_linked_and_keep_their_power():
    patterns = make_votes([[0, 1, 1], [1, 1, 0]], 2).patterns()
    pairs = [("f0000", "f0002"), ("f0001", "silent")]
    names = ["f0000", "f0001", "f0002", "silent"]
    linked, powers = read_dependencies(patterns, pairs, names)
    assert np.argwhere(linked).tolist() == [[0, 0], [0, 2], [1, 1], [2, 0], [2, 2]]
    assert powers.tolist() == [1, 1, 1]


def test_errors_say_what_is_wrong():
    patterns = make_votes([[0, 1]], 2).patterns()
    with pytest.raises(
        InputError,
        match="dependencies must be 'auto', None or pairs of names, got 'some'",
    ):
        read_dependencies(patterns, "some", ())
    with pytest.raises(
        InputError, match="dependencies name 'g'; no labeling function is called that"
    ):
        read_dependencies(patterns, [("f0000", "g")], ("f0000", "f0001"))
