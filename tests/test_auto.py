"""The default aggregator: what it chooses, and why."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.vote_sets import Cell, draw
from lfkit.aggregators import Auto, MajorityVote, ShrunkDawidSkene
from lfkit.data.votes import Votes
from lfkit.errors import InputError


def names(m):
    return tuple(f"f{j:02}" for j in range(m))


def noisy(n, accuracies, k, seed, prior=None, speaks=0.7):
    """Votes of independent functions with these accuracies, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(k, n, p=prior)
    columns = []
    for accuracy in accuracies:
        wrong = (truth + rng.integers(1, k, n)) % k
        column = np.where(rng.random(n) < accuracy, truth, wrong)
        column[rng.random(n) > speaks] = -1
        columns.append(column)
    return np.column_stack(columns), truth


def accuracy(model, votes, truth):
    return float((model.predict(votes, "random") == truth).mean())


def with_seeds(hard, truth, k, n_seeds):
    """The first images are seeds; functions here never learn from them."""
    rows = np.arange(n_seeds)
    fold = Votes(hard[:n_seeds], names(hard.shape[1]), k)
    return Votes(
        hard,
        names(hard.shape[1]),
        k,
        seed_rows=rows,
        seed_labels=truth[rows],
        seed_out_of_fold=fold,
    )


def test_functions_of_different_worth_are_weighed_without_any_label():
    hard, truth = noisy(3000, [0.9, 0.85, 0.55, 0.5, 0.5, 0.5], 3, seed=0)
    votes = Votes(hard, names(6), 3)
    model = Auto().fit(votes)
    assert model.chosen_ == "shrunk"
    assert "functions differ in how far they can be trusted" in model.reason_
    plain = accuracy(MajorityVote().fit(votes), votes, truth)
    assert accuracy(model, votes, truth) > plain + 0.05


def test_functions_of_equal_worth_get_a_plain_vote():
    hard, _ = noisy(1000, [0.75] * 5, 2, seed=1)
    assert Auto().fit(Votes(hard, names(5), 2)).chosen_ == "majority-vote"
    # Of so few images not even chance differences are left.
    model = Auto().fit(Votes(hard[:40], names(5), 2))
    assert model.chosen_ == "majority-vote"
    assert model.reason_ == "no function is shown to deserve more trust than another"


def test_two_functions_cannot_be_told_apart():
    hard, _ = noisy(1000, [0.9, 0.6], 2, seed=0)
    model = Auto().fit(Votes(hard, names(2), 2))
    assert model.chosen_ == "majority-vote"
    assert model.reason_ == (
        "fewer than three functions vote: nothing tells who is right"
    )


@pytest.mark.parametrize("copies", [3, 8])
def test_copies_of_a_function_count_about_once(copies):
    hard, truth = noisy(3000, [0.55, 0.8, 0.8, 0.8, 0.75], 2, seed=3)
    once = Votes(hard, names(5), 2)
    many = np.column_stack([hard, *[hard[:, 0]] * copies])
    votes = Votes(many, names(5 + copies), 2)
    expected = accuracy(ShrunkDawidSkene().fit(once), once, truth)
    assert accuracy(Auto().fit(votes), votes, truth) > expected - 0.01
    careless = ShrunkDawidSkene(dependencies=False).fit(votes)
    assert accuracy(careless, votes, truth) < expected - 0.1


def test_seeds_are_the_judge_where_there_are_enough():
    # The labels that functions agree on are wrong: only seeds can tell.
    hard, truth = noisy(2000, [0.9, 0.9, 0.9, 0.85, 0.9], 3, seed=4)
    liars = (hard[:, :3] + 1) % 3
    hard = np.column_stack([np.where(hard[:, :3] < 0, -1, liars), hard[:, 3:]])
    votes = with_seeds(hard, truth, 3, 150)
    model = Auto().fit(votes)
    assert model.chosen_ == "seed-weighted"
    assert set(model.scores_) == {"majority-vote", "shrunk", "seed-weighted"}
    assert model.scores_["seed-weighted"] == min(model.scores_.values())
    assert "on 150 held-out seeds" in model.reason_
    # Functions that are always wrong by one class get no weight, not a negative one.
    plain = accuracy(MajorityVote().fit(votes), votes, truth)
    assert accuracy(model, votes, truth) > plain + 0.3


def test_seeds_that_show_no_difference_leave_a_plain_vote():
    hard, truth = noisy(600, [0.7] * 5, 2, seed=5, speaks=1.0)
    model = Auto().fit(with_seeds(hard, truth, 2, 40))
    assert model.chosen_ == "majority-vote"
    assert model.reason_.startswith("nothing beats its ")


def test_few_seeds_are_no_judge():
    hard, truth = noisy(2000, [0.9, 0.85, 0.5, 0.5, 0.5], 2, seed=6)
    model = Auto().fit(with_seeds(hard, truth, 2, 20))
    assert "seeds" not in model.reason_


def test_posteriors_on_seeds_are_of_a_model_that_has_not_seen_them():
    hard, truth = noisy(800, [0.85, 0.8, 0.5, 0.5], 2, seed=7)
    votes = with_seeds(hard, truth, 2, 100)
    model = Auto().fit(votes)
    held_out = model.out_of_fold_proba(votes)
    assert held_out.shape == (100, 2)
    right = (held_out.argmax(axis=1) == truth[:100]).mean()
    assert abs(right - accuracy(model, votes, truth)) < 0.12


def test_few_seeds_may_have_votes_of_functions_silent_elsewhere():
    hard, truth = noisy(500, [0.9, 0.8, 0.7, 0.6], 2, seed=8)
    silent = np.column_stack([hard, np.full(500, -1)])
    votes = with_seeds(silent, truth, 2, 10)
    fold = votes.seed_out_of_fold.hard.copy()
    fold[:, 4] = truth[:10]  # refitted without the seed, it votes
    votes = replace(votes, seed_out_of_fold=Votes(fold, names(5), 2))
    held_out = Auto().fit(votes).out_of_fold_proba(votes)
    np.testing.assert_allclose(held_out.sum(axis=1), 1)


@pytest.mark.parametrize("strengths", [(), (0.0,), (1.0, -2.0), ((1.0, 2.0),)])
def test_strengths_must_be_positive(strengths):
    with pytest.raises(InputError, match="strengths must be one or more numbers above"):
        ShrunkDawidSkene(strengths=strengths).fit(Votes(np.zeros((2, 1)), ("a",), 2))


def test_large_tables_are_learned_only_where_votes_can_tell():
    few, _ = noisy(60, [0.8, 0.75, 0.7], 10, seed=0)
    assert ShrunkDawidSkene().fit(Votes(few, names(3), 10)).rung_ in (
        "equal trust",
        "one coin",
    )
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 20_000)
    tables = np.array([[0.9, 0.1, 0], [0, 0.9, 0.1], [0.4, 0, 0.6]])
    hard = np.column_stack(
        [(rng.random((20_000, 1)) > tables[truth].cumsum(1)).sum(1) for _ in range(4)]
    )
    many = ShrunkDawidSkene().fit(Votes(np.minimum(hard, 2), names(4), 3))
    assert many.rung_ == "full"
    assert many.strength_ == 3
    np.testing.assert_allclose(
        many.confusions_[:, :, :3], np.tile(tables, (4, 1, 1)), atol=0.03
    )


def test_error_of_the_tables_shrinks_with_the_root_of_the_images():
    errors = []
    for n in (500, 8000):
        found = []
        for seed in range(4):
            hard, _ = noisy(n, [0.85, 0.8, 0.7, 0.65, 0.6, 0.75], 2, seed=seed)
            model = ShrunkDawidSkene().fit(Votes(hard, names(6), 2))
            right = model.confusions_[:, [0, 1], [0, 1]].mean(axis=1) / 0.7
            found.append(np.abs(right - [0.85, 0.8, 0.7, 0.65, 0.6, 0.75]).mean())
        errors.append(np.mean(found))
    assert 2 < errors[0] / errors[1] < 8  # the root of 16 is 4


def drawn(repeat, *cell):
    found = draw(Cell(*cell, n=2000), repeat)
    return found.votes, found.truth


def test_copies_share_one_vote_where_functions_are_else_alike():
    votes, truth = drawn(4, 2, "balanced", "multi-class", "copies")
    model = Auto().fit(votes)
    assert model.chosen_ == "shrunk"
    assert model.reason_.startswith("copies share one vote")
    plain = accuracy(MajorityVote().fit(votes), votes, truth)
    assert accuracy(model, votes, truth) > plain + 0.05


@pytest.mark.parametrize(
    ("repeat", "cell", "least"),
    [
        # Tables of rates per class explain such votes better with classes exchanged.
        (0, (3, "90/10", "multi-class", "copies"), 0.9),
        (1, (3, "90/10", "multi-class", "independent"), 0.9),
        # There silence was taken for a rare class: an accuracy of .34.
        (3, (10, "90/10", "unipolar", "copies"), 0.8),
    ],
)
def test_rare_classes_are_not_exchanged_with_the_common_one(repeat, cell, least):
    votes, truth = drawn(repeat, *cell)
    assert accuracy(Auto().fit(votes), votes, truth) > least


def test_little_loss_in_predicting_votes_is_no_reason_for_a_plain_vote():
    votes, truth = drawn(0, 2, "balanced", "unipolar", "independent")
    model = Auto().fit(votes)
    assert model.chosen_ == "shrunk"
    plain = accuracy(MajorityVote().fit(votes), votes, truth)
    assert accuracy(model, votes, truth) > plain
