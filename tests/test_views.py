"""Features of a part of the image, or of a map made of it."""

import cv2
import numpy as np
import pytest
import torch

from lfkit import LFApplier, NearestMean, extract, feature, image, labeling_function
from lfkit.features.feature import ancestors
from lfkit.features.gist import gist
from lfkit.features.gray import gray28, ink, silhouette
from lfkit.features.hog import hog
from lfkit.features.image_parts import (
    bottom_half,
    centre,
    flattened,
    full_contrast,
    left_half,
    part,
    right_half,
    seen_in,
    top_half,
)
from lfkit.features.topology import hole_count

hog7 = hog(cell=7)
PARTS = {
    top_half: np.s_[:14, :],
    bottom_half: np.s_[14:, :],
    left_half: np.s_[:, :14],
    right_half: np.s_[:, 14:],
    centre: np.s_[7:21, 7:21],
}
every_part = pytest.mark.parametrize("view", PARTS, ids=lambda view: view.name)


@pytest.fixture(scope="module")
def images(digits):
    """Twenty digits at 28x28."""
    pixels, _ = digits
    size = (28, 28)
    return np.stack(
        [
            cv2.resize(p[:, :, 0], size, interpolation=cv2.INTER_CUBIC)
            for p in pixels[:20]
        ]
    )[..., None]


def values(node, images):
    return extract([node], images)[node]


@pytest.mark.reference
@every_part
def test_a_part_is_cut_out_and_enlarged_as_opencv_does(view, images):
    want = [
        cv2.resize(one[PARTS[view]].astype(np.float32) / 255, (28, 28))
        for one in images[..., 0]
    ]
    # Wide features are stored in half precision.
    np.testing.assert_allclose(values(view, images), want, atol=2e-3)


@every_part
@pytest.mark.parametrize("what", [hog7, gist], ids=lambda what: what.name)
def test_a_feature_of_a_part_is_that_feature_of_an_image_of_the_part(
    what, view, images
):
    # Of multiples of 16 the enlarged image, too, is in whole numbers.
    images = images // 16 * 16
    enlarged = [cv2.resize(one[PARTS[view]], (28, 28)) for one in images[..., 0]]
    of_part = values(seen_in(what, view), images)
    of_image = values(what, np.stack(enlarged)[..., None])
    # A gradient right between two orientations may still fall to either.
    assert (np.abs(of_part - of_image) > 2e-3).mean() < 0.01
    assert (np.abs(of_part - values(what, images)) > 2e-3).mean() > 0.4


def test_asked_twice_the_same_feature_comes_back():
    assert seen_in(hog7, top_half) is seen_in(hog7, top_half)
    assert seen_in(hog7, top_half) is not seen_in(hog7, bottom_half)


def test_functions_that_share_a_view_compute_it_once(images):
    nodes = ancestors(
        [seen_in(hog7, top_half), seen_in(hole_count, top_half), top_half]
    )
    names = [node.name for node in nodes]
    assert len(set(names)) == len(names)
    assert nodes.count(top_half) == nodes.count(gray28) == 1
    assert extract(nodes, images)


def test_everything_between_is_seen_in_the_view_too():
    inside = seen_in(hole_count, left_half)
    names = {node.name for node in ancestors([inside])}
    assert f"{ink.name}_of_left_half" in names
    assert ink.name not in names
    assert inside.name == "hole_count_of_left_half"


@feature(batched=True)
def color_mean(images):
    return images.mean(dim=(2, 3))


@feature
def corner_pixel(image):
    return image[0, 0, 0]


def test_what_does_not_read_the_gray_image_stays_as_it_is():
    assert seen_in(color_mean, top_half) is color_mean
    assert seen_in(corner_pixel, top_half) is corner_pixel
    assert seen_in(image, top_half) is image


def test_of_several_inputs_only_what_reads_the_gray_image_changes(images):
    @feature(batched=True, of=[color_mean, ink])
    def both(mean, ink):
        return torch.cat([mean, ink.mean(dim=(1, 2))[:, None]], dim=1)

    inside = seen_in(both, top_half)
    assert inside.of == (color_mean, seen_in(ink, top_half))
    found, whole = values(inside, images), values(both, images)
    np.testing.assert_array_equal(found[:, 0], whole[:, 0])
    want = values(seen_in(ink, top_half), images).mean(axis=(1, 2))
    np.testing.assert_allclose(found[:, 1], want, atol=1e-5)


def test_the_gray_image_itself_becomes_the_view():
    assert seen_in(gray28, centre) is centre


def test_another_map_can_be_replaced(images):
    inside = seen_in(hole_count, silhouette, instead_of=ink)
    assert silhouette in ancestors([inside])
    assert ink not in ancestors([inside])
    assert values(inside, images).shape == (20,)


def test_a_view_can_be_seen_in_a_view(images):
    quarter = seen_in(left_half, top_half)
    want = [
        cv2.resize(cv2.resize(one[:14], (28, 28))[:, :14], (28, 28))
        for one in images[..., 0].astype(np.float32) / 255
    ]
    np.testing.assert_allclose(values(quarter, images), want, atol=3e-3)


def test_a_part_may_start_and_end_anywhere(images):
    band = part("waist", (0.25, 0.5), (0, 1))
    want = [
        cv2.resize(one[7:14].astype(np.float32) / 255, (28, 28))
        for one in images[..., 0]
    ]
    np.testing.assert_allclose(values(band, images), want, atol=2e-3)
    assert band.name == "waist"


def test_a_feature_that_learns_is_fitted_anew_in_a_view(digits, digit_seeds):
    def mean_of(gray, *, labels, rng):
        return {"mean": gray.mean(dim=0).numpy()}

    @feature(batched=True, of=[gray28], fit=mean_of)
    def unusual(gray, *, mean):
        return (gray - mean).abs().mean(dim=2)

    inside = seen_in(unusual, top_half)

    def vote(values, *, rule):
        return rule(values)

    lfs = [
        labeling_function(
            classes=range(10),
            features=[node],
            thresholds={"rule": NearestMean(node)},
            soft=True,
            batched=True,
            name=f"{node.name}_resembles",
        )(vote)
        for node in (unusual, inside)
    ]
    pixels, labels = digits
    applier = LFApplier(lfs, n_classes=10)
    applier.apply(pixels[:400], seed_rows=range(60), seed_labels=labels[:60])
    whole, top = (lf.features[0] for lf in applier.lfs_)
    seeds = pixels[:60]
    for node, view in ((whole, gray28), (top, top_half)):
        want = values(view, seeds).mean(axis=0)
        np.testing.assert_allclose(node.learned["mean"], want, atol=1e-3)


@pytest.mark.reference
def test_full_contrast_reaches_from_black_to_white(images):
    gray = values(gray28, images // 3 + 40)
    low = gray.min(axis=(1, 2), keepdims=True)
    want = (gray - low) / (gray.max(axis=(1, 2), keepdims=True) - low)
    found = values(full_contrast, images // 3 + 40)
    np.testing.assert_allclose(found, want, atol=5e-3)
    assert (found.min(axis=(1, 2)) == 0).all()
    assert (found.max(axis=(1, 2)) == 1).all()


@pytest.mark.reference
def test_flattened_is_the_deviation_from_the_surroundings(images):
    found = values(flattened, images)
    for one, got in zip(images[..., 0], found, strict=True):
        gray = one.astype(np.float64) / 255
        kind = {"ksize": (7, 7), "borderType": cv2.BORDER_REPLICATE}
        mean = cv2.blur(gray, **kind)
        spread = np.sqrt(np.maximum(cv2.blur(gray**2, **kind) - mean**2, 0))
        want = 1 / (1 + np.exp(-(gray - mean) / (spread + 0.05)))
        np.testing.assert_allclose(got, want, atol=2e-3)


def test_flattened_forgets_a_shade_over_the_image(images):
    ramp = np.linspace(0, 100, 28).astype(np.uint8)[None, None, :, None]
    plain, shaded = images // 2, images // 2 + ramp
    moved = np.abs(values(flattened, shaded) - values(flattened, plain)).mean()
    gray_moved = np.abs(values(gray28, shaded) - values(gray28, plain)).mean()
    assert moved < gray_moved / 2


@pytest.mark.parametrize(
    "view", [*PARTS, full_contrast, flattened], ids=lambda view: view.name
)
@pytest.mark.parametrize("shape", [(28, 28, 1), (1, 1, 3), (40, 3, 3), (9, 64, 1)])
def test_every_view_is_a_gray_image_of_any_image(view, shape):
    rng = np.random.default_rng(0)
    several = rng.integers(0, 256, (4, *shape), dtype=np.uint8)
    several[1], several[2] = 0, 255
    found = values(view, several)
    assert found.shape == (4, 28, 28)
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1


def test_one_image_is_seen_as_in_a_batch(images):
    for view in (*PARTS, full_contrast, flattened):
        np.testing.assert_array_equal(view(images[3]), view(images)[3])
