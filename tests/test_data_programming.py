"""Data Programming: four ways to the same weights, against enumeration and truth."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from lfkit.aggregators.data_programming import DataProgramming
from lfkit.aggregators.data_programming.factor_graph import VoteFactors
from lfkit.aggregators.data_programming.likelihoods import (
    ExactLikelihood,
    PseudoLikelihood,
    count_agreements,
)
from lfkit.aggregators.inference.vote_likelihood import VoteLikelihood
from lfkit.aggregators.majority_vote import MajorityVote
from lfkit.data.votes import Votes
from lfkit.errors import InputError

METHODS = ("exact", "pseudo-likelihood", "gibbs", "hmc")
every_method = pytest.mark.parametrize("method", METHODS)
SMALL = {"n_steps": 40, "n_chains": 60, "n_draws": 12}


def make_votes(matrix, n_classes, **arrays):
    matrix = np.asarray(matrix)
    names = tuple(f"f{j:03}" for j in range(matrix.shape[1]))
    return Votes(matrix, names=names, n_classes=n_classes, **arrays)


def simulate(n, m, k, kind, seed):
    """Votes with known truth: one class per function, or every class."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    matrix = np.full((n, m), -1)
    for j in range(m):
        if kind == "unipolar":
            fires = np.where(truth == j % k, 0.6, 0.1 / (k - 1))
            matrix[rng.random(n) < fires, j] = j % k
        else:
            accuracy = 0.6 + 0.3 * j / m
            wrong = (truth + rng.integers(1, k, n)) % k
            matrix[:, j] = np.where(rng.random(n) < accuracy, truth, wrong)
            matrix[rng.random(n) < 0.3, j] = -1
    return make_votes(matrix, k), truth


def mixed_votes():
    """Hard votes, soft votes, sets over three classes, and a function of one class."""
    rng = np.random.default_rng(0)
    hard = rng.integers(-1, 3, (40, 4))
    hard[:, 2] = np.where(hard[:, 2] == 1, 1, -1)
    soft = np.where(hard[:, :, None] >= 0, np.eye(3)[hard], 0)
    soft[:, 1] = np.where(hard[:, [1]] >= 0, rng.dirichlet(np.ones(3), 40), 0)
    allowed = np.zeros((40, 4, 3), dtype=bool)
    sets = hard[:, 3] >= 0
    allowed[sets, 3] = ~np.eye(3, dtype=bool)[hard[sets, 3]]
    hard[:, 3], soft[:, 3] = -1, 0
    soft = soft.astype(np.float16)
    hard[:, 1] = np.where(hard[:, 1] >= 0, soft[:, 1].argmax(axis=1), -1)
    return make_votes(hard, 3, soft=soft, allowed=allowed)


def with_copy(votes):
    """Append a copy of the first function."""
    matrix = np.append(votes.hard, votes.hard[:, :1], axis=1)
    return Votes(matrix, (*votes.names, "copy"), votes.n_classes)


KINDS_OF_VOTES = {
    "multi": simulate(60, 4, 3, "multi", 0)[0],
    "unipolar": simulate(60, 4, 2, "unipolar", 0)[0],
    "mixed": mixed_votes(),
}
every_kind = pytest.mark.parametrize(
    "votes", KINDS_OF_VOTES.values(), ids=KINDS_OF_VOTES
)
PAIRS = [("f000", "f001"), ("f003", "f001")]


# Known truth


@every_method
@pytest.mark.parametrize("kind", ["unipolar", "multi"])
@pytest.mark.parametrize("k", [2, 3, 10])
def test_accuracies_and_labels_are_recovered(method, k, kind):
    votes, truth = simulate(1200, 12 if k == 10 else 6, k, kind, 1)
    found = DataProgramming(method, n_steps=150, n_draws=20).fit(votes)
    spoke = votes.hard >= 0
    accuracy = (spoke & (votes.hard == truth[:, None])).sum(axis=0) / spoke.sum(axis=0)
    assert np.abs(found.accuracy_ - accuracy).mean() < (0.08 if k == 10 else 0.04)
    majority = MajorityVote().fit(votes).predict(votes)
    clear = majority >= 0  # ties are luck
    labels, exact = (
        model.predict(votes, "first")[clear] == truth[clear]
        for model in (found, DataProgramming().fit(votes))
    )
    assert labels.mean() > exact.mean() - 0.01
    assert labels.mean() > np.mean(majority == truth) / clear.mean() - 0.01


@every_method
def test_silence_of_functions_of_one_class_is_evidence(method):
    votes, _ = simulate(1500, 6, 2, "unipolar", 0)
    votes = votes.select([0, 1, 3, 5])  # three name class 1: silence speaks for 0
    model = DataProgramming(method, n_steps=150, n_draws=20).fit(votes)
    silent = Votes(np.full((1, 4), -1), votes.names, 2)
    assert model.predict_proba(silent)[0, 0] > 0.6 > model.class_prior_[0]
    assert model.predict(silent).tolist() == [-1]


def test_errors_shrink_like_one_over_root_n():
    def error(n):
        errors = []
        for seed in range(4):
            votes, _ = simulate(n, 6, 3, "multi", seed)
            truth = 0.6 + 0.3 * np.arange(6) / 6
            errors.append(DataProgramming().fit(votes).accuracy_ - truth)
        return np.sqrt(np.mean(np.square(errors)))

    assert 2.5 < error(1000) / error(16_000) < 7  # 4


@every_method
def test_function_and_its_copy_count_about_once(method):
    votes, _ = simulate(1500, 5, 2, "multi", 3)
    both = with_copy(votes)
    alone = DataProgramming(method, n_steps=200, n_draws=20).fit(votes)
    linked = DataProgramming(
        method, dependencies=[("copy", "f000")], n_steps=200, n_draws=20
    ).fit(both)
    apart = DataProgramming().fit(both)  # takes the copies for the truth
    proba = alone.predict_proba(votes)
    assert np.abs(linked.predict_proba(both) - proba).mean() < 0.06
    assert np.abs(apart.predict_proba(both) - proba).mean() > 0.2
    assert linked.dependencies_ == [("copy", "f000")]
    assert linked.dependency_weights_[0] > 3
    np.testing.assert_allclose(linked.accuracy_[:5], alone.accuracy_, atol=0.03)


@pytest.mark.parametrize("method", ["pseudo-likelihood", "gibbs"])
@pytest.mark.parametrize("balance", [None, [1 / 3] * 3], ids=["learned", "known"])
def test_dependencies_come_out_as_in_the_exact_model(method, balance):
    votes, _ = simulate(3000, 5, 3, "multi", 0)
    rng = np.random.default_rng(0)
    echo = np.choose(
        rng.choice(4, 3000, p=[0.2, 0.3, 0.2, 0.3]),
        [votes.hard[:, 0], votes.hard[:, 1], *rng.integers(-1, 3, (2, 3000))],
    )
    matrix = np.append(votes.hard, echo[:, None], axis=1)
    votes = make_votes(matrix, 3)
    pairs = [("f000", "f005"), ("f001", "f005"), ("f000", "f001")]
    exact, other = (
        DataProgramming(way, pairs, balance, n_steps=200).fit(votes)
        for way in ("exact", method)
    )
    np.testing.assert_allclose(
        other.dependency_weights_, exact.dependency_weights_, atol=0.2
    )
    assert exact.dependency_weights_[1:].min() > 0.3
    np.testing.assert_allclose(other.class_prior_, exact.class_prior_, atol=0.03)
    difference = other.predict_proba(votes) - exact.predict_proba(votes)
    assert np.abs(difference).mean() < 0.03


# Enumeration


def read_vote(votes, i, j):
    """A vote as a distribution over classes and silence."""
    if votes.hard[i, j] >= 0:
        if votes.soft is None:
            return np.eye(votes.n_classes + 1)[votes.hard[i, j]]
        shares = votes.soft[i, j].astype(float)
        return np.append(shares / shares.sum(), 0)
    if votes.allowed is not None and votes.allowed[i, j].any():
        return np.append(votes.allowed[i, j] / votes.allowed[i, j].sum(), 0)
    return np.eye(votes.n_classes + 1)[-1]


def model_of(votes, balance, pairs, lift):
    """Factors, both likelihoods, and weights away from the start."""
    patterns = votes.patterns()
    evidence = VoteLikelihood(patterns.votes)
    edges = np.array([sorted((int(a[1:]), int(b[1:]))) for a, b in pairs], dtype=int)
    edges = edges.reshape(-1, 2)
    factors = VoteFactors(
        evidence.symbol_counts(patterns.counts),
        None if balance is None else np.array(balance),
        edges,
        count_agreements(patterns.votes, edges, patterns.counts),
        l2=1.0,
        lift=lift,
    )
    exact = ExactLikelihood(factors, evidence, patterns.counts)
    pseudo = PseudoLikelihood(factors, patterns.votes, patterns.counts)
    moved = np.random.default_rng(0).normal(0, 0.5, len(factors.centre))
    return factors, exact, pseudo, factors.centre + moved


def read_weights(votes, factors, weights, balance):
    """Tables, log prior and dependencies, from the definition of the weights."""
    m, k = votes.n_functions, votes.n_classes
    parts = list(weights)
    logits = np.array([parts.pop(0) for _ in range(k)]) if balance is None else None
    accuracy = [parts.pop(0) for _ in range(m)]
    said = np.array(
        [[read_vote(votes, i, j) for j in range(m)] for i in range(len(votes))]
    )
    named = said[:, :, :k].any(axis=0)
    tables = np.zeros((m, k, k + 1))
    tables[:, :, k] = 1
    for j, v in np.argwhere(named):
        propensity = parts.pop(0)
        for y in range(k):
            tables[j, y, v] = np.exp(propensity + accuracy[j] * (v == y))
    tables /= tables.sum(axis=2, keepdims=True)
    log_prior = logits - logsumexp(logits) if balance is None else np.log(balance)
    return (
        said,
        tables,
        log_prior,
        dict(zip(map(tuple, factors.edges), parts, strict=True)),
    )


def lift_of(tables, pairs):
    """What the pairs add to log P(votes | class), over all joint votes."""
    m, k = tables.shape[:2]
    total = np.zeros(k)
    for joint in itertools.product(range(k + 1), repeat=m):
        chance = np.prod([tables[j, :, v] for j, v in enumerate(joint)], axis=0)
        together = sum(w for (i, j), w in pairs.items() if joint[i] == joint[j])
        total += chance * np.exp(together)
    return np.log(total)


def joint_scores(said, tables, bias, pairs):
    """Log P(votes, class) of one image up to a constant, (k,)."""
    scores = bias + sum(pairs[i, j] * (said[i] @ said[j]) for i, j in pairs)
    for shares, table in zip(said, tables, strict=True):
        scores = scores + np.log(table @ shares)
    return scores


def slopes_by_differences(likelihood, weights):
    steps = 1e-5 * np.eye(len(weights))
    return np.array(
        [
            (likelihood(weights + h)[0] - likelihood(weights - h)[0]) / 2e-5
            for h in steps
        ]
    )


@every_kind
@pytest.mark.parametrize("balance", ["learned", "known"])
@pytest.mark.parametrize("pairs", [[], PAIRS], ids=["alone", "pairs"])
def test_exact_likelihood_equals_enumeration(votes, balance, pairs):
    k = votes.n_classes
    shares = (
        None if balance == "learned" else np.arange(1, k + 1) / np.arange(k + 2).sum()
    )
    factors, exact, _, weights = model_of(votes, shares, pairs, "summed")
    said, tables, log_prior, linked = read_weights(votes, factors, weights, shares)
    bias = log_prior - lift_of(tables, linked)
    expected = sum(logsumexp(joint_scores(row, tables, bias, linked)) for row in said)
    value, slopes = exact(weights)
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    np.testing.assert_allclose(slopes, slopes_by_differences(exact, weights), atol=1e-5)


@every_kind
@pytest.mark.parametrize("balance", ["learned", "known"])
@pytest.mark.parametrize("pairs", [[], PAIRS], ids=["alone", "pairs"])
def test_pseudo_likelihood_equals_enumeration(votes, balance, pairs):
    k, m = votes.n_classes, votes.n_functions
    known = balance == "known"
    shares = np.full(k, 1 / k) if known else None
    lift = "summed" if known else "free"
    factors, _, pseudo, weights = model_of(votes, shares, pairs, lift)
    said, tables, log_prior, linked = read_weights(votes, factors, weights, shares)
    bias = log_prior - lift_of(tables, linked) if known else log_prior
    expected = 0.0
    for row, j in itertools.product(said, range(m)):
        others = [
            logsumexp(
                joint_scores([*row[:j], vote, *row[j + 1 :]], tables, bias, linked)
            )
            for vote in np.eye(k + 1)
            if tables[j, 0] @ vote > 0
        ]
        expected += logsumexp(joint_scores(row, tables, bias, linked))
        expected -= logsumexp(others)
    value, slopes = pseudo(weights)
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    np.testing.assert_allclose(
        slopes, slopes_by_differences(pseudo, weights), atol=1e-5
    )


def test_posterior_is_that_of_the_confusions():
    votes = KINDS_OF_VOTES["mixed"]
    model = DataProgramming().fit(votes)
    for i, proba in enumerate(model.predict_proba(votes)):
        row = [read_vote(votes, i, j) for j in range(4)]
        with np.errstate(divide="ignore"):
            scores = joint_scores(
                row, model.confusions_, np.log(model.class_prior_), {}
            )
        np.testing.assert_allclose(proba, np.exp(scores - logsumexp(scores)), atol=1e-9)


# Properties


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    k=st.integers(1, 4),
    m=st.integers(2, 5),
    way=st.sampled_from(["exact", "pseudo-likelihood"]),
    linked=st.booleans(),
)
def test_penalised_likelihood_never_falls(seed, k, m, way, linked):
    votes = make_votes(np.random.default_rng(seed).integers(-1, k, (15, m)), k)
    pairs = [("f000", "f001")] if linked else "none"
    objective = DataProgramming(way, pairs).fit(votes).objective_
    assert len(objective) > 1
    assert (np.diff(objective) >= -1e-9).all()


@every_method
@every_kind
def test_order_of_functions_images_and_pairs_is_irrelevant(method, votes):
    rng = np.random.default_rng(0)
    model = DataProgramming(method, PAIRS, **SMALL).fit(votes)
    moved = votes.select([2, 0, 3, 1]).rows(rng.permutation(len(votes)))
    other = [pair[::-1] for pair in PAIRS[::-1]] + PAIRS[:1]
    again = DataProgramming(method, other, **SMALL).fit(moved)
    np.testing.assert_allclose(
        again.predict_proba(votes), model.predict_proba(votes), atol=1e-6
    )
    np.testing.assert_allclose(
        again.dependency_weights_, model.dependency_weights_, atol=1e-5
    )


@pytest.mark.parametrize("method", ["exact", "pseudo-likelihood"])
@every_kind
def test_renaming_classes_permutes_columns(method, votes):
    if votes.n_classes < 3:
        votes = make_votes(votes.hard, 3)
    new_class, old_class = np.array([2, 0, 1]), np.array([1, 2, 0])
    soft, allowed = (
        None if a is None else a[:, :, old_class] for a in (votes.soft, votes.allowed)
    )
    hard = np.where(votes.hard >= 0, new_class[votes.hard], -1)
    renamed = make_votes(hard, 3, soft=soft, allowed=allowed)
    pairs = PAIRS[:1]
    np.testing.assert_allclose(
        DataProgramming(method, pairs)
        .fit(renamed)
        .predict_proba(renamed)[:, new_class],
        DataProgramming(method, pairs).fit(votes).predict_proba(votes),
        atol=1e-5,
    )


@pytest.mark.parametrize("method", ["gibbs", "hmc"])
def test_draws_are_those_of_the_seed(method):
    votes = KINDS_OF_VOTES["multi"]
    first, again, other = (
        DataProgramming(method, PAIRS, random_state=seed, **SMALL)
        .fit(votes)
        .predict_proba(votes)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-6


@every_method
def test_duplicate_rows_equal_sample_weights(method):
    votes = KINDS_OF_VOTES["mixed"]
    times = np.arange(len(votes)) % 3
    repeated = votes.rows(np.repeat(np.arange(len(votes)), times))
    np.testing.assert_allclose(
        DataProgramming(method, **SMALL).fit(repeated).predict_proba(votes),
        DataProgramming(method, **SMALL)
        .fit(votes, sample_weight=times.astype(float))
        .predict_proba(votes),
        atol=1e-6,
    )


@every_method
@pytest.mark.parametrize("n", [1, 30])
@pytest.mark.parametrize("m", [0, 1, 2, 300])
@pytest.mark.parametrize("k", [1, 3])
def test_posteriors_are_distributions_for_any_size(method, n, m, k):
    votes = make_votes(np.random.default_rng(0).integers(-1, k, (n, m)), k)
    model = DataProgramming(method, n_steps=5, n_chains=10, n_draws=2).fit(votes)
    proba = model.predict_proba(votes)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_allclose(model.confusions_.sum(axis=2), 1)


@every_method
def test_class_that_the_prior_rules_out_gets_nothing(method):
    votes = KINDS_OF_VOTES["multi"]
    model = DataProgramming(method, PAIRS, [0.5, 0.5, 0], **SMALL).fit(votes)
    assert (model.predict_proba(votes)[:, 2] == 0).all()
    np.testing.assert_array_equal(model.class_prior_, [0.5, 0.5, 0])


def test_class_never_named_before_says_nothing():
    votes, _ = simulate(200, 3, 2, "unipolar", 0)
    model = DataProgramming(class_balance=[0.5, 0.5]).fit(votes)
    row = np.array([[1, 1, -1], [0, 1, -1]])  # the first one always named class 0
    spoke = model.predict_proba(Votes(row, votes.names, 2))
    other = 1 - model.confusions_[0, :, 2]  # what its vote for 0 told beside silence
    assert np.isfinite(spoke).all()
    assert other[0] > other[1]
    assert spoke[0, 0] < spoke[1, 0]


def test_samplers_report_what_they_did():
    votes = KINDS_OF_VOTES["multi"]
    chains = DataProgramming("gibbs", n_steps=7, n_chains=10).fit(votes)
    assert chains.n_samples_ == 7 * 12  # four chains of each of three classes
    assert chains.seconds_per_sample_ > 0
    draws = DataProgramming("hmc", n_draws=30).fit(votes)
    assert 0.5 < draws.acceptance_rate_ <= 1
    assert draws.parameter_std_.shape == (3 + 4 + 4 * 3,)
    assert (draws.parameter_std_ > 0).all()


def test_more_images_make_the_weights_of_hmc_surer():
    few, many = (
        DataProgramming("hmc", n_draws=40).fit(simulate(n, 4, 2, "multi", 0)[0])
        for n in (50, 1600)
    )
    assert many.parameter_std_.mean() < few.parameter_std_.mean() / 2


# Errors


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"method": "em"},
            "DataProgramming's method must be 'exact', 'pseudo-likelihood', 'gibbs' or "
            "'hmc', got 'em'.",
        ),
        (
            {"l2": 0},
            "DataProgramming's l2 must be more than 0, got 0; without it the weights "
            "of functions that never err are infinite.",
        ),
        ({"max_iter": 0}, "DataProgramming's max_iter must be at least 1, got 0."),
        ({"n_steps": 0}, "DataProgramming's n_steps must be at least 1, got 0."),
        ({"n_chains": 0}, "DataProgramming's n_chains must be at least 1, got 0."),
        ({"n_draws": 0}, "DataProgramming's n_draws must be at least 1, got 0."),
        (
            {"dependencies": [("f000", "f000")]},
            "DataProgramming's dependencies must be 'none' or pairs of two different "
            "functions' names, got ('f000', 'f000').",
        ),
        (
            {"dependencies": "all"},
            "DataProgramming's dependencies must be 'none' or pairs of two different "
            "functions' names, got 'all'.",
        ),
        (
            {"dependencies": [("f000", "nobody")]},
            "DataProgramming's dependencies name 'nobody', which is not among the "
            "functions of these votes; correct or remove it.",
        ),
    ],
)
def test_parameter_errors_say_what_is_wrong(parameters, message):
    with pytest.raises(InputError) as caught:
        DataProgramming(**parameters).fit(make_votes([[0, 1]], 2))
    assert str(caught.value) == message


def test_too_many_joint_votes_name_the_functions_and_the_way_out():
    votes = make_votes(np.random.default_rng(0).integers(-1, 3, (50, 10)), 3)
    chain = list(itertools.pairwise(votes.names))
    with pytest.raises(InputError) as caught:
        DataProgramming(dependencies=chain).fit(votes)
    assert str(caught.value) == (
        "DataProgramming's dependencies link 10 functions ('f000', 'f001', 'f002'...) "
        "that can vote together in 1.05e+06 ways; at most 65536 can be summed exactly. "
        "Use the method 'pseudo-likelihood' or 'gibbs'."
    )
    with pytest.raises(InputError, match="Leave class_balance out"):
        DataProgramming("pseudo-likelihood", chain, [0.2, 0.3, 0.5]).fit(votes)
    for method in ("pseudo-likelihood", "gibbs"):
        model = DataProgramming(method, chain, **SMALL).fit(votes)
        assert np.isfinite(model.predict_proba(votes)).all()
        assert len(model.dependency_weights_) == 9


def test_pairs_of_functions_that_never_vote_are_left_out():
    votes = make_votes([[0, -1, 1], [1, -1, 1], [0, -1, 0]], 2)
    model = DataProgramming(dependencies=[("f000", "f001"), ("f000", "f002")])
    assert model.fit(votes).dependencies_ == [("f000", "f002")]
    assert np.isnan(model.accuracy_[1])
