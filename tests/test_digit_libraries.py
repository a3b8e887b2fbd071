"""What is special to written digits and house numbers: shapes drawn by hand, colors."""

import cv2
import numpy as np
import pytest

import lfkit
from lf_library import _digit_features as shapes
from lf_library import _street_features as street
from lf_library import digits, street_digits
from lf_library._digit_features import CLOSED, LEFT, RIGHT, UP
from lf_library.rules import through
from lfkit.data.datasets import open_images
from lfkit.errors import DataError
from lfkit.features.feature import ancestors
from lfkit.features.gray import gray28, ink
from lfkit.features.shape import second_moments

TWO = ["####", "   #", "   #", "####", "#   ", "#   ", "####"]
THREE = ["####", "   #", "   #", " ###", "   #", "   #", "####"]
FOUR = ["#  #", "#  #", "#  #", "####", "   #", "   #", "   #"]
FIVE = ["####", "#   ", "#   ", "####", "   #", "   #", "####"]
SIX = ["#   ", "#   ", "#   ", "####", "#  #", "#  #", "####"]
SEVEN = ["####", "   #", "   #", "   #", "   #", "   #", "   #"]
NINE = ["####", "#  #", "#  #", "####", "   #", "   #", "   #"]


def drawn(rows):
    """Enlarge a drawing to 28x16 inside a 28x28 image, strokes 4 wide: (28, 28, 1)."""
    small = np.array([[cell == "#" for cell in row] for row in rows])
    image = np.zeros((28, 28, 1), np.uint8)
    image[:, 6:22, 0] = 255 * small.repeat(4, axis=0).repeat(4, axis=1)
    return image


@pytest.mark.parametrize(
    ("side", "drawings_above", "drawings_below"),
    [
        (LEFT, {"two", "three"}, {"three", "five"}),
        (RIGHT, {"five"}, {"two"}),
        (UP, {"four"}, set()),
        (CLOSED, {"nine"}, {"six"}),
    ],
)
def test_digits_open_to_the_sides_one_sees(side, drawings_above, drawings_below):
    names = ["two", "three", "four", "five", "six", "seven", "nine"]
    drawings = [drawn(d) for d in (TWO, THREE, FOUR, FIVE, SIX, SEVEN, NINE)]
    areas = lfkit.extract([shapes.bays], np.stack(drawings))[shapes.bays][:, side]
    above, below = [
        {name for name, area in zip(names, half, strict=True) if area > 0.05}
        for half in areas.T
    ]
    assert (above, below) == (drawings_above, drawings_below)


@pytest.mark.reference
def test_bays_are_what_looking_in_four_directions_finds(digits):
    images = digits[0][:20]
    masks = shapes.framed_ink(images) > 0
    found = lfkit.extract([shapes.bays], images)[shapes.bays]
    for mask, areas in zip(masks, found, strict=True):
        expected = np.zeros((5, 2))
        for row, column in np.argwhere(~mask):
            sees_ink = [
                mask[row, :column].any(),
                mask[row, column + 1 :].any(),
                mask[:row, column].any(),
                mask[row + 1 :, column].any(),
            ]
            if sum(sees_ink) == 4:
                expected[CLOSED, row // 14] += 1
            elif sum(sees_ink) == 3:
                expected[sees_ink.index(False), row // 14] += 1
        np.testing.assert_allclose(areas, expected / (14 * 28), atol=1e-3)


@pytest.mark.parametrize(
    ("rows", "lit"),
    [
        (TWO, [1, 0, 1, 1, 1, 0, 1]),
        (THREE, [1, 0, 1, 1, 0, 1, 1]),
        (FIVE, [1, 1, 0, 1, 0, 1, 1]),
        (SIX, [0, 1, 0, 1, 1, 1, 1]),
        (SEVEN, [1, 0, 1, 0, 0, 1, 0]),
        (NINE, [1, 1, 1, 1, 0, 1, 0]),
    ],
)
def test_display_lights_the_segments_that_are_drawn(rows, lit):
    # The third of a frame is wider than a stroke; half lit is enough to tell.
    assert (shapes.segments(drawn(rows)) > 0.6).astype(int).tolist() == lit


def test_loose_ends_lie_in_the_quarters_where_they_are_drawn():
    assert shapes.ends_by_quarter(drawn(TWO)).tolist() == [1, 0, 0, 1]
    assert shapes.ends_by_quarter(drawn(FIVE)).tolist() == [0, 1, 1, 0]


def test_contours_are_the_ways_from_the_four_sides():
    image = np.zeros((28, 28, 1), np.uint8)
    image[:4] = image[:, 20:] = 255  # a seven that fills its frame
    np.testing.assert_allclose(
        shapes.left_contour(image), [0] + [20 / 28] * 6, atol=0.02
    )
    np.testing.assert_allclose(shapes.right_contour(image), 0, atol=0.02)
    np.testing.assert_allclose(shapes.top_contour(image), 0, atol=0.02)
    np.testing.assert_allclose(
        shapes.bottom_contour(image), [24 / 28] * 5 + [0] * 2, atol=0.02
    )


@pytest.mark.reference
def test_frame_is_the_bounding_box_enlarged_by_opencv():
    rng = np.random.default_rng(0)
    image = np.zeros((28, 28, 1), np.uint8)
    image[5:25, 8:22, 0] = rng.integers(60, 256, (20, 14))
    # OpenCV repeats the border of what it is given; the frame fades into the ground.
    bigger = cv2.resize(image[5:25, 8:22, 0], (28, 28), interpolation=cv2.INTER_LINEAR)
    inside = np.s_[2:-2, 2:-2]
    np.testing.assert_allclose(
        shapes.framed(image)[inside], bigger[inside] / 255, atol=0.01
    )


def test_narrow_digit_keeps_ground_at_its_sides():
    image = np.zeros((28, 28, 1), np.uint8)
    image[4:24, 13:16] = 255
    frame = shapes.framed(image)
    assert not frame[:, :8].any()
    assert not frame[:, -8:].any()
    assert frame[:, 14].min() > 0.4


def test_upright_view_has_no_slant_and_one_height(digits):
    upright, moments = lfkit.extract(
        [shapes.upright, second_moments], digits[0][:200]
    ).values()
    pixels = (upright * 255).clip(0, 255).round().astype(np.uint8)[..., None]
    straight = lfkit.extract([second_moments], pixels)[second_moments]
    assert np.abs(straight[:, 2]).mean() < 0.2 * np.abs(moments[:, 2]).mean()
    assert straight[:, 0].std() < 0.5 * moments[:, 0].std()


def number_on_a_wall(ground, paint, slope=0.0):
    """A seven in one color on a wall that gets lighter to the right: 32x32 RGB."""
    wall = np.array(ground) + slope * np.linspace(-1, 1, 32)[:, None]  # (32, 3)
    image = np.broadcast_to(wall, (32, 32, 3)).copy()
    image[6:10, 10:22] = image[6:26, 18:22] = paint
    return (image * 255).round().astype(np.uint8)


@pytest.mark.parametrize(
    ("ground", "paint"),
    [
        ((0.25, 0.25, 0.25), (0.9, 0.9, 0.9)),
        ((0.75, 0.75, 0.75), (0.1, 0.1, 0.1)),
        ((0.2, 0.5, 0.2), (0.5, 0.35, 0.2)),  # of nearly the same brightness
    ],
    ids=["lighter", "darker", "of another color"],
)
@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_strokes_are_the_paint_whatever_its_color_and_the_light(ground, paint, slope):
    strokes = street.strokes(number_on_a_wall(ground, paint, slope))
    paper = number_on_a_wall((0, 0, 0), (1, 1, 1))
    painted = gray28(paper)
    assert strokes[painted > 0.9].min() > 0.7
    assert strokes[painted == 0].max() < 0.2


def test_dark_ink_is_turned_over_and_light_ink_is_not():
    dark = street.bright_ink(number_on_a_wall((0.9, 0.8, 0.7), (0.2, 0.1, 0.1)))
    light = street.bright_ink(number_on_a_wall((0.2, 0.1, 0.1), (0.9, 0.8, 0.7)))
    assert np.corrcoef(dark.ravel(), light.ravel())[0, 1] > 0.98
    assert light[14, 17] > 0.9
    assert light[14, 5] < 0.1


def test_digits_at_the_sides_are_left_out_and_are_not_the_ground():
    image = number_on_a_wall((0.3, 0.3, 0.3), (0.8, 0.8, 0.8))
    image[4:28, :3] = image[4:28, -3:] = 204
    image[:2, :9] = image[-2:, 23:] = 128
    strokes = street.middle_strokes(image)
    assert strokes[:, 0].max() == strokes[:, -1].max() == 0
    assert strokes[10:22, 16:18].min() > 0.7
    assert strokes[8:20, 5:14].max() < 0.1


@pytest.mark.parametrize("shape", [(32, 32, 3), (40, 25, 1), (1, 9, 3), (9, 1, 1)])
def test_street_views_are_finite_on_walls_of_any_size(shape):
    images = np.zeros((5, *shape), np.uint8)
    images[1], images[2] = 128, 255
    images[3, 0, 0] = 255  # one bright pixel
    images[4] = np.random.default_rng(0).integers(0, 256, shape)
    views = [street.strokes, street.middle_strokes, street.bright_ink]
    first, again = lfkit.extract(views, images), lfkit.extract(views, images)
    for view in views:
        assert first[view].shape == (5, 28, 28)
        assert np.isfinite(first[view]).all()
        assert first[view].min() >= 0
        assert first[view].max() <= 1
        np.testing.assert_array_equal(first[view], again[view])


def test_house_numbers_are_read_by_the_functions_for_written_digits():
    left_out = ("open_on_the_left_is_three", "large_hole_is_zero")
    shared = [lf for lf in digits.LFS if lf.name not in left_out]
    moved = {lf.name: lf for lf in street_digits.LFS}
    for lf in shared:
        assert moved[lf.name].fn is lf.fn
        assert moved[lf.name].classes == lf.classes
        read = ancestors(moved[lf.name].features)
        assert street.middle_strokes in read
        # The gray image itself tells paint from wall only by luck.
        assert gray28 not in read
        for threshold in moved[lf.name].thresholds.values():
            assert street.middle_strokes in ancestors([threshold.feature])


def test_function_seen_through_a_view_votes_on_the_view():
    two_holes = through(digits.two_holes_is_eight, street.strokes)
    eight = number_on_a_wall((0.8, 0.8, 0.8), (0.8, 0.8, 0.8))
    eight[4:28, 8:24] = 40
    eight[8:13, 12:20] = eight[18:23, 12:20] = 204
    assert digits.two_holes_is_eight(eight) == lfkit.ABSTAIN  # dark on light
    assert two_holes(eight) == 8


def test_street_digits_are_composed_the_same_every_time():
    first, again = open_images("street-digits"), open_images("street-digits")
    np.testing.assert_array_equal(first.keys, again.keys)
    np.testing.assert_array_equal(first.labels, open_images("digits").labels)
    assert first.shape == (32, 32, 3)
    assert len(first) == len(np.unique(first.keys, axis=0)) == 1797


def test_street_digits_are_lighter_and_darker_than_their_ground():
    source = open_images("street-digits")
    images = source.read(np.arange(600)).pixels
    strokes = lfkit.extract([street.middle_strokes], images)[street.middle_strokes]
    gray = lfkit.extract([gray28], images)[gray28]
    on_ink = (gray * strokes).sum(axis=(1, 2)) / strokes.sum(axis=(1, 2))
    on_ground = (gray * (1 - strokes)).sum(axis=(1, 2)) / (1 - strokes).sum(axis=(1, 2))
    assert 0.35 < (on_ink > on_ground).mean() < 0.65


def test_strokes_of_street_digits_lie_where_the_digits_ink_is():
    """They find each class's mean shape again, though colors and places vary."""
    written, numbers = open_images("digits"), open_images("street-digits")
    labels = np.asarray(written.labels)
    rows = np.arange(len(labels))
    here = lfkit.extract([street.middle_strokes], numbers.read(rows).pixels)
    there = lfkit.extract([ink], written.read(rows).pixels)
    found = np.stack(
        [here[street.middle_strokes][labels == c].mean(0) for c in range(10)]
    )
    drawn = np.stack([there[ink][labels == c].mean(0) for c in range(10)])
    found -= found.mean(axis=0)
    drawn -= drawn.mean(axis=0)
    alike = found.reshape(10, -1) @ drawn.reshape(10, -1).T
    assert (alike.argmax(axis=1) == np.arange(10)).all()


def test_street_digits_have_no_splits():
    with pytest.raises(DataError, match="street-digits has no splits; leave out ':x'"):
        open_images("street-digits:x")
