"""What votes are like, how far they agree, and which fits cannot be right."""

from itertools import product

import numpy as np
import pytest
from test_aggregators import make_votes

from lfkit.aggregators.inference.agreement import spread_of_agreement
from lfkit.aggregators.inference.degenerate import find_degeneracy
from lfkit.aggregators.inference.vote_likelihood import VoteLikelihood
from lfkit.aggregators.inference.vote_structure import find_structure
from lfkit.data.votes import Patterns


def structure(matrix, n_classes, counts=None, **arrays):
    votes = make_votes(matrix, n_classes, **arrays)
    each = np.ones(len(votes)) if counts is None else counts
    return find_structure(VoteLikelihood(votes), each)


def people(n, m, k, n_votes, prior=None, seed=0, right=0.75):
    """Of each of m people n_votes labels, right in three of four cases."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(k, n, p=prior)
    hard = np.full((n, m), -1)
    for j in range(m):
        rows = rng.choice(n, n_votes, replace=False)
        wrong = (truth[rows] + rng.integers(1, k, n_votes)) % k
        hard[rows, j] = np.where(rng.random(n_votes) < right, truth[rows], wrong)
    return hard


def one_class(n, m, k, seed=0, noise=0.0):
    """Functions that name one class each; of `noise` of their votes another."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    own = np.arange(m) % k
    fires = rng.random((n, m)) < np.where(truth[:, None] == own, 0.6, 0.1)
    other = (own + rng.integers(1, k, (n, m))) % k
    said = np.where(rng.random((n, m)) < noise, other, own)
    return np.where(fires, said, -1)


# Who names several classes


@pytest.mark.parametrize("prior", [None, [0.8, 0.1, 0.1]])
@pytest.mark.parametrize("n_votes", [3, 8, 30])
def test_people_with_few_votes_name_several_classes(n_votes, prior):
    for seed in range(3):
        found = structure(people(200, 60, 3, n_votes, prior, seed), 3)
        assert found.names_several.mean() > 0.9
        assert found.has_tables
        assert found.n_one_class == 60 - found.names_several.sum()


@pytest.mark.parametrize(
    ("k", "noise"), [(2, 0.0), (2, 0.03), (3, 0.0), (3, 0.03), (10, 0.0)]
)
def test_functions_of_one_class_do_not_on_a_hundred_images(k, noise):
    for seed in range(3):
        found = structure(one_class(100, 3 * k, k, seed, noise), k)
        assert not found.names_several.any()
        assert not found.has_tables
        assert found.n_one_class == 3 * k


def test_functions_of_one_class_are_told_among_people():
    hard = np.column_stack([people(300, 8, 3, 100), one_class(300, 6, 3)])
    found = structure(hard, 3)
    np.testing.assert_array_equal(found.names_several, np.arange(14) < 8)
    np.testing.assert_array_equal(found.one_class, np.arange(14) >= 8)


def test_two_who_name_several_are_too_few_but_do_not_name_one_class_each():
    found = structure(people(300, 2, 3, 100), 3)
    assert not found.has_tables
    assert not found.names_several.any()
    assert found.n_one_class == 0
    found = structure(np.column_stack([people(300, 2, 3, 99), one_class(300, 6, 3)]), 3)
    assert not found.has_tables
    np.testing.assert_array_equal(found.one_class, np.arange(8) >= 2)


def test_function_without_votes_is_neither():
    hard = np.column_stack([people(300, 5, 3, 100), np.full(300, -1)])
    found = structure(hard, 3)
    assert not found.names_several[5]
    assert not found.one_class[5]


@pytest.mark.parametrize("fill", [-1, 0])
def test_votes_for_nothing_or_one_class_have_no_tables(fill):
    found = structure(np.full((5, 4), fill), 2)
    assert not found.has_tables
    assert found.n_one_class == (4 if fill == 0 else 0)
    assert found.shares == "unknown"


def test_votes_are_counted_for_all_images_of_a_pattern():
    found = structure([[0, 1, -1], [0, 1, 1], [-1, -1, -1]], 2, np.array([2.0, 1, 5]))
    np.testing.assert_allclose(found.named, [[3, 0], [0, 3], [0, 1]])


def test_weights_that_are_no_whole_numbers_are_taken():
    hard = people(100, 5, 3, 60)
    once = structure(hard, 3)
    weighted = structure(hard, 3, np.full(100, 0.997))
    np.testing.assert_array_equal(weighted.names_several, once.names_several)


# Shares of the classes


@pytest.mark.parametrize(
    ("k", "prior"), [(2, [0.8, 0.2]), (3, [0.7, 0.2, 0.1]), (10, [0.73] + [0.03] * 9)]
)
def test_functions_agree_that_classes_are_unlike_frequent(k, prior):
    for seed in range(5):
        assert structure(people(600, 8, k, 300, prior, seed), k).shares == "skewed"


@pytest.mark.parametrize("k", [2, 3, 10])
def test_functions_agree_that_classes_are_equally_frequent(k):
    for seed in range(5):
        assert structure(people(1000, 8, k, 500, seed=seed), k).shares == "flat"


def test_too_few_functions_and_unlike_ones_do_not_tell_the_shares():
    hard = people(600, 8, 3, 300, [0.7, 0.2, 0.1])
    assert structure(hard[:, :2], 3).shares == "unknown"
    # Each has a favourite of its own.
    rng = np.random.default_rng(0)
    leanings = np.eye(3)[[0, 0, 1, 1, 2]] * 0.6 + 0.4 / 3
    own = np.stack([rng.choice(3, 600, p=p) for p in leanings], axis=1)
    assert structure(own, 3).shares == "unknown"


def test_chance_is_seldom_taken_for_a_skew():
    """A test at 1 %: of 300 draws with equally many images a class, few are skewed."""
    truth = np.arange(120) % 3
    found = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        wrong = (truth[:, None] + rng.integers(1, 3, (120, 5))) % 3
        hard = np.where(rng.random((120, 5)) < 0.75, truth[:, None], wrong)
        hard[rng.random((120, 5)) < 0.5] = -1
        found.append(structure(hard, 3).shares)
    assert found.count("skewed") <= 9


# How far votes agree


def exactly(tables, prior):
    """All votes that tables give, with their probabilities as numbers of images."""
    m, k, n_symbols = tables.shape
    rows = np.array(list(product(range(n_symbols), repeat=m)))
    shares = sum(
        prior[y] * np.prod([tables[j, y, rows[:, j]] for j in range(m)], axis=0)
        for y in range(k)
    )
    votes = make_votes(np.where(rows == k, -1, rows), k)
    return Patterns(votes, 1e6 * shares, np.zeros(0, np.int64))


COIN = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
SKEWED = np.array([[0.95, 0.05, 0], [0.45, 0.5, 0.05], [0.1, 0.3, 0.6]])


def spoken(table, speaks=1.0):
    return np.column_stack([speaks * table, np.full(len(table), 1 - speaks)])


@pytest.mark.parametrize("table", [COIN, SKEWED], ids=["coin", "skewed"])
@pytest.mark.parametrize("prior", [[1, 0, 0], [1 / 3] * 3, [0.7, 0.1, 0.2]])
@pytest.mark.parametrize("speaks", [1.0, 0.7])
def test_agreement_is_as_unlike_as_tables_foretell(table, prior, speaks):
    """The closed form equals the sum over all votes that five people can give."""
    tables = np.tile(spoken(table, speaks), (5, 1, 1))
    votes = exactly(tables, prior)
    found = spread_of_agreement(votes, tables, np.array(prior), np.ones(5, bool))
    assert found == pytest.approx(1, rel=1e-9)


def drawn(tables, prior, n, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.choice(len(prior), n, p=prior)
    cumulative = tables.cumsum(axis=2)[:, truth]
    symbols = (rng.random((len(tables), n, 1)) > cumulative).sum(axis=2).T
    return make_votes(np.where(symbols >= len(prior), -1, symbols), len(prior))


def test_functions_of_unlike_accuracy_are_no_spread():
    tables = np.stack([spoken(a * np.eye(3) + (1 - a) / 3, 0.6) for a in (0.3, 0.6)])
    tables = np.repeat(tables, 5, axis=0)
    votes = drawn(tables, [0.5, 0.3, 0.2], 20_000).patterns()
    prior = np.array([0.5, 0.3, 0.2])
    found = spread_of_agreement(votes, tables, prior, np.ones(10, bool))
    assert found == pytest.approx(1, abs=0.1)


def test_classes_taken_for_others_are_more_spread_than_an_accuracy_foretells():
    # Images of class 2 that seven people of ten take for class 0 divide them; of
    # classes 0 and 1 all are sure.
    sure = spoken(np.eye(3) * 0.97 + 0.01)
    misses = sure.copy()
    misses[2] = [0.9, 0.05, 0.05, 0]
    tables = np.stack([misses] * 7 + [sure] * 3)
    prior = np.full(3, 1 / 3)
    votes = drawn(tables, prior, 5000)
    right = np.mean(tables[:, range(3), range(3)])
    coin = np.tile(
        spoken(np.eye(3) * (1.5 * right - 0.5) + (1 - right) / 2), (10, 1, 1)
    )
    everyone = np.ones(10, bool)
    assert spread_of_agreement(votes.patterns(), coin, prior, everyone) > 1.5
    whole = spread_of_agreement(votes.patterns(), tables, prior, everyone)
    assert whole < 1.2


def test_only_functions_asked_for_and_images_with_three_votes_count():
    votes = make_votes([[0, 0, 0, 1], [0, 1, -1, 1], [0, 1, 1, 0]], 2)
    tables = np.tile(spoken(np.array([[0.8, 0.2], [0.3, 0.7]])), (4, 1, 1))
    prior = np.array([0.5, 0.5])
    first = np.arange(4) < 3
    found = spread_of_agreement(votes.patterns(), tables, prior, first)
    alone = votes.rows(np.array([0, 2])).select([0, 1, 2]).patterns()
    again = spread_of_agreement(alone, tables[:3], prior, np.ones(3, bool))
    assert found == pytest.approx(again)
    few = votes.rows(slice(1, 2)).patterns()
    assert spread_of_agreement(few, tables, prior, first) == 1.0


def test_class_without_a_share_that_no_table_speaks_of_changes_nothing():
    votes = drawn(np.tile(spoken(COIN), (5, 1, 1)), [1 / 3] * 3, 300)
    tables = np.tile(spoken(COIN), (5, 1, 1))
    expected = spread_of_agreement(
        votes.patterns(), tables, np.full(3, 1 / 3), np.ones(5, bool)
    )
    more = np.zeros((5, 4, 5))
    more[:, :3, [0, 1, 2, 4]] = tables
    more[:, 3, 4] = 1
    wider = make_votes(votes.hard, 4).patterns()
    prior = np.array([1 / 3] * 3 + [0])
    found = spread_of_agreement(wider, more, prior, np.ones(5, bool))
    assert found == pytest.approx(expected)


# Fits that cannot be right


def judged(matrix, proba, counts):
    votes = make_votes(matrix, np.shape(proba)[1])
    return find_degeneracy(np.asarray(proba, float), votes, np.asarray(counts, float))


VOTES = [[0, 0, 0], [1, 1, 1], [0, 1, 1], [2, 2, 1]]
GOOD = [[0.9, 0.1, 0], [0, 1, 0], [0.4, 0.6, 0], [0, 0.2, 0.8]]
COUNTS = [60, 30, 10, 20]


def test_good_fit_is_no_degenerate_one():
    assert judged(VOTES, GOOD, COUNTS) == ""


def test_one_class_that_has_swallowed_the_others():
    found = judged(VOTES, [[1, 0, 0]] * 4, COUNTS)
    assert found == "it gives 100 % of the images class 0, which wins 50 % of the votes"
    # Where nearly all votes are for one class, it may have nearly all images.
    assert judged(VOTES, [[1, 0, 0]] * 4, [995, 1, 1, 1]) == ""


def test_class_that_has_vanished():
    gone = [[0.9, 0.1, 0], [0, 1, 0], [0.4, 0.6, 0], [0, 1, 0]]
    assert judged(VOTES, gone, COUNTS) == (
        "it leaves class 2 0.0 % of the images, of which it wins the vote on 17 %"
    )
    # Of four images a class may be chance.
    assert judged(VOTES, gone, [60, 30, 10, 4]) == ""


def test_classes_that_are_exchanged():
    proba = np.asarray(GOOD)[:, [1, 0, 2]]
    found = judged(VOTES, proba, COUNTS)
    assert found == "images of which all votes say class 0 it gives class 1"
    # Two votes for one class are enough to say that all say so, one is not.
    single = [[0, -1, -1], [1, -1, -1], [0, 1, 1], [2, -1, 1]]
    assert judged(single, proba, COUNTS) == ""


def test_images_without_votes_and_a_single_class_are_never_degenerate():
    nothing = [*VOTES, [-1, -1, -1]]
    assert judged(nothing, [*GOOD, [0, 0, 1]], [*COUNTS, 10_000]) == ""
    assert judged([[-1, -1]], [[0.5, 0.5]], [3]) == ""
    assert judged([[0, 0]], [[1.0]], [30]) == ""
