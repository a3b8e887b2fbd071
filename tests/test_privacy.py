"""Copies are found, new images are none, and smooth ones are told apart."""

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from lfkit.metrics import METRICS, ImageSet, MetricContext
from lfkit.metrics.membership import area_under_curve, guessed
from lfkit.metrics.memorisation import shuffled_error


def photos(n, seed, blur=1.5):
    """Draw images of one kind: random blots."""
    rng = np.random.default_rng(seed)
    blots = gaussian_filter(rng.normal(size=(n, 20, 20)), (0, blur, blur))
    return np.clip(128 + 200 * blots, 0, 255).astype(np.uint8)[..., None]


RUN, HELD_OUT = photos(600, 0), photos(500, 1)


def scores(made, held_out=HELD_OUT):
    """Give both metrics' scores, by name."""
    tools = MetricContext(test=ImageSet(held_out, np.ones((len(held_out), 1)), name=""))
    real, found = ImageSet(RUN, name="run"), {}
    for name in ("memorisation", "membership"):
        made_set = ImageSet(made, name="made")
        for one in METRICS[name]().score(made_set, real, tools):
            found[one.metric] = one
    return found


def noisy(images):
    rng = np.random.default_rng(3)
    return np.clip(images + rng.integers(-3, 4, images.shape), 0, 255).astype(np.uint8)


def test_copies_are_found_and_give_away_who_was_learned_from():
    found = scores(noisy(RUN))
    assert found["copies"].value > 0.95
    assert found["nearer to the run's images"].value > 0.9  # of 500 of the 600
    assert found["attack"].value > 0.95
    assert found["attack, by rank"].value > 0.95
    assert "near copies" in found["copies"].note
    assert "near copies" in found["nearer to the run's images"].note


def test_a_few_copies_among_new_images_are_found():
    made = np.concatenate([photos(900, 5), noisy(RUN[:100])])
    found = scores(made)
    assert 0.08 < found["copies"].value < 0.14
    assert found["copies"].note


def test_new_images_are_no_copies():
    found = scores(photos(800, 2))
    assert found["copies"].value < 0.03
    for name in ("nearer to the run's images", "attack", "attack, by rank"):
        assert abs(found[name].value - 0.5) < 3.5 * found[name].error, name
    assert not found["nearer to the run's images"].note


def test_smooth_images_are_near_to_all_and_no_copies():
    found = scores(photos(800, 2, blur=4))
    assert found["copies"].value > 0.05
    assert "smooth" in found["copies"].note
    nearer = found["nearer to the run's images"]
    # A few blurred images are the nearest to nearly all: chance is large.
    assert nearer.error > 0.03
    assert abs(nearer.value - 0.5) < 3 * nearer.error


def test_the_order_of_held_out_images_means_nothing():
    """As in a folder: one class after the other, and fewer images in the run."""
    ordered = np.concatenate([HELD_OUT // 3, HELD_OUT // 3 + 150, HELD_OUT // 3 + 80])
    rng = np.random.default_rng(4)
    mixed = rng.permutation(len(ordered))
    real, made = ordered[mixed[:200]], ordered[mixed[200:600]]
    test = ordered[np.sort(mixed[600:])]
    tools = MetricContext(test=ImageSet(test, np.ones((len(test), 1)), name=""))
    found = METRICS["memorisation"]().score(
        ImageSet(made, name=""), ImageSet(real, name=""), tools
    )
    assert abs(found[1].value - 0.5) < 3.5 * found[1].error
    assert found[1].error < 0.1


def test_an_attack_on_nothing_is_chance():
    """Of few images, too: with unequal halves it would be .46."""
    rng, rights = np.random.default_rng(0), []
    is_member = np.repeat([True, False], 20)
    halves = [np.r_[:10, 20:30], np.r_[10:20, 30:40]]
    for _ in range(1000):
        rights.append(guessed(rng.normal(size=40), is_member, halves))
    assert abs(np.mean(rights) - 0.5) < 0.015


def test_images_of_the_run_are_not_held_out():
    found = scores(photos(50, 2), held_out=np.concatenate([RUN, HELD_OUT[:10]]))
    for score in found.values():
        assert math.isnan(score.value)
        assert "10 held-out images" in score.note


def test_chance_is_that_of_dealing_the_images_anew():
    chosen = np.array([9, 1, 0, 4, 1, 1])
    rng = np.random.default_rng(0)
    shares = [rng.permutation(chosen)[:3].sum() / 16 for _ in range(4000)]
    assert abs(shuffled_error(chosen) / np.std(shares) - 1) < 0.05


@pytest.mark.parametrize(
    ("near", "right", "area"),
    [
        ([4, 4, 1, 1], 1.0, 1.0),
        ([1, 1, 4, 4], 0.5, 0.0),  # then no image is taken for a member
        ([2, 2, 2, 2], 0.5, 0.5),
    ],
)
def test_guesses_by_hand(near, right, area):
    is_member = np.array([True, True, False, False])
    near = np.array(near, float)
    halves = [np.array([0, 2]), np.array([1, 3])]
    assert guessed(near, is_member, halves) == right
    assert area_under_curve(near, is_member) == area
