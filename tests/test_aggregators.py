"""The contract of every aggregator, then what is special to each."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from assertions import assert_refused
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from lfkit.aggregators import (
    AGGREGATORS,
    ClassConditional,
    DawidSkene,
    MajorityVote,
    OneCoin,
    ShrunkDawidSkene,
)
from lfkit.data.votes import Votes
from lfkit.errors import VotesError

every_aggregator = pytest.mark.parametrize("cls", AGGREGATORS.values(), ids=AGGREGATORS)


def make_votes(matrix, n_classes, **arrays):
    matrix = np.asarray(matrix)
    names = tuple(f"f{j:03}" for j in range(matrix.shape[1]))
    return Votes(matrix, names=names, n_classes=n_classes, **arrays)


def simulate(n, m, k, kind, seed, prior=None):
    """Votes with known truth: one class per function, or every class."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(k, size=n, p=prior)
    matrix = np.full((n, m), -1)
    for j in range(m):
        if kind == "unipolar":
            label = j % k
            fires = np.where(truth == label, 0.6, 0.1 / (k - 1))
            matrix[rng.random(n) < fires, j] = label
        else:
            wrong = (truth + rng.integers(1, k, n)) % k
            matrix[:, j] = np.where(rng.random(n) < 0.75, truth, wrong)
            matrix[rng.random(n) < 0.3, j] = -1
    return make_votes(matrix, k), truth


def simulate_soft(n, m, k, seed):
    """Flat distributions that lean towards the truth; 30 % abstain."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    soft = rng.dirichlet(np.full(k, 0.3), size=(n, m))
    soft[np.arange(n), :, truth] += 0.3 * rng.random((n, m))
    soft /= soft.sum(axis=2, keepdims=True)
    soft[rng.random((n, m)) < 0.3] = 0
    return from_soft(soft), truth


def from_soft(soft, allowed=None):
    soft = np.asarray(soft, dtype=np.float16)
    hard = np.where(soft.any(axis=2), soft.argmax(axis=2), -1)
    return make_votes(hard, soft.shape[2], soft=soft, allowed=allowed)


def mixed_votes(seed=0, n=60):
    """Hard votes, soft votes and sets over three classes in one matrix."""
    rng = np.random.default_rng(seed)
    hard = rng.integers(-1, 3, (n, 4))
    soft = np.where(hard[:, :, None] >= 0, np.eye(3)[hard], 0)
    flat = rng.dirichlet(np.ones(3), n)
    soft[:, 1] = np.where(hard[:, [1]] >= 0, flat, 0)
    allowed = np.zeros((n, 4, 3), dtype=bool)
    sets = hard[:, 3] >= 0
    allowed[sets, 3] = ~np.eye(3, dtype=bool)[hard[sets, 3]]  # "not this class"
    hard[:, 3], soft[:, 3] = -1, 0
    hard[:, 1] = np.where(hard[:, 1] >= 0, flat.astype(np.float16).argmax(axis=1), -1)
    return make_votes(hard, 3, soft=soft.astype(np.float16), allowed=allowed)


KINDS_OF_VOTES = {
    "hard": simulate(80, 5, 3, "multi", 0)[0],
    "unipolar": simulate(80, 6, 3, "unipolar", 0)[0],
    "soft": simulate_soft(80, 4, 3, 0)[0],
    "mixed": mixed_votes(),
}
every_kind = pytest.mark.parametrize(
    "votes", KINDS_OF_VOTES.values(), ids=KINDS_OF_VOTES
)


# The contract


@every_aggregator
@every_kind
def test_rows_are_distributions_and_votes_stay_as_they_were(cls, votes):
    before = [None if a is None else a.copy() for a in arrays_of(votes)]
    proba = cls().fit(votes).predict_proba(votes)
    assert proba.shape == (len(votes), votes.n_classes)
    assert proba.dtype == np.float64
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    for array, kept in zip(arrays_of(votes), before, strict=True):
        np.testing.assert_array_equal(array, kept)


def arrays_of(votes):
    return votes.hard, votes.soft, votes.allowed


@every_aggregator
def test_same_seed_gives_the_same_answer(cls):
    votes = make_votes([[0, 1]] * 4 + [[0, 2]] * 4 + [[1, 2]] * 4, 3)
    once = cls().fit(votes)
    again = clone(once).fit(votes)
    np.testing.assert_array_equal(once.predict_proba(votes), again.predict_proba(votes))
    np.testing.assert_array_equal(
        once.predict(votes, "random"), again.predict(votes, "random")
    )


@every_aggregator
@every_kind
def test_order_of_functions_is_irrelevant_to_the_last_bit(cls, votes):
    shuffled = votes.select([2, 0, 3, 1, *range(4, votes.n_functions)])
    proba = cls().fit(votes).predict_proba(votes)
    np.testing.assert_array_equal(
        cls().fit(shuffled).predict_proba(shuffled), proba, strict=True
    )
    np.testing.assert_array_equal(cls().fit(shuffled).predict_proba(votes), proba)


@every_aggregator
@every_kind
def test_renaming_classes_permutes_columns(cls, votes):
    new_class = np.array([2, 0, 1])
    hard = np.where(votes.hard >= 0, new_class[votes.hard], -1)
    old_class = np.argsort(new_class)
    soft, allowed = (
        None if a is None else a[:, :, old_class] for a in (votes.soft, votes.allowed)
    )
    renamed = make_votes(hard, 3, soft=soft, allowed=allowed)
    np.testing.assert_allclose(
        cls().fit(renamed).predict_proba(renamed)[:, new_class],
        cls().fit(votes).predict_proba(votes),
        atol=1e-6,
    )


@every_aggregator
@every_kind
def test_function_that_always_abstains_changes_nothing(cls, votes):
    silent = Votes(
        np.insert(votes.hard, 1, -1, axis=1),
        names=("f000", "a silent one", *votes.names[1:]),
        n_classes=votes.n_classes,
        soft=None if votes.soft is None else np.insert(votes.soft, 1, 0, axis=1),
        allowed=None
        if votes.allowed is None
        else np.insert(votes.allowed, 1, 0, axis=1),
    )
    np.testing.assert_array_equal(
        cls().fit(silent).predict_proba(silent), cls().fit(votes).predict_proba(votes)
    )


@every_aggregator
@every_kind
def test_duplicate_rows_equal_sample_weights(cls, votes):
    times = np.arange(len(votes)) % 3  # some rows not at all
    repeated = votes.rows(np.repeat(np.arange(len(votes)), times))
    np.testing.assert_allclose(
        cls().fit(repeated).predict_proba(votes),
        cls().fit(votes, sample_weight=times).predict_proba(votes),
        atol=1e-12,
    )


@every_aggregator
def test_function_that_votes_only_where_the_weight_is_zero_is_dropped(cls):
    votes = make_votes([[0, -1], [1, -1], [0, 1]], 2)
    model = cls().fit(votes, sample_weight=[1, 1, 0])
    assert model.columns_.tolist() == [0]


@every_aggregator
def test_unfitted_raises_not_fitted_error(cls):
    votes = make_votes([[0]], 2)
    with pytest.raises(NotFittedError):
        cls().predict_proba(votes)
    with pytest.raises(NotFittedError):
        cls().predict(votes)


@every_aggregator
@pytest.mark.parametrize("dtype", [np.int8, np.int64])
def test_integer_width_is_irrelevant(cls, dtype):
    matrix = np.array([[0, 1, -1], [1, 1, 0], [-1, 0, 0]])
    votes, same = make_votes(matrix, 2), make_votes(matrix.astype(dtype), 2)
    np.testing.assert_array_equal(
        cls().fit(same).predict_proba(same), cls().fit(votes).predict_proba(votes)
    )


@every_aggregator
@pytest.mark.parametrize("n_classes", [1, 2, 3])
@pytest.mark.parametrize("n_functions", [0, 1, 2, 3, 500])
def test_posteriors_are_finite_for_any_number_of_functions(cls, n_functions, n_classes):
    rng = np.random.default_rng(0)
    votes = make_votes(rng.integers(-1, n_classes, (50, n_functions)), n_classes)
    proba = cls().fit(votes).predict_proba(votes)
    assert np.isfinite(proba).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1)


@every_aggregator
def test_votes_without_images_get_no_rows(cls):
    model = cls().fit(make_votes([[0, 1]], 2))
    nothing = make_votes(np.zeros((0, 2), dtype=int), 2)
    assert model.predict_proba(nothing).shape == (0, 2)
    for policy in ("abstain", "random", "first"):
        assert model.predict(nothing, policy).shape == (0,)


@every_aggregator
def test_nothing_voted_gives_the_prior(cls):
    votes = make_votes([[-1, -1]] * 3, 2)
    model = cls(class_balance=[0.3, 0.7]).fit(votes)
    np.testing.assert_allclose(model.predict_proba(votes), [[0.3, 0.7]] * 3)
    np.testing.assert_array_equal(model.predict(votes), [-1] * 3)
    np.testing.assert_array_equal(model.predict(votes, "first"), [1] * 3)


@every_aggregator
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_small_matrix_gives_distributions(cls, data):
    k = data.draw(st.integers(1, 4))
    m = data.draw(st.integers(1, 4))
    row = st.lists(st.integers(-1, k - 1), min_size=m, max_size=m)
    votes = make_votes(data.draw(st.lists(row, min_size=1, max_size=8)), k)
    model = cls().fit(votes)
    proba = model.predict_proba(votes)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert (proba >= 0).all()
    order = data.draw(st.permutations(range(len(votes))))
    moved = votes.rows(np.array(order))
    np.testing.assert_allclose(cls().fit(moved).predict_proba(moved), proba[order])
    for policy in ("abstain", "random", "first"):
        labels = model.predict(votes, policy)
        assert labels.dtype == np.int64
        given_label = labels >= 0
        best = proba[given_label].max(axis=1)
        chosen = proba[given_label, labels[given_label]]
        np.testing.assert_allclose(chosen, best)


# Known truth


@every_aggregator
@pytest.mark.parametrize("prior", ["balanced", "imbalanced"])
@pytest.mark.parametrize("kind", ["unipolar", "multi"])
@pytest.mark.parametrize("k", [2, 3, 10])
def test_labels_are_recovered(cls, k, kind, prior):
    shares = np.full(k, 1 / k)
    if prior == "imbalanced":
        shares = np.r_[0.6, np.full(k - 1, 0.4 / (k - 1))]
    m = {2: 8, 3: 9, 10: 20}[k]
    votes, truth = simulate(3000, m, k, kind, seed=1, prior=shares)
    accuracy = np.mean(cls().fit(votes).predict(votes, "random") == truth)
    majority = np.mean(MajorityVote().fit(votes).predict(votes, "random") == truth)
    assert accuracy >= majority - 0.02
    assert accuracy > 0.75


def test_dawid_skene_does_not_collapse_on_functions_of_one_class():
    shares = np.r_[0.7, np.full(9, 0.3 / 9)]
    votes, truth = simulate(3000, 20, 10, "unipolar", seed=1, prior=shares)
    majority = np.mean(MajorityVote().fit(votes).predict(votes, "random") == truth)
    model = DawidSkene().fit(votes)
    assert np.mean(model.predict(votes, "random") == truth) > majority + 0.05
    np.testing.assert_allclose(model.class_prior_, shares, atol=0.05)


def test_dawid_skene_recovers_the_confusion_tables():
    rng = np.random.default_rng(0)
    n, m, k = 20_000, 6, 3
    truth = rng.choice(k, n, p=[0.5, 0.3, 0.2])
    tables = 0.4 * rng.dirichlet(np.ones(k + 1), (m, k)) + 0.6 * np.eye(k, k + 1)
    cumulative = tables.cumsum(axis=2)[:, truth]  # (m, n, k + 1)
    symbols = (rng.random((m, n, 1)) > cumulative).sum(axis=2).T
    model = DawidSkene().fit(make_votes(np.where(symbols == k, -1, symbols), k))
    assert np.abs(model.confusions_ - tables).mean() < 0.01
    np.testing.assert_allclose(model.class_prior_, [0.5, 0.3, 0.2], atol=0.02)


def test_dawid_skene_learns_from_flat_soft_votes():
    votes, truth = simulate_soft(2000, 15, 5, seed=0)
    majority = np.mean(MajorityVote().fit(votes).predict(votes, "random") == truth)
    labels = DawidSkene().fit(votes).predict(votes, "random")
    assert np.mean(labels == truth) > majority


def test_dawid_skene_learns_from_sets():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 2000)
    # Three ways to halve four classes: each function tells the halves of one apart.
    halves = np.array([[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0]] * 2)  # (m, k)
    errs = rng.random((2000, 6)) < 0.15
    voted_half = halves[:, truth].T ^ errs
    allowed = halves[None] == voted_half[:, :, None]
    votes = make_votes(np.full((2000, 6), -1), 4, allowed=allowed)
    majority = np.mean(MajorityVote().fit(votes).predict(votes, "random") == truth)
    labels = DawidSkene().fit(votes).predict(votes, "random")
    assert np.mean(labels == truth) > majority - 0.02
    assert majority > 0.7


# Labels from posteriors


def test_ties_and_images_without_votes_abstain_by_default():
    votes = make_votes([[0, 1], [0, 0], [-1, -1], [-1, 1]], 2)
    assert MajorityVote().fit(votes).predict(votes).tolist() == [-1, 0, -1, 1]
    assert MajorityVote().fit(votes).predict(votes, "first").tolist() == [0, 0, 0, 1]


def test_dawid_skene_abstains_without_votes_though_its_posterior_there_is_not_flat():
    votes, _ = simulate(2000, 6, 2, "unipolar", 0)
    votes = votes.select([0, 1, 3, 5])  # three name class 1: silence speaks for 0
    model = DawidSkene().fit(votes)
    silent = Votes(np.full((1, 4), -1), votes.names, 2)
    assert model.predict_proba(silent)[0, 0] > 0.6 > model.class_prior_[0]
    assert model.predict(silent).tolist() == [-1]
    assert model.predict(silent, "first").tolist() == [0]


def test_random_policy_deals_equal_images_to_the_tied_classes_in_turn():
    votes = make_votes([[0, 2]] * 10 + [[1, 1]] * 3, 3)
    labels = MajorityVote().fit(votes).predict(votes, "random")
    assert np.bincount(labels, minlength=3).tolist() == [5, 3, 5]


def test_random_policy_does_not_depend_on_other_images():
    votes = make_votes([[0, 1], [0, 2], [1, 2], [2, 1]], 3)
    model = MajorityVote().fit(votes)
    backwards = model.predict(votes.rows(np.array([3, 2, 1, 0])), "random")
    assert backwards[::-1].tolist() == model.predict(votes, "random").tolist()


def test_random_policy_depends_on_the_seed():
    matrix = np.array(list(itertools.combinations(range(8), 2)))
    votes = make_votes(matrix, 8)
    first, second = (
        MajorityVote(random_state=seed).fit(votes).predict(votes, "random")
        for seed in (0, 1)
    )
    assert (first == matrix[:, 0]).any()
    assert (first == matrix[:, 1]).any()
    assert (first != second).any()


# Majority vote


def test_majority_vote_is_the_mean_of_the_distributions():
    soft = [[[0.5, 0.5, 0], [0, 0, 1], [0, 0, 0]]]
    allowed = np.zeros((1, 3, 3), dtype=bool)
    allowed[0, 2, :2] = True
    votes = from_soft(soft, allowed=allowed)
    proba = MajorityVote().fit(votes).predict_proba(votes)
    np.testing.assert_allclose(proba, [[1 / 3, 1 / 3, 1 / 3]])


def test_hard_majority_vote_ignores_degrees_and_sets():
    soft = [[[0.5, 0.3, 0.2], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]
    allowed = np.zeros((2, 2, 3), dtype=bool)
    allowed[:, 1, 1:] = True
    votes = from_soft(soft, allowed=allowed)
    model = MajorityVote(soft=False, class_balance=[0.5, 0.3, 0.2]).fit(votes)
    np.testing.assert_allclose(model.predict_proba(votes), [[1, 0, 0], [0.5, 0.3, 0.2]])
    assert model.predict(votes).tolist() == [0, -1]


def test_chunks_of_rows_give_the_same_answer(monkeypatch):
    votes = mixed_votes()
    whole = MajorityVote().fit(votes).predict_proba(votes)
    monkeypatch.setattr("lfkit.aggregators.inference.vote_likelihood._CHUNK_CELLS", 50)
    np.testing.assert_array_equal(MajorityVote().fit(votes).predict_proba(votes), whole)


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
def test_majority_vote_equals_snorkel():
    from snorkel.labeling.model import MajorityLabelVoter

    matrix = np.random.default_rng(0).integers(-1, 4, (300, 6))
    votes = make_votes(matrix, 4)
    proba = MajorityVote().fit(votes).predict_proba(votes)
    # Snorkel splits the winners' share equally and forgets the others.
    best = proba == proba.max(axis=1, keepdims=True)
    reference = MajorityLabelVoter(cardinality=4)
    np.testing.assert_allclose(
        best / best.sum(axis=1, keepdims=True), reference.predict_proba(matrix)
    )
    np.testing.assert_array_equal(
        MajorityVote().fit(votes).predict(votes), reference.predict(matrix)
    )


# Dawid-Skene


def likelihood(distribution, row):
    """P(vote | class) by the definition; a vote is a distribution or None (abstain)."""
    if distribution is None:
        return row[-1]
    return sum(q * p for q, p in zip(distribution, row[:-1], strict=True))


def brute_force(votes, tables, prior):
    """Posterior and log likelihood of each image, by enumeration."""
    posteriors, log_likelihoods = [], []
    for i in range(len(votes)):
        joint = []
        for label, share in enumerate(prior):
            for j in range(votes.n_functions):
                share = share * likelihood(read_vote(votes, i, j), tables[j, label])
            joint.append(share)
        posteriors.append(np.array(joint) / sum(joint))
        log_likelihoods.append(np.log(sum(joint)))
    return np.array(posteriors), np.array(log_likelihoods)


def read_vote(votes, i, j):
    if votes.hard[i, j] >= 0:
        if votes.soft is None:
            return np.eye(votes.n_classes)[votes.hard[i, j]]
        return votes.soft[i, j].astype(float) / votes.soft[i, j].astype(float).sum()
    if votes.allowed is not None and votes.allowed[i, j].any():
        return votes.allowed[i, j] / votes.allowed[i, j].sum()
    return None


@pytest.mark.parametrize("name", ["hard", "mixed", "soft"])
@pytest.mark.parametrize("fixed_prior", [None, [0.5, 0.3, 0.2]])
def test_posterior_and_objective_equal_enumeration(name, fixed_prior):
    votes = KINDS_OF_VOTES[name].select([0, 1, 2, 3])
    model = DawidSkene(class_balance=fixed_prior, smoothing=0.7).fit(votes)
    posterior, log_likelihood = brute_force(
        votes, model.confusions_, model.class_prior_
    )
    np.testing.assert_allclose(model.predict_proba(votes), posterior, atol=1e-6)

    shares = np.ones((4, 4))
    for i, j in itertools.product(range(len(votes)), range(4)):
        vote = read_vote(votes, i, j)
        shares[j] += np.eye(4)[3] if vote is None else np.append(vote, 0)
    shares /= shares.sum(axis=1, keepdims=True)
    penalty = (0.7 * shares[:, None, :] * np.log(model.confusions_)).sum()
    if fixed_prior is None:
        penalty += 0.7 / 3 * np.log(model.class_prior_).sum()
    np.testing.assert_allclose(
        model.objective_[-1], log_likelihood.sum() + penalty, rtol=1e-6
    )


@every_kind
def test_objective_never_falls(votes):
    model = DawidSkene(tol=0).fit(votes)
    assert model.n_iter_ == len(model.objective_)
    steps = np.diff(model.objective_)
    assert steps.min() > -1e-6
    assert model.objective_[-1] > model.objective_[0]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), k=st.integers(2, 4), m=st.integers(1, 5))
def test_objective_never_falls_on_random_votes(seed, k, m):
    matrix = np.random.default_rng(seed).integers(-1, k, (12, m))
    objective = DawidSkene(tol=-1, max_iter=30).fit(make_votes(matrix, k)).objective_
    assert len(objective) == 30
    assert (np.diff(objective) > -1e-9).all()


def test_function_that_never_votes_has_all_its_mass_on_abstain():
    model = DawidSkene().fit(make_votes([[0, -1, 1], [1, -1, 1], [0, -1, 0]], 2))
    assert model.confusions_.shape == (3, 2, 3)
    np.testing.assert_array_equal(model.confusions_[1], [[0, 0, 1], [0, 0, 1]])
    np.testing.assert_allclose(model.confusions_.sum(axis=2), 1)


def test_confusions_follow_the_order_of_the_functions_fitted():
    votes = make_votes([[0, 1, 1], [1, 1, -1], [0, 0, -1]], 2)
    swapped = votes.select([2, 0, 1])
    np.testing.assert_array_equal(
        DawidSkene().fit(swapped).confusions_,
        DawidSkene().fit(votes).confusions_[[2, 0, 1]],
    )


def test_class_that_the_prior_rules_out_gets_nothing():
    votes, _ = simulate(200, 4, 3, "multi", 0)
    model = DawidSkene(class_balance=[0.5, 0.5, 0]).fit(votes)
    proba = model.predict_proba(votes)
    assert (proba[:, 2] == 0).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(model.class_prior_, [0.5, 0.5, 0])


# Errors


@every_aggregator
def test_errors_say_what_is_wrong(cls):
    name = cls.__name__
    votes = make_votes([[0, 1], [1, 1]], 2)
    fitted = cls().fit(votes)

    with assert_refused(
        VotesError, names=f"{name}.fit", values="ndarray", allowed="Votes"
    ):
        cls().fit(votes.hard)
    with assert_refused(
        VotesError, names=f"{name}.predict_proba", values="list", allowed="Votes"
    ):
        fitted.predict_proba([[0]])
    with assert_refused(VotesError, names=name, values=3, allowed=2):
        fitted.predict(make_votes([[0, 1]], 3))
    other = Votes(np.array([[0, 1]]), names=("f000", "new"), n_classes=2)
    with assert_refused(VotesError, names=name, values="new", allowed="f001"):
        fitted.predict(other)
    with assert_refused(VotesError, names=name, values=["2 images", 0]):
        cls().fit(votes, sample_weight=[0, 0])
    with assert_refused(names="sample_weight", values="(1,)", allowed=2):
        cls().fit(votes, sample_weight=[1])
    with assert_refused(names=["sample_weight", "image 1"], values=-2.0):
        cls().fit(votes, sample_weight=[1, -2])
    with assert_refused(names="class_balance", values="(1,)", allowed=2):
        cls(class_balance=[1]).fit(votes)
    for shares in ([0.5, 0.6], [1.5, -0.5], [np.nan, 1.0]):
        with assert_refused(names="class_balance", values=str(shares), allowed=1):
            cls(class_balance=shares).fit(votes)
    with assert_refused(
        names="tie_break_policy", values="coin", allowed=["abstain", "random", "first"]
    ):
        fitted.predict(votes, "coin")


def test_dawid_skene_parameter_errors():
    votes = make_votes([[0, 1]], 2)
    with assert_refused(names="smoothing", values=0):
        DawidSkene(smoothing=0).fit(votes)
    with assert_refused(names="max_iter", values=0, allowed=1):
        DawidSkene(max_iter=0).fit(votes)


def test_importing_aggregators_loads_no_torch():
    # scikit-learn itself imports pandas where it is installed, so pandas is not asked.
    code = "import sys, lfkit.aggregators; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Votes that come in parts


@every_aggregator
@every_kind
def test_partial_fits_are_one_fit_of_everything(cls, votes):
    shards = [slice(0, 30), slice(30, 31), slice(31, None)]
    model = cls()
    for rows in shards:
        model.partial_fit(votes.rows(rows))
    np.testing.assert_allclose(
        model.predict_proba(votes),
        cls().fit(votes).predict_proba(votes),
        atol=1e-9,
    )
    # A later fit starts anew.
    fresh = cls().fit(votes.rows(shards[0]))
    model.fit(votes.rows(shards[0]))
    np.testing.assert_array_equal(
        model.predict_proba(votes), fresh.predict_proba(votes)
    )


@every_aggregator
def test_sparse_votes_get_the_same_answer(cls):
    votes = KINDS_OF_VOTES["unipolar"]
    rows, columns = np.nonzero(votes.hard >= 0)
    matrix = sparse.csr_array(
        (votes.hard[rows, columns], (rows, columns)), shape=votes.hard.shape
    )
    same = Votes(matrix, votes.names, 3)
    np.testing.assert_array_equal(
        cls().fit(same).predict_proba(same), cls().fit(votes).predict_proba(votes)
    )


LADDER = [OneCoin, ClassConditional, DawidSkene, ShrunkDawidSkene]


@pytest.mark.parametrize("cls", LADDER)
@every_kind
def test_penalised_likelihood_never_falls(cls, votes):
    objective = cls(tol=1e-12).fit(votes).objective_
    assert (np.diff(objective) > -1e-8 * np.abs(objective[:-1])).all()


@pytest.mark.parametrize("cls", LADDER)
@every_kind
def test_posteriors_of_the_ladder_equal_enumeration(cls, votes):
    small = votes.select(range(min(4, votes.n_functions))).rows(slice(0, 40))
    model = cls().fit(small)
    if not (model.powers_ == 1).all():
        return
    expected, _ = brute_force(small, model.confusions_, model.class_prior_)
    np.testing.assert_allclose(model.predict_proba(small), expected, rtol=1e-6)
