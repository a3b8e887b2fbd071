"""Networks: any image size, augmentation in range, and the same bits after a stop."""

import numpy as np
import pytest
import torch

from lfkit.nn import (
    Augmentation,
    SmallConvNet,
    TrainingPlan,
    augment,
    look,
    seconds_per_training_step,
    steps_within,
    train,
)

PLAN = TrainingPlan(n_steps=30, batch=16, seed_batch=4, width=4, warmup=5)


class Kept:
    """Checkpoints in a list; stops the training after some of them."""

    def __init__(self, every=10, stop_after=None):
        self.every, self.stop_after, self.saved = every, stop_after, []

    def load(self):
        return self.saved[-1] if self.saved else None

    def save(self, arrays):
        self.saved.append({name: value.copy() for name, value in arrays.items()})
        if len(self.saved) == self.stop_after:
            raise KeyboardInterrupt


def stripes(n, seed=0):
    """Images (n, 12, 12, 1) with rows (0) or columns (1) that change brightness."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=n)
    line = 200 * (np.arange(12) // 3 % 2)
    pixels = np.where(truth[:, None, None] == 1, line[None, :], line[:, None])
    noise = rng.integers(0, 50, size=pixels.shape)
    return (pixels + noise).astype(np.uint8)[..., None], truth


def posteriors(network, pixels):
    return np.concatenate([np.exp(log) for _, log, _ in look(network, pixels)])


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (2, 9, 3), (8, 8, 1), (28, 28, 1), (33, 64, 3)]
)
def test_network_takes_images_of_any_size(shape):
    network = SmallConvNet(shape, 3, generator=torch.Generator().manual_seed(0))
    pixels = np.random.default_rng(0).integers(256, size=(5, *shape)).astype(np.uint8)
    found = posteriors(network, pixels)
    assert found.shape == (5, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_network_learns_what_can_be_seen():
    pixels, truth = stripes(200)
    network = train(pixels, np.eye(2)[truth], plan=PLAN)
    shown, classes = stripes(100, seed=1)
    assert np.mean(posteriors(network, shown).argmax(axis=1) == classes) > 0.95


def test_seeds_teach_beside_unlabeled_images():
    pixels, truth = stripes(100)
    nothing = np.full((100, 2), 0.5)
    rows = np.arange(20)
    network = train(pixels, nothing, seed_rows=rows, seed_labels=truth[rows], plan=PLAN)
    found = posteriors(network, pixels).argmax(axis=1)
    assert np.mean(found == truth) > 0.8


def test_stopped_training_ends_in_the_same_bits():
    pixels, truth = stripes(64)
    targets = np.eye(2)[truth]
    whole = train(pixels, targets, plan=PLAN, random_state=5)
    kept = Kept(stop_after=2)
    with pytest.raises(KeyboardInterrupt):
        train(pixels, targets, plan=PLAN, random_state=5, checkpoints=kept)
    kept.stop_after = None
    resumed = train(pixels, targets, plan=PLAN, random_state=5, checkpoints=kept)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert int(kept.saved[-1]["step"]) == 30


def test_training_draws_nothing_from_the_global_state():
    pixels, truth = stripes(32)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    threads = torch.get_num_threads()
    plan = TrainingPlan(n_steps=3, batch=8, width=4)
    first = train(pixels, np.eye(2)[truth], plan=plan)
    torch.rand(3)
    second = train(pixels, np.eye(2)[truth], plan=plan)
    other = train(pixels, np.eye(2)[truth], plan=plan, random_state=1)
    assert torch.equal(first.head.weight, second.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)
    torch.set_rng_state(state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("flip", [False, True])
def test_augmentation_keeps_shape_and_repeats_with_its_generator(channels, flip):
    images = torch.rand(6, channels, 10, 14, generator=torch.Generator().manual_seed(0))
    how = Augmentation(flip=flip)
    first = augment(images, how, torch.Generator().manual_seed(1))
    second = augment(images, how, torch.Generator().manual_seed(1))
    assert first.shape == images.shape
    assert torch.equal(first, second)
    assert torch.isfinite(first).all()
    assert not torch.equal(
        first, augment(images, how, torch.Generator().manual_seed(2))
    )


def test_augmentation_of_no_strength_changes_nothing_but_rounding():
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    still = Augmentation(0, 0, 0, 0, 0, 0, 0, 0, cutout=(0, 0))
    found = augment(images, still, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, images, atol=2e-4, rtol=0)


def test_flip_alone_mirrors_about_half_of_the_images():
    images = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    still = Augmentation(0, 0, 0, 0, 0, 0, 0, 0, cutout=(0, 0), flip=True)
    found = augment(images, still, torch.Generator().manual_seed(0))
    mirrored = [
        torch.allclose(a, b.flip(2), atol=2e-4)
        for a, b in zip(found, images, strict=True)
    ]
    assert 20 < sum(mirrored) < 44


def test_time_becomes_a_number_of_steps():
    pixels, truth = stripes(32)
    assert seconds_per_training_step(pixels, np.eye(2)[truth], plan=PLAN) > 0
    assert steps_within(TrainingPlan(n_steps=1000), 20, 0.1).n_steps == 200
    assert steps_within(TrainingPlan(n_steps=100), 20, 0.1).n_steps == 100
    assert steps_within(TrainingPlan(n_steps=100), -5, 0.1).n_steps == 50
