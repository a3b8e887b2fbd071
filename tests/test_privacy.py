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
    # Halves of one member and one other each.
    assert guessed(near, is_member, np.array([0, 1, 2, 3])) == right
    assert area_under_curve(near, is_member) == area
