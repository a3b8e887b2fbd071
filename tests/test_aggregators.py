"""The contract of every aggregator, then what is special to each."""

import itertools
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from assertions import assert_refused
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from lfkit.aggregators import AGGREGATORS, DawidSkene, MajorityVote
from lfkit.data.votes import Votes
from lfkit.errors import VotesError

# Every member, and the sizes of Dawid-Skene that are not its default.
MODELS = dict(AGGREGATORS) | {
    f"dawid-skene {tables} {abstain}": partial(
        DawidSkene, tables=tables, abstain=abstain
    )
    for tables, abstain in [
        ("equal", "missing"),
        ("one-coin", "missing"),
        ("biased-coin", "missing"),
        ("one-coin", "symbol"),
        ("whole", "symbol"),
    ]
}
every_aggregator = pytest.mark.parametrize("cls", AGGREGATORS.values(), ids=AGGREGATORS)
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


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


@every_model
@every_kind
def test_rows_are_distributions_and_votes_stay_as_they_were(make, votes):
    before = [None if a is None else a.copy() for a in arrays_of(votes)]
    proba = make().fit(votes).predict_proba(votes)
    assert proba.shape == (len(votes), votes.n_classes)
    assert proba.dtype == np.float64
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    for array, kept in zip(arrays_of(votes), before, strict=True):
        np.testing.assert_array_equal(array, kept)


def arrays_of(votes):
    return votes.hard, votes.soft, votes.allowed


@every_model
def test_same_seed_gives_the_same_answer(make):
    votes = make_votes([[0, 1]] * 4 + [[0, 2]] * 4 + [[1, 2]] * 4, 3)
    once = make().fit(votes)
    again = clone(once).fit(votes)
    np.testing.assert_array_equal(once.predict_proba(votes), again.predict_proba(votes))
    np.testing.assert_array_equal(
        once.predict(votes, "random"), again.predict(votes, "random")
    )


@every_model
@every_kind
def test_order_of_functions_is_irrelevant_to_the_last_bit(make, votes):
    shuffled = votes.select([2, 0, 3, 1, *range(4, votes.n_functions)])
    proba = make().fit(votes).predict_proba(votes)
    np.testing.assert_array_equal(
        make().fit(shuffled).predict_proba(shuffled), proba, strict=True
    )
    np.testing.assert_array_equal(make().fit(shuffled).predict_proba(votes), proba)


@every_model
@every_kind
def test_renaming_classes_permutes_columns(make, votes):
    new_class = np.array([2, 0, 1])
    hard = np.where(votes.hard >= 0, new_class[votes.hard], -1)
    old_class = np.argsort(new_class)
    soft, allowed = (
        None if a is None else a[:, :, old_class] for a in (votes.soft, votes.allowed)
    )
    renamed = make_votes(hard, 3, soft=soft, allowed=allowed)
    np.testing.assert_allclose(
        make().fit(renamed).predict_proba(renamed)[:, new_class],
        make().fit(votes).predict_proba(votes),
        atol=1e-6,
    )


@every_model
@every_kind
def test_function_that_always_abstains_changes_nothing(make, votes):
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
        make().fit(silent).predict_proba(silent), make().fit(votes).predict_proba(votes)
    )


@every_model
@every_kind
def test_function_that_names_all_classes_changes_nothing(make, votes):
    shape = (len(votes), votes.n_functions, 3)
    before = np.zeros(shape, bool) if votes.allowed is None else votes.allowed
    allowed = np.insert(before, 1, True, axis=1)
    soft = None if votes.soft is None else np.insert(votes.soft, 1, 0, axis=1)
    with_it = make_votes(
        np.insert(votes.hard, 1, -1, axis=1), 3, soft=soft, allowed=allowed
    )
    expected = make().fit(votes).predict_proba(votes)
    np.testing.assert_array_equal(make().fit(with_it).predict_proba(with_it), expected)


@every_model
def test_set_of_one_class_is_a_vote_for_it(make):
    votes = simulate(80, 5, 3, "multi", 0)[0]
    allowed = votes.hard[:, :, None] == np.arange(3)
    as_sets = make_votes(np.full_like(votes.hard, -1), 3, allowed=allowed)
    expected = make().fit(votes).predict_proba(votes)
    np.testing.assert_array_equal(make().fit(as_sets).predict_proba(as_sets), expected)


@every_model
def test_labels_are_recovered_from_sets(make):
    # No vote names a class: "not an 0", "not a 1" and "not a 2", each three times.
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 600)
    denied = np.arange(9) % 3
    speaks = (truth[:, None] != denied) ^ (rng.random((600, 9)) < 0.05)
    allowed = speaks[:, :, None] & (np.arange(3) != denied[:, None])
    votes = make_votes(np.full((600, 9), -1), 3, allowed=allowed)
    labels = make().fit(votes).predict(votes)
    assert (labels == truth).mean() > 0.9


@every_model
@every_kind
def test_duplicate_rows_equal_sample_weights(make, votes):
    times = np.arange(len(votes)) % 3  # some rows not at all
    repeated = votes.rows(np.repeat(np.arange(len(votes)), times))
    np.testing.assert_allclose(
        make().fit(repeated).predict_proba(votes),
        make().fit(votes, sample_weight=times).predict_proba(votes),
        atol=1e-12,
    )


@every_model
def test_function_that_votes_only_where_the_weight_is_zero_is_dropped(make):
    votes = make_votes([[0, -1], [1, -1], [0, 1]], 2)
    model = make().fit(votes, sample_weight=[1, 1, 0])
    assert model.columns_.tolist() == [0]


@every_model
def test_unfitted_raises_not_fitted_error(make):
    votes = make_votes([[0]], 2)
    with pytest.raises(NotFittedError):
        make().predict_proba(votes)
    with pytest.raises(NotFittedError):
        make().predict(votes)


@every_model
@pytest.mark.parametrize("dtype", [np.int8, np.int64])
def test_integer_width_is_irrelevant(make, dtype):
    matrix = np.array([[0, 1, -1], [1, 1, 0], [-1, 0, 0]])
    votes, same = make_votes(matrix, 2), make_votes(matrix.astype(dtype), 2)
    np.testing.assert_array_equal(
        make().fit(same).predict_proba(same), make().fit(votes).predict_proba(votes)
    )


@every_model
@pytest.mark.parametrize("n_classes", [1, 2, 3])
@pytest.mark.parametrize("n_functions", [0, 1, 2, 3, 500])
def test_posteriors_are_finite_for_any_number_of_functions(
    make, n_functions, n_classes
):
    rng = np.random.default_rng(0)
    votes = make_votes(rng.integers(-1, n_classes, (50, n_functions)), n_classes)
    proba = make().fit(votes).predict_proba(votes)
    assert np.isfinite(proba).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1)


@every_model
def test_votes_without_images_get_no_rows(make):
    model = make().fit(make_votes([[0, 1]], 2))
    nothing = make_votes(np.zeros((0, 2), dtype=int), 2)
    assert model.predict_proba(nothing).shape == (0, 2)
    for policy in ("abstain", "random", "first"):
        assert model.predict(nothing, policy).shape == (0,)


@every_model
def test_nothing_voted_gives_the_prior(make):
    votes = make_votes([[-1, -1]] * 3, 2)
    model = make(class_balance=[0.3, 0.7]).fit(votes)
    np.testing.assert_allclose(model.predict_proba(votes), [[0.3, 0.7]] * 3)
    np.testing.assert_array_equal(model.predict(votes), [-1] * 3)
    np.testing.assert_array_equal(model.predict(votes, "first"), [1] * 3)


@every_model
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_small_matrix_gives_distributions(make, data):
    k = data.draw(st.integers(1, 4))
    m = data.draw(st.integers(1, 4))
    row = st.lists(st.integers(-1, k - 1), min_size=m, max_size=m)
    votes = make_votes(data.draw(st.lists(row, min_size=1, max_size=8)), k)
    model = make().fit(votes)
    proba = model.predict_proba(votes)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert (proba >= 0).all()
    order = data.draw(st.permutations(range(len(votes))))
    moved = votes.rows(np.array(order))
    np.testing.assert_allclose(make().fit(moved).predict_proba(moved), proba[order])
    for policy in ("abstain", "random", "first"):
        labels = model.predict(votes, policy)
        assert labels.dtype == np.int64
        given_label = labels >= 0
        best = proba[given_label].max(axis=1)
        chosen = proba[given_label, labels[given_label]]
        np.testing.assert_allclose(chosen, best)


# Known truth


@every_model
@pytest.mark.parametrize("prior", ["balanced", "imbalanced"])
@pytest.mark.parametrize("kind", ["unipolar", "multi"])
@pytest.mark.parametrize("k", [2, 3, 10])
def test_labels_are_recovered(make, k, kind, prior):
    shares = np.full(k, 1 / k)
    if prior == "imbalanced":
        shares = np.r_[0.6, np.full(k - 1, 0.4 / (k - 1))]
    m = {2: 8, 3: 9, 10: 20}[k]
    votes, truth = simulate(3000, m, k, kind, seed=1, prior=shares)
    accuracy = np.mean(make().fit(votes).predict(votes, "random") == truth)
    majority = np.mean(MajorityVote().fit(votes).predict(votes, "random") == truth)
    assert accuracy >= majority - 0.02
    assert accuracy > 0.75


# Labels from posteriors


def test_ties_and_images_without_votes_abstain_by_default():
    votes = make_votes([[0, 1], [0, 0], [-1, -1], [-1, 1]], 2)
    assert MajorityVote().fit(votes).predict(votes).tolist() == [-1, 0, -1, 1]
    assert MajorityVote().fit(votes).predict(votes, "first").tolist() == [0, 0, 0, 1]


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


def test_importing_aggregators_loads_no_torch():
    # scikit-learn itself imports pandas where it is installed, so pandas is not asked.
    code = "import sys, lfkit.aggregators; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Votes that come in parts


@every_model
@every_kind
def test_partial_fits_are_one_fit_of_everything(make, votes):
    shards = [slice(0, 30), slice(30, 31), slice(31, None)]
    model = make()
    for rows in shards:
        model.partial_fit(votes.rows(rows))
    np.testing.assert_allclose(
        model.predict_proba(votes),
        make().fit(votes).predict_proba(votes),
        atol=1e-9,
    )
    # A later fit starts anew.
    fresh = make().fit(votes.rows(shards[0]))
    model.fit(votes.rows(shards[0]))
    np.testing.assert_array_equal(
        model.predict_proba(votes), fresh.predict_proba(votes)
    )


@every_model
def test_sparse_votes_get_the_same_answer(make):
    votes = KINDS_OF_VOTES["unipolar"]
    rows, columns = np.nonzero(votes.hard >= 0)
    matrix = sparse.csr_array(
        (votes.hard[rows, columns], (rows, columns)), shape=votes.hard.shape
    )
    same = Votes(matrix, votes.names, 3)
    np.testing.assert_array_equal(
        make().fit(same).predict_proba(same), make().fit(votes).predict_proba(votes)
    )
