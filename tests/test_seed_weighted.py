"""SeedWeightedVote: doubts and weights recomputed, then what they are good for."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from lfkit.aggregators import MajorityVote, SeedWeightedVote, seed_weighted
from lfkit.aggregators.aggregate import seed_accuracy
from lfkit.data.folds import deal_folds
from lfkit.data.votes import Votes
from lfkit.errors import InputError


def make_votes(shares):
    """Make votes of (n, m, k) weights; rows of zeros abstain."""
    soft = np.asarray(shares, np.float16)
    hard = np.where(soft.any(axis=2), soft.argmax(axis=2), -1)
    names = tuple(f"f{j:03}" for j in range(soft.shape[1]))
    return Votes(hard, names, soft.shape[2], soft=soft)


def with_seeds(votes, labels, n_seeds, seed_votes=None):
    """Take the first images for seeds; their votes for out-of-fold ones."""
    rows = np.arange(n_seeds)
    return replace(
        votes,
        seed_rows=rows,
        seed_labels=labels[:n_seeds],
        seed_out_of_fold=votes.rows(rows) if seed_votes is None else seed_votes,
    )


def simulate(n, k, accuracies, *, silent=0.2, seed=0):
    """Hard votes of independent functions, right as often as told."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    shares = np.zeros((n, len(accuracies), k))
    for j, accuracy in enumerate(accuracies):
        wrong = (labels + rng.integers(1, k, n)) % k
        voted = np.where(rng.random(n) < accuracy, labels, wrong)
        shares[np.arange(n), j, voted] = 1
        shares[rng.random(n) < silent, j] = 0
    return shares, labels


def simulate_soft(n, k, leans, *, silent=0.2, seed=0):
    """Distributions that lean towards the truth, each function by its own amount."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    shares = rng.dirichlet(np.ones(k), (n, len(leans)))
    shares[np.arange(n), :, labels] += leans
    shares /= shares.sum(axis=2, keepdims=True)
    shares[rng.random((n, len(leans))) < silent] = 0
    return shares, labels


def rounded(shares):
    """Give the votes as an aggregator reads them: float16, scaled to sum to one."""
    shares = np.asarray(shares, np.float16).astype(np.float64)
    total = shares.sum(axis=2, keepdims=True)
    return np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)


@settings(max_examples=25, deadline=None)
@given(
    k=st.integers(2, 6),
    leans=st.lists(st.floats(0, 3), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_a_doubt_is_the_likeliest_share_of_guesses_near_that_of_all(k, leans, seed):
    shares, labels = simulate_soft(30, k, leans, seed=seed)
    votes = with_seeds(make_votes(shares), labels, 30)
    model = SeedWeightedVote().fit(votes)
    grid = np.linspace(0, 1, 4001)[1:-1, None]
    judging = np.bincount(labels)[labels] > 1  # a class's only seed judges nobody
    voted = shares.any(axis=2) & judging[:, None]
    right = rounded(shares)[np.arange(30), :, labels]

    def likeliest(right, centre, behind):
        """Of votes, and imaginary ones of such doubt behind them."""
        likelihood = np.log((1 - grid) * right + grid / k).sum(axis=1, keepdims=True)
        likelihood += behind * (centre * np.log(grid) + (1 - centre) * np.log(1 - grid))
        return grid[likelihood.argmax(), 0]

    common = likeliest(right[voted], 0.5, 2)
    own = [likeliest(right[voted[:, j], j], common, 5) for j in range(len(leans))]
    alike = [common] * len(leans)
    assert any(model.doubts_ == pytest.approx(d, abs=1e-3) for d in (own, alike))


def log_votes(shares, doubts):
    shares = rounded(shares)
    k = shares.shape[2]
    mixed = (1 - doubts)[:, None] * shares + doubts[:, None] / k
    return np.where(shares.any(axis=2, keepdims=True), np.log(mixed), 0)


def seed_loss(weights, shares, doubts, labels):
    scores = np.einsum("smk,m->sk", log_votes(shares, doubts), weights)
    return -log_softmax(scores, axis=1)[np.arange(len(labels)), labels].sum()


@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize(("penalty", "ridge"), [(0.01, 0.01), (3.0, 1.0), (10.0, 10.0)])
def test_no_small_change_of_the_weights_is_better(kind, penalty, ridge, monkeypatch):
    monkeypatch.setattr(seed_weighted, "_ERRORS", -np.inf)  # else they may stay alike
    if kind == "hard":
        shares, labels = simulate(60, 4, [0.9, 0.6, 0.6, 0.4, 0.25])
    else:
        shares, labels = simulate_soft(60, 4, [1.0, 0.5, 0.3, 0.1, 0.0])
    votes = with_seeds(make_votes(shares), labels, 60)
    model = SeedWeightedVote([penalty], ridge=ridge).fit(votes)
    assert model.penalty_ == penalty

    def penalised(weights):
        loss = seed_loss(weights, shares, model.doubts_, labels)
        return loss + penalty * weights.sum() + ridge * (weights**2).sum()

    weights = model.weights_ / model.scale_
    best = penalised(weights)
    for j in range(5):
        for step in (-0.02, 0.02):
            moved = weights.copy()
            moved[j] = max(moved[j] + step, 0)
            assert penalised(moved) >= best
    assert (weights >= 0).all()


@pytest.mark.parametrize(
    ("accuracies", "penalty"),
    [([0.9, 0.8, 0.8, 0.7], 0.01), ([0.7, *[0.25] * 100], 30.0)],
    ids=["who know", "who guess"],
)
def test_the_penalty_is_chosen_by_seeds_that_the_weights_have_not_seen(
    accuracies, penalty, monkeypatch
):
    """A weak penalty fits the seeds themselves best, most of all with many guesses."""
    monkeypatch.setattr(seed_weighted, "_ERRORS", -np.inf)
    shares, labels = simulate(100, 4, accuracies)
    model = SeedWeightedVote([0.01, 30.0], ridge=0.01)
    model.fit(with_seeds(make_votes(shares), labels, 100))
    assert model.penalty_ == penalty


def test_posteriors_are_the_weighted_product_of_doubted_votes_and_prior():
    shares, labels = simulate_soft(40, 3, [1.0, 0.5, 0.2])
    prior = [0.5, 0.3, 0.2]
    votes = with_seeds(make_votes(shares), labels, 25)
    model = SeedWeightedVote(class_balance=prior).fit(votes)
    scores = np.einsum("nmk,m->nk", log_votes(shares, model.doubts_), model.weights_)
    want = np.exp(log_softmax(scores + np.log(prior), axis=1))
    np.testing.assert_allclose(model.predict_proba(votes), want, rtol=1e-6)


def test_an_image_without_votes_gets_the_class_balance():
    shares, labels = simulate(40, 3, [0.8, 0.7], silent=0)
    shares[0] = 0
    model = SeedWeightedVote(class_balance=[0.5, 0.3, 0.2])
    proba = model.fit_predict_proba(with_seeds(make_votes(shares), labels, 30))
    np.testing.assert_allclose(proba[0], [0.5, 0.3, 0.2])


def test_a_function_that_is_always_wrong_is_hardly_heard():
    shares, labels = simulate(200, 4, [0.8, 0.7, 0.0], silent=0)
    model = SeedWeightedVote().fit(with_seeds(make_votes(shares), labels, 60))
    assert model.doubts_[2] > 0.95
    without = shares.copy()
    without[:, 2] = 0
    with_it, alone = (
        model.predict_proba(make_votes(each)) for each in (shares, without)
    )
    assert np.abs(with_it - alone).max() < 0.02


def test_who_never_votes_on_a_seed_has_the_mean_weight_and_the_common_doubt():
    shares, labels = simulate(200, 4, [0.8, 0.7, 0.7], silent=0)
    shares[:60, 1] = 0
    model = SeedWeightedVote().fit(with_seeds(make_votes(shares), labels, 60))
    assert 0.15 < model.doubts_[1] < 0.45  # a quarter of the others' votes are wrong
    assert model.weights_[1] == pytest.approx(model.weights_[[0, 2]].mean())
    assert model.weights_[1] > 0


def test_a_class_of_one_seed_judges_nobody():
    shares, labels = simulate(400, 4, [0.9, 0.8, 0.8], silent=0)
    rows = np.array([np.flatnonzero(labels == c)[0] for c in range(4)])
    votes = make_votes(shares)
    one_each = replace(
        votes,
        seed_rows=rows,
        seed_labels=labels[rows],
        seed_out_of_fold=votes.rows(rows),
    )
    plain = SeedWeightedVote().fit_predict_proba(votes)
    model = SeedWeightedVote().fit(one_each)
    assert model.penalty_ is None
    np.testing.assert_allclose(model.predict_proba(votes), plain)


def test_classes_of_few_seeds_are_dealt_to_all_folds():
    folds = deal_folds(np.arange(10), 5, random_state=0)
    assert np.bincount(folds).tolist() == [2] * 5
    many = deal_folds(np.repeat(np.arange(3), 7), 5, random_state=1)
    for label in range(3):
        assert np.bincount(many[label * 7 : label * 7 + 7], minlength=5).max() <= 2
    np.testing.assert_array_equal(many, deal_folds(np.repeat([0, 1, 2], 7), 5, 1))


def test_who_was_judged_on_two_seeds_is_doubted_nearly_as_all_are():
    shares, labels = simulate(60, 3, [0.6, 0.6, 1.0, 1.0], silent=0)
    shares[2:, 3] = 0
    model = SeedWeightedVote().fit(with_seeds(make_votes(shares), labels, 50))
    common = model.doubts_[:2].mean()
    assert model.doubts_[2] < 0.1
    assert 0.15 < model.doubts_[3] < common


def test_few_seeds_do_not_make_labels_worse_than_none():
    """Eight seeds judge forty people, each on one or two: too few to weigh them by."""
    gains = []
    for seed in range(5):
        shares, labels = simulate(400, 4, [0.6] * 40, silent=0.8, seed=seed)
        votes = make_votes(shares)
        known = (
            SeedWeightedVote().fit(with_seeds(votes, labels, 8)).predict_proba(votes)
        )
        plain = MajorityVote().fit_predict_proba(votes)
        right = [(p[8:].argmax(axis=1) == labels[8:]).mean() for p in (known, plain)]
        gains.append(right[0] - right[1])
    assert np.mean(gains) > -0.01


def log_loss(proba, labels):
    return -np.log(np.maximum(proba[np.arange(len(labels)), labels], 1e-12)).mean()


def test_copies_of_a_function_share_its_weight():
    """A product of the votes believes five copies five times; weights do not."""
    shares, labels = simulate(1200, 3, [0.8, 0.7, 0.65, 0.6], silent=0)
    copied = np.concatenate([shares, shares[:, 3:].repeat(4, axis=1)], axis=1)

    def posterior(shares, n_seeds):
        votes = make_votes(shares)
        if n_seeds:
            votes = with_seeds(votes, labels, n_seeds)
        model = SeedWeightedVote().fit(votes)
        return model, model.predict_proba(votes)

    alone, before = posterior(shares, 200)
    several, after = posterior(copied, 200)
    assert several.weights_[3:].sum() < 2 * alone.weights_[3]
    np.testing.assert_allclose(
        several.weights_[3:], several.weights_[3], rtol=1e-3
    )  # nothing tells copies apart
    moved = np.abs(after - before).max(axis=1).mean()
    unweighted = np.abs(posterior(copied, 0)[1] - posterior(shares, 0)[1])
    assert moved < unweighted.max(axis=1).mean() / 3
    assert log_loss(after[200:], labels[200:]) < 1.03 * log_loss(
        before[200:], labels[200:]
    )


def test_without_seeds_the_posterior_is_the_geometric_mean_of_the_votes():
    shares, _ = simulate_soft(30, 3, [1.0, 0.5, 0.2], silent=0)
    votes = make_votes(shares)
    model = SeedWeightedVote().fit(votes)
    doubted = 0.9 * rounded(shares) + 0.1 / 3
    mean = np.exp(np.log(doubted).mean(axis=1))
    np.testing.assert_allclose(
        model.predict_proba(votes), mean / mean.sum(axis=1, keepdims=True), rtol=1e-6
    )
    assert model.penalty_ is None
    assert set(model.doubts_) == {0.1}


@pytest.mark.parametrize("seed", range(3))
def test_it_beats_the_majority_where_functions_are_very_unequal(seed):
    accuracies = [0.95, 0.8, *[0.4] * 6]
    shares, labels = simulate(3000, 4, accuracies, seed=seed)
    votes = with_seeds(make_votes(shares), labels, 80)
    rest = slice(80, None)
    by_seeds = SeedWeightedVote().fit(votes).predict(votes, "first")[rest]
    majority = MajorityVote().fit(votes).predict(votes, "first")[rest]
    right = (by_seeds == labels[rest]).mean()
    assert right > (majority == labels[rest]).mean() + 0.08
    # As good as knowing the accuracies: the naive Bayes product, told all of them.
    truth = np.log([(a * 3) / (1 - a) for a in accuracies])
    oracle = np.einsum("nmk,m->nk", shares, truth).argmax(axis=1)[rest]
    assert right > (oracle == labels[rest]).mean() - 0.03


@pytest.mark.parametrize(
    ("k", "accuracies"),
    [
        (4, [0.9, 0.7, 0.6, *[0.4] * 5]),
        (4, [0.7, *[0.25] * 100]),
        (10, [0.3] * 40),
        (4, [0.95, 0.9, 0.9]),
    ],
    ids=["unequal", "many that guess", "many weak ones", "few strong ones"],
)
def test_it_is_as_sure_as_it_is_right(k, accuracies):
    surplus, n_images = np.zeros((2, 4))
    for seed in range(4):
        shares, labels = simulate(2000, k, accuracies, silent=0.4, seed=seed)
        votes = with_seeds(make_votes(shares), labels, 100)
        proba = SeedWeightedVote().fit_predict_proba(votes)[100:]
        sure, right = proba.max(axis=1), proba.argmax(axis=1) == labels[100:]
        bucket = np.digitize(sure, [0.5, 0.7, 0.9])
        n_images += np.bincount(bucket, minlength=4)
        surplus += np.bincount(bucket, sure - right, minlength=4)
    assert np.abs(surplus).sum() / n_images.sum() < 0.08


def test_votes_that_are_right_on_all_seeds_do_not_make_it_certain():
    shares, labels = simulate(40, 4, [1.0, 1.0, 1.0], silent=0)
    votes = with_seeds(make_votes(shares), labels, 30)
    model = SeedWeightedVote().fit(votes)
    proba = model.predict_proba(votes)
    assert (proba.argmax(axis=1) == labels).all()
    # One imaginary seed of any class beside the 30: 3/4 of it is wrong.
    assert 0.95 < proba.max() < 1 - 0.5 / 31


def test_a_class_that_never_occurs_is_never_named():
    shares, labels = simulate_soft(60, 3, [0.5, 0.3])
    votes = with_seeds(make_votes(shares), labels % 2, 40)
    proba = SeedWeightedVote(class_balance=[0.5, 0.5, 0]).fit_predict_proba(votes)
    assert (proba[:, 2] == 0).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1)


def test_the_same_votes_and_random_state_give_the_same_model():
    shares, labels = simulate(80, 3, [0.8, 0.6, 0.5])
    votes = with_seeds(make_votes(shares), labels, 60)
    once, again = (SeedWeightedVote(random_state=3).fit(votes) for _ in range(2))
    np.testing.assert_array_equal(once.weights_, again.weights_)
    np.testing.assert_array_equal(once.doubts_, again.doubts_)
    assert once.penalty_ == again.penalty_


def test_labels_of_other_images_and_in_fold_votes_are_not_looked_at():
    """The votes on the seeds themselves flatter a function that memorised them."""
    shares, labels = simulate(300, 3, [0.7, 0.34], silent=0)
    flattering = shares.copy()
    flattering[:60, 1] = np.eye(3)[labels[:60]]
    honest = make_votes(shares).rows(np.arange(60))
    votes = with_seeds(make_votes(flattering), labels, 60, honest)
    model = SeedWeightedVote().fit(votes)
    assert model.doubts_[1] > 0.8
    fooled = SeedWeightedVote().fit(with_seeds(make_votes(flattering), labels, 60))
    assert fooled.doubts_[1] < 0.1


def test_seed_accuracy_judges_weights_on_seeds_they_have_not_seen():
    """Among 300 functions that guess, weights find some that are right on the seeds."""
    shares, labels = simulate(50, 4, [0.25] * 300, silent=0.9)
    votes = with_seeds(make_votes(shares), labels, 50)
    model = SeedWeightedVote().fit(votes)
    in_sample = (model.predict(votes.seed_out_of_fold) == labels).mean()
    held_out = seed_accuracy(votes, "seed-weighted")
    assert in_sample > 0.5
    assert held_out < 0.45
    # Real knowledge survives being held out.
    shares, labels = simulate(50, 4, [0.9, 0.9, 0.8], silent=0)
    votes = with_seeds(make_votes(shares), labels, 50)
    assert seed_accuracy(votes, "seed-weighted") > 0.8


def test_seed_accuracy_without_out_of_fold_votes_is_unknown():
    shares, _ = simulate(20, 3, [0.8])
    assert seed_accuracy(make_votes(shares), "seed-weighted") is None


@pytest.mark.parametrize("ridge", [0, -1.0, np.nan])
def test_the_ridge_must_be_more_than_zero(ridge):
    shares, _ = simulate(20, 3, [0.8])
    with pytest.raises(InputError, match="ridge must be more than 0, got"):
        SeedWeightedVote(ridge=ridge).fit(make_votes(shares))


@pytest.mark.parametrize("penalties", [[], [1, 0], [-1], [[1.0]], 3.0, [np.nan]])
def test_penalties_must_be_numbers_above_zero(penalties):
    shares, _ = simulate(20, 3, [0.8])
    with pytest.raises(InputError, match="penalties must be one or more numbers above"):
        SeedWeightedVote(penalties).fit(make_votes(shares))
