"""Dawid-Skene in its sizes: posteriors, steps of EM, seeds, and fits that are wrong."""

import itertools

import numpy as np
import pytest
from assertions import assert_notes, assert_refused
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import softmax
from test_aggregators import (
    KINDS_OF_VOTES,
    every_kind,
    make_votes,
    simulate,
    simulate_soft,
)

from lfkit.aggregators import DawidSkene, FlyingSquid, LabelModel, MajorityVote
from lfkit.aggregators.inference.em import FreeTables, run_em
from lfkit.aggregators.inference.tables_of_speakers import TablesOfSpeakers
from lfkit.aggregators.inference.vote_likelihood import VoteLikelihood
from lfkit.data.votes import Votes, with_known

every_symbol = pytest.mark.parametrize("tables", ["one-coin", "whole"])


def accuracy(model, votes, truth):
    return float(np.mean(model.predict(votes, "random") == truth))


# Posteriors, by enumeration


def read_vote(votes, i, j):
    if votes.hard[i, j] >= 0:
        if votes.soft is None:
            return np.eye(votes.n_classes)[votes.hard[i, j]]
        return votes.soft[i, j].astype(float) / votes.soft[i, j].astype(float).sum()
    if votes.allowed is not None and votes.allowed[i, j].any():
        return votes.allowed[i, j] / votes.allowed[i, j].sum()
    return None


def enumerated(votes, tables, prior, silence):
    """Posterior and log likelihood of each image, class by class, vote by vote."""
    posteriors, log_likelihoods = [], []
    for i in range(len(votes)):
        joint = []
        for label, share in enumerate(prior):
            for j in range(votes.n_functions):
                vote, row = read_vote(votes, i, j), tables[j, label]
                if vote is not None:
                    share *= sum(q * p for q, p in zip(vote, row[:-1], strict=True))
                elif silence:
                    share *= row[-1]
            joint.append(share)
        posteriors.append(np.array(joint) / sum(joint))
        log_likelihoods.append(np.log(sum(joint)))
    return np.array(posteriors), np.array(log_likelihoods)


def flattened():
    """Soft votes: three quarters for the class of a hard vote."""
    hard = KINDS_OF_VOTES["hard"].hard
    soft = np.where(hard[:, :, None] >= 0, 0.625 * np.eye(3)[hard] + 0.125, 0)
    return make_votes(hard, 3, soft=soft.astype(np.float16))


@pytest.mark.parametrize("tables", ["one-coin", "biased-coin", "whole"])
@pytest.mark.parametrize("name", ["hard", "mixed", "soft"])
@pytest.mark.parametrize("prior", [None, [0.5, 0.3, 0.2]])
def test_functions_that_are_silent_say_nothing(tables, name, prior):
    votes = flattened() if name == "soft" else KINDS_OF_VOTES[name]
    votes = votes.select([0, 1, 2, 3])
    model = DawidSkene(tables, dependencies=False, class_balance=prior).fit(votes)
    assert model.tables_ == tables
    assert model.fell_back_ == ""
    spoken = model.confusions_ / model.confusions_[:, :, :-1].sum(2, keepdims=True)
    expected, _ = enumerated(votes, spoken, model.class_prior_, silence=False)
    np.testing.assert_allclose(model.predict_proba(votes), expected, atol=1e-9)


@every_symbol
@pytest.mark.parametrize("name", ["hard", "mixed", "soft"])
@pytest.mark.parametrize("prior", [None, [0.5, 0.3, 0.2]])
def test_silence_is_evidence_where_it_is_a_symbol(tables, name, prior):
    votes = KINDS_OF_VOTES[name].select([0, 1, 2, 3])
    model = DawidSkene(
        tables, abstain="symbol", dependencies=False, class_balance=prior
    ).fit(votes)
    assert model.fell_back_ == ""
    expected, _ = enumerated(votes, model.confusions_, model.class_prior_, True)
    np.testing.assert_allclose(model.predict_proba(votes), expected, atol=1e-6)


@pytest.mark.parametrize("prior", [None, [0.5, 0.3, 0.2]])
def test_equal_tables_are_a_plain_vote_with_one_accuracy(prior):
    votes = KINDS_OF_VOTES["hard"].select([0, 1, 2, 3])
    model = DawidSkene("equal", dependencies=False, class_balance=prior).fit(votes)
    spoken = model.confusions_ / model.confusions_[:, :, :-1].sum(2, keepdims=True)
    hits = spoken[:, range(3), range(3)]
    np.testing.assert_allclose(hits, hits[0, 0])
    expected, _ = enumerated(votes, spoken, model.class_prior_, silence=False)
    np.testing.assert_allclose(model.predict_proba(votes), expected, atol=1e-9)


def test_posterior_does_not_depend_on_how_many_images_are_labeled_at_once(monkeypatch):
    votes = KINDS_OF_VOTES["mixed"]
    model = DawidSkene().fit(votes)
    whole = model.predict_proba(votes)
    monkeypatch.setattr("lfkit.aggregators.dawid_skene._CELLS_AT_ONCE", 50)
    np.testing.assert_allclose(model.predict_proba(votes), whole, atol=1e-12)


# EM


@pytest.mark.parametrize("prior", [None, [0.5, 0.3, 0.2]])
def test_objective_is_the_penalised_likelihood(prior):
    votes = KINDS_OF_VOTES["mixed"].select([0, 1, 2, 3])
    model = DawidSkene(abstain="symbol", dependencies=False, class_balance=prior)
    model.fit(votes)
    _, log_likelihood = enumerated(votes, model.confusions_, model.class_prior_, True)
    shares = np.ones((4, 4))
    for i, j in itertools.product(range(len(votes)), range(4)):
        vote = read_vote(votes, i, j)
        shares[j] += np.eye(4)[3] if vote is None else np.append(vote, 0)
    shares /= shares.sum(axis=1, keepdims=True)
    penalty = (shares[:, None, :] * np.log(model.confusions_)).sum()
    if prior is None:
        penalty += np.log(model.class_prior_).sum() / 3
    np.testing.assert_allclose(
        model.objective_[-1], log_likelihood.sum() + penalty, rtol=1e-6
    )


@every_symbol
@every_kind
def test_objective_never_falls(tables, votes):
    model = DawidSkene(tables, abstain="symbol", tol=0).fit(votes)
    assert model.n_iter_ == len(model.objective_)
    assert np.diff(model.objective_).min() > -1e-8 * abs(model.objective_[0])
    assert model.objective_[-1] > model.objective_[0]


@every_symbol
def test_objective_never_falls_where_classes_are_known(tables):
    """Seeds have other shares of the classes than the images have."""
    votes, truth = simulate(300, 5, 3, "multi", 0, prior=[0.8, 0.1, 0.1])
    rows = np.concatenate([np.flatnonzero(truth == c)[:8] for c in range(3)])
    known = with_known(votes, np.sort(rows), truth[np.sort(rows)])
    model = DawidSkene(tables, abstain="symbol", tol=0, max_iter=100).fit(known)
    assert np.diff(model.objective_).min() > -1e-8 * abs(model.objective_[0])


@every_symbol
@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), k=st.integers(2, 4), m=st.integers(1, 5))
def test_objective_never_falls_on_random_votes(tables, seed, k, m):
    matrix = np.random.default_rng(seed).integers(-1, k, (12, m))
    model = DawidSkene(tables, abstain="symbol", tol=-1, max_iter=30)
    objective = model.fit(make_votes(matrix, k)).objective_
    assert len(objective) == 30
    assert (np.diff(objective) > -1e-9).all()


def test_known_images_keep_their_class_and_do_not_change_the_shares():
    votes = make_votes([[0, 0], [0, 1], [1, 1], [1, 1]], 2)
    found = run_em(
        VoteLikelihood(votes),
        counts=np.ones(4),
        posterior=np.full((4, 2), 0.5),
        family=FreeTables(np.ones((2, 2, 3))),
        prior=None,
        smoothing=1.0,
        known=np.array([1, -1, -1, 0]),
        max_iter=1,
    )
    np.testing.assert_array_equal(found.posterior[[0, 3]], [[0, 1], [1, 0]])
    # Two images of unknown class, half of each, and the imaginary one.
    np.testing.assert_allclose(found.prior, [0.5, 0.5])
    # Images of class 0: half of [0, 1], half of [1, 1], one [1, 1].
    np.testing.assert_allclose(
        found.tables[:, 0], np.array([[0.5, 1.5, 0], [0, 2, 0]]) / 5 + 1 / 5
    )


# One step for each kind of table, worked out by hand: two functions that name several
# classes, and two that name one each.
SPOKEN = np.array(
    [
        [[6, 1, 1], [0, 4, 0], [1, 0, 3]],  # right in 13 of 16 votes
        [[4, 0, 0], [1, 2, 1], [1, 1, 2]],  # right in 8 of 12
        [[0, 0, 1], [0, 0, 1], [0, 0, 4]],  # right in 4 of 6
        [[5, 0, 0], [1, 0, 0], [0, 0, 0]],  # right in 5 of 6
    ],
    dtype=float,
)
SPEAKS = np.array([0.5, 0.5, 0.25, 0.25])


def stepped(kind, n_steps=1, powers=(1, 1, 1, 1), spoken=SPOKEN):
    """Return what tables say of those who speak, (m, k, k), and the family."""
    several = np.array([True, True, False, False])
    family = TablesOfSpeakers(
        kind, spoken.shape[1], SPEAKS, several, np.array(powers, float), 1.0, 3.0
    )
    expected = np.concatenate([spoken, np.full((*spoken.shape[:2], 1), 9.0)], axis=2)
    for _ in range(n_steps):
        tables = family.estimate(expected)
    np.testing.assert_allclose(tables.sum(axis=2), 1)
    np.testing.assert_allclose(
        tables[:, :, -1], np.tile(1 - SPEAKS[:, None], spoken.shape[1])
    )
    return tables[:, :, :-1] / SPEAKS[:, None, None], family


def coin(accuracy, k=3):
    table = np.full((k, k), (1 - accuracy) / (k - 1))
    np.fill_diagonal(table, accuracy)
    return table


def test_a_step_for_one_coin():
    found, _ = stepped("one-coin")
    # Accuracy of both: (13 + 8 + 1) / (16 + 12 + 2) = 22 / 30; three such votes each.
    np.testing.assert_allclose(found[0], coin((13 + 2.2) / 19))
    np.testing.assert_allclose(found[1], coin((8 + 2.2) / 15))


@pytest.mark.parametrize("kind", ["one-coin", "biased-coin", "whole"])
def test_functions_of_one_class_have_one_accuracy_together(kind):
    found, _ = stepped(kind)
    np.testing.assert_allclose(found[2:], [coin((4 + 5 + 1) / (6 + 6 + 2))] * 2)
    # The powers say how much each counts in it.
    found, _ = stepped(kind, powers=(1, 1, 0.5, 1))
    np.testing.assert_allclose(found[2:], [coin((2 + 5 + 1) / (3 + 6 + 2))] * 2)
    # Guessing is not what they do.
    worse = np.concatenate([SPOKEN[:2], np.roll(SPOKEN[2:], 1, axis=2)])
    np.testing.assert_allclose(stepped(kind, spoken=worse)[0][2:], [coin(0.5)] * 2)


def test_a_step_for_whole_tables():
    found, family = stepped("whole")
    # All votes together, and three like one coin of 22 / 30 in each row.
    pooled = np.array([[12.2, 1.4, 1.4], [1.4, 8.2, 1.4], [2.4, 1.4, 7.2]])
    pooled /= [[15], [11], [11]]
    np.testing.assert_allclose(family.pooled, pooled)
    first = (SPOKEN[0] + pooled) / [[9], [5], [5]]
    second = (SPOKEN[1] + pooled) / [[5], [5], [5]]
    np.testing.assert_allclose(found[:2], [first, second])


def test_a_step_for_a_biased_coin_is_the_likeliest_bias():
    found, _ = stepped("biased-coin", n_steps=5)
    right = np.array([15.2 / 19, 10.2 / 15])
    np.testing.assert_allclose(found[0].diagonal(), right[0])
    np.testing.assert_allclose(found[1].diagonal(), right[1])
    errors = SPOKEN[:2].sum(axis=0) * (1 - np.eye(3))

    def loss(logits):
        bias = softmax(logits)
        shares = np.log(bias / (1 - bias)[:, None])
        return -(errors * shares).sum() - np.log(bias).sum()  # 3 / k = 1 imaginary

    bias = softmax(minimize(loss, np.zeros(3), tol=1e-12).x)
    assert bias[0] > bias[1] + 0.03  # errors lean to class 0
    expected = (1 - np.eye(3)) * bias / (1 - bias)[:, None]
    for table, hit in zip(found, right, strict=False):
        off = table * (1 - np.eye(3)) / (1 - hit)
        np.testing.assert_allclose(off, expected, atol=1e-4)


def test_two_classes_leave_no_bias():
    spoken = SPOKEN[:, :2, :2]
    biased, _ = stepped("biased-coin", spoken=spoken)
    np.testing.assert_allclose(biased, stepped("one-coin", spoken=spoken)[0])


# Known truth


def drawn(n, tables, prior, seed=0):
    """Votes by tables P(vote | class), (m, k, k + 1), the last symbol silence."""
    rng = np.random.default_rng(seed)
    k = len(prior)
    truth = rng.choice(k, n, p=prior)
    cumulative = tables.cumsum(axis=2)[:, truth]  # (m, n, k + 1)
    symbols = (rng.random((len(tables), n, 1)) > cumulative).sum(axis=2).T
    return make_votes(np.where(symbols >= k, -1, symbols), k), truth


def test_whole_tables_are_recovered_with_silence_as_a_symbol():
    rng = np.random.default_rng(0)
    tables = 0.4 * rng.dirichlet(np.ones(4), (6, 3)) + 0.6 * np.eye(3, 4)
    votes, _ = drawn(20_000, tables, [0.5, 0.3, 0.2])
    model = DawidSkene(abstain="symbol").fit(votes)
    assert model.prior_source_ == "learned"
    assert np.abs(model.confusions_ - tables).mean() < 0.01
    np.testing.assert_allclose(model.class_prior_, [0.5, 0.3, 0.2], atol=0.02)


@pytest.mark.parametrize("prior", [[1 / 3] * 3, [0.6, 0.25, 0.15]])
def test_whole_tables_of_those_who_speak_are_recovered(prior):
    rng = np.random.default_rng(1)
    spoken = 0.4 * rng.dirichlet(np.ones(3), (8, 3)) + 0.6 * np.eye(3)
    speaks = rng.uniform(0.4, 0.9, (8, 1, 1))
    tables = np.concatenate([speaks * spoken, np.tile(1 - speaks, (1, 3, 1))], axis=2)
    votes, _ = drawn(20_000, tables, prior)
    model = DawidSkene().fit(votes)
    assert np.abs(model.confusions_ - tables).mean() < 0.015
    np.testing.assert_allclose(model.class_prior_, prior, atol=0.03)


def test_error_of_the_accuracies_shrinks_with_the_root_of_the_images():
    right = np.array([0.85, 0.8, 0.7, 0.65, 0.6, 0.75])
    tables = np.stack([np.column_stack([0.7 * coin(a, 2), [0.3, 0.3]]) for a in right])
    errors = []
    for n in (500, 8000):
        found = []
        for seed in range(4):
            model = DawidSkene("one-coin").fit(drawn(n, tables, [0.5, 0.5], seed)[0])
            hits = model.confusions_[:, [0, 1], [0, 1]].mean(axis=1) / 0.7
            found.append(np.abs(hits - right).mean())
        errors.append(np.mean(found))
    assert 2 < errors[0] / errors[1] < 8  # the root of 16 is 4


def test_flat_soft_votes_teach_more_than_their_mean():
    votes, truth = simulate_soft(2000, 15, 5, seed=0)
    majority = accuracy(MajorityVote().fit(votes), votes, truth)
    assert accuracy(DawidSkene(abstain="symbol").fit(votes), votes, truth) > majority


def test_sets_are_learned_from():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 2000)
    # Three ways to halve four classes: each function tells the halves of one apart.
    halves = np.array([[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0]] * 2)  # (m, k)
    errs = rng.random((2000, 6)) < 0.15
    voted_half = halves[:, truth].T ^ errs
    allowed = halves[None] == voted_half[:, :, None]
    votes = make_votes(np.full((2000, 6), -1), 4, allowed=allowed)
    majority = accuracy(MajorityVote().fit(votes), votes, truth)
    for abstain in ("missing", "symbol"):
        model = DawidSkene(abstain=abstain).fit(votes)
        assert accuracy(model, votes, truth) > majority - 0.02
    assert majority > 0.7


def test_silence_as_a_symbol_tells_rare_classes_from_the_common_one():
    shares = np.r_[0.7, np.full(9, 0.3 / 9)]
    votes, truth = simulate(3000, 20, 10, "unipolar", seed=1, prior=shares)
    majority = accuracy(MajorityVote().fit(votes), votes, truth)
    model = DawidSkene(abstain="symbol").fit(votes)
    assert accuracy(model, votes, truth) > majority + 0.05
    np.testing.assert_allclose(model.class_prior_, shares, atol=0.05)


@pytest.mark.parametrize("copies", [3, 8])
def test_copies_of_a_function_count_about_once(copies):
    right = [0.55, 0.8, 0.8, 0.8, 0.75]
    tables = np.stack([np.column_stack([0.7 * coin(a, 2), [0.3, 0.3]]) for a in right])
    once, truth = drawn(3000, tables, [0.5, 0.5], seed=3)
    votes = make_votes(once.hard[:, [*range(5), *[0] * copies]], 2)
    expected = accuracy(DawidSkene().fit(once), once, truth)
    model = DawidSkene().fit(votes)
    np.testing.assert_allclose(model.powers_[5:], 1 / (copies + 1))
    assert accuracy(model, votes, truth) > expected - 0.01
    careless = DawidSkene(dependencies=False).fit(votes)
    assert accuracy(careless, votes, truth) < expected - 0.1


# Seeds


def split(seed, n=200):
    """Three people who exchange the classes 1 and 2, and are surer than four others."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n)
    right = np.array([0.95] * 3 + [0.75] * 4)
    wrong = (truth[:, None] + rng.integers(1, 3, (n, 7))) % 3
    hard = np.where(rng.random((n, 7)) < right, truth[:, None], wrong)
    hard[:, :3] = np.array([0, 2, 1])[hard[:, :3]]
    return make_votes(hard, 3), truth


@pytest.mark.parametrize("seed", range(3))
def test_seeds_tell_which_class_is_which(seed):
    votes, truth = split(seed)
    known = with_known(votes, np.arange(60), truth[:60])
    others = votes.rows(slice(60, None))
    without, informed = (
        accuracy(
            DawidSkene("one-coin", dependencies=False).fit(each), others, truth[60:]
        )
        for each in (votes, known)
    )
    assert without < 0.4
    assert informed > 0.85


def test_a_seed_has_a_posterior_that_has_not_learned_from_it():
    """Labels drawn by lot: whoever sees them finds them likelier than chance."""
    votes = make_votes(np.random.default_rng(0).integers(0, 2, (100, 30)), 2)
    held_out, seen = [], []
    for draw in range(4):
        labels = np.random.default_rng([draw, 1]).integers(0, 2, 100)
        known = with_known(votes, np.arange(100), labels)
        model = DawidSkene("one-coin").fit(known)
        assert model.fell_back_ == ""
        proba = model.out_of_fold_proba(known)
        held_out.append(np.mean(proba.argmax(axis=1) == labels))
        seen.append(np.mean(model.predict_proba(votes).argmax(axis=1) == labels))
    assert np.mean(held_out) < 0.55
    assert np.mean(seen) > 0.63


# Shares of the classes


def test_shares_are_learned_where_functions_agree_on_them():
    skewed, _ = simulate(1000, 6, 3, "multi", 0, prior=[0.7, 0.2, 0.1])
    assert DawidSkene().fit(skewed).prior_source_ == "learned"
    level, _ = simulate(1000, 6, 3, "multi", 0)
    model = DawidSkene().fit(level)
    assert model.prior_source_ == "flat"
    np.testing.assert_array_equal(model.class_prior_, [1 / 3] * 3)
    given_ = DawidSkene(class_balance=[0.5, 0.3, 0.2]).fit(skewed)
    assert given_.prior_source_ == "given"
    np.testing.assert_array_equal(given_.class_prior_, [0.5, 0.3, 0.2])
    flat = DawidSkene(class_shares="flat").fit(skewed)
    np.testing.assert_array_equal(flat.class_prior_, [1 / 3] * 3)
    learned = DawidSkene(class_shares="learned").fit(skewed)
    np.testing.assert_allclose(learned.class_prior_, [0.7, 0.2, 0.1], atol=0.04)


def test_class_that_the_prior_rules_out_gets_nothing():
    votes, _ = simulate(200, 4, 3, "multi", 0)
    for abstain in ("missing", "symbol"):
        model = DawidSkene(abstain=abstain, class_balance=[0.5, 0.5, 0]).fit(votes)
        proba = model.predict_proba(votes)
        assert (proba[:, 2] == 0).all()
        np.testing.assert_allclose(proba.sum(axis=1), 1)


# What is kept


def test_function_that_never_votes_has_all_its_mass_on_abstain():
    for abstain in ("missing", "symbol"):
        model = DawidSkene(abstain=abstain)
        model.fit(make_votes([[0, -1, 1], [1, -1, 1], [0, -1, 0]], 2))
        assert model.confusions_.shape == (3, 2, 3)
        np.testing.assert_array_equal(model.confusions_[1], [[0, 0, 1], [0, 0, 1]])
        np.testing.assert_allclose(model.confusions_.sum(axis=2), 1)


def test_confusions_follow_the_order_of_the_functions_fitted():
    votes, _ = simulate(300, 4, 3, "multi", 0)
    order = [2, 0, 3, 1]
    np.testing.assert_array_equal(
        DawidSkene().fit(votes.select(order)).confusions_,
        DawidSkene().fit(votes).confusions_[order],
    )


def test_it_abstains_without_votes_though_its_posterior_there_is_not_flat():
    votes, _ = simulate(2000, 6, 2, "unipolar", 0)
    votes = votes.select([0, 1, 3, 5])  # three name class 1: silence speaks for 0
    model = DawidSkene(abstain="symbol").fit(votes)
    silent = Votes(np.full((1, 4), -1), votes.names, 2)
    assert model.predict_proba(silent)[0, 0] > 0.6 > model.class_prior_[0]
    assert model.predict(silent).tolist() == [-1]
    assert model.predict(silent, "first").tolist() == [0]


# Votes it is not made for


@pytest.mark.parametrize("tables", ["one-coin", "biased-coin", "whole"])
def test_tables_of_one_class_functions_are_not_learned_and_that_is_said(tables):
    votes, _ = simulate(500, 9, 3, "unipolar", 0)
    model = DawidSkene(tables).fit(votes)
    assert model.tables_ == "equal"
    assert_notes(model.warnings_, names="DawidSkene", values="9 of 9 functions")
    np.testing.assert_array_equal(
        model.predict_proba(votes), DawidSkene("equal").fit(votes).predict_proba(votes)
    )
    assert DawidSkene("equal").fit(votes).warnings_ == ()


def test_two_functions_are_too_few_for_tables():
    votes, _ = simulate(500, 2, 3, "multi", 0)
    model = DawidSkene().fit(votes)
    assert model.tables_ == "equal"
    assert_notes(model.warnings_, values="fewer than three functions")


def test_most_functions_of_one_class_are_said_to_count_the_same():
    several, truth = simulate(500, 3, 3, "multi", 0)
    rng = np.random.default_rng(1)
    one = np.where(
        (truth[:, None] == [0, 1, 2, 0]) & (rng.random((500, 4)) < 0.5), 0, 1
    )
    one = np.where(one == 0, [0, 1, 2, 0], -1)
    model = DawidSkene().fit(make_votes(np.column_stack([several.hard, one]), 3))
    assert model.tables_ == "equal"
    assert_notes(model.warnings_, values="4 of 7 functions", allowed="count the same")


def sparse_one_class(n=600, k=3):
    """Functions that name one class each, and an image has one vote or two."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, k, n)
    fires = rng.random((n, 9)) < np.where(truth[:, None] == np.arange(9) % k, 0.3, 0.03)
    return make_votes(np.where(fires, np.arange(9) % k, -1), k)


@pytest.mark.parametrize(
    "model",
    [LabelModel(), FlyingSquid(), DawidSkene(abstain="symbol")],
    ids=["label-model", "flying-squid", "symbol"],
)
def test_models_that_read_silence_say_where_it_is_no_evidence(model):
    found = model.fit(sparse_one_class()).warnings_
    assert_notes(found, names=type(model).__name__, values="9 of 9 functions")
    assert_notes(found, values="silence")


@pytest.mark.parametrize(
    "model",
    [LabelModel(), FlyingSquid(), DawidSkene(), DawidSkene(abstain="symbol")],
    ids=["label-model", "flying-squid", "missing", "symbol"],
)
@pytest.mark.parametrize("prior", [None, [0.6, 0.25, 0.15]])
def test_votes_a_model_is_made_for_give_no_warning(model, prior):
    votes, _ = simulate(1000, 8, 3, "multi", 0, prior=prior)
    model.fit(votes)
    assert model.warnings_ == ()
    assert model.fell_back_ == ""


# Fits that are wrong


def mostly_missed(n=600):
    """Ten people, of whom most take class 2 for class 0."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, n)
    wrong = (truth[:, None] + rng.integers(1, 3, (n, 10))) % 3
    hard = np.where(rng.random((n, 10)) < 0.85, truth[:, None], wrong)
    misses = rng.random((n, 10)) < np.where(np.arange(10) < 7, 0.85, 0.2)
    hard[(truth == 2)[:, None] & misses] = 0
    return make_votes(hard, 3)


@pytest.mark.parametrize(
    ("tables", "shares", "why"),
    [
        ("biased-coin", "learned", "it leaves class 2 0.0 % of the images"),
    ],
)
def test_wrong_fit_gives_the_labels_of_a_plain_vote_and_says_why(tables, shares, why):
    votes = mostly_missed()
    model = DawidSkene(tables, class_shares=shares, dependencies=False).fit(votes)
    assert model.tables_ == tables
    assert why in model.fell_back_
    assert_notes(model.warnings_, names="DawidSkene", allowed="a plain vote is taken")
    assert_notes(model.warnings_, values=model.fell_back_)
    np.testing.assert_array_equal(
        model.predict(votes), MajorityVote().fit(votes).predict(votes)
    )
    # A later fit starts anew.
    fine, _ = simulate(300, 6, 3, "multi", 0)
    assert model.fit(fine).fell_back_ == ""
    assert model.warnings_ == ()


# Errors


def test_errors_say_what_is_wrong():
    votes = make_votes([[0, 1]], 2)
    for settings_, facts in [
        ({"tables": "small"}, {"values": "small", "allowed": ["equal", "whole"]}),
        ({"abstain": "x"}, {"values": "x", "allowed": ["missing", "symbol"]}),
        ({"class_shares": "x"}, {"values": "x", "allowed": ["auto", "learned"]}),
        ({"strength": 0}, {"values": 0}),
        ({"pooled_strength": -1.0}, {"values": -1.0}),
        ({"max_iter": 0}, {"values": 0, "allowed": 1}),
    ]:
        name = next(iter(settings_))
        with assert_refused(names=["DawidSkene", name], **facts):
            DawidSkene(**settings_).fit(votes)
    for tables in ("equal", "biased-coin"):
        with assert_refused(names="abstain", values=tables, allowed="one-coin"):
            DawidSkene(tables, abstain="symbol").fit(votes)
