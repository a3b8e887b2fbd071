"""Supervised training against hand-computed steps: AdamW, schedule, average, batches.

Images that are blanked out leave a network nothing but the biases of its last layer to
learn: of two classes a network of two numbers, whose every step is computed here in
plain numpy.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lfkit.errors import TrainingError
from lfkit.nn import (
    Augmentation,
    TrainingPlan,
    augment,
    run_steps,
    seconds_per_step,
    train,
)
from lfkit.nn.ema import Average

NO_CHANGE = Augmentation(0, 0, 0, 0, 0, 0, 0, 0, cutout=(0, 0))
BLANK = replace(NO_CHANGE, cutout=(4, 4))  # a square of four times the side
PLAN = TrainingPlan(
    n_steps=12, batch=4, seed_batch=0, width=2, warmup=4, augmentation=BLANK
)
IMAGES = np.zeros((8, 4, 4, 1), np.uint8)


def shares(first, n=8):
    return np.tile([first, 1 - first], (n, 1))


def rate(plan, step):
    """Up in a straight line, then down a cosine to a twentieth."""
    if step < plan.warmup:
        return plan.peak_rate * (step + 1) / plan.warmup
    done = (step - plan.warmup) / (plan.n_steps - plan.warmup)
    return plan.peak_rate * (0.05 + 0.95 * (1 + np.cos(np.pi * done)) / 2)


def biases_by_hand(plan, slopes):
    """AdamW (Loshchilov & Hutter 2019) on two biases, and the average of its path.

    Biases do not decay. `slopes` gives the gradient of a step from the posterior.
    """
    bias, mean, square = np.zeros(2), np.zeros(2), np.zeros(2)
    average = np.zeros(2)
    for step in range(plan.n_steps):
        posterior = np.exp(bias) / np.exp(bias).sum()
        slope = slopes(step, posterior)
        mean = 0.9 * mean + 0.1 * slope
        square = 0.999 * square + 0.001 * slope**2
        unbiased = mean / (1 - 0.9 ** (step + 1)), square / (1 - 0.999 ** (step + 1))
        bias = bias - rate(plan, step) * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
        # It remembers less at first: nothing, then 1/10, 2/11, ...
        memory = min(plan.average, step / (step + 9))
        average = memory * average + (1 - memory) * bias
    return average


def trained_biases(plan, targets, **options):
    return train(IMAGES, targets, plan=plan, **options).head.bias.detach().numpy()


def test_one_step_moves_each_bias_by_the_first_rate():
    found = trained_biases(replace(PLAN, n_steps=1), shares(0.8))
    # Adam's first step is the rate towards the target: a quarter of 2e-3.
    np.testing.assert_allclose(found, [5e-4, -5e-4], rtol=1e-4)


@pytest.mark.parametrize("average", [0.0, 0.3, 0.995])
@pytest.mark.parametrize("warmup", [0, 4])
def test_twelve_steps_of_adamw_with_schedule_and_average(average, warmup):
    plan = replace(PLAN, average=average, warmup=warmup, peak_rate=0.1)
    expected = biases_by_hand(plan, lambda _, p: p - [0.8, 0.2])
    assert abs(expected[0]) > 0.1
    found = trained_biases(plan, shares(0.8))
    np.testing.assert_allclose(found, expected, rtol=2e-4)


def test_a_seed_counts_as_much_as_any_other_image_of_its_batch():
    plan = replace(PLAN, seed_batch=3, peak_rate=0.1)
    # The loss is a mean over four images, to which three seeds of class 1 are added.
    expected = biases_by_hand(
        plan, lambda _, p: (4 * (p - [0.8, 0.2]) + 3 * (p - [0.0, 1.0])) / 4
    )
    found = trained_biases(
        plan, shares(0.8), seed_rows=np.array([5, 6]), seed_labels=np.array([1, 1])
    )
    np.testing.assert_allclose(found, expected, rtol=2e-4)


def test_rows_of_zeros_teach_nothing():
    targets = shares(0.8)
    targets[::2] = 0
    expected = biases_by_hand(PLAN, lambda _, p: p - [0.8, 0.2])
    np.testing.assert_allclose(trained_biases(PLAN, targets), expected, rtol=2e-4)


ONE_BY_ONE = replace(PLAN, n_steps=4, batch=1, warmup=0, peak_rate=0.1, average=0.0)
TWO_TARGETS = np.zeros((8, 2))
TWO_TARGETS[2], TWO_TARGETS[5] = [1, 0], [0.3, 0.7]


def path(order):
    """The biases after images were shown in this order."""
    return biases_by_hand(
        replace(ONE_BY_ONE, n_steps=len(order)),
        lambda step, p: p - TWO_TARGETS[order[step]],
    )


def shown(n_steps, random_state):
    return trained_biases(
        replace(ONE_BY_ONE, n_steps=n_steps),
        TWO_TARGETS,
        random_state=random_state,
    )


@pytest.mark.parametrize("random_state", range(6))
def test_every_epoch_shows_each_image_once(random_state):
    found = shown(4, random_state)
    in_epochs = [
        path(first + second)
        for first, second in itertools.product([(2, 5), (5, 2)], repeat=2)
    ]
    others = [path(order) for order in ((2, 2, 5, 5), (5, 5, 2, 2), (2, 2, 2, 2))]
    assert min(np.abs(found - expected).max() for expected in in_epochs) < 1e-5
    assert min(np.abs(found - expected).max() for expected in others) > 1e-4


def test_epochs_differ_in_their_order():
    found = [shown(2, seed) for seed in range(6)]
    for order in ((2, 5), (5, 2)):
        assert any(np.abs(one - path(order)).max() < 1e-5 for one in found)


def test_only_kernels_and_matrices_decay():
    plan = replace(PLAN, average=0.0, peak_rate=0.01)
    with_decay = train(IMAGES, shares(0.8), plan=replace(plan, weight_decay=0.5))
    without = train(IMAGES, shares(0.8), plan=replace(plan, weight_decay=0.0))
    # Without a gradient a kernel shrinks by (1 - rate decay) a step and does not move.
    left = np.prod([1 - 0.5 * rate(plan, step) for step in range(plan.n_steps)])
    pairs = zip(with_decay.named_parameters(), without.parameters(), strict=True)
    n_kernels = 0
    for (name, decayed), plain in pairs:
        kernel = decayed.ndim == 4
        n_kernels += kernel
        expected = plain * left if kernel else plain
        torch.testing.assert_close(decayed, expected, rtol=1e-5, atol=0, msg=name)
    assert n_kernels == 2


def test_the_average_takes_up_normalisation_statistics():
    plan = replace(PLAN, n_steps=2, weight_decay=0.0, augmentation=NO_CHANGE)
    pixels = np.full((8, 1, 1, 1), 51, np.uint8)
    network = train(pixels, shares(0.8), plan=plan)
    # A pixel of .2 lies in the middle of the kernel. The batch mean m gives .1 m after
    # one step and .19 m after two; the average keeps a tenth of the first.
    mean = 0.2 * network.layers[0].weight[:, 0, 2, 2]
    torch.testing.assert_close(
        network.layers[1].running_mean, (0.1 * 0.1 + 0.9 * 0.19) * mean
    )


def test_a_new_last_layer_learns_five_times_as_fast():
    pytest.importorskip("efficientnet_lite_pytorch")
    plan = replace(PLAN, n_steps=1, batch=2, pretrained=True, peak_rate=4e-4, warmup=2)
    network = train(IMAGES[:2], shares(0.8, 2), plan=plan)
    # The first rate is half the peak; the old layers got no gradient through a last
    # layer of zeros.
    np.testing.assert_allclose(
        network.head.bias.detach(), [5 * 2e-4, -5 * 2e-4], rtol=1e-4
    )


# The moving average


def test_average_by_hand():
    layer = nn.Linear(1, 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    kept = Average(layer, 0.75, warmup=False)
    nn.init.ones_(layer.weight)
    kept.update(layer, 0)
    assert kept.module.weight.item() == 0.25
    kept.update(layer, 1)
    assert kept.module.weight.item() == 1 - 0.75**2
    assert layer.weight.item() == 1


def test_average_remembers_less_at_first():
    layer = nn.Linear(1, 1)
    nn.init.ones_(layer.weight)
    kept = Average(layer, 0.999)
    nn.init.zeros_(layer.weight)
    expected = 1.0
    for step in range(5):
        kept.update(layer, step)
        expected *= (step + 1) / (step + 10)
    assert kept.module.weight.item() == pytest.approx(expected, rel=1e-6)


def test_average_copies_counts():
    layer = nn.BatchNorm1d(1)
    kept = Average(layer, 0.9, warmup=False)
    layer.num_batches_tracked += 7
    kept.update(layer, 0)
    assert kept.module.num_batches_tracked.item() == 7


# The loop


class Walk:
    """Adds the step's number times the rate's scale; gives what it is asked to lose."""

    def __init__(self, broken=()):
        self.place = torch.zeros(())
        self.broken, self.steps = list(broken), []

    def step(self, now):
        self.steps.append((now.step, now.lr_scale))
        self.place += now.step * now.lr_scale
        is_broken = self.broken and self.broken[0] == now.step
        if is_broken:
            self.broken.pop(0)
        return {"loss": torch.tensor(torch.nan) if is_broken else self.place.clone()}

    def tensors(self):
        return {"place": self.place}


class Kept:
    """Checkpoints in memory, every ten steps."""

    every = 10

    def __init__(self):
        self.saved = []

    def load(self):
        return None

    def save(self, arrays):
        self.saved.append({name: np.copy(value) for name, value in arrays.items()})


class Notes:
    """What the loop says of a training."""

    def __init__(self):
        self.said = []

    def note(self, step, figures):
        self.said.append((step, figures["loss"]))

    def rewind(self, step):
        self.said.append(("rewind", step))


def test_the_loop_takes_every_step_once_and_notes_means_of_ten():
    walk, notes = Walk(), Notes()
    run_steps(walk, 24, random_state=0, monitor=notes)
    assert walk.steps == [(step, 1.0) for step in range(24)]
    places = np.cumsum(np.arange(24))
    assert notes.said == [
        ("rewind", 0),
        (10, places[:10].mean()),
        (20, places[10:20].mean()),
        (24, places[20:].mean()),
    ]


def test_a_broken_stretch_is_taken_again_with_half_the_rate():
    walk, kept, notes = Walk(broken=[13]), Kept(), Notes()
    run_steps(walk, 20, random_state=0, checkpoints=kept, monitor=notes)
    first = [(step, 1.0) for step in range(20)]
    assert walk.steps == first + [(step, 0.5) for step in range(10, 20)]
    assert walk.place == sum(range(10)) + 0.5 * sum(range(10, 20))
    assert ("rewind", 10) in notes.said
    assert [int(saved["step"]) for saved in kept.saved] == [10, 10, 20]
    assert [int(saved["retries"]) for saved in kept.saved] == [0, 1, 1]


def test_four_broken_stretches_end_a_training():
    walk = Walk(broken=[3] * 4)
    with pytest.raises(TrainingError):
        run_steps(walk, 20, random_state=0)
    assert sorted({scale for _, scale in walk.steps}) == [1 / 8, 1 / 4, 1 / 2, 1]
    assert Walk(broken=[3] * 3).place == 0
    run_steps(walk := Walk(broken=[3] * 3), 20, random_state=0)
    assert walk.place == sum(range(20)) / 8


def test_each_step_and_each_retry_draws_from_a_generator_of_its_own():
    drawn = {}

    class Draws(Walk):
        def step(self, now):
            drawn[now.step, now.lr_scale] = torch.rand(1, generator=now.generator)
            return super().step(now)

    run_steps(Draws(broken=[3]), 10, random_state=0)
    assert len({value.item() for value in drawn.values()}) == 20


class Clocked:
    """Steps that take some seconds first, and others from the third on."""

    def __init__(self, first, later):
        self.first, self.later, self.now, self.n = first, later, 0.0, 0

    def step(self, context):
        self.now += self.first if self.n < 3 else self.later
        self.n += 1
        return {}


@pytest.mark.parametrize(
    ("first", "later", "n_steps", "seconds"),
    # Three steps warm up and twelve are timed; of slow ones, one and one.
    [(3.0, 0.5, 15, 0.5), (60.0, 2.0, 2, 60.0), (1.0, 6.0, 5, 6.0)],
)
def test_seconds_per_step_leaves_out_the_first_steps(first, later, n_steps, seconds):
    steps = Clocked(first, later)
    assert seconds_per_step(steps, clock=lambda: steps.now) == seconds
    assert steps.n == n_steps


# Augmentation, one change at a time


def changed(images, **amounts):
    how = replace(NO_CHANGE, **amounts)
    return augment(images, how, torch.Generator().manual_seed(0))


def one_number(n, level):
    return torch.full((n, 1, 8, 8), level)


def test_contrast_multiplies_each_image_by_its_own_number():
    found = changed(one_number(200, 0.5), contrast=0.4)[:, 0]
    factor = found[:, 0, 0] / 0.5
    torch.testing.assert_close(
        found, factor[:, None, None] * one_number(200, 0.5)[:, 0]
    )
    assert 0.6 <= factor.min() < 0.62
    assert 1.38 < factor.max() <= 1.4


def test_gamma_is_an_exponent_between_one_over_and_its_largest():
    found = changed(one_number(200, 0.25), gamma=0.5)[:, 0, 0, 0]
    exponent = found.log() / np.log(0.25)
    assert np.exp(-0.5) <= exponent.min() < np.exp(-0.48)
    assert np.exp(0.48) < exponent.max() <= np.exp(0.5) + 1e-5


def test_noise_of_an_image_is_of_one_deviation_up_to_the_largest():
    found = changed(torch.full((200, 1, 32, 32), 0.5), noise=0.1)
    deviation = (found - 0.5).std(dim=(1, 2, 3))
    assert abs(found.mean() - 0.5) < 1e-3
    assert deviation.min() < 0.005
    assert 0.09 < deviation.max() < 0.11
    assert abs(deviation.mean() - 0.05) < 0.01


def test_cutout_blanks_one_rectangle_of_half_a_side():
    found = changed(one_number(100, 1.0), cutout=(0.5, 0.5))[:, 0]
    blank = found == 0
    assert set(torch.unique(found).tolist()) == {0, 1}
    for image in blank:
        rows, columns = image.any(dim=1), image.any(dim=0)
        assert torch.equal(image, rows[:, None] & columns)
        for side in (rows, columns):
            places = side.nonzero()[:, 0]
            assert len(places) <= 4
            assert places[-1] - places[0] == len(places) - 1
    # Four of eight pixels either way, less what lies beyond the border.
    assert blank.sum(dim=(1, 2)).max() == 16


def test_shift_moves_by_whole_pixels_up_to_its_share():
    ramp = torch.arange(16.0).expand(100, 1, 16, 16) / 32 + 0.25
    found = changed(ramp, shift=0.25)
    middle = slice(5, 11)
    moved = (found - ramp)[:, 0, 8, middle] * 32  # pixels, the same along the ramp
    torch.testing.assert_close(moved, moved[:, :1].expand(-1, 6), atol=1e-3, rtol=0)
    assert 3.6 < moved.max() <= 4.001
    assert -4.001 <= moved.min() < -3.6
