"""The default aggregator: what it chooses, and why."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.vote_sets import Cell, draw
from lfkit.aggregators import Auto, DawidSkene, MajorityVote
from lfkit.aggregators.aggregate import aggregate_with
from lfkit.data.votes import Votes


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
    """Score the images with a vote; a tie is dealt."""
    voted = votes.voted.any(axis=1)
    return float((model.predict(votes, "random") == truth)[voted].mean())


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


# What votes are like decides


def test_functions_that_name_several_classes_get_tables():
    hard, truth = noisy(3000, [0.9, 0.85, 0.55, 0.5, 0.5, 0.5], 3, seed=0)
    votes = Votes(hard, names(6), 3)
    model = Auto().fit(votes)
    assert (model.chosen_, model.prior_source_) == ("whole-tables", "flat")
    plain = accuracy(MajorityVote().fit(votes), votes, truth)
    assert accuracy(model, votes, truth) > plain + 0.05


def one_class(n, seed, k=5, siblings=5):
    """Functions of one class each, silent on difficult images, siblings err alike."""
    rng = np.random.default_rng(seed)
    truth, difficulty = rng.integers(0, k, n), rng.random(n)
    looks_like = (truth + rng.integers(1, k, n)) % k
    columns = []
    for label in range(k):
        family = rng.random(n)
        for _ in range(siblings - 3 * (label % 2)):
            drawn = np.where(rng.random(n) < 0.6, family, rng.random(n))
            fires = np.where(truth == label, 0.6 * (1 - difficulty), 0)
            fires += np.where(looks_like == label, 0.2 * difficulty, 0)
            columns.append(np.where(drawn < fires, label, -1))
    return Votes(np.stack(columns, axis=1), names(len(columns)), k), truth


def test_functions_of_one_class_get_a_plain_vote_with_its_ties_decided():
    gains = []
    for seed in range(4):
        votes, truth = one_class(4000, seed)
        model = Auto().fit(votes)
        assert model.chosen_ == "equal-trust"
        assert f"{votes.n_functions} of {votes.n_functions} functions" in model.reason_
        plain = MajorityVote().fit_predict_proba(votes)
        ties = (plain >= plain.max(axis=1, keepdims=True) - 1e-9).sum(axis=1) > 1
        clear = ~ties & votes.voted.any(axis=1)
        labels = model.predict_proba(votes).argmax(axis=1)
        np.testing.assert_array_equal(labels[clear], plain.argmax(axis=1)[clear])
        tied = ties & votes.voted.any(axis=1)
        by_lot = plain[tied, truth[tied]].mean()  # two tied classes have a half each
        gains.append((labels[tied] == truth[tied]).mean() - by_lot)
    assert np.mean(gains) > 0.005


def test_shares_that_functions_agree_on_are_learned():
    shares = [0.8, 0.1, 0.05, 0.05]
    hard, truth = noisy(2000, [0.7, 0.65, 0.6, 0.6, 0.55, 0.5], 4, 1, prior=shares)
    votes = Votes(hard, names(6), 4)
    model = Auto().fit(votes)
    assert (model.chosen_, model.prior_source_) == ("biased-coin", "learned")
    assert abs(model.class_prior_ - shares).max() < 0.1
    plain = accuracy(MajorityVote().fit(votes), votes, truth)
    assert accuracy(model, votes, truth) > plain + 0.05


def test_people_who_miss_a_class_get_whole_tables():
    gains = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, 2, 150)
        finds = np.stack([rng.uniform(0.8, 0.98, 30), rng.beta(2, 1.7, 30)])
        hard = np.where(rng.random((150, 30)) < finds[truth], truth[:, None], 1)
        hard = np.where((truth == 1)[:, None] & (hard == truth[:, None]), 1, hard)
        missed = (truth == 1)[:, None] & (rng.random((150, 30)) > finds[1])
        hard = np.where(missed, 0, hard)
        votes = Votes(hard, names(30), 2)
        model = Auto().fit(votes)
        assert model.chosen_ == "whole-tables"
        plain = accuracy(MajorityVote().fit(votes), votes, truth)
        gains.append(accuracy(model, votes, truth) - plain)
    assert min(gains) > -0.01
    assert np.mean(gains) > 0.02


def test_few_functions_that_lean_to_classes_of_their_own_get_an_accuracy_each():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, 800)
    columns = []
    for j, accurate in enumerate([0.75, 0.5, 0.45, 0.4]):
        leaning = rng.choice(6, 800, p=np.roll([0.5, 0.3, 0.05, 0.05, 0.05, 0.05], j))
        columns.append(np.where(rng.random(800) < accurate, truth, leaning))
    votes = Votes(np.stack(columns, axis=1), names(4), 6)
    model = Auto().fit(votes)
    assert (model.chosen_, model.prior_source_) == ("one-coin", "flat")
    plain = accuracy(MajorityVote().fit(votes), votes, truth)
    assert accuracy(model, votes, truth) > plain


def test_two_functions_cannot_be_told_apart():
    hard, _ = noisy(1000, [0.9, 0.6], 2, seed=0)
    model = Auto().fit(Votes(hard, names(2), 2))
    assert model.chosen_ == "equal-trust"
    assert "fewer than three functions" in model.reason_


def test_two_classes_that_are_rare_or_missed_get_a_plain_vote():
    """Five votes an image do not tell one from the other."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 500)
    right = rng.random((500, 30)) < np.array([0.9, 0.6])[truth][:, None]
    hard = np.where(right, truth[:, None], 1 - truth[:, None])
    asked = np.argsort(rng.random((500, 30)), axis=1) < 5
    votes = Votes(np.where(asked, hard, -1), names(30), 2)
    model = Auto().fit(votes)
    assert model.chosen_ == "equal-trust"
    plain = accuracy(MajorityVote().fit(votes), votes, truth)
    assert accuracy(model, votes, truth) > plain - 0.01


def test_two_models_with_the_same_mistakes_do_not_outvote_people():
    """They vote on every image, people on few: they would be all that is believed."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 3000)

    def said(accurate):
        wrong = (truth + rng.integers(1, 5, 3000)) % 5
        return np.where(rng.random(3000) < accurate, truth, wrong)

    people = np.stack([said(0.75) for _ in range(12)], axis=1)
    people[np.argsort(rng.random((3000, 12)), axis=1) >= 3] = -1
    both = said(0.65)
    models = [np.where(rng.random(3000) < 0.1, said(0.65), both) for _ in range(2)]
    votes = Votes(np.column_stack([people, *models]), names(14), 5)
    model = Auto().fit(votes)
    plain = accuracy(MajorityVote().fit(votes), votes, truth)
    assert accuracy(model, votes, truth) > plain + 0.02


@pytest.mark.parametrize("copies", [3, 8])
def test_copies_of_a_function_count_about_once(copies):
    hard, truth = noisy(3000, [0.55, 0.8, 0.8, 0.8, 0.75], 2, seed=3)
    once = Votes(hard, names(5), 2)
    many = np.column_stack([hard, *[hard[:, 0]] * copies])
    votes = Votes(many, names(5 + copies), 2)
    expected = accuracy(DawidSkene().fit(once), once, truth)
    assert accuracy(Auto().fit(votes), votes, truth) > expected - 0.01
    careless = DawidSkene(dependencies=False).fit(votes)
    assert accuracy(careless, votes, truth) < expected - 0.1


def drawn(repeat, *cell):
    found = draw(Cell(*cell, n=2000), repeat)
    return found.votes, found.truth


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


# Seeds judge


def test_seeds_that_show_no_difference_change_nothing():
    hard, truth = noisy(600, [0.7] * 5, 2, seed=5, speaks=1.0)
    votes = Votes(hard, names(5), 2)
    model = Auto().fit(with_seeds(hard, truth, 2, 40))
    assert model.chosen_ == Auto().fit(votes).chosen_
    assert "on 40 held-out seeds" in model.reason_ or "seeds do not" in model.reason_


def test_seeds_are_the_judge_where_there_are_enough():
    # The labels that functions agree on are wrong: only seeds can tell.
    hard, truth = noisy(2000, [0.9, 0.9, 0.9, 0.85, 0.9], 3, seed=4)
    liars = (hard[:, :3] + 1) % 3
    hard = np.column_stack([np.where(hard[:, :3] < 0, -1, liars), hard[:, 3:]])
    votes = with_seeds(hard, truth, 3, 150)
    model = Auto().fit(votes)
    assert model.chosen_ == "seed-weighted"
    assert {"equal-trust", "seed-weighted"} <= set(model.scores_)
    assert model.scores_["seed-weighted"] == min(model.scores_.values())
    assert "on 150 held-out seeds" in model.reason_
    # Functions that are always wrong by one class get no weight, not a negative one.
    plain = accuracy(MajorityVote().fit(votes), votes, truth)
    assert accuracy(model, votes, truth) > plain + 0.3


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


def test_few_seeds_and_classes_that_nothing_names_have_held_out_posteriors():
    votes = Votes([[0, -1], [-1, 1], [0, 1], [0, -1], [-1, 1]], ("a", "b"), 5)
    rows = np.array([0, 1, 2, 3])
    known = replace(
        votes,
        seed_rows=rows,
        seed_labels=np.array([0, 1, 1, 0]),
        seed_out_of_fold=votes.rows(rows),
    )
    aggregator = Auto().fit(known)
    found = aggregator.out_of_fold_proba(known)
    assert found.shape == (4, 5)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert found[0].argmax() == 0
    assert found[1].argmax() == 1
    assert (found[:, 2:] == 0).all()


def test_held_out_seeds_are_as_sure_as_the_images():
    # Other folds' seeds choose another model, twice as sure of the same votes.
    rng = np.random.default_rng(6)
    truth, k = rng.integers(0, 5, 2000), 5
    errs = (0.02, 0.1, 0.3, 0.5)
    hard = np.column_stack(
        [
            np.where(rng.random(2000) < np.where(truth == label, 0.6, err), label, -1)
            for label in range(k)
            for err in errs
        ]
    )
    rows = np.sort(rng.choice(2000, 50, replace=False))
    votes = Votes(hard, names(hard.shape[1]), k)
    votes = replace(
        votes,
        seed_rows=rows,
        seed_labels=truth[rows],
        seed_out_of_fold=votes.rows(rows),
    )
    model = Auto()
    labels = aggregate_with(model, votes, "auto")
    judged = model.judged_proba_
    assert not np.array_equal(judged.argmax(axis=1), model.seed_proba_.argmax(axis=1))
    images = np.delete(labels.proba.max(axis=1), rows).mean()
    assert abs(labels.held_out.proba.max(axis=1).mean() - images) < 0.1
