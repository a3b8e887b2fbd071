"""Vote patterns: equal rows, grouped exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfkit.data import votes as votes_module
from lfkit.data.votes import Votes
from lfkit.errors import VotesError


def make_votes(matrix, n_classes=3, **arrays):
    matrix = np.asarray(matrix)
    names = tuple(f"f{j}" for j in range(matrix.shape[1]))
    return Votes(matrix, names=names, n_classes=n_classes, **arrays)


def test_equal_rows_share_a_pattern():
    votes = make_votes([[0, 1], [2, -1], [0, 1], [0, 1]])
    patterns = votes.patterns()
    assert len(patterns.votes) == 2
    np.testing.assert_array_equal(patterns.votes.hard[patterns.inverse], votes.hard)
    assert patterns.counts[patterns.inverse].tolist() == [3, 1, 3, 3]


def test_sample_weights_are_summed_per_pattern():
    patterns = make_votes([[0], [1], [0]]).patterns(np.array([0.5, 2, 1]))
    assert patterns.counts[patterns.inverse].tolist() == [1.5, 2, 1.5]


@pytest.mark.parametrize("kind", ["soft", "allowed"])
def test_rows_that_differ_only_in_degrees_or_sets_are_apart(kind):
    array = np.zeros((3, 1, 3), dtype={"soft": np.float16, "allowed": bool}[kind])
    array[0, 0, :2] = array[1, 0, 1:] = array[2, 0, :2] = 0.5
    patterns = make_votes([[-1]] * 3, **{kind: array}).patterns()
    assert len(patterns.votes) == 2
    assert patterns.inverse[0] == patterns.inverse[2] != patterns.inverse[1]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(data=st.data())
def test_patterns_are_the_distinct_rows(data):
    n, m = data.draw(st.integers(0, 12)), data.draw(st.integers(0, 9))
    row = st.lists(st.integers(-1, 2), min_size=m, max_size=m)
    rows = data.draw(st.lists(row, min_size=n, max_size=n))
    votes = make_votes(np.array(rows, dtype=int).reshape(n, m))
    patterns = votes.patterns()
    assert len(patterns.votes) == len({tuple(row) for row in rows})
    np.testing.assert_array_equal(patterns.votes.hard[patterns.inverse], votes.hard)


def test_order_of_patterns_does_not_depend_on_the_order_of_images():
    matrix = np.random.default_rng(0).integers(-1, 3, (50, 4))
    forwards, backwards = make_votes(matrix), make_votes(matrix[::-1])
    np.testing.assert_array_equal(
        forwards.patterns().votes.hard, backwards.patterns().votes.hard
    )


def test_colliding_hashes_do_not_merge_rows(monkeypatch):
    good_keys = votes_module._row_keys

    def bad_at_first(arrays, salt):
        keys = good_keys(arrays, salt)
        return keys if salt else np.zeros_like(keys)

    monkeypatch.setattr(votes_module, "_row_keys", bad_at_first)
    assert len(make_votes([[0, 1], [2, -1], [0, 1]]).patterns().votes) == 2


def test_more_classes_than_an_int16_counts_are_refused():
    with pytest.raises(VotesError, match="40000 classes are more than lfkit can count"):
        Votes(np.zeros((1, 1), np.int64), names=("a",), n_classes=40000)


def test_sparse_matrix_holds_votes_where_it_holds_entries():
    from scipy import sparse

    dense = np.array([[0, -1, 2], [-1, 1, -1]])
    rows, columns = np.nonzero(dense >= 0)
    matrix = sparse.coo_array((dense[rows, columns], (rows, columns)), shape=(2, 3))
    for form in (matrix, matrix.tocsr(), matrix.tocsc()):
        votes = Votes(form, ("a", "b", "c"), 3)
        np.testing.assert_array_equal(np.asarray(votes), dense)


def test_sparse_matrix_with_two_votes_for_one_cell_is_refused():
    from scipy import sparse

    twice = sparse.coo_array(([0, 1], ([0, 0], [0, 0])), shape=(1, 1))
    with pytest.raises(VotesError, match="several votes of one function on one image"):
        Votes(twice, ("a",), 2)


def test_patterns_of_shards_are_the_patterns_of_the_whole():
    from lfkit.data.votes import merge_patterns

    rng = np.random.default_rng(0)
    votes = Votes(rng.integers(-1, 3, (200, 4)), tuple("abcd"), 3)
    whole = votes.patterns()
    shards = [votes.rows(slice(0, 50)), votes.rows(slice(50, 200))]
    merged = merge_patterns([shard.patterns() for shard in shards])
    np.testing.assert_array_equal(merged.votes.hard, whole.votes.hard)
    np.testing.assert_array_equal(merged.counts, whole.counts)
    np.testing.assert_array_equal(merged.inverse, whole.inverse)


def test_votes_of_other_functions_cannot_be_joined():
    from lfkit.data.votes import concatenate

    first = Votes(np.zeros((1, 2), int), ("a", "b"), 2)
    with pytest.raises(VotesError, match="need the same names in the same order"):
        concatenate([first, Votes(np.zeros((1, 2), int), ("b", "a"), 2)])


def test_sets_of_one_class_are_that_class_and_those_of_all_are_no_vote():
    allowed = np.array([[[1, 0, 0], [1, 1, 1]], [[0, 1, 1], [0, 0, 0]]], bool)
    votes = Votes(np.full((2, 2), -1), ("a", "b"), 3, allowed=allowed)
    assert votes.hard.tolist() == [[0, -1], [-1, -1]]
    assert votes.voted.tolist() == [[True, False], [True, False]]
    # Of the classes 0 and 1 only: the set {1, 2} is class 1.
    fewer = votes.of_classes(np.asarray([0, 1]))
    assert fewer.hard.tolist() == [[0, -1], [1, -1]]
    assert fewer.allowed is None


def test_soft_votes_and_sets_are_joined_with_hard_ones():
    from lfkit.data.votes import concatenate

    soft = np.array([[[0.25, 0.75, 0]]], np.float16)
    allowed = np.array([[[True, True, False]]])
    parts = [
        Votes([[1]], ("a",), 3, soft=soft),
        Votes([[0]], ("a",), 3),
        Votes([[-1]], ("a",), 3, allowed=allowed),
    ]
    joined = concatenate(parts)
    assert joined.hard[:, 0].tolist() == [1, 0, -1]
    assert joined.soft[0, 0].tolist() == [0.25, 0.75, 0]
    assert joined.allowed[:, 0].any(axis=1).tolist() == [False, False, True]


def test_a_soft_vote_names_all_classes_that_are_tied_for_its_most_probable():
    soft = np.zeros((4, 1, 3), np.float16)
    soft[0, 0] = [0.5, 0.5, 0]
    soft[1, 0] = [0.2, 0.2, 0.6]
    soft[2, 0] = [1 / 3, 1 / 3, 1 / 3]
    votes = Votes([[0], [2], [0], [-1]], ("a",), 3, soft=soft)
    assert [votes.named(row, 0) for row in range(4)] == [(0, 1), (2,), (0,), ()]
    truth = np.array([1, 0, 2, 0])
    assert votes.right(truth)[:, 0].tolist() == [True, False, False, False]
    plain = votes.as_sets()
    assert plain.soft is None
    assert plain.hard[:, 0].tolist() == [-1, 2, 0, -1]
    np.testing.assert_array_equal(plain.voted, votes.voted)
