import math

import cv2
import numpy as np
import pytest
import skimage.data
import sklearn.cluster
import torch
from sklearn.datasets import load_digits

import lfkit
from lfkit.features import dictionary, sift, textons, visual_words
from lfkit.features.gray import gray28

DIGITS = load_digits().images / 16 * 255


def cut_pictures():
    """Cut 28x28 gray images out of photographs, from flat sky to grass."""
    rng = np.random.default_rng(0)
    cut = []
    for picture in (skimage.data.camera(), skimage.data.coins(), skimage.data.moon()):
        for _ in range(4):
            row, column = (rng.integers(side - 56) for side in picture.shape)
            part = picture[row : row + 56, column : column + 56]
            cut.append(cv2.resize(part, (28, 28), interpolation=cv2.INTER_AREA))
    return cut


PICTURES = np.stack(
    [
        *[cv2.resize(d, (28, 28), interpolation=cv2.INTER_LINEAR) for d in DIGITS[:20]],
        *cut_pictures(),
    ]
).astype(np.uint8)[..., None]
UNLABELED = np.stack(
    [cv2.resize(d, (28, 28), interpolation=cv2.INTER_LINEAR) for d in DIGITS[100:130]]
).astype(np.uint8)[..., None]
DICTIONARIES = [visual_words.visual_words, visual_words.patch_words, textons.texton_map]


def learn(feature, images=UNLABELED, seed=0):
    values = tuple(torch.from_numpy(lfkit.extract([f], images)[f]) for f in feature.of)
    return feature.fit(unlabeled=values, rng=np.random.default_rng(seed))


FITTED = {f: f.with_learned(learn(f), f.of) for f in DICTIONARIES}
ALL = [
    sift.sift_descriptors,
    sift.sift_grid,
    textons.texton_responses,
    *FITTED.values(),
    *[
        f.with_learned({}, (FITTED[textons.texton_map],))
        for f in (textons.texton_histogram, textons.texton_grid)
    ],
]
every_dictionary = pytest.mark.parametrize(
    "feature", DICTIONARIES, ids=lambda f: f.name
)
WIDTHS = {
    "sift_descriptors": (49, 128),
    "sift_grid": (512,),
    "texton_responses": (14, 14, 10),
    "texton_map": (14, 14),
    "texton_histogram": (32,),
    "texton_grid": (512,),
    "visual_words": (640,),
    "patch_words": (288,),
}


def soft_cells(n_positions, cells):
    """Weigh positions for cells as a slow, obvious double loop would."""
    weights = np.zeros((cells, n_positions))
    for cell in range(cells):
        for position in range(n_positions):
            place = (position + 0.5) * cells / n_positions
            place = min(max(place, 0.5), cells - 0.5)
            weights[cell, position] = max(0, 1 - abs(place - (cell + 0.5)))
    return weights / weights.sum(axis=1, keepdims=True)


def pooled(maps, cells):
    """Average (h, w, k) maps over soft cells: (cells, cells, k)."""
    weights = soft_cells(len(maps), cells)
    return np.einsum("ay,bx,yxk->abk", weights, weights, maps)


@pytest.mark.parametrize(
    ("size", "channels"),
    [((8, 8), 1), ((28, 28), 3), ((40, 24), 3), ((28, 1), 1), ((1, 9), 3)],
    ids=str,
)
def test_values_are_finite_and_shaped_alike(size, channels):
    rng = np.random.default_rng(1)
    flat = [np.full((*size, channels), v, np.uint8) for v in (0, 1, 128, 255)]
    noise = rng.integers(0, 256, (2, *size, channels)).astype(np.uint8)
    for feature, values in lfkit.extract(ALL, np.stack([*flat, *noise])).items():
        assert values.shape == (6, *WIDTHS[feature.name]), feature
        assert np.isfinite(values).all(), feature


def test_same_images_same_bits_and_alone_as_among_others():
    first, again = lfkit.extract(ALL, PICTURES), lfkit.extract(ALL, PICTURES)
    alone = lfkit.extract(ALL, PICTURES[3:4])
    for feature in ALL:
        np.testing.assert_array_equal(first[feature], again[feature])
        np.testing.assert_array_equal(alone[feature][0], first[feature][3])


@every_dictionary
def test_dictionary_is_its_generators_alone(feature):
    before = torch.random.get_rng_state()
    first, again, other = learn(feature), learn(feature), learn(feature, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
        assert (values != other[name]).any()


@every_dictionary
@pytest.mark.parametrize("images", [UNLABELED[:1], np.zeros((3, 28, 28, 1), np.uint8)])
def test_dictionary_of_one_image_or_of_blank_ones_is_finite(feature, images):
    learned = learn(feature, images)
    assert all(np.isfinite(values).all() for values in learned.values())
    fitted = feature.with_learned(learned, feature.of)
    assert np.isfinite(fitted(PICTURES)).all()


def test_k_means_finds_separate_clusters_and_fills_empty_words():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10]], np.float32)
    points = np.repeat(centres, 50, axis=0) + rng.normal(0, 0.1, (200, 2))
    # Of equal rows, words that start at the same place: all but one is left empty.
    points[:150] = centres[0]
    points[[0, 1, 2]] = centres[1:]
    words = dictionary.k_means(
        torch.tensor(points, dtype=torch.float32), 4, rng=np.random.default_rng(3)
    )
    found = words[torch.argsort(words[:, 0] * 10 + words[:, 1])]
    expected = centres[np.argsort(centres[:, 0] * 10 + centres[:, 1])]
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_k_means_of_fewer_points_than_words_repeats_points():
    points = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    words = dictionary.k_means(points, 5, rng=np.random.default_rng(0))
    assert words.shape == (5, 2)
    assert {tuple(word) for word in words.tolist()} == {(0.0, 1.0), (2.0, 3.0)}


@pytest.mark.reference
def test_k_means_is_scikit_learns_from_the_same_start():
    points = torch.from_numpy(DIGITS[:500].reshape(-1, 64) / 255).to(torch.float32)
    start = points[np.random.default_rng(5).permutation(len(points))[:10]]
    ours = dictionary.k_means(points, 10, rng=np.random.default_rng(5), n_steps=40)
    theirs = sklearn.cluster.KMeans(10, init=start.numpy(), n_init=1, tol=0).fit(points)
    np.testing.assert_allclose(ours, theirs.cluster_centers_, atol=1e-4)
    numbers = dictionary.nearest_word(points, ours).numpy()
    assert (numbers == theirs.labels_).mean() > 0.999


def test_whitened_points_are_uncorrelated():
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(4000, 6)) @ rng.normal(size=(6, 6)) + 3
    points = torch.tensor(mixed, dtype=torch.float32)
    mean, matrix = dictionary.zca(points, 1e-6)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-4)
    white = ((points - mean) @ matrix).numpy()
    np.testing.assert_allclose(white.T @ white / 4000, np.eye(6), atol=1e-2)


def test_contrast_normalised_patches_forget_brightness_and_contrast():
    patch = torch.rand(1, 36, generator=torch.Generator().manual_seed(0))
    first, second = (
        dictionary.contrast_normalised(p, 1e-6) for p in (patch, 0.3 * patch + 0.2)
    )
    np.testing.assert_allclose(first, second, atol=1e-3)
    assert not dictionary.contrast_normalised(torch.ones(1, 36), 1e-6).any()


@pytest.mark.reference
def test_sift_is_opencvs_descriptor():
    """Every cosine above .999: OpenCV rounds to whole numbers."""
    engine = cv2.SIFT_create(sigma=math.hypot(sift.BLUR_PX, 0.5))
    places = sift.KEYPOINTS_PX
    # A keypoint's size is its diameter: OpenCV's cells are 1.5 sizes wide.
    size = 2 * sift.CELL_PX / 3
    keypoints = [cv2.KeyPoint(x, y, size, 0, 1, 0) for y in places for x in places]
    cosines = []
    for image, ours in zip(PICTURES, sift.sift_descriptors(PICTURES), strict=True):
        kept, theirs = engine.compute(image[..., 0], keypoints)
        assert [k.pt for k in kept] == [k.pt for k in keypoints]
        seen = np.linalg.norm(theirs, axis=1) > 0
        lengths = np.linalg.norm(theirs, axis=1) * np.linalg.norm(ours, axis=1)
        cosines.append(((ours * theirs).sum(axis=1) / np.maximum(lengths, 1e-9))[seen])
    cosines = np.concatenate(cosines)
    assert len(cosines) > 0.9 * 49 * len(PICTURES)
    assert cosines.min() > 0.999


def slow_sift(image, row, column):
    """One descriptor, pixel by pixel, as Lowe's section 6.1 says."""
    blurred = cv2.GaussianBlur(
        image / 255, (9, 9), 0.8, borderType=cv2.BORDER_REFLECT_101
    )
    sums = np.zeros((4, 4, 8))
    for y in range(1, 27):
        for x in range(1, 27):
            right = blurred[y, x + 1] - blurred[y, x - 1]
            up = blurred[y - 1, x] - blurred[y + 1, x]
            turn = math.atan2(up, right) / (2 * math.pi) * 8 % 8
            v, u = (y - row) / 4, (x - column) / 4
            weight = math.hypot(up, right) * math.exp(-(u * u + v * v) / 8)
            for i, j in np.ndindex(4, 4):
                share = max(0, 1 - abs(v + 1.5 - i)) * max(0, 1 - abs(u + 1.5 - j))
                for k in (0, 1):
                    part = (turn % 1) if k else 1 - turn % 1
                    sums[i, j, (int(turn) + k) % 8] += weight * share * part
    vector = sums.ravel() / np.linalg.norm(sums)
    vector = np.minimum(vector, 0.2)
    return vector / np.linalg.norm(vector)


@pytest.mark.reference
def test_sift_is_lowes_sum_pixel_by_pixel():
    # The first keypoint, the middle one, and the last but one.
    keypoints = ((0, 8, 8), (24, 14, 14), (47, 20, 18))
    found = sift.sift_descriptors(PICTURES[18:21])
    for image, descriptors, (number, row, column) in zip(
        PICTURES[18:21], found, keypoints, strict=True
    ):
        ours = descriptors[number]
        expected = slow_sift(image[..., 0].astype(np.float64), row, column)
        np.testing.assert_allclose(ours, expected, atol=2e-3)


def test_sift_of_a_flat_image_is_zero():
    assert not sift.sift_descriptors(np.full((28, 28, 1), 99, np.uint8)).any()


def test_sift_grid_is_four_of_the_descriptors():
    descriptors = sift.sift_descriptors(PICTURES).reshape(-1, 7, 7, 128)
    expected = descriptors[:, [1, 1, 5, 5], [1, 5, 1, 5]]
    np.testing.assert_array_equal(
        sift.sift_grid(PICTURES), expected.reshape(len(PICTURES), -1)
    )


def derivative_kernels(sigma):
    """Five kernels from the formulas of a Gaussian's derivatives in the plane."""
    radius = math.ceil(3 * sigma)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1] / sigma
    bell = np.exp(-(x**2 + y**2) / 2)
    kernels = [
        x * bell,
        y * bell,
        (x**2 + y**2 - 2) * bell,
        (x**2 - y**2) * bell,
        x * y * bell,
    ]
    # Cut off at three sigma the Laplacian sees brightness a little; take that out.
    kernels[2] -= kernels[2].sum() / bell.sum() * bell
    return [kernel / np.abs(kernel).sum() for kernel in kernels]


@pytest.mark.reference
def test_texton_responses_are_opencvs_filters_compressed():
    kernels = [k for sigma in (1, 2) for k in derivative_kernels(sigma)]
    for image, ours in zip(PICTURES, textons.texton_responses(PICTURES), strict=True):
        raw = np.stack(
            [
                cv2.filter2D(image / 255, -1, k, borderType=cv2.BORDER_REPLICATE)
                for k in kernels
            ],
            axis=-1,
        )[::2, ::2]
        length = np.linalg.norm(raw, axis=2, keepdims=True)
        expected = raw * np.log1p(length / 0.01) / np.maximum(length, 1e-6)
        np.testing.assert_allclose(ours, expected, atol=4e-3)


def test_an_edge_answers_the_filter_across_it_alone():
    step = np.zeros((28, 28, 1), np.uint8)
    step[:, 15:] = 255
    rightwards, downwards, _, _, mixed = textons.texton_responses(step)[7, 7, :5]
    assert rightwards > 1
    assert abs(downwards) < 1e-3
    assert abs(mixed) < 1e-3


@pytest.mark.reference
def test_texton_histograms_are_shares_of_the_nearest_texton():
    node = FITTED[textons.texton_map]
    histogram, grid = (f(PICTURES[:20]) for f in ALL[-2:])
    numbers = node(PICTURES[:20])
    responses = textons.texton_responses(PICTURES[:20]).reshape(20, 196, 1, 10)
    for row in range(20):
        gaps = np.linalg.norm(responses[row] - node.learned["textons"], axis=2)
        chosen = gaps[np.arange(196), numbers[row].ravel().astype(int)]
        np.testing.assert_allclose(chosen, gaps.min(axis=1), atol=5e-3)
        one_hot = np.eye(32)[numbers[row].astype(int)]
        shares = np.sqrt(one_hot.mean(axis=(0, 1)))
        np.testing.assert_allclose(histogram[row], shares, atol=1e-3)
        expected = np.sqrt(pooled(one_hot, 4))
        np.testing.assert_allclose(grid[row], expected.ravel(), atol=1e-3)


@pytest.mark.reference
def test_visual_words_are_ten_lines_of_numpy():
    node = FITTED[visual_words.visual_words]
    values = lfkit.extract([sift.sift_descriptors, node], PICTURES)
    for descriptors, words in zip(*values.values(), strict=True):
        distances = np.linalg.norm(
            descriptors[:, None] - node.learned["words"], axis=2
        )  # (49, 64)
        near = np.maximum(0, distances.mean(axis=1, keepdims=True) - distances)
        near = near.reshape(7, 7, 64)
        expected = [near.mean(axis=(0, 1)), pooled(near, 3)]
        np.testing.assert_allclose(
            words, np.concatenate([e.ravel() for e in expected]), atol=2e-3
        )


@pytest.mark.reference
def test_patch_words_are_ten_lines_of_numpy():
    # The learner's own steps, none of them folded into filters.
    gray = torch.from_numpy(lfkit.extract([gray28], UNLABELED)[gray28])
    rng = np.random.default_rng(0)
    points = dictionary.sample_points(dictionary.patches(gray, 6), 3, 10_000, rng=rng)
    points = dictionary.contrast_normalised(points, 1.5e-4)
    mean, matrix = dictionary.zca(points, 1.0)
    words = dictionary.k_means((points - mean) @ matrix, 32, rng=rng).numpy()
    mean, matrix = mean.numpy(), matrix.numpy()
    words = words / np.linalg.norm(words, axis=1, keepdims=True)
    node = FITTED[visual_words.patch_words]
    for image, values in zip(PICTURES, node(PICTURES), strict=True):
        cut = np.lib.stride_tricks.sliding_window_view(image[..., 0] / 255, (6, 6))
        cut = cut.reshape(23, 23, 36)
        spread = np.sqrt(cut.var(axis=2, keepdims=True) + 1.5e-4)
        normalised = (cut - cut.mean(axis=2, keepdims=True)) / spread
        near = np.maximum(0, (normalised - mean) @ matrix @ words.T - 0.5)
        np.testing.assert_allclose(
            values.reshape(3, 3, 32), np.sqrt(pooled(near, 3)), atol=4e-3
        )


def test_sampled_points_are_different_rows():
    values = torch.arange(60).reshape(4, 5, 3)
    points = dictionary.sample_points(values, 2, 12, rng=np.random.default_rng(0))
    rows = {tuple(row) for row in points.tolist()}
    assert len(rows) == 12
    assert rows <= {tuple(row) for row in values.reshape(20, 3).tolist()}


def test_cell_weights_are_bilinear_averages():
    weights = dictionary.cell_weights(7, 3, torch.device("cpu"))
    expected = np.kron(soft_cells(7, 3), soft_cells(7, 3))
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    assert weights.shape == (9, 49)
