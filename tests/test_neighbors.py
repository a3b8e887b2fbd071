"""Neighbours: exact ones as brute force finds them, approximate ones nearly so."""

import numpy as np
import pytest

from lfkit.errors import InputError
from lfkit.refinement.neighbors import Neighbors, affinity, diffuse, nearest_neighbors


def clouds(n, d=12, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(40, d))
    return (centers[rng.integers(40, size=n)] + 0.5 * rng.normal(size=(n, d))).astype(
        np.float32
    )


def by_brute_force(points, g):
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    index = np.argsort(-cosines, axis=1)[:, :g]
    return index, np.take_along_axis(cosines, index, axis=1)


def test_exact_neighbours_are_those_of_brute_force():
    points = clouds(300)
    found = nearest_neighbors(points, 7)
    index, cosines = by_brute_force(points, 7)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_allclose(found.similarity, cosines, atol=1e-5)


def test_approximate_search_finds_nine_of_ten_true_neighbours():
    points = clouds(5000)
    index, _ = by_brute_force(points, 10)
    found = nearest_neighbors(points, 10, exact_up_to=100)
    hits = [len(np.intersect1d(a, b)) for a, b in zip(found.index, index, strict=True)]
    assert np.mean(hits) / 10 > 0.9
    assert (found.index != np.arange(5000)[:, None]).all()


def test_approximate_search_is_deterministic_and_leaves_the_global_state_alone():
    points = clouds(1000)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = nearest_neighbors(points, 5, exact_up_to=10, random_state=3)
    second = nearest_neighbors(points, 5, exact_up_to=10, random_state=3)
    np.testing.assert_array_equal(first.index, second.index)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize("n", [0, 1, 2, 5])
@pytest.mark.parametrize("exact_up_to", [0, 100])
def test_few_points_have_as_many_neighbours_as_there_are_others(n, exact_up_to):
    found = nearest_neighbors(clouds(n), 10, exact_up_to=exact_up_to)
    assert found.index.shape == (n, max(n - 1, 0))
    for row, others in enumerate(found.index):
        assert sorted([row, *others]) == list(range(n))


def test_equal_points_are_neighbours_without_being_their_own():
    found = nearest_neighbors(np.ones((200, 3)), 4, exact_up_to=10)
    assert (found.index != np.arange(200)[:, None]).all()
    np.testing.assert_allclose(found.similarity, 1, atol=1e-6)


def test_graph_is_symmetric_and_its_largest_eigenvalue_is_one():
    graph = affinity([nearest_neighbors(clouds(200), 5)])
    dense = graph.toarray()
    np.testing.assert_allclose(dense, dense.T, atol=1e-6)
    assert np.linalg.eigvalsh(dense).max() == pytest.approx(1, abs=1e-4)


def test_two_graphs_count_half_each():
    first = nearest_neighbors(clouds(50), 3)
    second = nearest_neighbors(clouds(50, seed=1), 3)
    both = affinity([first, second]).toarray()
    alone = [affinity([one]).toarray() for one in (first, second)]
    np.testing.assert_allclose(both, (alone[0] + alone[1]) / 2, atol=1e-6)


def test_diffusion_reaches_the_fixed_point_of_its_equation():
    graph = affinity([nearest_neighbors(clouds(60), 4)])
    start = np.random.default_rng(0).dirichlet(np.ones(3), 60)
    dense = graph.toarray().astype(float)
    fixed = 0.5 * np.linalg.solve(np.eye(60) - 0.5 * dense, start)
    expected = fixed / fixed.sum(axis=1, keepdims=True)
    found = diffuse(graph, start, alpha=0.5, n_steps=60)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_image_without_similar_ones_keeps_its_distribution():
    alone = Neighbors(np.zeros((2, 0), np.int32), np.zeros((2, 0), np.float32))
    start = np.array([[0.9, 0.1], [0.2, 0.8]])
    np.testing.assert_allclose(diffuse(affinity([alone]), start), start, atol=1e-6)


def test_wrong_input_is_explained():
    with pytest.raises(InputError, match="must be \\(n, d\\) finite numbers"):
        nearest_neighbors(np.array([[np.nan, 1.0]]))
    with pytest.raises(InputError, match="n_neighbors is 0 and n_probes 32"):
        nearest_neighbors(clouds(5), 0)
    with pytest.raises(InputError, match="alpha is 1; it must be from 0 to less"):
        diffuse(affinity([nearest_neighbors(clouds(5), 2)]), np.ones((5, 2)), alpha=1)
