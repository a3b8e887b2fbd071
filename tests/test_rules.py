"""Rules: the contract of the family, then each member recomputed by other means."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import multivariate_normal

from lfkit import (
    CountLikelihood,
    Gate,
    LFApplier,
    Likelihood,
    NearestMean,
    NearestNorm,
    OneVsRest,
    feature,
    labeling_function,
)
from lfkit.errors import DeclarationError
from lfkit.features.gray import gray28


@feature(batched=True)
def score(images):
    return images.mean(dim=(1, 2, 3))


def fit(rule, values, labels, classes, seed=0):
    return rule.fit(
        np.asarray(values, np.float32),
        np.asarray(labels),
        classes=classes,
        rng=np.random.default_rng(seed),
    )


def weigh(rule, values):
    """Give (n, classes) weights of a fitted rule."""
    return rule.value(torch.tensor(np.asarray(values, np.float32))).numpy()


def seeds_of(n_per_class=12, k=3, d=3, seed=0, apart=2.0):
    """Gaussian classes of unequal shape, positive on the whole."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(k), n_per_class)
    centres = 2 + apart * rng.random((k, d))
    stretch = 0.6 * (np.eye(d) + 0.5 * rng.normal(size=(k, d, d)))
    noise = rng.normal(size=(len(labels), 1, d)) @ stretch[labels]
    return (centres[labels] + noise[:, 0]).astype(np.float32), labels


# The contract


@dataclass(frozen=True)
class Member:
    """How to make a rule that claims some classes, and how many numbers it reads."""

    make: object
    n_numbers: int = 3
    n_columns: int = 3


FAMILY = {
    "norm": Member(lambda claimed: NearestNorm(score)),
    "soft norm": Member(lambda claimed: NearestNorm(score, soft=True)),
    "unsure norm": Member(lambda claimed: NearestNorm(score, abstain=0.3)),
    "mean": Member(lambda claimed: NearestMean(score)),
    "likelihood": Member(lambda claimed: Likelihood(score, abstain=0.1)),
    "counts": Member(lambda claimed: CountLikelihood(score, abstain=0.1), 1),
    "above": Member(lambda claimed: OneVsRest(score, claimed), 1),
    "below": Member(lambda claimed: OneVsRest(score, claimed, side="below"), 1),
    "beyond": Member(lambda claimed: OneVsRest(score, claimed)),
    "gate": Member(lambda claimed: Gate(score), 3, 1),
}
every_rule = pytest.mark.parametrize("member", FAMILY.values(), ids=FAMILY)


def fitted(member, seed=0, classes=(0, 1, 2), claimed=(1,)):
    x, y = seeds_of(d=member.n_numbers, seed=seed)
    return fit(member.make(claimed), x, y, classes)


def images_for(member, n=60):
    return seeds_of(n // 3, d=member.n_numbers, seed=0)[0]


@every_rule
def test_a_row_of_weights_is_a_distribution_or_zero(member):
    weights = weigh(fitted(member), images_for(member))
    assert weights.shape == (60, member.n_columns)
    assert weights.min() >= 0
    sums = weights.sum(axis=1)
    np.testing.assert_allclose(sums[sums > 0], 1, rtol=1e-5)
    assert (sums > 0).any()


@every_rule
def test_what_is_learned_depends_on_the_seeds_and_on_nothing_else(member):
    once, again = fitted(member).learned, fitted(member).learned
    other = fitted(member, seed=1).learned
    assert once.keys() == again.keys() == other.keys()
    for name in once:
        np.testing.assert_array_equal(once[name], again[name], strict=True)
    assert any(not np.array_equal(once[name], other[name]) for name in once)


@every_rule
def test_fitting_leaves_seeds_and_rule_as_they_were(member):
    x, y = seeds_of(d=member.n_numbers)
    kept = x.copy(), y.copy()
    rule = member.make((1,))
    fit(rule, x, y, (0, 1, 2))
    assert rule.learned is None
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(y, kept[1])


@every_rule
def test_a_seed_whose_feature_failed_teaches_nothing(member):
    x, y = seeds_of(d=member.n_numbers)
    failed = np.concatenate([x, np.full((1, member.n_numbers), np.nan)])
    learned = fit(member.make((1,)), failed, [*y, 1], (0, 1, 2)).learned
    for name, array in fitted(member).learned.items():
        np.testing.assert_array_equal(learned[name], array)


@pytest.mark.parametrize("name", sorted(FAMILY.keys() - {"gate"}))
def test_a_class_without_seeds_gets_no_weight(name):
    member = FAMILY[name]
    images = images_for(member)
    weights = weigh(fitted(member, classes=(0, 9, 1, 2)), [*images, *(9 * images)])
    assert (weights[:, 1] == 0).all()
    assert (weights[:, [0, 2, 3]] > 0).any()


@every_rule
def test_one_image_is_weighed_as_in_a_batch(member):
    rule, images = fitted(member), images_for(member, 9)
    batch = weigh(rule, images)
    for row, weights in zip(images, batch, strict=True):
        alone = rule.value(float(row[0]) if member.n_numbers == 1 else row)
        assert isinstance(alone, np.ndarray)
        np.testing.assert_allclose(alone, weights, rtol=1e-4, atol=1e-6)


@every_rule
def test_maps_are_read_as_rows_of_numbers(member):
    x, y = seeds_of(d=member.n_numbers)
    maps = x.reshape(len(x), 1, -1, 1)
    shaped = fit(member.make((1,)), maps, y, (0, 1, 2))
    np.testing.assert_array_equal(weigh(shaped, maps), weigh(fitted(member), x))


@every_rule
@settings(max_examples=6, deadline=None)
@given(
    names=st.permutations([0, 1, 2]),
    order=st.permutations([0, 1, 2]),
    seed=st.integers(0, 3),
)
def test_renaming_and_reordering_classes_permutes_columns(member, names, order, seed):
    x, y = seeds_of(d=member.n_numbers, seed=seed)
    images = images_for(member)
    before = weigh(fit(member.make((1,)), x, y, (0, 1, 2)), images)
    renamed = fit(
        member.make((names[1],)), x, np.array(names)[y], tuple(names[c] for c in order)
    )
    columns = order if member.n_columns > 1 else [0]
    np.testing.assert_allclose(
        weigh(renamed, images), before[:, columns], rtol=1e-3, atol=1e-5
    )


@every_rule
def test_an_unfitted_rule_has_no_value(member):
    rule = member.make((1,))
    name = type(rule).__name__
    message = rf"{name} of feature 'score' has not been fitted; it needs seed labels"
    with pytest.raises(DeclarationError, match=message):
        _ = rule.value


@every_rule
def test_one_class_with_one_seed_is_enough_not_to_fail(member):
    learned = fit(member.make((0,)), np.ones((1, member.n_numbers)), [0], (0,))
    weights = weigh(learned, np.ones((2, member.n_numbers)))
    assert np.isin(weights, [0, 1]).all()


@every_rule
def test_seeds_that_are_all_equal_give_finite_weights(member):
    same = np.ones((6, member.n_numbers))
    learned = fit(member.make((1,)), same, [0, 0, 1, 1, 2, 2], (0, 1, 2))
    assert np.isfinite(weigh(learned, [same[0], 9 * same[0]])).all()


@every_rule
def test_an_image_whose_feature_failed_gets_no_vote_and_the_others_keep_theirs(member):
    @feature(batched=True)
    def value(images):
        level = 4 * images.mean(dim=(1, 2, 3))
        level = torch.where(level > 3.9, torch.nan, level)
        return level[:, None] * torch.ones(member.n_numbers)

    rule = member.make((1,))
    rule = rule.with_feature(value)

    @labeling_function(
        classes=range(member.n_columns) if member.n_columns > 1 else [1],
        features=[value],
        thresholds={"rule": rule},
        soft=True,
        batched=True,
    )
    def reads_value(values, *, rule):
        return rule(values)

    levels = np.array([0, 8, 20, 120, 128, 140, 60, 66, 80, 255], np.uint8)
    applier = LFApplier([reads_value], n_classes=3)
    votes = applier.apply(
        levels.reshape(-1, 1, 1, 1),
        seed_rows=np.arange(9),
        seed_labels=np.repeat([0, 1, 2], 3),
    )
    assert applier.report_.left_out == {}
    assert votes.hard[9, 0] == -1
    assert (votes.hard[:9, 0] >= 0).any()


# Settings


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NearestNorm(score, trim=-0.1), "NearestNorm needs 0 <= trim < 0.5"),
        (lambda: NearestNorm(score, trim=0.5), "0 <= trim < 0.5, got trim=0.5"),
        (lambda: NearestNorm(score, abstain=1), "0 <= abstain < 1, got abstain=1"),
        (lambda: NearestNorm(score, n_per_class=0), "n_per_class >= 1, got 0"),
        (lambda: NearestMean(score, trim=0.7), "NearestMean needs 0 <= trim < 0.5"),
        (lambda: NearestMean(score, shrink=0), "0 < shrink <= 1, got shrink=0"),
        (lambda: NearestMean(score, abstain=-1), "0 <= abstain < 1, got abstain=-1"),
        (lambda: Likelihood(score, shrink=0), "Likelihood needs 0 < shrink <= 1"),
        (lambda: Likelihood(score, shrink=1.5), "got shrink=1.5"),
        (lambda: Likelihood(score, abstain=1), "Likelihood needs 0 <= abstain < 1"),
        (lambda: CountLikelihood(score, most=0), "needs most >= 1, got 0"),
        (lambda: CountLikelihood(score, abstain=2), "0 <= abstain < 1, got abstain=2"),
        (lambda: OneVsRest(score, [0], side="left"), "'above' or 'below', got 'left'"),
        (lambda: OneVsRest(score, [0], min_recall=0), "0 < min_recall <= 1, got 0"),
        (lambda: OneVsRest(score, [0], min_recall=2), "0 < min_recall <= 1, got 2"),
        (lambda: Gate(score, recall=0), "Gate needs 0 < recall <= 1, got 0"),
        (lambda: Gate(score, recall=1.1), "0 < recall <= 1, got 1.1"),
        (lambda: Gate("score"), "Gate needs a feature, got 'score'; pass the object"),
    ],
)
def test_a_setting_out_of_range_says_the_range(make, message):
    with pytest.raises(DeclarationError, match=message):
        make()


@pytest.mark.parametrize(
    ("rule", "values", "labels", "message"),
    [
        (
            Likelihood(score),
            np.zeros((4, 9)),
            [0, 0, 1, 1],
            "at most 8 numbers; feature 'score' has 9. Use NearestMean",
        ),
        (
            CountLikelihood(score),
            np.zeros((4, 2)),
            [0, 0, 1, 1],
            "CountLikelihood needs a feature with one number per image; 'score' has 2",
        ),
        (
            OneVsRest(score, [1, 7]),
            np.zeros((4, 1)),
            [0, 0, 1, 1],
            r"claims class 7, which the function does not declare: its classes are \(0",
        ),
        (
            OneVsRest(score, [1]),
            np.zeros((4, 1)),
            [0, 0, 2, 2],
            r"OneVsRest of feature 'score' finds no seed image for classes \(1,\)",
        ),
        (
            Gate(score),
            np.zeros((4, 1)),
            [5, 5, 6, 6],
            r"Gate of feature 'score' finds no seed image for classes \(0, 1\); give",
        ),
        (
            NearestNorm(score),
            np.zeros((2, 1)),
            [0, 0],
            "NearestNorm of feature 'score' finds seed images for 1 of its 2 classes",
        ),
        (
            Likelihood(score),
            np.zeros((2, 1)),
            [0, 0],
            "Likelihood of feature 'score' finds seed images for 1 of its 2 classes",
        ),
        (
            CountLikelihood(score),
            np.zeros((2, 1)),
            [5, 6],
            "seed images for 0 of its 2 classes; it needs at least 2",
        ),
    ],
)
def test_seeds_that_cannot_teach_a_rule_are_explained(rule, values, labels, message):
    with pytest.raises(DeclarationError, match=message):
        fit(rule, values, labels, (0, 1))


# Likelihood


def gaussians(x, y, shrink):
    """Fit a mean and a covariance to each class, by the docstring's words."""
    classes = np.unique(y)
    means = {c: x[y == c].mean(axis=0) for c in classes}
    residuals = x - np.stack([means[c] for c in y])
    common = residuals.T @ residuals / (len(x) - len(classes)) + 1e-3 * np.eye(
        x.shape[1]
    )
    found = {}
    for c in classes:
        own = common
        if (y == c).sum() > 1:
            own = np.cov(x[y == c].T).reshape(common.shape)
        found[c] = multivariate_normal(means[c], (1 - shrink) * own + shrink * common)
    return found


def refitted_scores(x, y, k, shrink):
    """Log likelihoods of each seed, everything refitted without it."""
    scores = np.full((len(x), k), -np.inf)
    for i in range(len(x)):
        others = np.arange(len(x)) != i
        for c, gaussian in gaussians(x[others], y[others], shrink).items():
            scores[i, c] = gaussian.logpdf(x[i])
    return scores


def likeliest_temperature(scores, y):
    """Find it by a grid, then closely; no seed's own class may be impossible."""

    def loss(log_temperature):
        log_proba = log_softmax(scores / np.exp(log_temperature), axis=1)
        return -log_proba[np.arange(len(y)), y].mean()

    grid = np.linspace(-2, 8, 201)
    best = grid[np.argmin([loss(g) for g in grid])]
    found = minimize_scalar(loss, bounds=(best - 0.05, best + 0.05), method="bounded")
    assert -1.9 < found.x < 7.9  # else the data of this test are too easy or hopeless
    return np.exp(found.x)


def standardised(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


@pytest.mark.reference
@pytest.mark.parametrize("abstain", [0.0, 0.25])
@pytest.mark.parametrize(
    ("n_per_class", "d", "shrink"), [(5, 1, 0.5), (6, 2, 0.2), (6, 8, 1.0)]
)
def test_likelihood_is_calibrated_on_gaussians_refitted_without_each_seed(
    n_per_class, d, shrink, abstain
):
    x, y = seeds_of(n_per_class, d=d, seed=4)
    rule = fit(Likelihood(score, shrink=shrink, abstain=abstain), x, y, (0, 1, 2))
    points = standardised(x.astype(np.float64))
    left_out = refitted_scores(points, y, 3, shrink)
    temperature = likeliest_temperature(left_out, y)
    gaussian = gaussians(points, y, shrink)
    scores = np.stack([gaussian[c].logpdf(points) for c in range(3)], axis=1)
    posterior = 0.95 * softmax(scores / temperature, axis=1) + 0.05 / 3
    ranked = np.sort(left_out / temperature, axis=1)
    margin = np.quantile(ranked[:, -1] - ranked[:, -2], abstain) if abstain else 0
    ranked = np.sort(scores / temperature, axis=1)
    sure = ranked[:, -1] - ranked[:, -2] >= margin
    assert sure.all() == (abstain == 0)
    want = np.where(sure[:, None], posterior, 0)
    np.testing.assert_allclose(weigh(rule, x), want, rtol=2e-3, atol=1e-4)


@pytest.mark.reference
def test_the_only_seed_of_a_class_does_not_vouch_for_itself():
    x, y = seeds_of(6, d=2, seed=4)
    x, y = x[:13], y[:13]  # one seed of class 2
    points = standardised(x.astype(np.float64))
    left_out = refitted_scores(points, y, 3, 0.5)
    assert left_out[12, 2] == -np.inf
    temperature = likeliest_temperature(left_out[:12], y[:12])
    gaussian = gaussians(points, y, 0.5)
    scores = np.stack([gaussian[c].logpdf(points) for c in range(3)], axis=1)
    posterior = 0.95 * softmax(scores / temperature, axis=1) + 0.05 / 3
    rule = fit(Likelihood(score), x, y, (0, 1, 2))
    np.testing.assert_allclose(weigh(rule, x), posterior, rtol=2e-3, atol=1e-4)


def test_likelihood_is_certain_of_no_class():
    x, y = seeds_of(apart=50)
    weights = weigh(fit(Likelihood(score), x, y, (0, 1, 2)), 100 * x)
    np.testing.assert_allclose(weights.max(), 0.95 + 0.05 / 3, rtol=1e-5)
    np.testing.assert_allclose(weights.min(), 0.05 / 3, rtol=1e-5)


# CountLikelihood


def test_the_table_of_counts_is_made_of_the_seeds_and_one_imaginary_one():
    # Class 0 has counts 0 0 1, class 1 has 1 2 7; 7 counts as the most, 3.
    values, labels = [0, 0, 1, 1, 2, 7], [0, 0, 0, 1, 1, 1]
    rule = fit(CountLikelihood(score, most=3), values, labels, (0, 1))
    # Of all: two, two, one, one; with one each imagined: 3 3 2 2 of 10.
    zero, one = np.array([2.3, 1.3, 0.2, 0.2]) / 4, np.array([0.3, 1.3, 1.2, 1.2]) / 4
    table = np.stack([zero, one], axis=1)
    want = table / table.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(weigh(rule, [[0], [1], [2], [3]]), want, rtol=1e-5)


def test_counts_are_rounded_and_those_out_of_range_are_the_nearest():
    values, labels = [0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1]
    rule = fit(CountLikelihood(score, most=2), values, labels, (0, 1))
    odd = weigh(rule, [[-3], [0.4], [0.6], [9]])
    np.testing.assert_array_equal(odd, weigh(rule, [[0], [0], [1], [2]]))


def test_seeds_of_other_classes_are_not_in_the_table():
    own = fit(CountLikelihood(score), [0, 0, 2, 2], [0, 0, 1, 1], (0, 1))
    more = fit(CountLikelihood(score), [0, 0, 2, 2, 4], [0, 0, 1, 1, 5], (0, 1))
    np.testing.assert_array_equal(own.learned["scores"], more.learned["scores"])


def test_counts_that_part_no_classes_get_no_vote_where_it_may_abstain():
    # Only count 3 tells the classes apart; half the seeds are about as unsure as 0.
    values, labels = [0, 0, 3, 3, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1]
    rule = fit(CountLikelihood(score, abstain=0.7), values, labels, (0, 1))
    assert weigh(rule, [[0], [3]]).any(axis=1).tolist() == [False, True]


# OneVsRest and Gate


@pytest.mark.parametrize("side", ["above", "below"])
def test_the_vote_is_the_share_of_the_seeds_beyond_the_cut(side):
    # Beyond 5 lie two seeds of the claimed class 1, one of 2, none of 0; the cut below
    # 10 is purer: 2 of 2.
    values = np.array([1, 2, 3, 4, 6, 11, 12, 3])
    labels = [0, 0, 0, 2, 2, 1, 1, 1]
    values = values if side == "above" else -values
    rule = OneVsRest(score, [1], side=side, min_recall=0.5)
    learned = fit(rule, values, labels, (0, 1, 2))
    sign = 1 if side == "above" else -1
    weights = weigh(learned, sign * np.array([[8.4], [8.6], [99]]))
    # Two seeds of class 1, and two imaginary ones spread over three classes.
    beyond = np.array([2 / 3, 2 + 2 / 3, 2 / 3]) / 4
    np.testing.assert_allclose(weights, [np.zeros(3), beyond, beyond], rtol=1e-6)


def test_what_else_lies_beyond_the_cut_gets_its_share():
    values, labels = [1, 2, 3, 5, 6, 7, 8, 9], [0, 0, 0, 2, 1, 1, 1, 5]
    rule = OneVsRest(score, [1], min_recall=1.0)
    learned = fit(rule, values, labels, (0, 1, 2))
    # The cut lies below 6; the seed of class 5, not declared, has no column.
    assert learned.learned["cut"] == 5.5
    np.testing.assert_allclose(
        weigh(learned, [[7]]), [np.array([2 / 3, 3 + 2 / 3, 2 / 3]) / 5], rtol=1e-6
    )


def test_several_claimed_classes_pass_together():
    values, labels = [1, 2, 5, 6, 7, 8], [0, 0, 1, 1, 2, 2]
    learned = fit(OneVsRest(score, [1, 2], min_recall=0.8), values, labels, (0, 1, 2))
    assert learned.learned["cut"] == 3.5
    np.testing.assert_allclose(
        weigh(learned, [[6]]), [np.array([2, 8, 8]) / 18], rtol=1e-6
    )


def test_a_vector_is_cut_by_its_log_odds_against_all_other_classes():
    x, y = seeds_of(20, d=6, apart=6)
    learned = fit(OneVsRest(score, [1], min_recall=0.8), x, y, (1,))
    new, truth = seeds_of(200, d=6, apart=6)
    passed = weigh(learned, new)[:, 0] > 0
    assert (truth[passed] == 1).mean() > 0.9
    assert passed[truth == 1].mean() > 0.6
    # A function that declares one class votes for it entirely, and only there.
    assert set(weigh(learned, new)[:, 0].tolist()) == {0.0, 1.0}


def left_out_odds(x, y, claims, d):
    """Log odds of the claims by whitened means refitted without each seed.

    NearestMean with a single seed held out, its weights read from its arrays: the
    temperature stays that of all seeds.
    """
    classes = tuple(np.unique(y).tolist())
    ridge_of = {"trim": 0.1, "shrink": 0.3, "abstain": 0}
    odds = np.zeros(len(x))
    for i in range(len(x)):
        others = np.arange(len(x)) != i
        learned = fit(NearestMean(score, **ridge_of), x[others], y[others], classes)
        scores = x[i] @ learned.learned["weights"] + learned.learned["bias"]
        claimed = np.isin(classes, claims)
        odds[i] = np.logaddexp.reduce(scores[claimed]) - np.logaddexp.reduce(
            scores[~claimed]
        )
    return odds


@pytest.mark.parametrize("recall", [0.5, 0.8, 1.0])
def test_a_gate_passes_its_share_of_the_seeds_it_has_not_seen(recall):
    x, y = seeds_of(20, d=6, apart=1)
    learned = fit(Gate(score, recall=recall), x, y, (0, 1))
    declared = y < 2
    # Refitting moves the temperature a little, so a seed at the cut may go either way.
    odds = left_out_odds(x, y, (0, 1), 6)[declared]
    passed = (odds >= learned.learned["cut"]).mean()
    assert abs(passed - recall) <= 0.05
    # The fitted gate has seen them, and passes at least as many.
    assert weigh(learned, x[declared]).mean() >= recall


def test_a_gate_lets_new_images_of_its_classes_pass_and_few_others():
    x, y = seeds_of(20, d=6, apart=6)
    gate = fit(Gate(score, recall=0.9), x, y, (0, 1))
    new, truth = seeds_of(200, d=6, apart=6)
    passed = weigh(gate, new)[:, 0]
    assert set(passed.tolist()) == {0.0, 1.0}
    assert passed[truth < 2].mean() > 0.8
    assert passed[truth == 2].mean() < 0.2


def test_a_gate_is_open_where_nothing_else_is_known():
    x, y = seeds_of()
    gate = fit(Gate(score), x, y, (0, 1, 2))
    assert (weigh(gate, 100 * x) == 1).all()


def test_a_gate_silences_the_rule_it_is_multiplied_with():
    x, y = seeds_of(20, d=6, apart=6)
    pair = fit(NearestMean(score, abstain=0), x, y, (0, 1)).value
    gate = fit(Gate(score, recall=1.0), x, y, (0, 1)).value
    values = torch.tensor(x)
    product = (pair(values) * gate(values)).numpy()
    assert product[y == 2].any(axis=1).mean() < 0.3
    assert product[y < 2].any(axis=1).all()


# Calibration


def new_of(n, values_of, k, rng):
    labels = np.repeat(np.arange(k), n)
    return values_of(labels, rng).astype(np.float32), labels


def clouds(labels, rng):
    centres = np.array([[0, 0, 0], [1.5, 0, 0], [0, 1.5, 0], [0, 1, 1.5]])
    return centres[labels] + rng.normal(size=(len(labels), 3)) * [1, 0.7, 1.3]


def counts(labels, rng):
    return rng.poisson(np.array([0.3, 1.0, 2.0, 4.0])[labels])[:, None]


def lines(labels, rng):
    return np.array([1.0, 2.0, 4.0, 7.0])[labels, None] + rng.normal(
        size=(len(labels), 1)
    )


@pytest.mark.parametrize(
    ("rule", "values_of"),
    [
        (NearestMean(score, abstain=0), clouds),
        (Likelihood(score), clouds),
        (Likelihood(score), lines),
        (CountLikelihood(score), counts),
        (NearestNorm(score, soft=True), lines),
        (OneVsRest(score, [3]), lines),
        (OneVsRest(score, [3], min_recall=0.7), clouds),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_votes_are_as_sure_as_they_are_right_on_new_images(rule, values_of):
    """Twenty seeds of four classes and a thousand new images, ten times over."""
    n_images, surplus = np.zeros((2, 4))  # in buckets of how sure a vote is
    for seed in range(10):
        rng = np.random.default_rng(seed)
        learned = fit(rule, *new_of(20, values_of, 4, rng), (0, 1, 2, 3))
        values, truth = new_of(250, values_of, 4, rng)
        weights = weigh(learned, values)
        voted = weights.any(axis=1)
        sure = weights[voted].max(axis=1)
        right = weights[voted].argmax(axis=1) == truth[voted]
        bucket = np.digitize(sure, [0.4, 0.6, 0.8])
        n_images += np.bincount(bucket, minlength=4)
        surplus += np.bincount(bucket, sure - right, minlength=4)
    assert abs(surplus.sum() / n_images.sum()) < 0.07
    many = n_images > 0.05 * n_images.sum()
    assert (np.abs(surplus[many] / n_images[many]) < 0.1).all()


def test_one_vs_rest_wants_a_list_of_claims():
    with pytest.raises(
        DeclarationError, match=r"claims is 3; give a list: claims=\[3\]"
    ):
        OneVsRest(gray28, 3)


def test_one_vs_rest_takes_no_side_of_a_vector():
    values = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    rule = OneVsRest(gray28, [1], side="below")
    with pytest.raises(DeclarationError, match="one number per image; 'gray28' has 3"):
        rule.fit(
            values,
            np.repeat([0, 1], 10),
            classes=(0, 1),
            rng=np.random.default_rng(0),
        )


def test_one_seed_per_class_makes_nobody_certain():
    """Without residuals the ridge was 3e-13: confidence 1.0 at accuracy .7."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, 8))
    labels = np.repeat(np.arange(5), 40)
    values = (centres[labels] + 0.7 * rng.normal(size=(200, 8))).astype(np.float32)
    seeds = np.arange(0, 200, 40)
    rule = NearestMean(gray28, abstain=0).fit(
        values[seeds], labels[seeds], classes=tuple(range(5)), rng=rng
    )
    votes = rule.value(torch.from_numpy(values)).numpy()
    assert np.isfinite(votes).all()
    assert votes.max(axis=1).mean() < 0.95
