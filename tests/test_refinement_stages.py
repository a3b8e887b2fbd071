"""Each stage of refinement, and what it is made of, on cases solved by hand.

The expected numbers come from fractions, closed forms or a few lines of plain linear
algebra in the test, never from the code that is tested.
"""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize

from lfkit.data.folds import deal_folds
from lfkit.nn import Augmentation, Compute, TrainingPlan, train
from lfkit.refinement import ArrayFeatures
from lfkit.refinement.class_prior import ClassPrior, align, estimate_prior
from lfkit.refinement.held_out_check import (
    HeldOutSeeds,
    fewer_right,
    less_likely,
    weights_of_classes,
)
from lfkit.refinement.lda_model import (
    SharedCovariance,
    discriminant,
    metric,
    moments,
)
from lfkit.refinement.mirrored import is_flip_invariant
from lfkit.refinement.neighbors import Neighbors, affinity, diffuse
from lfkit.refinement.pca import compact, fit_compactor
from lfkit.refinement.problem import RefinementProblem, small_pixels
from lfkit.refinement.product_of_experts import as_sure_as, fit_powers, logs, product
from lfkit.refinement.stages import self_training
from lfkit.refinement.stages.align import Align
from lfkit.refinement.stages.diffuse import Diffuse, DiffuseAgain
from lfkit.refinement.stages.distill import Distill
from lfkit.refinement.stages.joint import Joint
from lfkit.refinement.stages.lda import Lda
from lfkit.refinement.stages.looks_at_seeds import looks_at_seeds
from lfkit.refinement.stages.self_training import SelfTraining
from lfkit.refinement.stages.stage import Stage, StageContext
from lfkit.refinement.without_seeds import LabelsWithoutSeeds

NO_CHANGE = Augmentation(0, 0, 0, 0, 0, 0, 0, 0, cutout=(0, 0))


def problem(proba, *, seeds=None, judges=None, features=None, **changes):
    """A refinement of these posteriors, (n, k), with seeds as row → class."""
    proba = np.asarray(proba, np.float64)
    n, k = proba.shape
    rows = np.array(sorted(seeds or {}), np.int64)
    labels = np.array([seeds[row] for row in rows], np.int64)
    features = np.zeros((n, 1)) if features is None else np.asarray(features)
    fields = {
        "pixels": np.zeros((n, 4, 4, 1), np.uint8),
        "features": (features.reshape(n, -1).astype(np.float16),),
        "proba": proba,
        "said": proba.argmax(axis=1),
        "voted": np.ones(n, bool),
        "readable": np.ones(n, bool),
        "seed_rows": rows,
        "seed_labels": labels,
        "judges": np.ones(len(rows), bool) if judges is None else np.array(judges),
        "possible": np.ones(k, bool),
        "prior": None,
        "plan": TrainingPlan(),
        "random_state": 0,
        "device": "cpu",
    }
    return RefinementProblem(**{**fields, **changes})


def run(stage, task, known=None):
    """What a stage gives from the arrays of the stages before it."""
    known = {"proba": task.proba, **(known or {})}
    assert stage.why_not(task, known) is None
    return stage.run(task, known, StageContext(lambda name, compute: compute()))


def power(proba, exponent):
    """Posteriors raised to a power, rows summing to 1 again."""
    raised = np.asarray(proba) ** exponent
    return raised / raised.sum(axis=1, keepdims=True)


def of_confidence(proba, wanted):
    """The power at which the mean of the largest is as wanted, by bisection."""
    low, high = 1e-3, 100.0
    for _ in range(200):
        middle = (low * high) ** 0.5
        is_less = power(proba, middle).max(axis=1).mean() < wanted
        low, high = (middle, high) if is_less else (low, middle)
    return power(proba, low)


def dense_graph(similarity):
    """Normalised affinity of images of which each is a neighbour of each, (n, n)."""
    weights = np.maximum(similarity, 0)
    np.fill_diagonal(weights, 0)
    root = np.sqrt(np.maximum(weights.sum(axis=1), 1e-300))
    return weights / root[:, None] / root


def spread_by_hand(graph, start, alpha=0.8, n_steps=30):
    found = start
    for _ in range(n_steps):
        found = alpha * graph @ found + (1 - alpha) * start
    return found / found.sum(axis=1, keepdims=True)


SHARES = np.array([0.25, 0.75])


def aligned_by_hand(proba):
    """Classes and rows scaled in turn until the classes have `SHARES`."""
    for _ in range(10):
        proba = proba * (SHARES / proba.mean(axis=0))
        proba = proba / proba.sum(axis=1, keepdims=True)
    return proba


# Class shares and the stage `align`


def test_one_round_of_alignment_by_hand():
    proba = np.array([[0.9, 0.1], [0.6, 0.4]])
    # Means 3/4 and 1/4: the classes are scaled by 2/3 and 2, then rows sum to 1.
    found = align(proba, np.array([0.5, 0.5]), n_steps=1)
    np.testing.assert_allclose(found, [[3 / 4, 1 / 4], [1 / 3, 2 / 3]], rtol=1e-12)


def test_alignment_multiplies_all_odds_by_one_number():
    # Odds 9 and 3/2. With shares of a half the odds, scaled by r, multiply to 1.
    r = (9 * 1.5) ** -0.5
    expected = [9 * r / (9 * r + 1), 1.5 * r / (1.5 * r + 1)]
    found = align(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0.5, 0.5]), n_steps=60)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-9)


def test_shares_behind_posteriors_that_err_on_one_class():
    # The mean is (3/5, 2/5). One seed of each class, and one imaginary one: an image of
    # class 0 looks like it 3 times of 4, one of class 1 always. The stationary point of
    # the likelihood, with one more seed per class at the mean, solves
    # -3/4 q² + 7/5 q - 3/5 = 0, which is 2/3.
    a, b, c = Fraction(-3, 4), Fraction(7, 5), Fraction(-3, 5)
    root = Fraction(2, 5)
    assert root**2 == b * b - 4 * a * c
    q = (-b + root) / (2 * a)
    assert q == Fraction(2, 3)
    proba = np.array([[0.8, 0.2], [0.4, 0.6]])
    seed_proba = np.array([[0.5, 0.5], [0.0, 1.0]])
    found = estimate_prior(
        proba, seed_proba=seed_proba, seed_labels=np.array([0, 1], np.int64)
    )
    np.testing.assert_allclose(found.shares, [2 / 3, 1 / 3], atol=1e-6)


def test_the_seeds_own_shares_count_by_james_and_stein():
    seed_proba = np.array([[0.9, 0.1], [0.7, 0.3], [0.1, 0.9], [0.3, 0.7]])
    labels = np.array([0, 0, 1, 1])
    proba = np.tile([0.75, 0.25], (6, 1))
    # Residuals ±.1: covariance .04 / (4 * 2) along (1, -1); one seed of doubt: 1/16.
    error = 0.04 / 8 * np.array([[1.0, -1.0], [-1.0, 1.0]]) + np.eye(2) / 16
    # Seeds show no bias, which is usually .3 of a share: both say how large it may be.
    # The means are 1/4 apart in each class.
    usual = np.diag([0.225**2, 0.075**2])
    left = np.linalg.inv(np.linalg.inv(error) + np.linalg.inv(usual))
    gap = np.array([0.25, -0.25])
    weight = 1 / float(gap @ np.linalg.inv(left) @ gap)
    # (1.6 + 1) / 3 and (.4 + 1 - 1) / 3 of each class look like it and like the other.
    right, wrong = 2.6 / 3, 0.4 / 3

    def moved(q):
        first = right * q + wrong * (1 - q)
        explained = q * (right * 0.75 / first + wrong * 0.25 / (1 - first))
        return (4 * explained + 2 * 0.75) / 6 - q

    low, high = 0.5, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if moved(middle) > 0 else (low, middle)
    expected = (1 - weight) * low + weight / 2
    found = estimate_prior(proba, seed_proba=seed_proba, seed_labels=labels)
    assert 0.05 < weight < 0.1
    assert found.shares[0] == pytest.approx(expected, abs=1e-6)


def test_align_uses_only_seeds_that_the_votes_have_not_learned_from():
    proba = [[0.8, 0.2], [0.4, 0.6], [0.6, 0.4]]
    task = problem(proba, seeds={0: 0, 1: 1, 2: 1}, judges=[True, True, False])
    seed_proba = np.array([[0.5, 0.5], [0.0, 1.0]])
    found = run(Align(), task, {"seed_proba": seed_proba})
    # As above: the mean is (3/5, 2/5), and the third seed counts nothing.
    np.testing.assert_allclose(found["class_prior"], [2 / 3, 1 / 3], atol=1e-6)
    odds = (found["proba"][:, 0] / found["proba"][:, 1]) / [4, 2 / 3, 1.5]
    np.testing.assert_allclose(odds, odds[0], rtol=1e-9)
    assert found["proba"][:, 0].mean() == pytest.approx(2 / 3, abs=1e-4)


def test_align_takes_given_shares_as_they_are():
    task = problem(
        [[0.9, 0.1], [0.6, 0.4]], prior=ClassPrior(np.array([0.5, 0.5]), "given")
    )
    found = run(Align(), task)
    r = (9 * 1.5) ** -0.5
    expected = [9 * r / (9 * r + 1), 1.5 * r / (1.5 * r + 1)]
    np.testing.assert_allclose(found["proba"][:, 0], expected, atol=1e-3)
    np.testing.assert_array_equal(found["class_prior"], [0.5, 0.5])


# Products of experts


def test_product_of_two_experts_by_hand():
    first, second = np.array([[0.5, 0.5]]), np.array([[0.8, 0.2]])
    found = product([logs(first), logs(second)], [1, 2])
    np.testing.assert_allclose(found, [[16 / 17, 1 / 17]], rtol=1e-12)


def test_impossible_is_a_log_of_minus_thirty():
    np.testing.assert_allclose(logs(np.array([[1.0, 0.0]])), [[0, -30]])


def test_power_of_one_expert_is_the_log_odds_of_how_often_it_is_right():
    scores = np.array([[0.0, -1.0]] * 3)
    targets = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    # With the imaginary row: right 2.5 times of 4.
    powers, loss = fit_powers([scores], targets)
    assert powers[0] == pytest.approx(np.log(2.5 / 1.5), abs=1e-4)
    expected = -(2.5 * np.log(2.5 / 4) + 1.5 * np.log(1.5 / 4)) / 3
    assert loss == pytest.approx(expected, abs=1e-8)


def test_experts_that_speak_of_different_rows_are_weighed_apart():
    n = 7
    speaks = np.arange(n) < 3
    first = np.where(speaks[:, None], [0.0, -2.0], 0.0)
    second = np.where(speaks[:, None], 0.0, [0.0, -5.0])
    targets = np.eye(2)[[0, 0, 1, 0, 0, 0, 1]]
    powers, _ = fit_powers([first, second], targets)
    each = 1 / (2 * n)  # of the imaginary row, in each cell
    log_odds = [
        np.log((right + rows * each) / (rows - right + rows * each))
        for right, rows in ((2, 3), (3, 4))
    ]
    np.testing.assert_allclose(powers, [log_odds[0] / 2, log_odds[1] / 5], atol=1e-4)


def test_an_expert_that_is_mostly_wrong_gets_no_power():
    scores = np.array([[0.0, -1.0]] * 4)
    targets = np.eye(2)[[1, 1, 1, 0]]
    assert fit_powers([scores], targets)[0][0] == 0


def test_posteriors_keep_power_one_until_rows_tell_otherwise():
    posterior = np.array([[0.0, -1.0]])
    for n, right in ((0, 0), (1, 0), (4, 1), (400, 300)):
        said = np.repeat(posterior, max(n, 1), axis=0)
        targets = np.eye(2)[[0] * right + [1] * (n - right)] if n else np.zeros((1, 2))
        power = fit_powers([], targets, [said], [1.0])[0][0]
        # Where the slope is zero: of the rows, half of the imaginary one among them,
        # and of a normal distribution about 1.
        surplus = right + 0.5 - (n + 1) / (1 + np.exp(-power))
        assert surplus == pytest.approx((power - 1) / 0.3**2, abs=1e-3)
    assert power == pytest.approx(np.log(3), abs=0.02)  # rows decide
    # Beside another expert, whose power nothing holds.
    powers = fit_powers([0 * said], targets, [said], [1.0])[0]
    assert powers[1] == pytest.approx(power, abs=1e-4)


def test_as_sure_as_raises_all_rows_to_one_power():
    found = as_sure_as(np.array([[0.8, 0.2], [0.5, 0.5]]), 0.7)
    np.testing.assert_allclose(found, [[0.9, 0.1], [0.5, 0.5]], atol=1e-5)
    flat = np.full((3, 2), 0.5)
    np.testing.assert_array_equal(as_sure_as(flat, 0.9), flat)  # cannot be any surer


# Compact features


def test_features_are_standardised_clipped_and_weighed_by_their_width():
    narrow = np.array([0.0, 2.0, 0.0, 2.0])
    wide = np.array([[0.0, 7], [4.0, 7], [0.0, 7], [np.nan, 7]])
    views = ArrayFeatures([narrow, wide])
    learned = fit_compactor(views, 0)
    found = compact(views, learned)
    # Known values 0, 4, 0: mean 4/3, deviation sqrt(32)/3; the constant says nothing.
    low, high = (-4 / 32**0.5 / 2**0.5, 8 / 32**0.5 / 2**0.5)
    expected = [[-1, low, 0], [1, high, 0], [-1, low, 0], [1, 0, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    far = learned(np.array([[1e6, -1e6, 7]], np.float32))
    np.testing.assert_allclose(far, [[10, -10 / 2**0.5, 0]], rtol=1e-6)


def test_more_numbers_than_kept_lose_nothing_that_few_images_show():
    rows = np.random.default_rng(0).normal(size=(6, 700))
    views = ArrayFeatures([rows])
    found = compact(views, fit_compactor(views, 0)).astype(np.float64)
    standard = (rows - rows.mean(axis=0)) / rows.std(axis=0) / 700**0.5
    assert found.shape[1] <= 6
    np.testing.assert_allclose(found @ found.T, standard @ standard.T, atol=2e-3)


# Discriminants and the stage `lda`


def test_discriminant_in_one_dimension_by_hand():
    rows = np.array([[0.0], [2.0], [4.0], [6.0]])
    found = discriminant(moments(rows, np.eye(2)[[0, 0, 1, 1]]), 0.3)
    # Means 1 and 5, variance 1: the scores differ by 4 x - 12.
    scores = found(np.array([[0.0], [3.0], [4.0]]))
    np.testing.assert_allclose(scores[:, 1] - scores[:, 0], [-12, 0, 4], atol=1e-4)
    np.testing.assert_array_equal(scores.max(axis=1), 0)


def test_shrinkage_takes_the_covariance_half_way_to_a_sphere():
    # Residuals ±2 across and none upwards: covariance (4, 0), shrunk by a half (3, 1).
    rows = np.array([[-2.0, 0], [2.0, 0], [1.0, 1], [5.0, 1]])
    found = discriminant(moments(rows, np.eye(2)[[0, 0, 1, 1]]), 0.5)
    np.testing.assert_allclose(found.weights[:, 1], [1, 1], atol=1e-5)
    np.testing.assert_allclose(found.bias, [0, -2], atol=1e-5)


def test_soft_rows_count_by_their_weights():
    rows = np.array([[0.0], [4.0]])
    found = moments(rows, np.array([[0.75, 0.25], [0.25, 0.75]]))
    np.testing.assert_allclose(found.means, [[1], [3]])
    np.testing.assert_allclose(found.within, [[3]])  # 0.75 * 1 + 0.25 * 9


def test_moments_without_a_fold_are_those_of_the_other_rows():
    rows, labels = np.arange(8.0).reshape(4, 2) ** 2, np.eye(2)[[0, 1, 0, 1]]
    left = moments(rows, labels) - moments(rows[:1], labels[:1])
    other = moments(rows[1:], labels[1:])
    np.testing.assert_allclose(left.means, other.means)
    np.testing.assert_allclose(left.within, other.within)


def test_a_class_without_examples_gets_the_others_mean_score():
    rows = np.array([[0.0], [2.0], [4.0], [6.0]])
    found = discriminant(moments(rows, np.eye(3)[[0, 0, 1, 1]]), 0.3)
    scores = found(np.array([[4.0]]))  # 4 ahead
    np.testing.assert_allclose(scores, [[-4, 0, -2]], atol=1e-4)


def test_spread_is_the_squared_distance_of_unseen_rows_in_one_dimension():
    rows = np.array([[0.0], [2.0], [4.0], [6.0]])
    known = moments(rows, np.eye(2)[[0, 0, 1, 1]])  # means 1 and 5, variance 1
    unseen, classes = np.array([[3.0], [8.0]]), np.eye(2)[[0, 1]]
    # 2 and 3 away; a mean of two rows adds half of what is looked for.
    expected = (4 + 9) / 2 / 1.5
    found = SharedCovariance(known, 0.0).spread(unseen, classes)
    assert found == pytest.approx(expected, 1e-4)


def test_spread_gives_a_class_of_few_rows_what_its_mean_owes_to_chance():
    rows = np.array([[0.0], [2.0], [4.0], [6.0], [5.0], [5.0]])
    known = moments(rows, np.eye(2)[[0, 0, 1, 1, 1, 1]])
    plain = discriminant(known, 0.3).bias
    found = SharedCovariance(known, 0.3).discriminant(3.0).bias
    np.testing.assert_allclose(found - plain, [3 / 4, 3 / 8])


def test_a_class_of_three_rows_is_not_denied_images_for_its_long_mean():
    rng = np.random.default_rng(0)
    centers = np.zeros((2, 200))
    centers[1, 0] = 6
    labels = np.repeat([0, 1], [3, 30])
    rows = centers[labels] + rng.normal(size=(33, 200))
    classes = SharedCovariance(moments(rows, np.eye(2)[labels]), 0.5)
    test_labels = np.repeat([0, 1], 200)
    test = centers[test_labels] + rng.normal(size=(400, 200))

    def recall_of_first(spread):
        named = classes.discriminant(spread)(test).argmax(axis=1)
        return (named == 0)[:200].mean()

    spread = classes.spread(test, np.eye(2)[test_labels])
    assert recall_of_first(0.0) < 0.1
    assert recall_of_first(spread) > 0.7


def test_rows_are_made_equally_long_where_seeds_are_likelier_by_directions():
    # Two directions, each with rows of unlike lengths.
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 2
    angles = np.where(labels == 0, 0.5, 1.1) + rng.normal(size=24) * 0.1
    lengths = rng.choice([1.0, 20.0], 24)
    rows = lengths[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    votes = np.full((24, 2), 0.5)
    seeds = dict(enumerate(labels[:16].tolist()))
    found = run(Lda(), problem(votes, seeds=seeds, features=rows))
    assert found["lda0_equal_lengths"]
    assert (found["proba"].argmax(axis=1) == labels)[16:].all()
    # Where lengths tell the classes they stay.
    rows = np.stack([1 + labels + 0.1 * rng.normal(size=24), np.zeros(24)], axis=1)
    found = run(Lda(), problem(votes, seeds=seeds, features=rows))
    assert not found["lda0_equal_lengths"]
    assert (found["proba"].argmax(axis=1) == labels)[16:].all()


def test_metric_whitens_within_classes_and_keeps_the_widest_directions():
    within, total = np.diag([4.0, 1.0]), np.diag([4.0, 9.0])
    both = metric(within, total, shrinkage=0)
    np.testing.assert_allclose(np.abs(both), [[0.5, 0], [0, 1]], atol=1e-5)
    one = metric(within, total, shrinkage=0, n_directions=1)
    np.testing.assert_allclose(np.abs(one), [[0], [1]], atol=1e-5)


SEED_X = np.array([-3.0, -1.0, 0.5, -2.0, 1.0, 3.0, 0.0, 2.0, 1.5, -0.5])
SEED_Y = np.repeat([0, 1], 5)


def scores_of_others(x, labels, where, spread=0.0):
    """Log likelihoods of Gaussians of one variance, (len(where), 2)."""
    means = [x[labels == c].mean() for c in (0, 1)]
    variance = np.mean([(a - means[c]) ** 2 for a, c in zip(x, labels, strict=True)])
    near = np.stack([-((where - mean) ** 2) / 2 / variance for mean in means], axis=1)
    return near + spread / 2 / np.bincount(labels)


def left_out_scores():
    """Of each seed, by the nine others, four of which are of its own class."""

    def by_others(spread):
        return np.array([by_nine(row, spread)[0] for row in range(10)])

    def by_nine(row, spread):
        x, labels = np.delete(SEED_X, row), np.delete(SEED_Y, row)
        return scores_of_others(x, labels, SEED_X[[row]], spread)

    squared = -2 * by_others(0.0)[np.arange(10), SEED_Y]
    return by_others(np.mean(squared / (1 + 1 / 4)))


def likeliest(experts, targets, spread=np.inf):
    """Powers by a plain search: one imaginary row beside the real ones.

    The last is expected to be 1, so far as `spread` says.
    """
    n, k = targets.shape

    def loss(powers):
        total = sum(p * e for p, e in zip(powers, experts, strict=True))
        return ((powers[-1] - 1) / spread) ** 2 / 2 - (
            (targets + 1 / (n * k))
            * torch.log_softmax(torch.from_numpy(total), 1).numpy()
        ).sum()

    found = minimize(
        loss,
        [1.0] * len(experts),
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-12, "maxiter": 4000},
    )
    assert (found.x > 0).all()
    return found.x


def product_by_hand(experts, powers):
    total = sum(p * e for p, e in zip(powers, experts, strict=True))
    total = np.exp(total - total.max(axis=1, keepdims=True))
    return total / total.sum(axis=1, keepdims=True)


def seeded_votes():
    """Votes on the ten seeds, one of them wrong, and on three more images."""
    first = [0.9, 0.6, 0.8, 0.7, 0.9, 0.2, 0.4, 0.6, 0.1, 0.3, 0.5, 0.9, 0.2]
    return np.column_stack([first, 1 - np.array(first)])


def test_lda_weighs_features_and_votes_by_seeds_that_neither_has_seen():
    x = np.concatenate([SEED_X, [-1.0, 0.25, 2.5]])
    votes = seeded_votes()
    task = problem(votes, seeds=dict(enumerate(SEED_Y.tolist())), features=x)
    held_out = [left_out_scores(), np.log(votes[:10])]
    powers = likeliest(held_out, np.eye(2)[SEED_Y], spread=0.3)
    everyone = scores_of_others(SEED_X, SEED_Y, x)
    expected = product_by_hand([everyone, np.log(votes)], powers)
    # Of a seed only what has not seen it is said.
    expected[:10] = product_by_hand(held_out, powers)
    found = run(Lda(), task)
    np.testing.assert_allclose(found["proba"], expected, atol=1e-4)
    np.testing.assert_allclose(found["seed_proba"], expected[:10], atol=1e-4)
    assert float(found["vote_power"]) == pytest.approx(powers[1], abs=1e-3)


def test_votes_that_learned_from_the_seeds_get_a_fifth_of_their_weight():
    x = np.concatenate([SEED_X, [-1.0, 0.25, 2.5]])
    votes = seeded_votes()
    seeds = dict(enumerate(SEED_Y.tolist()))
    task = problem(votes, seeds=seeds, features=x, judges=[False] * 10)
    held_out = left_out_scores()
    powers = [*likeliest([held_out], np.eye(2)[SEED_Y]), 0.2]
    everyone = scores_of_others(SEED_X, SEED_Y, x)
    expected = product_by_hand([everyone, np.log(votes)], powers)
    found = run(Lda(), task)
    np.testing.assert_allclose(found["proba"][10:], expected[10:], atol=1e-4)
    assert "seed_proba" not in found


def test_the_better_of_two_sets_of_features_makes_the_graph():
    x = np.concatenate([SEED_X, [-1.0, 0.25, 2.5]])
    votes = np.full((13, 2), 0.5)
    noise = np.tile([1.0, -1.0], 7)[:13]
    task = problem(votes, seeds=dict(enumerate(SEED_Y.tolist())), features=noise)
    task = replace(task, features=(*task.features, x[:, None].astype(np.float16)))
    assert int(run(Lda(), task)["best_features"]) == 1


# The stage `self-training`: twenty images, two of each voted class so placed that the
# features deny the vote.
PLACE = np.array([-1.25, -1.0, -1.0, -0.75, -1.0, -1.25, -0.75, -1.0, 1.0, 1.25])
PLACES = np.concatenate([PLACE, -PLACE])
VOTED = np.repeat([0, 1], 10)
# The same deal of images to five folds as the stage makes.
DEALT = np.random.default_rng([0, 20]).permutation(20) % 5


def soft_scores(x, weights, where):
    """Log likelihoods of Gaussians that share a variance, from weighted rows."""
    means = weights.T @ x / weights.sum(axis=0)
    gaps = (x[:, None] - means) ** 2
    variance = (weights * gaps).sum() / weights.sum()
    return -((where[:, None] - means) ** 2) / 2 / variance


def scores_out_of_fold(weights):
    scores = np.zeros((20, 2))
    for fold in range(5):
        test = fold == DEALT
        scores[test] = soft_scores(PLACES[~test], weights[~test], PLACES[test])
    return scores


def likeliest_beside(said, scores):
    """The power that makes the images, and one of any class, likeliest."""

    def loss(power):
        own = product_by_hand([scores], [power[0]])
        imaginary = np.log(np.maximum(own, 1e-300)).sum() / own.size
        return -np.log((own * said).sum(axis=1)).sum() - imaginary

    found = minimize(loss, [1.0], method="Nelder-Mead", options={"xatol": 1e-8})
    return float(found.x[0])


@pytest.mark.parametrize("n_rounds", [1, 2])
def test_each_round_learns_from_the_labels_of_the_one_before(monkeypatch, n_rounds):
    monkeypatch.setattr(self_training, "N_ROUNDS", n_rounds)
    votes = np.where(np.eye(2)[VOTED] > 0, 0.8, 0.2)
    labels = votes
    for _ in range(n_rounds):
        scores = scores_out_of_fold(labels)
        looked = product_by_hand([scores], [likeliest_beside(votes, scores)])
        labels = looked * votes  # the classes have equal shares from the start
        labels /= labels.sum(axis=1, keepdims=True)
    found = run(SelfTraining(), problem(votes, features=PLACES))
    np.testing.assert_allclose(found["proba"], labels, atol=5e-3)
    # The four whose place denies their vote are of the class of their place.
    assert ((found["proba"][:, 1] > 0.5) == (PLACES > 0)).all() or n_rounds == 1


def test_labels_are_no_surer_than_votes_agree_where_no_seed_tells():
    votes = np.where(np.eye(2)[VOTED] > 0, 0.95, 0.05)
    found = run(SelfTraining(), problem(votes, features=PLACES, surest=0.7))
    np.testing.assert_allclose(found["evidence"].max(axis=1), 0.7, atol=1e-3)
    kept = run(SelfTraining(), problem(votes, features=PLACES, surest=0.99))
    np.testing.assert_allclose(kept["evidence"], votes, atol=1e-9)


def test_images_without_a_vote_have_no_say_in_how_sure_the_others_are():
    votes = np.where(np.eye(2)[VOTED] > 0, 0.95, 0.05)
    votes[::2] = 0.5
    voted = np.arange(20) % 2 == 1
    task = problem(votes, features=PLACES, voted=voted, surest=0.7)
    found = run(SelfTraining(), task)
    np.testing.assert_allclose(found["evidence"][voted].max(axis=1), 0.7, atol=1e-3)
    np.testing.assert_allclose(found["evidence"][~voted], 0.5)


def test_a_class_that_no_vote_names_does_not_take_the_images_without_votes():
    votes = np.column_stack([np.where(np.eye(2)[VOTED] > 0, 0.9, 0.1), np.zeros(20)])
    voted = np.arange(20) % 5 != 0
    votes[~voted] = 1 / 3
    task = problem(votes, features=PLACES, voted=voted)
    found = run(SelfTraining(), task)
    assert (found["proba"][~voted].argmax(axis=1) == (PLACES > 0)[~voted]).all()


def test_given_shares_count_where_no_stage_has_aligned_to_them():
    votes = np.where(np.eye(2)[VOTED] > 0, 0.7, 0.3)
    prior = ClassPrior(np.array([0.8, 0.2]), "given")
    found = run(SelfTraining(), problem(votes, features=PLACES, prior=prior))
    np.testing.assert_allclose(found["proba"].mean(axis=0), [0.8, 0.2], atol=0.01)
    assert "class_prior" not in found


def test_shares_that_nobody_gave_are_held_to_those_of_the_labels(monkeypatch):
    monkeypatch.setattr(self_training, "N_ROUNDS", 1)
    voted = np.repeat([0, 1], [15, 5])
    votes = np.where(np.eye(2)[voted] > 0, 0.8, 0.2)
    places = np.where(voted == 0, -1.0, 1.0) + np.linspace(-0.2, 0.2, 20)
    found = run(SelfTraining(), problem(votes, features=places))
    monkeypatch.setattr(self_training, "_TO_SHARES_BEFORE", 0.0)
    free = run(SelfTraining(), problem(votes, features=places))["class_prior"]
    assert free[0] > 0.71
    # Votes say 13 and 7 of 20.
    held = 0.75 * free + 0.25 * np.array([0.65, 0.35])
    np.testing.assert_allclose(found["class_prior"], held, atol=0.004)
    given = run(
        SelfTraining(),
        problem(votes, features=places),
        {"class_prior": np.array([0.75, 0.25])},
    )
    assert "class_prior" not in given
    np.testing.assert_allclose(given["proba"].mean(axis=0), [0.75, 0.25], atol=0.01)


def test_seeds_keep_their_class_and_weigh_neither_features_nor_labels(monkeypatch):
    monkeypatch.setattr(self_training, "N_ROUNDS", 1)
    votes = np.where(np.eye(2)[VOTED] > 0, 0.8, 0.2)
    shares = {"class_prior": np.array([0.5, 0.5])}
    # Seeds whose place is right where the vote is not, and one the other way round.
    seeds = {0: 0, 3: 0, 8: 1, 9: 0, 10: 1, 13: 1, 18: 0, 19: 0}
    rows, classes = np.array(list(seeds)), np.array(list(seeds.values()))
    task = problem(votes, seeds=seeds, features=PLACES)
    known = votes.copy()
    known[rows] = np.eye(2)[classes]
    scores = scores_out_of_fold(known)
    power = likeliest_beside(votes, scores)
    looked = product_by_hand([scores], [power])
    found = run(SelfTraining(), task, shares)
    assert float(found["self0_power"]) == pytest.approx(power, abs=0.01)
    np.testing.assert_allclose(found["looked"], looked, atol=0.01)


def test_what_features_have_said_before_does_not_count_twice():
    """Two classes, 2,000 images, two features that tell .85 of them apart."""
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 2, 2000)
    points = rng.normal(size=(2000, 2)) + np.where(truth[:, None], 0.75, -0.75)
    seeds = {int(row): int(truth[row]) for row in range(60)}
    flat = np.full((2000, 2), 0.5)
    task = problem(flat, seeds=seeds, features=points, voted=np.zeros(2000, bool))
    known = {"proba": flat} | run(Lda(), task)
    found = run(SelfTraining(), task, known)["proba"][60:]
    right = (found.argmax(axis=1) == truth[60:]).mean()
    assert right > 0.83
    assert found.max(axis=1).mean() == pytest.approx(right, abs=0.05)


def test_seeds_are_looked_at_by_what_learned_without_them_and_without_functions():
    seeds = {0: 0, 3: 0, 8: 1, 9: 0, 10: 1, 13: 1, 18: 0, 19: 0}
    rows, classes = np.array(list(seeds)), np.eye(2)[list(seeds.values())]
    task = problem(np.full((20, 2), 0.5), seeds=seeds, features=PLACES)
    known = run(Lda(), task)
    assert not known["lda0_equal_lengths"]
    found, is_told = looks_at_seeds(task, known, np.array([0.7]), 0.5)
    others = np.setdiff1d(np.arange(20), rows)
    dealt = deal_folds(np.array(list(seeds.values())), 5, 0)
    for fold in range(5):
        test = dealt == fold
        taught = rows[~test]
        counts = classes[~test].sum(axis=0)
        means = classes[~test].T @ PLACES[taught] / counts
        gaps = PLACES[taught] - classes[~test] @ means
        # One dimension is its own sphere: shrinkage changes nothing.
        variance = (gaps**2).mean() * (1 + 1e-6)
        spread = float(known["lda0_spread"]) / counts
        scores = (-((PLACES[others][:, None] - means) ** 2) / variance + spread) / 2
        labels = product_by_hand([scores], [float(known["lda0_power"])])
        weights = np.concatenate([labels, classes[~test]])
        places = PLACES[np.concatenate([others, taught])]
        looked = soft_scores(places, weights, PLACES[rows[test]])
        expected = np.log(product_by_hand([looked], [0.7]))
        np.testing.assert_allclose(found[test], expected, atol=1e-3)
    # What functions say of the images makes no difference.
    other = replace(task, proba=np.tile([0.9, 0.1], (20, 1)))
    again, _ = looks_at_seeds(other, known, np.array([0.7]), 0.5)
    np.testing.assert_array_equal(again, found)
    assert is_told.all()


@pytest.mark.parametrize("stage", [Lda(), Align(), SelfTraining()])
def test_classes_that_nobody_names_change_nothing(stage):
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 400)
    points = rng.normal(size=(400, 2)) + np.where(truth[:, None], 1, -1)
    wrong = rng.random(400) < 0.2
    votes = np.where(np.eye(2)[truth ^ wrong] > 0, 0.8, 0.2)
    seeds = {int(row): int(truth[row]) for row in range(40)}
    found = []
    for k in (2, 9):
        wide = np.zeros((400, k))
        wide[:, :2] = votes
        possible = np.arange(k) < 2
        task = problem(wide, seeds=seeds, features=points, possible=possible)
        known = {"proba": wide} | run(Lda(), task)
        if isinstance(stage, Lda):
            found.append(known["proba"])
        else:
            found.append(run(stage, task, known)["proba"])
    np.testing.assert_allclose(found[1][:, :2], found[0], atol=0.02)
    assert not found[1][:, 2:].any()


def test_features_that_deny_the_votes_change_nothing():
    votes = np.where(np.eye(2)[VOTED] > 0, 0.9, 0.1)
    noise = np.tile([1.0, -1.0], 10)
    found = run(SelfTraining(), problem(votes, features=noise))
    # They agree on a half, which is less than half way from chance to .9.
    assert float(found["confirmed"]) == 0
    np.testing.assert_array_equal(found["proba"], votes)


def test_without_votes_it_goes_on_from_what_seeds_have_told():
    flat, voted = np.full((20, 2), 0.5), np.zeros(20, bool)
    alone = problem(flat, features=PLACES, voted=voted)
    assert "neither votes nor seeds" in SelfTraining().why_not(alone, {"proba": flat})
    seeds = {0: 0, 1: 0, 2: 0, 10: 1, 11: 1, 12: 1}
    task = problem(flat, seeds=seeds, features=PLACES, voted=voted)
    told = np.where((PLACES > 0)[:, None], [0.4, 0.6], [0.6, 0.4])
    found = run(SelfTraining(), task, {"proba": told})
    np.testing.assert_array_equal(found["proba"].argmax(axis=1), PLACES > 0)
    assert (found["proba"].max(axis=1) > 0.6).all()


def test_self_training_makes_the_graph_where_there_are_no_seeds():
    votes = np.where(np.eye(2)[VOTED] > 0, 0.8, 0.2)
    task = problem(votes, features=PLACES)
    assert Diffuse().why_not(task, {"proba": votes}) is not None
    assert DiffuseAgain().why_not(task, {"proba": votes}) is not None
    found = run(SelfTraining(), task)
    assert DiffuseAgain().why_not(task, found) is None


# Graphs and the stages `diffuse` and `metric`


def test_affinity_of_a_path_of_three_images():
    # 0 knows 1, 1 knows 0, 2 knows 1: degrees 1, 2, 1.
    found = affinity(
        [Neighbors(np.array([[1], [0], [1]], np.int32), np.ones((3, 1), np.float32))]
    )
    side = 2**-0.5
    expected = [[0, side, 0], [side, 0, side], [0, side, 0]]
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-6)


def test_negative_similarities_are_no_edges():
    weights = np.array([[-0.5], [-0.5]], np.float32)
    found = affinity([Neighbors(np.array([[1], [0]], np.int32), weights)])
    assert not found.toarray().any()


def test_one_step_of_diffusion_by_hand():
    graph = affinity(
        [Neighbors(np.array([[1], [0]], np.int32), np.ones((2, 1), np.float32))]
    )
    start = np.array([[1.0, 0.0], [0.5, 0.5]])
    found = diffuse(graph, start, alpha=0.8, n_steps=1)
    np.testing.assert_allclose(found, [[0.6, 0.4], [0.9, 0.1]], atol=1e-6)
    # And without end: F = (1 - a) (I - a S)^-1 F0, by 1 / (1 - a²) [[1, a], [a, 1]].
    limit = diffuse(graph, start, alpha=0.5, n_steps=80)
    np.testing.assert_allclose(limit, [[5 / 6, 1 / 6], [2 / 3, 1 / 3]], atol=1e-6)


def plane():
    """Eight images in the plane, four of them seeds, and uncertain posteriors."""
    points = np.array(
        [[-3, 1], [1, 1.5], [2, -1], [-1, -1.5], [3, 1], [-2, 1], [1, -2], [-1, 2]],
        np.float64,
    )
    first = np.array([0.6, 0.7, 0.4, 0.2, 0.7, 0.8, 0.45, 0.6])
    proba = np.column_stack([first, 1 - first])
    return problem(proba, seeds={0: 0, 1: 0, 2: 1, 3: 1}, features=points), points


def cosines(points, within, shrinkage):
    """Cosines of centred points in the metric of a shrunk covariance, (n, n)."""
    size = np.trace(within) / 2
    inverse = np.linalg.inv((1 - shrinkage) * within + shrinkage * size * np.eye(2))
    gaps = points - points.mean(axis=0)
    inner = gaps @ inverse @ gaps.T
    length = np.sqrt(np.diag(inner))
    return inner / length[:, None] / length


def within_classes(points, weights):
    """Covariance about the class means of weighted points, (2, 2)."""
    means = weights.T @ points / weights.sum(axis=0)[:, None]
    total = np.zeros((2, 2))
    for c, mean in enumerate(means):
        gaps = points - mean
        total += gaps.T @ (gaps * weights[:, [c]])
    return total / weights.sum()


def as_matrix(index, similarity):
    found = np.zeros((len(index), len(index)))
    np.put_along_axis(found, index.astype(np.int64), similarity, axis=1)
    return found


def test_diffuse_compares_images_as_seeds_of_one_class_differ():
    task, points = plane()
    start = np.array(task.proba)
    start[:4] = np.eye(2)[[0, 0, 1, 1]]
    within = within_classes(points[:4], np.eye(2)[[0, 0, 1, 1]])
    similarity = cosines(points, within, 0.3)
    found = run(Diffuse(), task)
    seen = as_matrix(found["seed_index"], found["seed_similarity"])
    off = ~np.eye(8, dtype=bool)
    np.testing.assert_allclose(seen[off], similarity[off], atol=1e-4)
    spread = spread_by_hand(dense_graph(similarity), start)
    expected = of_confidence(spread, task.proba.max(axis=1).mean())
    np.testing.assert_allclose(found["proba"], expected, atol=1e-4)
    np.testing.assert_array_equal(found["start"], task.proba)


def test_diffused_posteriors_are_aligned_again():
    task, points = plane()
    start = np.array(task.proba)
    start[:4] = np.eye(2)[[0, 0, 1, 1]]
    within = within_classes(points[:4], np.eye(2)[[0, 0, 1, 1]])
    spread = spread_by_hand(dense_graph(cosines(points, within, 0.3)), start)
    spread = aligned_by_hand(spread)
    expected = of_confidence(spread, task.proba.max(axis=1).mean())
    found = run(Diffuse(), task, {"class_prior": SHARES})
    np.testing.assert_allclose(found["proba"], expected, atol=1e-4)


def test_metric_learns_from_all_labels_and_starts_where_diffusion_did():
    task, points = plane()
    first = run(Diffuse(), task)
    labels = np.array(first["proba"])
    labels[:4] = np.eye(2)[[0, 0, 1, 1]]
    second = cosines(points, within_classes(points, labels), 0.05)
    seeded = cosines(points, within_classes(points[:4], labels[:4]), 0.3)
    graph = (dense_graph(seeded) + dense_graph(second)) / 2
    start = np.array(task.proba)
    start[:4] = labels[:4]
    spread = spread_by_hand(graph, start)
    expected = of_confidence(spread, task.proba.max(axis=1).mean())
    found = run(DiffuseAgain(), task, first)
    np.testing.assert_allclose(found["proba"], expected, atol=1e-4)


def test_the_graph_is_made_of_the_features_that_lda_found_best():
    task, _ = plane()
    task = replace(task, features=(np.zeros((8, 2), np.float16), *task.features))
    plain = run(Diffuse(), plane()[0])
    found = run(Diffuse(), task, {"best_features": np.asarray(1)})
    np.testing.assert_array_equal(found["proba"], plain["proba"])


def test_without_seeds_neighbours_are_evidence_beside_votes_and_features():
    points = plane()[1]
    said = np.array([0.6, 0.7, 0.4, 0.2, 0.7, 0.8, 0.45, 0.6])
    seen = np.array([0.7, 0.4, 0.3, 0.4, 0.3, 0.7, 0.6, 0.8])
    before = np.array([0.7, 0.6, 0.3, 0.2, 0.6, 0.9, 0.4, 0.8])
    evidence, looked, labels = (
        np.column_stack([first, 1 - first]) for first in (said, seen, before)
    )
    task = problem(evidence, features=points)
    known = {
        "proba": labels,
        "evidence": evidence,
        "looked": looked,
        "self0_weights": np.zeros(1),
    }
    graph = dense_graph(cosines(points, within_classes(points, labels), 0.05))
    others = graph @ spread_by_hand(graph, labels) + 1e-6
    others /= others.sum(axis=1, keepdims=True)
    sides = [np.log(looked), np.log(others)]

    def loss(powers):
        own = product_by_hand(sides, powers)
        return -np.log((own * evidence).sum(axis=1)).sum() - np.log(own).sum() / 16

    found = minimize(loss, [1.0, 1.0], method="L-BFGS-B", bounds=[(0, None)] * 2)
    expected = product_by_hand([*sides, np.log(evidence)], [*found.x, 1])
    got = run(DiffuseAgain(), task, known)
    np.testing.assert_allclose(got["proba"], expected, atol=2e-3)


# The stage `cnn`


def bright_halves(n=12):
    """Images (n, 8, 8, 1), bright above (0) or below (1), and their classes."""
    rng = np.random.default_rng(0)
    truth = np.arange(n) % 2
    pixels = rng.integers(0, 60, size=(n, 8, 8))
    pixels[truth == 0, :4] += 150
    pixels[truth == 1, 4:] += 150
    return pixels.astype(np.uint8)[..., None], truth


def test_the_network_learns_soft_labels_seeds_and_nothing_of_unreadable_images():
    pixels, _ = bright_halves()
    first = np.linspace(0.1, 0.9, 12)
    proba = np.column_stack([first, 1 - first])
    plan = TrainingPlan(
        n_steps=3, batch=6, seed_batch=2, width=2, warmup=0, augmentation=NO_CHANGE
    )
    readable = np.arange(12) != 3
    seeds = {1: 0, 3: 1, 4: 0, 6: 1}
    task = problem(
        proba, seeds=seeds, pixels=pixels, plan=plan, readable=readable, flip=False
    )
    found = run(Distill(), task)
    targets = np.array(proba)
    targets[[1, 4]], targets[6] = [1, 0], [0, 1]
    targets[3] = 0  # it cannot be read, seed or not
    expected = train(
        pixels,
        targets,
        seed_rows=np.array([1, 4, 6]),
        seed_labels=np.array([0, 0, 1]),
        plan=plan,
        compute=Compute(),
    )
    for name, value in expected.state_dict().items():
        np.testing.assert_array_equal(found[f"network.{name}"], value.numpy(), name)
    # It labels other images; these keep what they have.
    np.testing.assert_array_equal(found["proba"], proba)


def features_by_hand(weights, pixels):
    """What the network's last layer reads of 8x8 images: two convolutions, one pool."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255

    def layer(images, number, padding):
        part = {
            name: torch.from_numpy(weights[f"network.layers.{number + 1}.{name}"])
            for name in ("running_mean", "running_var", "weight", "bias")
        }
        kernel = torch.from_numpy(weights[f"network.layers.{number}.weight"])
        found = F.conv2d(images, kernel, padding=padding)
        shape = (1, -1, 1, 1)
        found = found - part["running_mean"].view(shape)
        found = found / (part["running_var"].view(shape) + 1e-5).sqrt()
        return (found * part["weight"].view(shape) + part["bias"].view(shape)).clamp(
            min=0
        )

    maps = layer(layer(images, 0, 2), 3, 1)
    return F.max_pool2d(maps, 2).flatten(1).double().numpy()


def test_what_the_network_says_and_whom_it_sees_as_alike():
    pixels, truth = bright_halves()
    plan = TrainingPlan(n_steps=20, batch=6, width=2, augmentation=NO_CHANGE)
    proba = np.where(np.eye(2)[truth] > 0, 0.8, 0.2)
    found = run(Distill(), problem(proba, pixels=pixels, plan=plan, flip=False))
    seen = features_by_hand(found, pixels)
    assert seen.shape[1] <= 64  # all directions are kept
    scores = seen @ found["network.head.weight"].T + found["network.head.bias"]
    np.testing.assert_allclose(
        found["network_proba"], product_by_hand([scores], [1]), atol=1e-5
    )
    unit = seen / np.linalg.norm(seen, axis=1, keepdims=True)
    off = ~np.eye(12, dtype=bool)
    graph = as_matrix(found["network_index"], found["network_similarity"])
    graph, alike = graph[off].reshape(12, 11), (unit @ unit.T)[off].reshape(12, 11)
    # Ten neighbours of eleven others: all but the least alike.
    alike[np.arange(12), alike.argmin(axis=1)] = 0
    np.testing.assert_allclose(graph, alike, atol=1e-4)


def test_a_time_limit_becomes_steps_that_are_kept():
    pixels, truth = bright_halves()
    plan = TrainingPlan(n_steps=400, batch=6, width=2, augmentation=NO_CHANGE)
    task = problem(np.eye(2)[truth], pixels=pixels, plan=plan, flip=False)
    kept = {"compute": vars(Compute()), "steps": {"n_steps": 2}}
    tools = StageContext(
        lambda name, compute: {k: np.asarray(v) for k, v in kept[name].items()},
        seconds_left=lambda: 1.0,
    )
    found = Distill().run(task, {"proba": task.proba}, tools)
    assert int(found["n_steps"]) == 2
    assert int(found["network.layers.1.num_batches_tracked"]) == 2


@pytest.mark.parametrize(("axis", "expected"), [(1, True), (2, False)])
def test_mirroring_is_allowed_where_mirrored_seeds_look_the_same(axis, expected):
    rng = np.random.default_rng(1)
    truth = np.arange(60) % 2
    pixels = rng.integers(0, 80, size=(60, 8, 8))
    half = [slice(None)] * 3
    half[axis] = slice(0, 4)
    pixels[tuple(half)] += np.where(truth == 0, 150, 0)[:, None, None]
    task = problem(
        np.eye(2)[truth],
        seeds=dict(enumerate(truth.tolist())),
        pixels=pixels.astype(np.uint8)[..., None],
    )
    assert is_flip_invariant(task) == expected


def test_mirroring_is_not_allowed_where_seeds_cannot_tell():
    rng = np.random.default_rng(2)
    truth = np.arange(60) % 2
    half = rng.integers(0, 255, size=(60, 8, 4, 1)).astype(np.uint8)
    pixels = np.concatenate([half, half[:, :, ::-1]], axis=2)  # its own mirror image
    seeds = dict(enumerate(truth.tolist()))
    assert not is_flip_invariant(problem(np.eye(2)[truth], seeds=seeds, pixels=pixels))
    assert not is_flip_invariant(problem(np.eye(2)[truth], pixels=pixels))


# The stage `joint`

LABELS = np.array([[0.8, 0.2], [0.4, 0.6], [0.7, 0.3]])
NETWORK = np.array([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8]])


def test_joint_without_seeds_takes_the_root_of_the_labels():
    found = run(Joint(), problem(LABELS), {"network_proba": NETWORK})
    both = NETWORK * LABELS**0.5
    both /= both.sum(axis=1, keepdims=True)
    expected = of_confidence(both, (0.8 + 0.6 + 0.7) / 3)
    np.testing.assert_allclose(found["proba"], expected, atol=1e-5)


def test_joint_with_seeds_takes_both_to_two_thirds_and_spreads_them():
    rows = np.concatenate([LABELS, LABELS[::-1]])
    network = np.concatenate([NETWORK, NETWORK])
    task = problem(rows, seeds={0: 0, 1: 0, 2: 1, 4: 1})
    # Two graphs: pairs (0, 3), (1, 4), (2, 5), and a circle of all six.
    pair = (np.arange(6) + 3) % 6
    circle = np.stack([np.arange(6) + 1, np.arange(6) - 1], axis=1) % 6
    known = {
        "network_proba": network,
        "class_prior": SHARES,
        "seed_index": pair[:, None].astype(np.int32),
        "seed_similarity": np.ones((6, 1), np.float32),
        "network_index": circle.astype(np.int32),
        "network_similarity": np.ones((6, 2), np.float32),
    }
    found = run(Joint(), task, known)
    confidence = rows.max(axis=1).mean()
    both = aligned_by_hand(power(network * rows, 2 / 3))
    both = of_confidence(both, confidence)
    graph = np.zeros((6, 6))
    graph[np.arange(6), pair] = 1 / 2
    for side in (0, 1):
        graph[np.arange(6), circle[:, side]] += 1 / 2 / 2
    start = np.array(both)
    start[[0, 1]], start[[2, 4]] = [1, 0], [0, 1]
    spread = aligned_by_hand(spread_by_hand(graph, start))
    expected = of_confidence(spread, both.max(axis=1).mean())
    np.testing.assert_allclose(found["proba"], expected, atol=1e-4)


def test_joint_needs_a_network():
    assert Joint().why_not(problem(LABELS), {"proba": LABELS}) is not None


# The check on held-out seeds


def answers(right):
    """Posteriors of seeds of class 0, sure of 0 where right."""
    return np.where(np.array(right)[:, None], [0.9, 0.1], [0.1, 0.9])


@pytest.mark.parametrize(("n_lost", "reverted"), [(3, False), (4, True)])
def test_accuracy_drops_by_two_standard_errors(n_lost, reverted):
    # x of n lost: x/n against 2 sqrt(x/n (1 - x/n) / n), so from x > 4 n / (n + 4) on:
    # of 16 seeds 3.2.
    old = answers([True] * 16)
    new = answers(np.arange(16) >= n_lost)
    assert fewer_right(new, old, np.zeros(16, int)) == reverted


def test_seeds_won_make_up_for_seeds_lost():
    old = answers(np.arange(16) >= 4)
    new = answers(np.arange(16) < 12)
    assert not fewer_right(new, old, np.zeros(16, int))


def likelier(first):
    return np.column_stack([first, 1 - np.array(first)])


def test_likelihood_drops_where_all_seeds_get_a_little_less_likely():
    labels = np.zeros(5, int)
    old, new = likelier([0.9, 0.8, 0.7, 0.6, 0.5]), likelier([0.8] * 5)
    assert less_likely(0.9 * old, old, labels)
    assert not less_likely(old, 0.9 * old, labels)
    assert not less_likely(new, old, labels)


@pytest.mark.parametrize(("gain", "reverted"), [(1.2, True), (2.0, False)])
def test_no_seed_weighs_more_than_a_likelihood_of_a_thousandth(gain, reverted):
    labels = np.zeros(16, int)
    lost = np.arange(16) < 5
    old = likelier(np.where(lost, 0.9, 0.4))
    new = likelier(np.where(lost, 0.0, 0.4 * gain))
    change = np.where(lost, np.log(1e-3 / 0.9), np.log(gain))
    assert (change.mean() < -2 * change.std() / 4) == reverted
    assert less_likely(new, old, labels) == reverted


class Recorder(Stage):
    """Gives what a feature says, and writes down which seeds it was given."""

    name = "recorder"

    def __init__(self):
        self.seen = []

    def run(self, task, known, tools):
        rows = task.features[0].astype(np.float64)
        self.seen.append((rows[task.seed_rows, 0], rows[:, 0], dict(known)))
        return {"proba": np.column_stack([rows[:, 0], 1 - rows[:, 0]])}


def seeds_among_forty():
    """Forty images with a number each, every fourth a seed; row 1 copies row 0."""
    first = np.arange(40) / 64
    pixels = np.zeros((40, 4, 4, 1), np.uint8)
    pixels[:, 0, 0, 0] = np.arange(40)
    pixels[1] = pixels[0]
    seeds = {row: (row // 4) % 2 for row in range(0, 40, 4)}
    return problem(np.full((40, 2), 0.5), seeds=seeds, features=first, pixels=pixels)


def test_each_seed_is_judged_by_a_stage_that_has_not_seen_it():
    task = seeds_among_forty()
    stage = Recorder()
    found = HeldOutSeeds(task).after(stage)
    of_seeds = task.seed_rows / 64
    np.testing.assert_array_equal(found[:, 0], of_seeds)  # each in its place
    left_out = [set(of_seeds) - set(seen) for seen, _, _ in stage.seen]
    np.testing.assert_array_equal(
        np.sort(np.concatenate([*map(list, left_out)])), of_seeds
    )
    assert [len(part) for part in left_out] == [2] * 5
    for _, images, _ in stage.seen:
        assert 1 / 64 not in images  # the copy of a seed
        assert len(images) == 39


def test_seeds_that_votes_learned_from_teach_every_fold_and_judge_nothing():
    task = seeds_among_forty()
    judges = np.arange(10) >= 4
    task = replace(task, judges=judges)
    stage = Recorder()
    found = HeldOutSeeds(task).after(stage)
    np.testing.assert_array_equal(found[:, 0], task.seed_rows[judges] / 64)
    for seen, _, _ in stage.seen:
        assert set(task.seed_rows[~judges] / 64) <= set(seen)


def test_copies_of_one_seed_are_left_out_together():
    task = seeds_among_forty()
    pixels = task.pixels.copy()
    pixels[8] = pixels[0]  # both of class 0
    stage = Recorder()
    HeldOutSeeds(replace(task, pixels=pixels)).after(stage)
    for seen, _, _ in stage.seen:
        assert (0.0 in seen) == (8 / 64 in seen)
    assert sum(10 - len(seen) for seen, _, _ in stage.seen) == 10  # each once


def test_stages_go_on_from_those_that_were_kept():
    trial = HeldOutSeeds(seeds_among_forty())
    first, second, third = Recorder(), Recorder(), Recorder()
    trial.after(first)
    trial.keep(first)
    trial.after(second)  # not kept: undone
    trial.after(third)
    assert len(first.seen) == 5  # not run again
    for stage in (second, third):
        for _, images, known in stage.seen:
            np.testing.assert_array_equal(known["proba"][:, 0], images)


# The problem itself


def test_seeds_have_their_class_and_impossible_classes_nothing():
    task = problem(
        [[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]],
        seeds={1: 1},
        possible=np.array([True, True, False]),
    )
    np.testing.assert_array_equal(
        task.clamped(task.proba), [[0.5, 0.25, 0.25], [0, 1, 0]]
    )
    np.testing.assert_allclose(
        task.among_possible(task.proba), [[2 / 3, 1 / 3, 0], [1 / 2, 1 / 2, 0]]
    )


def test_two_classes_need_two_seeds_each():
    flat = np.full((5, 2), 0.5)
    assert not problem(flat, seeds={0: 0, 1: 0, 2: 1}).has_seeds
    enough = problem(flat, seeds={0: 0, 1: 0, 2: 1, 3: 1})
    assert enough.has_seeds
    assert not replace(enough, unseeded=(1,)).has_seeds
    assert not replace(enough, judges=np.array([True, False, True, True])).has_judges


def test_large_images_are_averaged_over_whole_tiles():
    image = np.zeros((1, 130, 130), np.uint8)
    image[0, 0, 0], image[0, 0, 1], image[0, 129, 129] = 90, 9, 255
    found, readable = small_pixels(image)
    # 130 over 3 is 43: tiles of 3x3, and the last pixel belongs to none.
    assert found.shape == (1, 43, 43, 1)
    assert readable.all()
    assert found[0, 0, 0, 0] == 11
    assert found.sum() == 11


def test_seeds_count_by_how_many_images_their_classes_have():
    # Ten seeds a class; three quarters of the images are of the first one.
    labels = np.repeat([0, 1], 10)
    weights = weights_of_classes(labels, np.array([0.75, 0.25]))
    np.testing.assert_allclose(weights, np.repeat([1.5, 0.5], 10))
    old, new = np.full((20, 2), 0.5), np.full((20, 2), 0.5)
    old[:10] = [0.49, 0.51]
    new[:10], new[10:] = [0.6, 0.4], [0.6, 0.4]
    old[10:] = [0.3, 0.7]
    # Half as many of the second class are lost as of the first are won.
    assert less_likely(new, old, labels)
    assert not less_likely(new, old, labels, weights)


def test_one_seed_of_a_frequent_class_does_not_decide():
    labels = np.repeat([0, 1, 2], [1, 10, 10])
    weights = weights_of_classes(labels, np.array([0.6, 0.2, 0.2]))
    old = np.eye(3)[labels]
    new = old.copy()
    new[0] = [0, 1, 0]
    assert not fewer_right(new, old, labels, weights)
    new[1:7] = [1, 0, 0]
    assert fewer_right(new, old, labels, weights)


@pytest.mark.parametrize(
    ("known", "n_rounds"),
    [({}, self_training.N_ROUNDS), ({"lda0_weights": np.zeros((1, 2))}, 2)],
)
def test_features_that_seeds_have_taught_learn_in_two_rounds(
    monkeypatch, known, n_rounds
):
    made = []
    once = self_training._Rounds._round
    monkeypatch.setattr(
        self_training._Rounds,
        "_round",
        lambda self, labels: made.append(1) or once(self, labels),
    )
    votes = np.where(np.eye(2)[VOTED] > 0, 0.8, 0.2)
    run(SelfTraining(), problem(votes, features=PLACES), known)
    assert len(made) == n_rounds


def test_few_seeds_hardly_tell_whose_labels_are_better_or_how_sure_to_be():
    """Two seeds a class, by chance right or wrong, of labels right on four in five."""
    truth = np.tile([0, 1], 100)
    shares, sure = [], []
    for draw in range(20):
        rng = np.random.default_rng(draw)
        ours, theirs = (
            np.where((truth ^ (rng.random(200) < 0.2))[:, None] == [0, 1], 0.8, 0.2)
            for _ in range(2)
        )
        given = problem(ours, seeds={row: int(truth[row]) for row in range(4)})
        taken, held_out = LabelsWithoutSeeds(theirs, 0.0).taken_in(
            given, ours, ours[given.seed_rows]
        )
        powers = taken["pool_powers"]
        shares.append(powers[0] / powers.sum())
        sure.append(taken["proba"].max(axis=1).mean())
        assert held_out.shape == (4, 2)
    # The others are expected to be worth five seeds per class.
    np.testing.assert_allclose(np.mean(shares), 2 / 7, atol=0.1)
    assert np.std(shares) < 0.2
    assert min(sure) > 0.6
    assert max(sure) < 0.9


def test_many_seeds_tell_whose_labels_are_better():
    truth = np.tile([0, 1], 100)
    good = np.where(truth[:, None] == [0, 1], 0.9, 0.1)
    given = problem(good, seeds={row: int(truth[row]) for row in range(60)})
    noise = np.random.default_rng(0).dirichlet([1, 1], 200)
    for ours, theirs in ((good, noise), (noise, good)):
        taken, _ = LabelsWithoutSeeds(theirs, 0.0).taken_in(given, ours, ours[:60])
        assert (taken["proba"].argmax(axis=1) == truth).mean() > 0.95
    # Neither is, and yet some class is the likeliest.
    taken, _ = LabelsWithoutSeeds(1 - good, 0.0).taken_in(
        given, 1 - good, 1 - good[:60]
    )
    assert taken["proba"].max(axis=1).min() > 0.5
