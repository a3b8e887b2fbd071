"""What labeling functions learn from the seeds: cuts and nearest-class rules."""

import numpy as np
import pytest
import torch
from assertions import assert_refused
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from lfkit import (
    BestPrecision,
    LFApplier,
    NearestMean,
    NearestNorm,
    Quantile,
    Threshold,
    feature,
    labeling_function,
)
from lfkit.errors import DeclarationError


@feature(batched=True)
def score(images):
    return images.mean(dim=(1, 2, 3))


def fit(threshold, values, labels, classes=(1,)):
    return threshold.fit(
        np.asarray(values, np.float32),
        np.asarray(labels),
        classes=classes,
        rng=np.random.default_rng(0),
    )


@pytest.mark.parametrize(
    ("among", "cut"), [("all", 2.5), ("declared", 4.0), ("others", 1.5)]
)
def test_the_quantile_is_taken_among_the_seeds_asked_for(among, cut):
    values, labels = [1, 2, 3, 5], [0, 0, 1, 1]
    assert fit(Quantile(score, 0.5, among=among), values, labels).value == cut


def test_seeds_whose_feature_is_not_finite_teach_nothing():
    assert fit(Quantile(score, 1.0), [1, np.nan, 3, np.inf], [0, 0, 0, 0]).value == 3


def test_a_quantile_among_no_seeds_is_an_error():
    with assert_refused(DeclarationError, names=["others", "score"]):
        fit(Quantile(score, 0.5, among="others"), [1, 2], [1, 1])


def test_seeds_that_all_failed_are_no_seeds():
    with assert_refused(DeclarationError, names="classes"):
        fit(Quantile(score, 0.5), [np.nan, np.nan], [0, 1])


VALUES = [1, 2, 3, 4, 5, 6, 7, 8]
UPPER = [0, 0, 0, 0, 1, 1, 1, 1]


def test_the_best_cut_lies_between_the_classes():
    assert fit(BestPrecision(score), VALUES, UPPER).value == 4.5


def test_below_looks_at_the_other_side():
    lower = [1, 1, 1, 0, 0, 0, 0, 0]
    assert fit(BestPrecision(score, side="below"), VALUES, lower).value == 3.5


def test_many_good_seeds_beat_two_lucky_ones():
    # Above 10: 2 of 2. Above 0: 12 of 13, the higher lower bound.
    values = [12, 11, 9] + [5] * 10 + [-1] * 5
    labels = [1, 1, 0] + [1] * 10 + [0] * 5
    assert fit(BestPrecision(score), values, labels).value == 2


def test_equal_values_are_never_parted():
    values, labels = [1, 2, 2, 3], [0, 0, 1, 1]
    cut = fit(BestPrecision(score), values, labels).value
    assert cut == 2.5


def test_min_recall_moves_the_cut_outwards():
    values = [8, 7, 6, 5, 4, 3, 2, 1]
    labels = [1, 1, 0, 0, 0, 1, 1, 0]
    assert fit(BestPrecision(score, min_recall=0.5), values, labels).value == 6.5
    assert fit(BestPrecision(score, min_recall=1.0), values, labels).value == 1.5


@pytest.mark.parametrize(
    ("side", "passes"), [("above", np.greater), ("below", np.less)]
)
def test_equal_seeds_leave_no_cut_so_none_passes(side, passes):
    cut = fit(BestPrecision(score, side=side), [3, 3, 3], [0, 1, 1]).value
    assert not passes(3, cut)


def test_best_precision_without_seeds_of_its_classes_is_an_error():
    with assert_refused(DeclarationError, values="(1,)"):
        fit(BestPrecision(score), [1, 2], [0, 0])


@pytest.mark.parametrize(
    ("make", "facts"),
    [
        (lambda: Quantile(score, 1.5), ["q", "1.5", "0 <= q <= 1"]),
        (lambda: Quantile(score, 0.5, among="mine"), ["declared", "others", "mine"]),
        (lambda: BestPrecision(score, side="left"), ["above", "below", "left"]),
        (
            lambda: BestPrecision(score, min_recall=0),
            ["min_recall", "0 < min_recall <= 1"],
        ),
        (lambda: Quantile("score", 0.5), ["Quantile", "'score'"]),
        (lambda: NearestNorm(score, trim=0.5), ["trim", "0 <= trim < 0.5"]),
        (lambda: NearestNorm(score, n_per_class=0), ["n_per_class", 1, 0]),
        (lambda: NearestMean(score, shrink=0), ["shrink", 0, "0 < shrink <= 1"]),
        (lambda: NearestMean(score, abstain=1), ["abstain", "0 <= abstain < 1"]),
    ],
)
def test_a_setting_out_of_range_says_the_range(make, facts):
    with assert_refused(DeclarationError, names=facts):
        make()


@pytest.mark.parametrize("threshold", [Quantile(score, 0.5), BestPrecision(score)])
def test_a_cut_needs_one_number_per_image(threshold):
    with assert_refused(DeclarationError, names="score", values=2):
        fit(threshold, [[1, 2], [3, 4]], [0, 1])


@pytest.mark.parametrize(
    "threshold", [Quantile(score, 0.5), BestPrecision(score), NearestMean(score)]
)
def test_an_unfitted_threshold_has_no_value(threshold):
    with assert_refused(DeclarationError, names="score"):
        _ = threshold.value


def test_fitting_makes_a_copy():
    threshold = Quantile(score, 0.5)
    assert fit(threshold, [1, 2], [0, 1]).value == 1.5
    assert threshold.learned is None


class Midpoint(Threshold):
    """Half way between the means of two classes."""

    def __init__(self, feature, scale=1.0):
        super().__init__(feature)
        self.scale = scale

    @property
    def value(self):
        return float(self.learned["middle"])

    def _learn(self, values, labels, *, classes, rng):
        means = [values[labels == label].mean() for label in (0, 1)]
        return {"middle": np.asarray(self.scale * np.mean(means))}


def test_a_users_own_threshold_reaches_its_function():
    @labeling_function(
        classes=[0, 1], features=[score], thresholds={"cut": Midpoint(score)}
    )
    def above_middle(value, *, cut):
        return int(value > cut)

    images = np.array([0, 20, 100, 120, 61, 59], np.uint8).reshape(6, 1, 1, 1)
    applier = LFApplier([above_middle], n_workers=0, strict=True)
    votes = applier.apply(images, seed_rows=[0, 1, 2, 3], seed_labels=[0, 0, 1, 1])
    assert votes.hard[:, 0].tolist() == [0, 0, 1, 1, 1, 0]
    assert applier.lfs_[0].keywords["cut"] == pytest.approx(60 / 255)


def test_nearest_norm_votes_for_the_class_of_nearest_mean_norm():
    # Norms 5 and 15 for class 4 (mean 10), 1 and 3 for class 7 (mean 2).
    values = [[3, 4], [9, 12], [1, 0], [0, 3]]
    rule = fit(NearestNorm(score), values, [4, 4, 7, 7], classes=(4, 7)).value
    assert rule(np.array([0, 5.9])).tolist() == [0, 1]
    assert rule(np.array([0, -6.1])).tolist() == [1, 0]
    both = rule(torch.tensor([[0, 5.9], [-6.1, 0]]))
    assert both.tolist() == [[0, 1], [1, 0]]


def test_nearest_norm_trims_each_end():
    # Trimmed by a quarter: the mean of 2 and 4 is 3, not 27 (with 100) or 2.
    values = [[0], [2], [4], [100], [10], [10]]
    labels = [0, 0, 0, 0, 1, 1]
    rule = fit(NearestNorm(score, trim=0.25), values, labels, classes=(0, 1)).value
    assert rule(6.4).tolist() == [1, 0]
    assert rule(6.6).tolist() == [0, 1]


def test_nearest_norm_reads_at_most_so_many_seeds_per_class():
    values, labels = [[1], [5], [100], [100]], [0, 0, 1, 1]
    few = fit(NearestNorm(score, n_per_class=1), values, labels, classes=(0, 1))
    assert few.learned["mean_norms"][0] in (1, 5)
    assert few.learned["mean_norms"][1] == 100


def test_nearest_norm_never_names_a_class_without_seeds():
    values, labels = [[1], [9]], [0, 2]
    rule = fit(NearestNorm(score), values, labels, classes=(0, 1, 2)).value
    assert rule(torch.linspace(-50, 50, 11)[:, None]).sum(0)[1] == 0


def blobs(n_per_class, d, k=3, seed=0, apart=2.0):
    """Gaussian classes with a shared covariance that is far from round."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(k), n_per_class)
    centres = apart * rng.normal(size=(k, d))
    stretch = rng.normal(size=(d, d)) / np.sqrt(d) + np.eye(d)
    noise = rng.normal(size=(len(labels), d)) @ stretch
    return (centres[labels] + noise).astype(np.float32), labels


def trimmed(rows, trim):
    cut = int(trim * len(rows))
    return np.sort(rows, axis=0)[cut : len(rows) - cut].mean(axis=0)


def scatter_of(x, y, k):
    residuals = x - np.stack([x[y == c].mean(axis=0) for c in range(k)])[y]
    return residuals.T @ residuals


def refitted_scores(x, y, k, trim, shrink):
    """Score each seed by means and a scatter refitted without it, in a loop.

    The mean variance and the number of seeds stay those of all seeds.
    """
    s, d = x.shape
    ridge = shrink * scatter_of(x, y, k).trace() / (s * d)
    scores = np.zeros((s, k))
    for i in range(s):
        others = np.arange(s) != i
        rest, labels = x[others], y[others]
        means = np.stack([trimmed(rest[labels == c], trim) for c in range(k)])
        scatter = scatter_of(rest, labels, k)
        precision = np.linalg.inv(ridge * np.eye(d) + (1 - shrink) / s * scatter)
        gaps = x[i] - means
        scores[i] = -0.5 * np.einsum("cd,de,ce->c", gaps, precision, gaps)
    return scores


def likeliest_temperature(scores, y):
    def loss(log_temperature):
        log_proba = log_softmax(scores / np.exp(log_temperature), axis=1)
        return -log_proba[np.arange(len(y)), y].mean()

    grid = np.linspace(-2, 8, 201)
    best = grid[np.argmin([loss(g) for g in grid])]
    found = minimize_scalar(loss, bounds=(best - 0.05, best + 0.05), method="bounded")
    assert -2 < found.x < 8  # else the data of this test are too easy or hopeless
    return np.exp(found.x)


@pytest.mark.reference
@pytest.mark.parametrize("trim", [0.0, 0.2])
@pytest.mark.parametrize(("n_per_class", "d", "apart"), [(8, 4, 0.6), (5, 40, 0.8)])
def test_nearest_mean_is_calibrated_on_scores_refitted_without_each_seed(
    n_per_class, d, apart, trim
):
    x, y = blobs(n_per_class, d, apart=apart)
    rule = NearestMean(score, trim=trim, shrink=0.3, abstain=0.25)
    learned = fit(rule, x, y, classes=(0, 1, 2)).learned
    x = x.astype(np.float64)
    scores = refitted_scores(x, y, 3, trim, 0.3)
    temperature = likeliest_temperature(scores, y)
    ranked = np.sort(scores / temperature, axis=1)
    margin = np.quantile(ranked[:, -1] - ranked[:, -2], 0.25)
    assert learned["margin"] == pytest.approx(margin, rel=1e-3)
    # Linear discriminant weights over that temperature; only differences matter.
    means = np.stack([trimmed(x[y == c], trim) for c in range(3)])
    scatter = scatter_of(x, y, 3) / len(x)
    ridge = 0.3 * np.trace(scatter) / d
    precision = np.linalg.inv(ridge * np.eye(d) + 0.7 * scatter)
    weights = precision @ (means[1:] - means[0]).T / temperature
    bias = -0.5 * np.diag(means @ precision @ means.T) / temperature
    got_weights = learned["weights"][:, 1:] - learned["weights"][:, :1]
    np.testing.assert_allclose(got_weights, weights, rtol=2e-3, atol=1e-4)
    got = x @ learned["weights"] + learned["bias"]
    want = x @ precision @ means.T / temperature + bias
    np.testing.assert_allclose(
        got - got[:, :1], want - want[:, :1], rtol=2e-3, atol=2e-3
    )


def test_more_coordinates_than_seeds_take_another_path_to_the_same_weights():
    x, y = blobs(8, 20, apart=0.6)  # 24 seeds
    wide = np.concatenate([x, np.zeros((24, 10), np.float32)], axis=1)
    # Empty coordinates lower the mean variance by 20/30; more of it makes up for that,
    # and the temperature for the overall scale.
    shrink, odds = 0.3, 0.3 / 0.7 * 30 / 20
    few = NearestMean(score, shrink=shrink)
    many = NearestMean(score, shrink=odds / (1 + odds))
    narrow = fit(few, x, y, classes=(0, 1, 2)).learned
    padded = fit(many, wide, y, classes=(0, 1, 2)).learned
    np.testing.assert_allclose(
        padded["weights"][:20], narrow["weights"], rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(padded["weights"][20:], 0, atol=1e-6)
    np.testing.assert_allclose(padded["margin"], narrow["margin"], rtol=1e-3)


def test_probabilities_sum_to_one_or_the_image_gets_none():
    x, y = blobs(8, 4, apart=0.5)
    rule = fit(NearestMean(score, abstain=0.4), x, y, classes=(0, 1, 2)).value
    sums = rule(torch.tensor(x)).sum(dim=1)
    assert 0 < (sums == 0).sum() < len(x)
    np.testing.assert_allclose(sums[sums > 0], 1, rtol=1e-5)


def test_without_abstain_every_image_gets_weights():
    x, y = blobs(8, 4, apart=0.1)
    rule = fit(NearestMean(score, abstain=0), x, y, classes=(0, 1, 2)).value
    np.testing.assert_allclose(rule(torch.tensor(x)).sum(dim=1), 1, rtol=1e-5)


def test_one_image_as_array_is_as_one_row_of_a_tensor():
    x, y = blobs(6, 4)
    rule = fit(NearestMean(score), x, y, classes=(0, 1, 2)).value
    alone = rule(x[3])
    assert isinstance(alone, np.ndarray)
    np.testing.assert_allclose(alone, rule(torch.tensor(x))[3], rtol=1e-5, atol=1e-7)


def test_feature_maps_are_flattened():
    x, y = blobs(6, 4)
    maps = x.reshape(-1, 2, 2)
    flat = fit(NearestMean(score), x, y, classes=(0, 1, 2)).value
    shaped = fit(NearestMean(score), maps, y, classes=(0, 1, 2)).value
    np.testing.assert_array_equal(shaped(maps[0]), flat(x[0]))


def test_nearest_mean_never_names_a_class_without_seeds():
    x, y = blobs(8, 4)
    rule = fit(NearestMean(score), x, y, classes=(0, 1, 2, 9)).value
    assert rule(torch.tensor(10 * x))[:, 3].eq(0).all()


def test_seeds_of_other_classes_teach_nothing():
    x, y = blobs(6, 4)
    mine = y < 2
    all_seeds = fit(NearestMean(score), x, y, classes=(0, 1)).learned
    own_seeds = fit(NearestMean(score), x[mine], y[mine], classes=(0, 1)).learned
    for name in all_seeds:
        np.testing.assert_array_equal(all_seeds[name], own_seeds[name])


def test_a_class_with_one_seed_can_still_win():
    values, labels = [[0], [1], [0.5], [9]], [0, 0, 0, 1]
    rule = fit(NearestMean(score, abstain=0), values, labels, classes=(0, 1)).value
    assert rule(8.9).argmax() == 1
    assert rule(0.4).argmax() == 0


def test_equal_seeds_give_finite_weights():
    values = np.zeros((4, 3))
    rule = fit(NearestMean(score), values, [0, 0, 1, 1], classes=(0, 1)).value
    assert np.isfinite(rule(np.zeros(3))).all()


@pytest.mark.parametrize("make", [NearestNorm, NearestMean])
@pytest.mark.parametrize(
    ("classes", "facts"),
    [
        ((0, 1), ["1 of its 2 classes", "at least 2"]),
        ((5,), ["0 of its 1 classes", "at least 1"]),
    ],
)
def test_a_nearest_rule_without_classes_to_compare_is_an_error(make, classes, facts):
    with assert_refused(DeclarationError, names=facts):
        fit(make(score), [[1], [2]], [0, 0], classes=classes)


def test_a_feature_without_numbers_is_named():
    @feature(batched=True)
    def nothing(images):
        return images.flatten(1)[:, :0]

    with assert_refused(DeclarationError, names="nothing"):
        NearestMean(nothing).fit(
            np.zeros((4, 0), np.float32),
            np.array([0, 0, 1, 1]),
            classes=(0, 1),
            rng=np.random.default_rng(0),
        )
