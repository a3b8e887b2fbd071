"""The picture of the labels."""

import numpy as np
import pytest
from PIL import Image

from lfkit.data.datasets.array_source import ArraySource
from lfkit.report.contact_sheet import contact_sheet

BLUE, ORANGE, GRAY, WHITE = (0, 114, 178), (213, 94, 0), (165, 165, 172), (255,) * 3
# Where the first tile of the first class lies, its size, the steps to its neighbours.
LEFT, TOP, TILE, RIGHT_HALF, STEP, ROW = 162, 82, 64, 722, 68, 100


def draw(tmp_path, images, labels, k=2, *, names=None, proba=None, **options):
    path = tmp_path / "folder" / "sheet.png"
    labels = np.asarray(labels)
    if proba is None:
        proba = np.full((len(labels), k), 1 / k)
    names = names or [f"class {i}" for i in range(k)]
    contact_sheet(ArraySource(images), labels, proba, names, path, **options)
    with Image.open(path) as sheet:
        assert (sheet.format, sheet.mode) == ("PNG", "RGB")
        return np.asarray(sheet)


def pixel(sheet, half=0, position=0, row=0, inside=False):
    """A frame's corner, or the middle of its image."""
    y = TOP + row * ROW + (TILE // 2 if inside else 1)
    x = LEFT + half * (RIGHT_HALF - LEFT) + position * STEP
    x += TILE // 2 if inside else 1
    return tuple(int(value) for value in sheet[y, x])


def flat(*levels):
    return np.broadcast_to(
        np.array(levels, np.uint8)[:, None, None, None], (len(levels), 8, 8, 1)
    ).copy()


def test_frames_differ_where_right_and_where_wrong(tmp_path):
    truth = np.array([0, 0, -1])
    sheet = draw(tmp_path, flat(10, 20, 30), [0, 1, 1], truth=truth)
    assert pixel(sheet) == BLUE
    assert pixel(sheet, row=1, position=0) == ORANGE
    assert pixel(sheet, row=1, position=1) == GRAY


def test_frames_are_gray_without_truth(tmp_path):
    assert pixel(draw(tmp_path, flat(10), [0])) == GRAY


def test_gray_and_colored_images_are_drawn_as_they_are(tmp_path):
    assert pixel(draw(tmp_path, flat(77), [0]), inside=True) == (77, 77, 77)
    colored = np.zeros((1, 8, 8, 3), np.uint8)
    colored[:] = (200, 30, 90)
    assert pixel(draw(tmp_path, colored, [0]), inside=True) == (200, 30, 90)


@pytest.mark.parametrize("size", [(4, 40), (40, 4), (300, 200), (1, 1)])
def test_images_keep_their_shape_inside_the_frame(tmp_path, size):
    images = np.full((1, *size, 1), 77, np.uint8)
    sheet = draw(tmp_path, images, [0])
    tile = sheet[TOP : TOP + TILE, LEFT : LEFT + TILE]
    drawn = (tile == 77).all(axis=2)
    height, width = drawn.any(axis=1).sum(), drawn.any(axis=0).sum()
    assert max(height, width) == 56
    assert abs(height / width - size[0] / size[1]) <= 0.1 * max(1, size[0] / size[1])


def test_the_most_confident_stand_left_the_least_confident_right(tmp_path):
    # Image i has class 0, the brighter the more confident.
    sure = np.linspace(0.5, 1, 20)
    proba = np.stack([sure, 1 - sure], axis=1)
    sheet = draw(tmp_path, flat(*range(100, 120)), [0] * 20, proba=proba)
    most = [pixel(sheet, 0, i, inside=True)[0] for i in range(8)]
    least = [pixel(sheet, 1, i, inside=True)[0] for i in range(8)]
    assert most == list(range(119, 111, -1))
    assert least == list(range(100, 108))


def test_confidence_is_that_of_the_label_and_no_margin(tmp_path):
    second = np.linspace(0.0, 0.39, 20)  # the last image's margin is least
    sure = np.linspace(0.4, 0.59, 20)
    proba = np.stack([sure, second, 1 - sure - second], axis=1)
    proba /= proba.sum(axis=1, keepdims=True)
    sheet = draw(tmp_path, flat(*range(100, 120)), [0] * 20, proba=proba, k=3)
    least = [pixel(sheet, 1, i, inside=True)[0] for i in range(8)]
    shown = proba.max(axis=1)[[value - 100 for value in least]]
    assert shown.tolist() == sorted(proba.max(axis=1))[:8]


def test_few_images_are_shown_once(tmp_path):
    sheet = draw(tmp_path, flat(*range(100, 110)), [0] * 10)
    shown = [pixel(sheet, half, i, inside=True)[0] for half in (0, 1) for i in range(8)]
    assert sorted(value for value in shown if value < 255) == list(range(100, 110))
    assert shown[10:] == [255] * 6


def test_a_class_without_images_has_an_empty_row(tmp_path):
    sheet = draw(tmp_path, flat(10), [1], k=3)
    assert pixel(sheet, row=0) == WHITE
    assert pixel(sheet, row=1) == GRAY
    assert pixel(sheet, row=2) == WHITE


def test_images_without_label_and_excluded_ones_are_not_shown(tmp_path):
    exclude = np.array([False, False, True])
    sheet = draw(tmp_path, flat(10, 20, 30), [-1, 0, 0], exclude=exclude)
    assert pixel(sheet, inside=True) == (20, 20, 20)
    assert pixel(sheet, position=1) == WHITE


def test_a_row_per_class_sets_the_height(tmp_path):
    two = draw(tmp_path, flat(10), [0], k=2)
    five = draw(tmp_path, flat(10), [0], k=5)
    assert five.shape == (two.shape[0] + 3 * ROW, two.shape[1], 3)
    assert two.shape[1] == LEFT + 2 * (8 * STEP + 16) - 4


def test_hundreds_of_classes_show_the_first_forty(tmp_path):
    sheet = draw(tmp_path, flat(10), [0], k=300)
    assert len(sheet) == len(draw(tmp_path, flat(10), [0], k=40))


def test_any_class_name_can_be_written(tmp_path):
    names = ["a very long class name that would not fit", "猫 ü 🐈", ""]
    sheet = draw(tmp_path, flat(10), [0], k=3, names=names)
    assert (sheet[TOP : TOP + 30, :LEFT] < 255).any()
    assert (sheet[TOP : TOP + 30, LEFT - 2 : LEFT] == 255).all()  # clipped before it


def test_a_single_class_has_a_sheet_too(tmp_path):
    assert pixel(draw(tmp_path, flat(10), [0], k=1)) == GRAY
