import functools
import importlib
import math
import pkgutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import skimage.feature
import skimage.filters
import skimage.measure
import torch
from assertions import assert_refused
from sklearn.datasets import load_digits

import lfkit
from lf_library import (
    _digit_features,
    _fashion_features,
    _fashion_measures,
    digits,
    fashion,
)
from lfkit import features
from lfkit.errors import DeclarationError
from lfkit.features import FEATURES, color, edges, gray, shape, texture, topology
from lfkit.features import image_parts as views
from lfkit.features.compressive import projection_matrix, random_projections
from lfkit.features.feature import Feature, ancestors
from lfkit.features.feature_table import FeatureTable
from lfkit.features.gist import gist
from lfkit.features.hog import hog
from lfkit.features.lenet import (
    lenet_features,
    lenet_kernel_norms,
    lenet_maps,
    train_lenet,
)
from lfkit.features.thumbnail import thumbnail
from lfkit.features.wavelets import haar

DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS = (DIGITS.reshape(-1, 8, 8) / 16 * 255).round().astype(np.uint8)[..., None]
# At the features' working size, so that both sides of a comparison see the same pixels.
DIGITS28 = np.stack(
    [
        cv2.resize(image, (28, 28), interpolation=cv2.INTER_CUBIC)
        for image in DIGITS[:60]
    ]
)[..., None]
NOISE28 = np.random.default_rng(0).integers(0, 256, (20, 28, 28, 1)).astype(np.uint8)
PICTURES = np.concatenate([DIGITS28, NOISE28])


def train_on_digits(seed=0):
    pixels = torch.from_numpy(lfkit.extract([gray.gray28], DIGITS[:100])[gray.gray28])
    rng = np.random.default_rng(seed)
    return train_lenet(pixels, labels=LABELS[:100], rng=rng)


@functools.cache
def fitted_maps():
    return lenet_maps.with_learned(train_on_digits(), lenet_maps.of)


def with_fitted_lenet(node):
    return node.with_learned({}, (fitted_maps(),)) if lenet_maps in node.of else node


@functools.cache
def all_features():
    """Every feature of the table or that a library reads, fitted on digits.

    ImageNet networks have tests of their own: they are too slow for these.
    """
    shipped = [
        f for name, f in FEATURES.items() if FEATURES.file_of[name] != "imagenet"
    ]
    shipped.append(views.seen_in(hog(cell=7), views.top_half))
    for module in (_digit_features, _fashion_features, _fashion_measures):
        shipped += [v for v in vars(module).values() if isinstance(v, Feature)]
    shipped += [f for lib in (digits, fashion) for lf in lib.LFS for f in lf.features]
    known = [
        with_fitted_lenet(f)
        for f in ancestors(shipped)
        if f not in (lfkit.image, lenet_maps)
    ]
    by_name = {f.name: f for f in [fitted_maps(), *known]}
    readers = [
        lfkit.labeling_function(
            features=[f], classes=[0], batched=True, name=f"reads_{name}"
        )(lambda values: torch.zeros(len(values), dtype=torch.int64))
        for name, f in by_name.items()
        if not f.is_fitted
    ]
    applier = lfkit.LFApplier(readers, n_classes=10, n_workers=0, strict=True)
    rows = np.arange(100)
    applier.apply(DIGITS[:150], seed_rows=rows, seed_labels=LABELS[:100])
    assert not applier.report_.left_out
    fitted = {lf.features[0].name: lf.features[0] for lf in applier.lfs_}
    return list((by_name | fitted).values())


def of_all(images):
    """Compute every feature by name; what many are computed from, once."""
    found = lfkit.extract(all_features(), images)
    assert len(found) > 200
    return {node.name: values for node, values in found.items()}


@pytest.fixture(scope="module")
def of_pictures():
    return of_all(PICTURES)


SHAPED_LIKE_THE_IMAGE = {"color_histogram", "rgb64", "hsv64"}
SIZES = [(8, 8), (28, 28), (40, 24), (28, 1), (1, 9)]


def some_images(size, channels):
    h, w = size
    rng = np.random.default_rng(1)
    # Smooth blobs: pure noise puts nearly every feature at the same value.
    coarse = rng.integers(0, 256, (6, 4, 4, channels)).astype(np.uint8)
    resized = [cv2.resize(image, (w, h)).reshape(h, w, channels) for image in coarse]
    return np.stack(resized)


def unlike(first, second, **tolerance):
    """Give the names of the features whose values are not the same."""
    return [
        name
        for name, values in second.items()
        if first[name].shape != values.shape
        or not np.allclose(first[name], values, **tolerance)
    ]


@pytest.mark.parametrize("size", SIZES[:3], ids=str)
def test_one_image_gives_what_it_gives_in_a_batch(size):
    images = some_images(size, 1)
    together = of_all(images)
    for row in (1, 4):
        alone = of_all(images[[row]])
        in_batch = {name: values[[row]] for name, values in together.items()}
        assert not unlike(alone, in_batch, rtol=2e-3, atol=1e-4)


def test_same_images_same_bits(of_pictures):
    assert not unlike(of_all(PICTURES), of_pictures, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("size", "channels"), list(zip(SIZES, [1, 3, 3, 1, 3], strict=True)), ids=str
)
def test_values_are_finite_and_shaped_alike(size, channels, of_pictures):
    flat = [np.full((1, *size, channels), v, np.uint8) for v in (0, 1, 128, 255)]
    images = np.concatenate([some_images(size, channels), *flat])
    found = of_all(images)
    assert {values.dtype for values in found.values()} == {np.dtype(np.float32)}
    assert {len(values) for values in found.values()} == {len(images)}
    assert not [name for name, v in found.items() if not np.isfinite(v).all()]
    others = [
        name
        for name, values in found.items()
        if values.shape[1:] != of_pictures[name].shape[1:]
    ]
    assert not set(others) - SHAPED_LIKE_THE_IMAGE


def test_gray_written_as_rgb_gives_the_same(of_pictures):
    as_rgb = of_all(np.repeat(PICTURES, 3, axis=3))
    others = unlike(as_rgb, of_pictures, rtol=2e-3, atol=1e-3)
    assert others == [color.color_histogram.name]


def test_features_document_themselves():
    untold = [f.name for f in all_features() if not f.doc.endswith((".", ")"))]
    assert not untold


def test_every_feature_of_a_file_is_in_the_table():
    written = set()
    for file in pkgutil.iter_modules(features.__path__):
        module = importlib.import_module(f"lfkit.features.{file.name}")
        written |= {
            (file.name, name)
            for name, value in vars(module).items()
            if isinstance(value, Feature) and value.fn.__module__ == module.__name__
        }
    written.remove(("feature", "image"))  # the images themselves
    assert len(written) > 90
    in_table = {(FEATURES.file_of[name], name) for name in FEATURES}
    assert in_table - written == {("hog", "hog"), ("thumbnail", "thumbnail")}
    assert written <= in_table


def test_names_of_features_are_read_without_their_files():
    code = "from lfkit.features import FEATURES; list(FEATURES); import sys; "
    code += "assert not {'torch', 'lfkit.features.hog'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_gray_of_pure_colors_is_their_luma():
    colors = np.zeros((3, 8, 8, 3), np.uint8)
    for channel in range(3):
        colors[channel, :, :, channel] = 255
    means = gray.gray28(colors).mean(axis=(1, 2))
    np.testing.assert_allclose(means, [0.299, 0.587, 0.114], atol=1e-3)


# A letter T, 12 wide and 16 tall, with a stem of 4.
T = np.zeros((28, 28, 1), np.uint8)
T[6:10, 8:20] = 255
T[10:22, 12:16] = 255


def test_shape_of_a_letter_t():
    assert shape.bounding_box(T).tolist() == [6, 8, 22, 20]
    assert shape.height(T) == pytest.approx(16 / 28)
    assert shape.width(T) == pytest.approx(12 / 28)
    assert shape.aspect(T) == pytest.approx(12 / 16)
    assert shape.fill(T) == pytest.approx((4 * 12 + 12 * 4) / (12 * 16))
    assert shape.asymmetry(T) == 0
    top, stem = shape.band_width("top", 0, 0.25), shape.band_width("stem", 0.5, 1)
    assert top(T) == pytest.approx(12 / 28)
    assert stem(T) == pytest.approx(4 / 28)


def test_asymmetry_of_a_shape_beside_the_middle_is_one():
    half = np.zeros((28, 28, 1), np.uint8)
    half[:, 3:9] = 200
    assert shape.asymmetry(half) == pytest.approx(1)


def test_outline_of_a_letter_t():
    widths, heights, left, top = shape.outline(T).reshape(4, 28) * 28
    assert widths[[5, 6, 15]].round().tolist() == [0, 12, 4]
    assert heights[[7, 8, 13]].round().tolist() == [0, 4, 16]
    assert left[[0, 6, 15]].round().tolist() == [28, 8, 12]
    assert top[[0, 8, 13]].round().tolist() == [28, 6, 6]


@pytest.mark.parametrize(
    ("declare", "sentence"),
    [
        (lambda: hog(cell=8), "cell of hog is 8; images are seen at 28x28 here, so"),
        (lambda: hog(cell=0), "it must be one of 1, 2, 4, 7, 14, 28"),
        (lambda: hog(cell=14, block=3), "hog has block 3 and bins 9; with cell 14"),
        (lambda: thumbnail(5), "side of thumbnail is 5"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_where_they_are_written(declare, sentence):
    with pytest.raises(lfkit.errors.DeclarationError) as caught:
        declare()
    assert sentence in str(caught.value)


@pytest.mark.reference
def test_moments_are_those_of_opencv():
    for image in DIGITS28:
        found = cv2.moments(image)
        unit = found["m00"] * 13.5**2
        expected = [
            math.sqrt(found["mu02"] / unit),
            math.sqrt(found["mu20"] / unit),
            found["mu11"] / unit,
        ]
        np.testing.assert_allclose(shape.second_moments(image), expected, atol=1e-4)


@pytest.mark.reference
def test_intensity_histogram_is_numpys():
    for image in PICTURES:
        counts = np.histogram(image / np.float32(255), bins=16, range=(0, 1))[0]
        np.testing.assert_allclose(
            color.intensity_histogram(image), counts / 784, atol=1e-3
        )


@pytest.mark.reference
def test_color_histogram_is_numpys_channel_by_channel():
    image = np.random.default_rng(2).integers(0, 256, (10, 12, 3)).astype(np.uint8)
    counts = [np.histogram(image[..., c] / 255, 16, (0, 1))[0] for c in range(3)]
    np.testing.assert_allclose(
        color.color_histogram(image), np.concatenate(counts) / 120, atol=1e-3
    )


@pytest.mark.reference
def test_sobel_is_scikit_images():
    for image in PICTURES:
        pixels = image[..., 0] / 255
        right, below = edges.sobel(image)
        for ours, theirs in (
            (right, skimage.filters.sobel_v(pixels)),
            (below, skimage.filters.sobel_h(pixels)),
        ):
            np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-3)


def test_sobel_points_towards_the_brighter_side():
    right_half = np.zeros((28, 28, 1), np.uint8)
    right_half[:, 14:] = 255
    across, down = edges.sobel(right_half)
    assert across[:, 13:15].min() == 1
    assert not across[:, :13].any()
    assert not down.any()


@pytest.mark.reference
def test_long_edges_are_opencvs_openings_with_lines():
    for image in PICTURES:
        expected = []
        for strength, line in zip(
            edges.sobel(image), (np.ones((9, 1)), np.ones((1, 9))), strict=True
        ):
            opened = cv2.morphologyEx(
                np.abs(strength),
                cv2.MORPH_OPEN,
                line.astype(np.uint8),
                borderType=cv2.BORDER_CONSTANT,
                borderValue=0,
            )
            expected.append(opened.reshape(7, 4, 7, 4).mean(axis=(1, 3)).ravel())
        np.testing.assert_allclose(
            edges.long_edges(image), np.concatenate(expected), atol=1e-3
        )


@pytest.mark.reference
@pytest.mark.parametrize(("cell", "block"), [(4, 1), (4, 2), (7, 1), (7, 2)])
def test_hog_is_scikit_images(cell, block):
    ours = hog(cell=cell, block=block)(PICTURES)
    for values, image in zip(ours, PICTURES, strict=True):
        expected = skimage.feature.hog(
            image[..., 0] / np.float32(255),
            orientations=9,
            pixels_per_cell=(cell, cell),
            cells_per_block=(block, block),
        )
        np.testing.assert_allclose(values, expected, atol=1e-3)


@pytest.mark.reference
def test_gist_is_opencvs_gabor_filters_averaged():
    for image in PICTURES[::8]:
        pixels = image[..., 0] / np.float32(255)
        expected = []
        for wavelength in (3, 5, 8):
            for k in range(4):
                magnitude = gabor_magnitude(pixels, wavelength, math.pi * k / 4)
                windows = [slice(0, 4), slice(3, 7), slice(7, 11), slice(10, 14)]
                expected += [
                    magnitude[::2, ::2][down, across].mean()
                    for down in windows
                    for across in windows
                ]
        np.testing.assert_allclose(gist(image), expected, atol=1e-3)


def gabor_magnitude(pixels, wavelength, angle):
    radius = math.ceil(2.5 * wavelength / 2)
    size = (2 * radius + 1, 2 * radius + 1)
    sigma = wavelength / 2
    parts = []
    for phase in (0, math.pi / 2):
        kernel = cv2.getGaborKernel(size, sigma, angle, wavelength, 1.0, phase)
        envelope = cv2.getGaborKernel(size, sigma, 0, 1e9, 1.0, 0)
        parts.append(
            cv2.filter2D(
                pixels,
                cv2.CV_32F,
                kernel / envelope.sum(),
                borderType=cv2.BORDER_REPLICATE,
            )
        )
    return np.hypot(*parts)


@pytest.mark.reference
def test_lbp_codes_are_scikit_images():
    ours = texture.lbp_codes(PICTURES)
    for codes, image in zip(ours, PICTURES, strict=True):
        expected = skimage.feature.local_binary_pattern(
            image[..., 0], 8, 1, method="uniform"
        )
        # Its float64 breaks ties of interpolated neighbors either way.
        assert (codes == expected).mean() > 0.995


def test_lbp_grid_shares_add_up_to_one_in_every_cell():
    shares = texture.lbp_grid(PICTURES).reshape(-1, 16, 10)
    np.testing.assert_allclose(shares.sum(axis=2), 1, atol=1e-3)


@pytest.mark.reference
def test_haar_is_ten_lines_of_numpy():
    def split(maps):
        a, b, c, d = maps[::2, ::2], maps[::2, 1::2], maps[1::2, ::2], maps[1::2, 1::2]
        return (
            (a + b + c + d) / 2,
            (a - b + c - d) / 2,
            (a + b - c - d) / 2,
            (a - b - c + d) / 2,
        )

    for image in PICTURES:
        average, *fine = split(image[..., 0] / 255)
        amounts = [np.abs(x).reshape(7, 2, 7, 2).mean(axis=(1, 3)) for x in fine]
        expected = np.stack([*split(average), *amounts]).ravel()
        np.testing.assert_allclose(haar(image), expected, rtol=1e-3, atol=1e-3)


def test_random_projections_roughly_keep_distances():
    flat = PICTURES.reshape(len(PICTURES), -1) / 255
    sums = random_projections(PICTURES)
    ratio = np.linalg.norm(sums[:30] - sums[30:60], axis=1) / np.linalg.norm(
        flat[:30] - flat[30:60], axis=1
    )
    assert ratio.min() > 0.7
    assert ratio.max() < 1.3
    assert projection_matrix(torch.device("cpu")).shape == (784, 96)


@pytest.mark.parametrize("diagonals", [False, True])
@pytest.mark.reference
def test_connected_components_are_scikit_images(diagonals):
    masks = np.random.default_rng(3).random((30, 28, 28)) < 0.5
    ours = topology.connected_components(
        torch.from_numpy(masks), diagonals=diagonals
    ).numpy()
    for label, mask in zip(ours, masks, strict=True):
        theirs = skimage.measure.label(mask, connectivity=1 + diagonals)
        pairs = np.unique(np.stack([label.ravel(), theirs.ravel()]), axis=1)
        assert len(pairs.T) == theirs.max() + 1 == len(np.unique(label))


def test_a_spiral_is_one_component():
    spiral = np.zeros((28, 28), bool)
    row, column, down, across = 0, 0, 0, 1
    for length in [27, 27, 27, *np.repeat(np.arange(25, 0, -2), 2)]:
        for _ in range(length):
            spiral[row, column] = True
            row, column = row + down, column + across
        down, across = across, -down
    label = topology.connected_components(
        torch.from_numpy(spiral)[None], diagonals=False
    )
    assert spiral.sum() > 350
    assert len(label[0][torch.from_numpy(spiral)].unique()) == 1


@pytest.mark.reference
def test_hole_count_is_what_scikit_image_encloses():
    ink = gray.ink(DIGITS[:300])
    for mask, count in zip(ink, topology.hole_count(DIGITS[:300]), strict=True):
        outside = np.pad(mask == 0, 1, constant_values=True)
        regions = skimage.measure.regionprops(
            skimage.measure.label(outside, connectivity=1)
        )
        assert count == sum(region.area >= 3 for region in regions) - 1


def test_a_drawn_nine_has_one_hole_and_one_stem():
    nine = np.zeros((28, 28, 1), np.uint8)
    nine[3:13, 8:19] = 255
    nine[6:10, 11:16] = 0  # a hole of 4 x 5
    nine[13:26, 16:19] = 255
    assert topology.hole_count(nine) == 1
    assert topology.stem_count(nine) == 1
    assert topology.component_count(nine) == 1
    diameter = math.sqrt(4 / math.pi * 20) / 28
    assert topology.hole_diameter(nine) == pytest.approx(diameter)


def test_a_hole_that_opens_only_at_a_corner_stays_a_hole():
    ring = np.zeros((28, 28, 1), np.uint8)
    ring[5:15, 5:15] = 255
    ring[8:12, 8:12] = 0
    ring[5:8, 5:8] = 0  # touches the hole at a corner only
    assert topology.hole_count(ring) == 1


def test_lenet_training_is_its_generators_alone():
    before = torch.random.get_rng_state()
    first, again, other = train_on_digits(), train_on_digits(), train_on_digits(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, weights in first.items():
        np.testing.assert_array_equal(weights, again[name])
    assert (first["conv2"] != other["conv2"]).any()


def test_lenet_features_are_pooled_and_measured_maps():
    maps, pooled, norms = (
        with_fitted_lenet(f)(DIGITS[:5])
        for f in (fitted_maps(), lenet_features, lenet_kernel_norms)
    )
    blocks = maps.reshape(5, 16, 4, 2, 4, 2).max(axis=(3, 5))
    np.testing.assert_allclose(pooled, blocks.reshape(5, -1), rtol=2e-3)
    np.testing.assert_allclose(norms, np.linalg.norm(maps, axis=(2, 3)), rtol=2e-3)


def test_unfitted_lenet_says_that_it_needs_labels():
    with pytest.raises(lfkit.errors.DeclarationError, match="needs seed labels"):
        lenet_features(DIGITS[:1])


def test_a_wrong_name_in_the_table_is_one_sentence():
    table = FeatureTable({"gray": "gray28 grey28"})
    assert table["gray28"].name == "gray28"
    with assert_refused(DeclarationError, names=["FEATURES", "grey28"]):
        table["grey28"]
