import math

import cv2
import numpy as np
import pytest
import scipy.ndimage
import skimage.color
import skimage.data
import skimage.feature
import skimage.measure
import skimage.morphology
import torch
from sklearn.datasets import load_digits

import lfkit
from lfkit.features import blobs, canny, color, corners, gray, moments
from lfkit.features.feature import Feature

DIGITS = (load_digits().images[:40] / 16 * 255).astype(np.uint8)
DIGITS28 = np.stack(
    [cv2.resize(d, (28, 28), interpolation=cv2.INTER_CUBIC) for d in DIGITS]
)
CAMERA = skimage.data.camera()[:448, :448].reshape(8, 56, 8, 56).swapaxes(1, 2)
CAMERA28 = CAMERA.reshape(-1, 56, 56)[:, ::2, ::2]
GRAY28 = np.concatenate([DIGITS28, CAMERA28])[..., None]
# Crops of pictures, 48 high and 40 wide.
PHOTOS = np.concatenate(
    [
        photo[:288:3, :400:2][:96, :200]
        .reshape(2, 48, 5, 40, 3)
        .swapaxes(1, 2)
        .reshape(-1, 48, 40, 3)
        for photo in (
            skimage.data.astronaut(),
            skimage.data.coffee(),
            skimage.data.chelsea(),
        )
    ]
)

MODULES = (blobs, canny, color, moments, corners)
ALL = [
    value
    for module in MODULES
    for value in vars(module).values()
    if isinstance(value, Feature) and value.fn.__module__ == module.__name__
]
FULL_RESOLUTION = (color.rgb64, color.hsv64)  # their shape is the image's
every_feature = pytest.mark.parametrize("feature", ALL, ids=lambda f: f.name)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Many small operations: on a busy machine, threads mostly wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def unit(image):
    return image[..., 0] / 255


def drawn(*boxes, value=255):
    """A black image with bright boxes (top, bottom, left, right)."""
    image = np.zeros((28, 28, 1), np.uint8)
    for top, bottom, left, right in boxes:
        image[top:bottom, left:right] = value
    return image


def disc(radius, *, row=14, column=14):
    y, x = np.mgrid[:28, :28]
    inside = (y - row) ** 2 + (x - column) ** 2 <= radius**2
    return (inside * 255).astype(np.uint8)[..., None]


@pytest.mark.parametrize(
    ("size", "channels"),
    [((28, 28), 1), ((1, 9), 3), ((30, 1), 1), ((30, 1), 4), ((100, 70), 3)],
    ids=str,
)
def test_values_are_finite_whatever_the_size(size, channels):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, *size, channels)).astype(np.uint8)
    flat = [np.full((1, *size, channels), v, np.uint8) for v in (0, 1, 128, 255)]
    images = np.concatenate([noise, *flat])
    expected = lfkit.extract(ALL, GRAY28[:1])
    for feature, values in lfkit.extract(ALL, images).items():
        assert np.isfinite(values).all(), feature.name
        if feature not in FULL_RESOLUTION and feature is not color.color_histogram:
            assert values.shape[1:] == expected[feature].shape[1:], feature.name


def test_one_image_gives_what_it_gives_in_a_batch_and_again():
    together = lfkit.extract(ALL, PHOTOS)
    again = lfkit.extract(ALL, PHOTOS)
    alone = lfkit.extract(ALL, PHOTOS[7:8])
    for feature, values in together.items():
        np.testing.assert_array_equal(values, again[feature])
        np.testing.assert_allclose(alone[feature][0], values[7], rtol=2e-3, atol=1e-4)


def test_gray_written_as_rgb_gives_the_same():
    ours = lfkit.extract(ALL, GRAY28)
    as_rgb = lfkit.extract(ALL, np.repeat(GRAY28, 3, axis=3))
    # Luma of three equal channels differs in the last bit, which can move a threshold.
    for feature in ALL:
        if feature is not color.color_histogram:
            near = np.isclose(as_rgb[feature], ours[feature], rtol=2e-3, atol=1e-3)
            assert near.mean() > 0.999, feature.name


@every_feature
def test_first_line_of_the_docs_gives_the_shape(feature):
    assert "(n," in feature.doc


@pytest.mark.reference
def test_blob_responses_are_scipys():
    for ours, image in zip(blobs.blob_responses(GRAY28), GRAY28, strict=True):
        for response, sigma in zip(ours, blobs.SIGMAS_PX, strict=True):
            theirs = -(sigma**2) * scipy.ndimage.gaussian_laplace(unit(image), sigma)
            np.testing.assert_allclose(response, theirs, atol=1e-3)


@pytest.mark.reference
def test_blob_counts_are_scikit_images_local_maxima():
    counts = blobs.blob_scale_counts(GRAY28)
    equal = []
    for ours, image in zip(counts, GRAY28, strict=True):
        cube = np.stack(
            [
                -(s**2) * scipy.ndimage.gaussian_laplace(unit(image), s)
                for s in blobs.SIGMAS_PX
            ]
        )
        for sign, found in ((1, ours[:4]), (-1, ours[4:])):
            peaks = skimage.feature.peak_local_max(
                sign * cube,
                threshold_abs=blobs.THRESHOLD,
                footprint=np.ones((3, 3, 3)),
                exclude_border=False,
            )
            equal.append(
                np.bincount(peaks[:, 0], minlength=4).tolist() == found.tolist()
            )
    assert (counts.sum(axis=1) > 0).mean() > 0.6
    assert np.mean(equal) > 0.97  # the rest are ties


@pytest.mark.parametrize(("radius", "scale"), [(2, 0), (3, 1), (4.5, 2), (7, 3)])
def test_a_disc_is_one_blob_of_its_size(radius, scale):
    bright, dark = disc(radius), 255 - disc(radius)
    sigma = blobs.SIGMAS_PX[scale]
    assert blobs.bright_blob_count(bright) == 1
    assert blobs.largest_blob_scale(bright)[0] == pytest.approx(sigma)
    assert blobs.dark_blob_count(dark) == 1
    assert blobs.largest_blob_scale(dark)[1] == pytest.approx(sigma)
    assert blobs.blob_responses(bright)[scale, 14, 14] == pytest.approx(
        2 / math.e, abs=0.08
    )


def test_a_square_between_pixels_is_counted_once():
    square = drawn((12, 16, 12, 16))
    assert blobs.bright_blob_count(square) == 1
    assert blobs.blob_peaks(square).max(axis=0)[13:15, 13:15].sum() == 1


def test_blob_grid_is_the_strongest_response_of_each_cell():
    responses = blobs.blob_responses(GRAY28)
    cells = responses.reshape(-1, 4, 4, 7, 4, 7)
    bright, dark = cells.max(axis=(1, 3, 5)), -cells.min(axis=(1, 3, 5))
    expected = np.stack([bright, dark], axis=1).clip(min=0).reshape(-1, 32)
    np.testing.assert_allclose(blobs.blob_grid(GRAY28), expected, atol=1e-3)


@pytest.mark.reference
def test_canny_edges_are_scikit_images():
    ours = canny.canny_edges(GRAY28) > 0
    scale = 4  # of scikit-image's unnormalised Sobel
    theirs = [
        skimage.feature.canny(
            unit(image),
            sigma=canny.SIGMA_PX,
            low_threshold=scale * canny.LOW_THRESHOLD,
            high_threshold=scale * canny.HIGH_THRESHOLD,
        )
        for image in GRAY28
    ]
    assert ours.mean() > 0.03
    assert (ours == theirs).mean() > 0.9995


@pytest.mark.reference
def test_canny_edges_are_nearly_opencvs():
    agreed = []
    for ours, image in zip(canny.canny_edges(GRAY28), GRAY28, strict=True):
        smooth = cv2.GaussianBlur(image, (0, 0), canny.SIGMA_PX)
        low, high = (4 * 255 * t for t in (canny.LOW_THRESHOLD, canny.HIGH_THRESHOLD))
        theirs = cv2.Canny(smooth, low, high, L2gradient=True) > 0
        agreed.append(((ours > 0) == theirs).mean())
    assert np.mean(agreed) > 0.97  # whole gray levels, directions not interpolated


def test_a_weak_edge_counts_only_beside_a_strong_one():
    weak = np.zeros((28, 28, 1), np.uint8)
    weak[:, 14:] = 28  # a step of .11, less when smoothed
    both = weak.copy()
    both[:, 14:, 0] = np.linspace(28, 90, 28)[:, None]
    assert canny.canny_density(weak) == 0
    assert canny.canny_edges(both)[3:12, 12:16].sum(axis=1).min() >= 1


def test_canny_density_and_grid_are_means_of_the_edges():
    edges = canny.canny_edges(GRAY28)
    cells = edges.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(-1, 49)
    np.testing.assert_allclose(canny.canny_grid(GRAY28), cells, atol=1e-3)
    np.testing.assert_allclose(
        canny.canny_density(GRAY28), edges.mean(axis=(1, 2)), rtol=1e-5
    )


@pytest.mark.parametrize(("turn", "direction"), [(0, 0), (45, 2), (90, 4), (135, 6)])
def test_an_edge_falls_into_its_direction(turn, direction):
    y, x = np.mgrid[:28, :28] - 13.5
    side = x * math.cos(math.radians(turn)) + y * math.sin(math.radians(turn))
    step = ((side > 0) * 255).astype(np.uint8)[..., None]
    shares = canny.edge_orientation_histogram(np.stack([step, 255 - step]))
    # At the image's border a slanted line bends.
    assert shares[:, direction].min() > 0.8
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.reference
def test_edge_orientations_are_numpys_histogram():
    edges = canny.canny_edges(GRAY28)
    gradients = canny.smoothed_sobel(GRAY28)
    differing = 0
    for shares, edge, (right, below) in zip(
        canny.edge_orientation_histogram(GRAY28), edges, gradients, strict=True
    ):
        angle = np.degrees(np.arctan2(below, right))[edge > 0]
        counts = np.histogram((angle + 11.25) % 180, bins=8, range=(0, 180))[0]
        differing += np.abs(counts - shares * edge.sum()).sum()
    assert (
        differing < 0.02 * edges.sum()
    )  # angles on a bin's edge, gradients in float16


@pytest.mark.reference
def test_hsv_is_scikit_images():
    for ours, photo in zip(color.hsv64(PHOTOS), PHOTOS, strict=True):
        theirs = skimage.color.rgb2hsv(photo).transpose(2, 0, 1)
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.reference
def test_hsv_histogram_is_numpys():
    differing = []
    for shares, photo in zip(color.hsv_histogram(PHOTOS), PHOTOS, strict=True):
        hue, saturation, value = skimage.color.rgb2hsv(photo).reshape(-1, 3).T
        vivid = saturation * value >= 0.1
        sample = np.stack([(hue + 1 / 16) % 1, saturation, value], axis=1)[vivid]
        counts = np.histogramdd(sample, (8, 3, 3), [(0, 1)] * 3)[0].ravel()
        gray_counts = np.histogram(value[~vivid], 8, (0, 1))[0]
        expected = np.concatenate([counts, gray_counts]) / value.size
        differing.append(np.abs(shares - expected).sum())
    assert np.mean(differing) < 0.01  # pixels on a bin's edge; shares in float16


def test_gray_pixels_have_no_hue_in_the_histogram():
    shares = color.hsv_histogram(GRAY28)
    assert not shares[:, :72].any()
    np.testing.assert_allclose(shares[:, 72:].sum(axis=1), 1, atol=1e-3)


@pytest.mark.reference
def test_color_moments_are_numpys():
    for ours, photo in zip(color.color_moments(PHOTOS), PHOTOS, strict=True):
        red, green, blue = (photo.reshape(-1, 3) / 255).T
        channels = np.stack(
            [(red + green + blue) / 3, red - green, (red + green) / 2 - blue]
        )
        off = channels - channels.mean(axis=1, keepdims=True)
        expected = [
            channels.mean(axis=1),
            off.std(axis=1),
            np.cbrt((off**3).mean(axis=1)),
        ]
        np.testing.assert_allclose(ours, np.concatenate(expected), atol=2e-3)


@pytest.mark.reference
def test_colorfulness_is_hasler_and_suesstrunks_m3():
    for ours, photo in zip(color.colorfulness(PHOTOS), PHOTOS, strict=True):
        red, green, blue = photo.reshape(-1, 3).astype(float).T
        a, b = red - green, (red + green) / 2 - blue
        expected = math.hypot(a.std(), b.std()) + 0.3 * math.hypot(a.mean(), b.mean())
        assert ours == pytest.approx(expected, rel=1e-4)


@pytest.mark.reference
def test_color_grid_is_scikit_images_lab_of_mean_colors():
    for ours, photo in zip(color.color_grid(PHOTOS), PHOTOS, strict=True):
        cells = (photo / 255).reshape(4, 12, 4, 10, 3).mean(axis=(1, 3))
        expected = skimage.color.rgb2lab(cells).reshape(-1) / 100
        np.testing.assert_allclose(ours, expected, atol=1.5e-3)


@pytest.mark.reference
def test_coarse_colors_are_numpys_joint_histogram():
    shares = color.coarse_colors(PHOTOS)
    for ours, photo in zip(shares, PHOTOS, strict=True):
        counts = np.histogramdd(photo.reshape(-1, 3), (4, 4, 4), [(0, 255)] * 3)[0]
        np.testing.assert_allclose(ours, counts.ravel() / (48 * 40), atol=1e-3)
    np.testing.assert_allclose(
        color.dominant_color_share(PHOTOS), shares.max(axis=1), atol=1e-3
    )


def test_distinct_colors_of_a_flag_with_a_speck():
    flag = np.zeros((30, 30, 3), np.uint8)
    flag[:, 10:20] = 255
    flag[:, 20:] = (255, 0, 0)
    flag[0, :5] = (0, 0, 255)  # 5 of 900 pixels: less than 1 %
    assert color.distinct_colors(flag) == 3
    assert color.dominant_color_share(flag) == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.reference
def test_large_images_are_averaged_like_opencv():
    photo = skimage.data.astronaut()[:192, :256]
    expected = cv2.resize(
        photo / np.float32(255), (64, 64), interpolation=cv2.INTER_AREA
    )
    np.testing.assert_allclose(
        color.rgb64(photo), expected.transpose(2, 0, 1), atol=1e-3
    )


def test_border_of_an_object_on_green_ground():
    image = np.full((28, 42, 3), (10, 200, 30), np.uint8)
    image[:20, 10:30] = (250, 250, 250)  # touches the top: 2 rows of the ring
    assert (color.border_color(image) * 255).round().tolist() == [10, 200, 30]
    ring = 28 * 42 - 24 * 38
    assert color.border_uniformity(image) == pytest.approx(1 - 40 / ring)
    assert color.background_share(image) == pytest.approx(1 - 400 / (28 * 42))


@pytest.mark.parametrize(
    ("rgb", "named"),
    [
        ((220, 30, 20), {"warm"}),
        ((250, 220, 0), {"warm"}),
        ((220, 20, 60), {"warm"}),
        ((40, 160, 40), {"green"}),
        ((30, 60, 220), {"blue"}),
        ((120, 200, 250), {"blue"}),
        ((128, 0, 128), set()),
        ((128, 128, 128), set()),
        ((20, 10, 10), {"dark"}),
        ((250, 240, 245), {"white"}),
        ((225, 170, 140), {"warm", "skin"}),
        ((90, 60, 50), {"warm"}),  # too dark for the rule: R must be above 95
    ],
    ids=lambda value: "-".join(sorted(map(str, value))),
)
def test_a_color_is_counted_under_its_names_only(rgb, named):
    image = np.zeros((10, 10, 3), np.uint8) + np.array((0, 100, 100), np.uint8)
    image[:5] = rgb
    ground = {"blue"}  # the other half: cyan, 180 degrees
    for name in ("warm", "green", "blue", "skin", "dark", "white"):
        share = getattr(color, f"{name}_share")(image)
        assert share == (name in named) / 2 + (name in ground) / 2, name


@pytest.mark.reference
def test_skin_is_the_rule_pixel_by_pixel():
    for ours, photo in zip(color.skin_share(PHOTOS), PHOTOS, strict=True):
        red, green, blue = photo.reshape(-1, 3).astype(int).T
        spread = np.maximum(np.maximum(red, green), blue) - np.minimum(
            np.minimum(red, green), blue
        )
        skin = (red > 95) & (green > 40) & (blue > 20) & (spread > 15)
        skin &= (abs(red - green) > 15) & (red > green) & (red > blue)
        assert ours == pytest.approx(skin.mean(), abs=0.01)


@pytest.mark.reference
def test_hu_moments_are_opencvs():
    for ours, image in zip(moments.hu_moments(GRAY28), GRAY28, strict=True):
        theirs = cv2.HuMoments(cv2.moments(unit(image)))[:, 0]
        expected = np.sign(theirs) * np.log10(1 + np.abs(theirs) / 1e-8)
        np.testing.assert_allclose(ours, expected, atol=2e-3)


def test_hu_moments_do_not_change_with_place_or_a_quarter_turn():
    shape = drawn((4, 14, 3, 6), (11, 14, 3, 10))
    moved, turned = np.roll(shape, (9, 12), (0, 1)), np.rot90(shape)
    expected = moments.hu_moments(shape)
    assert (np.abs(expected) > 0.5).sum() >= 5
    np.testing.assert_allclose(moments.hu_moments(moved), expected, atol=1e-2)
    np.testing.assert_allclose(moments.hu_moments(turned), expected, atol=1e-2)


@pytest.mark.reference
def test_radial_profile_is_numpys_means_over_rings():
    y, x = np.mgrid[:28, :28]
    for ours, image in zip(moments.radial_profile(GRAY28), GRAY28, strict=True):
        pixels = unit(image)
        row, column = scipy.ndimage.center_of_mass(pixels)
        ring = np.minimum(np.hypot(y - row, x - column) // 2, 7).astype(int)
        sums = np.bincount(ring.ravel(), pixels.ravel(), minlength=8)
        areas = np.bincount(ring.ravel(), minlength=8)
        np.testing.assert_allclose(ours, sums / areas.clip(min=1), atol=2e-3)


def test_profiles_are_means_of_rows_and_columns():
    pixels = GRAY28[..., 0] / 255
    rows, columns = moments.row_profile(GRAY28), moments.column_profile(GRAY28)
    np.testing.assert_allclose(rows, pixels.mean(axis=2), atol=1e-3)
    np.testing.assert_allclose(columns, pixels.mean(axis=1), atol=1e-3)


def test_symmetries_of_letters():
    c = drawn((4, 24, 8, 11), (4, 7, 8, 20), (21, 24, 8, 20))
    z = drawn((4, 7, 4, 24), (21, 24, 4, 24), (7, 14, 17, 20), (14, 21, 8, 11))
    assert moments.top_bottom_asymmetry(c) == 0
    assert moments.point_asymmetry(c) > 0.3
    assert moments.top_bottom_asymmetry(z) > 0.1
    assert moments.point_asymmetry(z) == 0
    assert moments.point_asymmetry(drawn((2, 8, 2, 8))) == 1


@pytest.mark.reference
def test_orientation_and_elongation_are_scikit_images():
    masks = gray.ink(GRAY28)
    as_pixels = (masks * 255).astype(np.uint8)[..., None]
    angles = moments.orientation_angle(as_pixels)
    eccentricities = moments.elongation(as_pixels)
    for mask, angle, eccentricity in zip(masks, angles, eccentricities, strict=True):
        region = skimage.measure.regionprops((mask > 0).astype(int))[0]
        # scikit-image adds 1/12 to both variances, a pixel's own: near, not equal.
        assert eccentricity == pytest.approx(region.eccentricity, abs=0.03)
        turned = (angle - math.degrees(region.orientation) + 90) % 180 - 90
        assert abs(turned) < 0.5 or eccentricity < 0.2


@pytest.mark.reference
def test_convexity_is_numpys():
    for ours, mask in zip(
        moments.convexity(GRAY28), gray.silhouette(GRAY28) > 0, strict=True
    ):
        hull = mask.copy()
        for lines, filled in ((mask, hull), (mask.T, hull.T)):
            for line, fill in zip(lines, filled, strict=True):
                if line.any():
                    ends = np.flatnonzero(line)
                    fill[ends[0] : ends[-1] + 1] = True
        assert ours == pytest.approx(mask.sum() / hull.sum())


def test_convexity_of_a_cup_and_of_nothing():
    cup = drawn((4, 24, 4, 8), (4, 24, 20, 24), (20, 24, 4, 24))
    assert moments.convexity(cup) == pytest.approx(208 / 400)
    assert moments.convexity(disc(9)) == 1
    assert moments.convexity(np.zeros((28, 28, 1), np.uint8)) == 1


@pytest.mark.reference
def test_corner_strength_is_scikit_images_harris():
    for ours, image in zip(corners.corner_strength(GRAY28), GRAY28, strict=True):
        rows, across, columns = skimage.feature.structure_tensor(
            unit(image), sigma=corners.SIGMA_PX, mode="nearest", order="rc"
        )
        response = rows * columns - across**2 - corners.HARRIS_K * (rows + columns) ** 2
        # Its Sobel is 4 times ours, and the response is of the fourth order.
        expected = response.clip(min=0) ** 0.25 / 4
        np.testing.assert_allclose(ours, expected, atol=1e-2)


@pytest.mark.reference
def test_corner_count_is_scikit_images_local_maxima():
    strengths = corners.corner_strength(GRAY28)
    equal = []
    for ours, strength in zip(corners.corner_count(GRAY28), strengths, strict=True):
        peaks = skimage.feature.peak_local_max(
            strength, threshold_abs=corners.CORNER_STRENGTH, exclude_border=False
        )
        equal.append(ours == len(peaks))
    assert np.mean(equal) > 0.95  # the rest are ties, of float16


@pytest.mark.reference
def test_corners_on_the_axis_of_a_mirror_image_are_counted_once():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 200, (50, 9, 9)).astype(np.uint8)
    left = np.stack([cv2.resize(image, (28, 28)) for image in noise])
    images = np.maximum(left, left[:, :, ::-1])[..., None]
    equal = []
    for ours, strength in zip(
        corners.corner_count(images), corners.corner_strength(images), strict=True
    ):
        maxima = skimage.morphology.local_maxima(strength)  # plateaus as a whole
        maxima &= strength > corners.CORNER_STRENGTH
        equal.append(ours == skimage.measure.label(maxima, connectivity=2).max())
    assert np.mean(equal) > 0.95


def test_a_square_has_four_corners_and_a_flat_image_none():
    square = drawn((8, 20, 8, 20))
    assert corners.corner_count(square) == 4
    cells = corners.corner_grid(square).reshape(4, 4)
    assert (cells[1:3, 1:3] > 0.5).all()
    assert corners.corner_count(np.full((28, 28, 1), 255, np.uint8)) == 0
    np.testing.assert_allclose(
        corners.corner_grid(GRAY28),
        corners.corner_strength(GRAY28)
        .reshape(-1, 4, 7, 4, 7)
        .max(axis=(2, 4))
        .reshape(-1, 16),
    )


def zhang_suen(mask):
    """The paper's steps, pixel by neighborhood."""
    m = np.pad(mask.astype(int), 1)
    steps = [(1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1)]
    while True:
        before = m
        for first in (True, False):
            p = [np.roll(m, step, (0, 1)) for step in steps]
            b, a = sum(p), sum((p[i] == 0) & (p[i - 7] == 1) for i in range(8))
            if first:
                kept = p[0] * p[2] * p[4] + p[2] * p[4] * p[6]
            else:
                kept = p[0] * p[2] * p[6] + p[0] * p[4] * p[6]
            m = m * ~((b >= 2) & (b <= 6) & (a == 1) & (kept == 0))
        if (m == before).all():
            return m[1:-1, 1:-1]


@pytest.mark.reference
def test_skeleton_is_zhang_and_suens():
    pictures = GRAY28[::3]
    for ours, mask in zip(corners.skeleton(pictures), gray.ink(pictures), strict=True):
        np.testing.assert_array_equal(ours, zhang_suen(mask))


@pytest.mark.reference
def test_skeleton_lies_beside_scikit_images():
    for ours, mask in zip(
        corners.skeleton(DIGITS28[..., None]),
        gray.ink(DIGITS28[..., None]),
        strict=True,
    ):
        # Its table keeps some pixels of diagonals that the paper removes.
        theirs = skimage.morphology.skeletonize(mask > 0)
        assert scipy.ndimage.binary_dilation(theirs, np.ones((3, 3)))[ours > 0].all()


def test_line_ends_of_drawn_letters():
    t = drawn((4, 7, 4, 24), (7, 24, 13, 16))
    ring = drawn((4, 24, 4, 24))
    ring[8:20, 8:20] = 0
    found = corners.line_ends(np.stack([t, ring, np.zeros_like(t)]))
    assert found.tolist() == [3, 0, 0]


@pytest.mark.parametrize("width", [2, 3, 4, 6])
def test_stroke_width_of_bars_and_rings(width):
    bar = drawn((3, 25, 10, 10 + width))
    ring = drawn((2, 26, 2, 26))
    ring[2 + width : 26 - width, 2 + width : 26 - width] = 0
    assert corners.stroke_width(bar) == pytest.approx(width, abs=0.35)
    assert corners.stroke_width(ring) == pytest.approx(width, rel=0.12)
    assert corners.stroke_width(np.zeros_like(bar)) == 0


def test_stroke_width_of_a_diagonal_line():
    image = cv2.line(np.zeros((28, 28), np.uint8), (4, 4), (23, 23), 255, 4)
    thick = image.astype(bool).sum() / math.hypot(19 + 2.8, 19 + 2.8)
    assert corners.stroke_width(image[..., None]) == pytest.approx(thick, abs=0.6)


@pytest.mark.reference
def test_crossing_counts_are_numpys_runs():
    for ours, mask in zip(
        corners.crossing_counts(GRAY28), gray.ink(GRAY28), strict=True
    ):
        runs = [
            sum(scipy.ndimage.label(line)[1] for line in lines[start : start + 4]) / 4
            for lines in (mask, mask.T)
            for start in range(0, 28, 4)
        ]
        np.testing.assert_allclose(ours, runs, atol=1e-3)
