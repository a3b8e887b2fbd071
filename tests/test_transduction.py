import itertools

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier

import lfkit
from lfkit.errors import DeclarationError
from lfkit.features.label_propagation import (
    RIDGE,
    LabelField,
    discrete_costs,
    learn_scores,
    nearest_scores,
    neighbor_graph,
    transduce,
    transductive,
)
from lfkit.features.thumbnail import thumbnail

DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS = torch.from_numpy(DIGITS.astype(np.float32))
SETTINGS = {"n_neighbors": 10, "smoothness": 0.05, "share_weight": 0.2}


def split_digits(seed=0, per_class=4):
    order = np.random.default_rng(seed).permutation(len(DIGITS))
    seeds = np.concatenate(
        [order[LABELS[order] == digit][:per_class] for digit in range(10)]
    )
    rest = order[~np.isin(order, seeds)]
    return seeds, rest[:800], rest[800:]


def learn_digits(seeds, unlabeled, **settings):
    return learn_scores(
        DIGITS[seeds],
        labels=LABELS[seeds],
        rng=np.random.default_rng(0),
        unlabeled=(DIGITS[unlabeled],),
        **settings,
    )


def scores_of(learned, values):
    feature = transductive(thumbnail(7), name="transduced")
    return feature.fn(values, **{k: torch.from_numpy(v) for k, v in learned.items()})


def tiny_field(rng, share_weight=0.3, m=7, k=3, n_clamped=2):
    weights = np.triu(rng.random((m, m)) < 0.5, 1) * 0.1
    edges = csr_array(weights + weights.T)
    return LabelField(edges, n_clamped, share_weight, np.full(k, m / k))


def unit_rows(rng, m, d):
    rows = rng.normal(size=(m, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_discrete_costs_are_the_least_over_scores():
    rng = np.random.default_rng(0)
    wanted, penalty = rng.normal(size=(5, 3)), 2.5
    costs = discrete_costs(wanted, penalty)

    def objective(scores, label):
        own = 0.5 * ((scores - np.eye(3)[label]) ** 2).sum(axis=-1)
        return own + penalty / 2 * ((scores - wanted) ** 2).sum(axis=-1)

    for label in range(3):
        best = nearest_scores(wanted, np.full(5, label), penalty)
        np.testing.assert_allclose(objective(best, label), costs[:, label])
        for _ in range(50):
            other = best + 0.1 * rng.normal(size=best.shape)
            assert (objective(other, label) >= costs[:, label]).all()


@pytest.mark.reference
def test_descent_finds_the_best_labels_of_tiny_problems():
    n_exact = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        field, costs = tiny_field(rng), rng.random((7, 3))
        labels = costs.argmin(axis=1)
        labels[:2] = (0, 1)
        field.descend(labels, costs)
        everything = [
            np.array((0, 1, *rest)) for rest in itertools.product(range(3), repeat=5)
        ]
        best = min(field.energy(other, costs) for other in everything)
        n_exact += np.isclose(field.energy(labels, costs), best)
        for row, label in itertools.product(range(2, 7), range(3)):
            other = labels.copy()
            other[row] = label
            assert field.energy(other, costs) >= field.energy(labels, costs) - 1e-12
    assert n_exact >= 15  # one change at a time cannot always reach the best


def test_energy_counts_costs_pairs_and_class_sizes():
    edges = csr_array(np.array([[0, 0.5, 0], [0.5, 0, 0.2], [0, 0.2, 0]]))
    field = LabelField(edges, 0, 2.0, np.array([1.0, 2.0]))
    costs = np.array([[1.0, 0.0], [2.0, 0.0], [4.0, 0.0]])
    # 1 + 2 of their own, .2 for the pair that differs, 1/1 + 1/2 for sizes 2 and 1.
    assert field.energy(np.array([0, 0, 1]), costs) == pytest.approx(3 + 0.2 + 1.5)


def test_descent_lowers_the_energy_and_keeps_clamped_labels():
    rng = np.random.default_rng(1)
    field = LabelField(
        0.1 * neighbor_graph(unit_rows(rng, 300, 8), 5), 50, 1.0, np.full(4, 75.0)
    )
    labels, costs = rng.integers(0, 4, 300), rng.random((300, 4))
    before, clamped = field.energy(labels, costs), labels[:50].copy()
    assert field.descend(labels, costs) > 100
    assert field.energy(labels, costs) < before - 10
    np.testing.assert_array_equal(labels[:50], clamped)


@pytest.mark.parametrize("width", [20, 200])  # fewer and more columns than rows
def test_found_weights_and_leave_one_out_scores_are_those_of_a_refit(width):
    rng = np.random.default_rng(2)
    rows, own = unit_rows(rng, 90, width), np.arange(30) % 3
    found = transduce(rows, own, **SETTINGS)
    np.testing.assert_array_equal(found.labels[:30], own)

    def ridge(kept):
        points, targets = rows[kept], np.eye(3)[found.labels[kept]]
        center, mean = points.mean(axis=0), targets.mean(axis=0)
        gram = (points - center).T @ (points - center) + RIDGE * np.eye(width)
        weights = np.linalg.solve(gram, (points - center).T @ (targets - mean))
        return weights, mean - center @ weights

    weights, bias = ridge(np.arange(90))
    np.testing.assert_allclose(found.weights, weights, atol=1e-8)
    np.testing.assert_allclose(found.bias, bias, atol=1e-8)
    for row in range(5):
        weights, bias = ridge(np.delete(np.arange(90), row))
        np.testing.assert_allclose(
            found.seed_scores[row], rows[row] @ weights + bias, atol=1e-8
        )


def test_steps_lower_the_whole_objective():
    seeds, unlabeled, _ = split_digits()
    rows = DIGITS[np.concatenate([seeds, unlabeled])].double().numpy()
    rows = rows - rows.mean(axis=0)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    own = LABELS[seeds]
    found = transduce(rows, own, **SETTINGS)
    start = RidgeClassifier(alpha=0.2).fit(rows[:40], own)
    field = LabelField(
        0.05 * neighbor_graph(rows, 10), 40, 0.2, np.full(10, len(rows) / 10)
    )

    def objective(labels, weights, bias):
        scores = rows @ weights + bias
        losses = 0.5 * ((scores[:, None] - np.eye(10)) ** 2).sum(axis=2)
        return field.energy(labels, losses) + RIDGE / 2 * (weights**2).sum()

    before = start.predict(rows)
    before[:40] = own
    refit = RidgeClassifier(alpha=RIDGE).fit(rows, before)
    weights, bias = refit.coef_.T / 2, (refit.intercept_ + 1) / 2  # from ±1 to 0 and 1
    assert objective(found.labels, found.weights, found.bias) < 0.99 * objective(
        before, weights, bias
    )


def test_unlabeled_digits_help_a_ridge_classifier():
    gains = []
    for seed in range(3):
        seeds, unlabeled, others = split_digits(seed)
        scores = scores_of(learn_digits(seeds, unlabeled), DIGITS[others])
        accuracy = (scores.argmax(dim=1).numpy() == LABELS[others]).mean()
        plain = max(
            RidgeClassifier(alpha=alpha)
            .fit(DIGITS[seeds] / 16, LABELS[seeds])
            .score(DIGITS[others] / 16, LABELS[others])
            for alpha in (0.1, 1, 10)
        )
        gains.append(accuracy - plain)
    assert min(gains) > 0
    assert np.mean(gains) > 0.03, gains


def test_same_images_give_the_same_arrays():
    seeds, unlabeled, _ = split_digits()
    first, second = learn_digits(seeds, unlabeled), learn_digits(seeds, unlabeled)
    for key, array in first.items():
        np.testing.assert_array_equal(array, second[key])


def test_a_seed_gets_the_scores_of_a_classifier_without_it():
    seeds, unlabeled, others = split_digits()
    learned = learn_digits(seeds, unlabeled)
    rounded = DIGITS[seeds].half().float() + 1e-3  # as the store might round them
    scores = scores_of(learned, torch.cat([DIGITS[others[:5]], rounded]))
    np.testing.assert_allclose(scores[5:], learned["seed_scores"])
    weights = {**learned, "seed_scores": np.full_like(learned["seed_scores"], np.nan)}
    np.testing.assert_array_equal(scores_of(weights, DIGITS[others[:5]]), scores[:5])


def test_seeds_among_the_unlabeled_images_change_little():
    seeds, unlabeled, others = split_digits()
    alone = scores_of(learn_digits(seeds, unlabeled), DIGITS[others])
    with_seeds = learn_digits(seeds, np.concatenate([unlabeled, seeds]))
    again = scores_of(with_seeds, DIGITS[others])
    same = (alone.argmax(dim=1) == again.argmax(dim=1)).float().mean()
    assert same > 0.95
    assert with_seeds["seed_scores"].max() < 1.3


def test_one_column_per_class_with_seeds_in_ascending_order():
    seeds, unlabeled, others = split_digits()
    seeds = seeds[np.isin(LABELS[seeds], (3, 7))]
    unlabeled = unlabeled[np.isin(LABELS[unlabeled], (3, 7))]
    others = others[np.isin(LABELS[others], (3, 7))]
    scores = scores_of(learn_digits(seeds, unlabeled), DIGITS[others])
    assert scores.shape == (len(others), 2)
    right = np.array([3, 7])[scores.argmax(dim=1)] == LABELS[others]
    assert right.mean() > 0.9


def test_class_sizes_follow_the_seeds_where_asked_to():
    rng = np.random.default_rng(3)
    rows, own = unit_rows(rng, 400, 5), np.arange(20) % 2
    free = transduce(rows, own, **{**SETTINGS, "share_weight": 0.0})
    held = transduce(rows, own, **{**SETTINGS, "share_weight": 100.0})
    assert abs(np.bincount(held.labels)[0] - 200) <= 3
    assert abs(np.bincount(free.labels)[0] - 200) > 10


@pytest.mark.parametrize("n_unlabeled", [0, 1, 5])
def test_finite_with_few_unlabeled_and_constant_images(n_unlabeled):
    seeds, unlabeled, _ = split_digits(per_class=1)
    learned = learn_digits(seeds[:3], unlabeled[:n_unlabeled])
    strange = torch.stack([torch.zeros(64), torch.full((64,), 16.0)])
    assert torch.isfinite(scores_of(learned, strange)).all()


def test_the_feature_reads_several_sources():
    feature = transductive(thumbnail(7), thumbnail(4), name="both")
    assert feature.of == (feature.of[0], feature.of[1])
    assert feature.fit_arguments == {"labels", "unlabeled"}
    pictures = (DIGITS.reshape(-1, 8, 8, 1) * 15).byte().numpy()
    values = [torch.from_numpy(lfkit.extract([f], pictures)[f]) for f in feature.of]
    learned = feature.fit(
        *[value[:50] for value in values],
        labels=LABELS[:50],
        rng=np.random.default_rng(0),
        unlabeled=tuple(value[50:300] for value in values),
    )
    fitted = feature.with_learned(learned, feature.of)
    assert fitted(pictures[300:310]).shape == (10, 10)


def test_too_few_numbers_cannot_tell_images_apart():
    values = torch.rand(6, 3)
    labels = np.array([0, 0, 0, 1, 1, 1])
    with pytest.raises(DeclarationError, match=r"at least 8 numbers .* got 3"):
        learn_scores(
            values,
            labels=labels,
            rng=np.random.default_rng(0),
            unlabeled=(torch.rand(4, 3),),
        )
