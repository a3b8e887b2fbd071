"""What is special to clothes: rules with fixed numbers, on garments drawn by hand."""

import numpy as np
import pytest
import torch

import lfkit
from lf_library import fashion
from lf_library.fashion import (
    ANKLE_BOOT,
    COAT,
    DRESS,
    PULLOVER,
    SANDAL,
    SHIRT,
    SNEAKER,
    T_SHIRT,
    TROUSER,
)
from lf_library.rules import leans, typical

BAG = 8
RULES = {lf.name: lf for lf in fashion.WITHOUT_SEEDS}


def drawn(*boxes):
    """Draw boxes of (top, bottom, left, right) in light gray on black: (28, 28, 1)."""
    image = np.zeros((28, 28, 1), np.uint8)
    for top, bottom, left, right in boxes:
        image[top:bottom, left:right] = 200
    return image


def with_ground(image, *boxes):
    """Cut boxes out of it."""
    image = image.copy()
    for top, bottom, left, right in boxes:
        image[top:bottom, left:right] = 0
    return image


TROUSERS = with_ground(drawn((0, 28, 8, 20)), (8, 28, 12, 16))
NARROW_DRESS = drawn((0, 28, 9, 19))
SHORT_SLEEVES = drawn((0, 28, 7, 21), (2, 10, 2, 26))
LONG_SLEEVES = with_ground(
    drawn((0, 28, 4, 24)), (10, 28, 7, 9), (10, 28, 19, 21), (0, 1, 4, 24)
)
WIDE_NECK = drawn((1, 28, 9, 19), (1, 3, 6, 22), (3, 28, 3, 7), (3, 28, 21, 25))
WIDE_NECK[3:12, 7:21] = 200
NARROW_NECK = drawn((0, 4, 11, 17), (4, 6, 8, 20), (6, 28, 9, 19), (7, 28, 4, 7))
NARROW_NECK[7:12, 7:21] = 200
NARROW_NECK[7:28, 21:24] = 200
LOW_SHOE = drawn((14, 20, 14, 28), (16, 20, 6, 28), (18, 20, 0, 28))
SHAFT = drawn((2, 24, 15, 26), (14, 24, 8, 26), (18, 24, 0, 26))
STRAPS = drawn((18, 20, 0, 28), (10, 18, 4, 6), (10, 12, 4, 14), (6, 18, 22, 24))
BOX = drawn((6, 24, 1, 27))
HANDLE = with_ground(drawn((0, 12, 9, 19), (10, 28, 3, 25)), (2, 10, 11, 17))


@pytest.mark.parametrize(
    ("name", "image", "label"),
    [
        ("waistband_over_legs_is_trouser", TROUSERS, TROUSER),
        ("crotch_or_hem_tells_trouser_from_dress", TROUSERS, TROUSER),
        ("crotch_or_hem_tells_trouser_from_dress", NARROW_DRESS, DRESS),
        ("slim_down_to_hem_is_dress", NARROW_DRESS, DRESS),
        ("sides_tell_t_shirt_or_dress", SHORT_SLEEVES, T_SHIRT),
        ("sides_tell_t_shirt_or_dress", NARROW_DRESS, DRESS),
        ("hem_is_wide_as_class", SHORT_SLEEVES, T_SHIRT),
        ("neck_tells_pullover_or_coat", WIDE_NECK, PULLOVER),
        ("neck_tells_pullover_or_coat", NARROW_NECK, COAT),
        ("wide_neck_without_buttons_is_pullover", WIDE_NECK, PULLOVER),
        ("low_shoe_with_full_upper_is_sneaker", LOW_SHOE, SNEAKER),
        ("shaft_tells_boot_or_sneaker", LOW_SHOE, SNEAKER),
        ("shaft_tells_boot_or_sneaker", SHAFT, ANKLE_BOOT),
        ("airy_shoe_is_sandal", STRAPS, SANDAL),
        ("low_and_even_is_bag", BOX, BAG),
        ("box_is_bag", BOX, BAG),
        ("handle_over_body_is_bag", HANDLE, BAG),
        ("evenness_tells_bag_or_shoe", BOX, BAG),
        ("light_tells_bag_or_garment", HANDLE, BAG),
    ],
)
def test_a_drawn_garment_is_called_what_it_is(name, image, label):
    lf = RULES[name]
    vote = lf(image)
    if lf.soft:
        assert vote.any()
        vote = lf.classes[int(np.argmax(vote))]
    assert vote == label


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("waistband_over_legs_is_trouser", NARROW_DRESS),
        ("slim_down_to_hem_is_dress", TROUSERS),
        ("slim_down_to_hem_is_dress", SHORT_SLEEVES),
        ("wide_neck_without_buttons_is_pullover", NARROW_NECK),
        ("low_shoe_with_full_upper_is_sneaker", SHAFT),
        ("airy_shoe_is_sandal", LOW_SHOE),
        ("low_and_even_is_bag", LOW_SHOE),
        ("box_is_bag", SHORT_SLEEVES),
        ("handle_over_body_is_bag", BOX),
    ],
)
def test_a_rule_is_silent_on_what_it_does_not_claim(name, image):
    assert RULES[name](image) == lfkit.ABSTAIN


def test_buttons_and_a_round_hem_speak_for_a_shirt():
    plain = WIDE_NECK.copy()
    plain[27] = 0
    buttons = WIDE_NECK.copy()
    buttons[6:26:3, 13:15] = 60
    buttons[26:, 9:12] = buttons[26:, 16:19] = 0
    lf = RULES["round_hem_and_buttons_tell_shirt_or_pullover"]
    shirt = lf.classes.index(SHIRT)
    assert lf(buttons)[shirt] > 0.5 > lf(plain)[shirt]


def test_rules_without_seeds_need_none_and_leave_no_class_out():
    assert len(fashion.WITHOUT_SEEDS) >= 30
    assert not any(lf.needs_seeds for lf in fashion.WITHOUT_SEEDS)
    for label in range(10):
        assert sum(label in lf.classes for lf in fashion.WITHOUT_SEEDS) >= 2


@lfkit.feature(batched=True)
def brightness(images):
    return images.mean(dim=(1, 2, 3))


@lfkit.feature(batched=True)
def darkness(images):
    return 1 - images.mean(dim=(1, 2, 3))


@lfkit.feature(batched=True)
def is_lit(images):
    return (images.amax(dim=(1, 2, 3)) > 0).float()


def gray(value):
    return np.full((4, 4, 1), value, np.uint8)


def test_typical_numbers_weigh_classes_by_normal_curves():
    lf = typical(
        "a", "It is so.", brightness, {3: (0.2, 0.1), 5: (0.4, 0.2)}, among=is_lit
    )
    density = torch.distributions.Normal(
        torch.tensor([0.2, 0.4]), torch.tensor([0.1, 0.2])
    ).log_prob(torch.tensor(102 / 255))
    expected = torch.softmax(density, 0)
    np.testing.assert_allclose(lf(gray(102)), expected, atol=1e-3)
    assert not lf(gray(0)).any()


def test_cues_add_up_and_each_counts_two_spreads_at_most():
    cues = {brightness: (0.5, 0.1), darkness: (0.4, -0.1)}
    lf = leans("b", "It is so.", cues, to=[1], against=[2, 4], cut=1, softness=2)
    # Brightness .6 is one spread above .5, darkness .4 none from its middle: 1 is cut.
    np.testing.assert_allclose(lf(gray(153)), [0.5, 0.25, 0.25], atol=1e-3)
    most = 1 / (1 + np.exp(-(2 + 2 - 1) / 2))
    np.testing.assert_allclose(lf(gray(255))[0], most, atol=1e-3)
