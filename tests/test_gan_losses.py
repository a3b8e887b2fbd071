"""Losses, penalties, spectral norm, averages: against values known in closed form."""

import copy

import pytest
import torch
from torch import nn

from lfkit.errors import InputError
from lfkit.nn.diffaugment import POLICIES, diffaugment
from lfkit.nn.ema import Average
from lfkit.nn.losses import LOSSES, d_loss, g_loss, gradient_penalty, r1_penalty
from lfkit.nn.spectral import spectral


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


def linear(weights):
    row = torch.tensor(weights)
    return lambda images: images.flatten(1) @ row


def test_hinge_is_zero_beyond_its_margin_and_two_at_zero():
    one, nothing = torch.ones(3), torch.zeros(3)
    assert d_loss(one, -one, "hinge") == 0
    assert d_loss(nothing, nothing, "hinge") == 2
    assert d_loss(-one, one, "hinge") == 4
    assert g_loss(one, "hinge") == -1


def test_logistic_losses_are_those_of_probabilities():
    real, fake = torch.tensor([0.3, -1.0]), torch.tensor([0.5, 2.0])
    p, q = torch.sigmoid(real), torch.sigmoid(fake)
    expected = -(p.log().mean() + (1 - q).log().mean())
    for kind in ("non-saturating", "saturating"):
        torch.testing.assert_close(d_loss(real, fake, kind), expected)
    torch.testing.assert_close(g_loss(fake, "non-saturating"), -q.log().mean())
    torch.testing.assert_close(g_loss(fake, "saturating"), (1 - q).log().mean())


@pytest.mark.parametrize("kind", LOSSES)
def test_weights_choose_the_real_ones_and_may_all_be_zero(kind):
    real, fake = torch.tensor([0.3, -5.0]), torch.tensor([0.5])
    chosen = d_loss(real, fake, kind, weight=torch.tensor([2.0, 0.0]))
    torch.testing.assert_close(chosen, d_loss(real[:1], fake, kind))
    none = d_loss(real, fake, kind, weight=torch.zeros(2))
    assert torch.isfinite(none)
    torch.testing.assert_close(
        none, d_loss(torch.full((1,), 1e9), fake, kind), atol=1e-6, rtol=0
    )


def test_penalties_of_a_linear_discriminator_are_those_of_its_weights():
    discriminate = linear([3.0, 4.0, 0.0, 0.0])
    images = torch.rand(5, 1, 2, 2, generator=drawn())
    assert r1_penalty(discriminate, images, gamma=2.0) == pytest.approx(25.0)
    found = gradient_penalty(discriminate, images, images.flip(0), drawn())
    assert found.item() == pytest.approx(16.0)


def test_gradient_penalty_of_a_batch_is_the_mean_of_its_images():
    def discriminate(images):
        return images.flatten(1).square().sum(dim=1)

    real = torch.rand(4, 1, 2, 2, generator=drawn())
    whole = gradient_penalty(discriminate, real, real, drawn())
    alone = [gradient_penalty(discriminate, x[None], x[None], drawn()) for x in real]
    torch.testing.assert_close(whole, torch.stack(alone).mean())


def test_penalty_changes_the_gradients_of_the_discriminator():
    layer = nn.Linear(4, 1)
    penalty = r1_penalty(
        lambda x: layer(x.flatten(1)).tanh()[:, 0], torch.rand(3, 1, 2, 2), 1.0
    )
    penalty.backward()
    assert layer.weight.grad.abs().sum() > 0


def test_spectral_norm_finds_the_largest_singular_value():
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.diag(torch.tensor([3.0, 1.0]))
    made = spectral(layer, drawn())
    for _ in range(20):
        made(torch.ones(1, 2))
    assert made.norm().item() == pytest.approx(3.0, abs=1e-4)
    torch.testing.assert_close(
        made(torch.eye(2)), torch.diag(torch.tensor([1.0, 1 / 3])), atol=1e-4, rtol=0
    )


def test_spectral_norm_turns_only_while_training_and_travels_with_copies():
    made = spectral(nn.Conv2d(3, 8, 3, padding=1), drawn())
    images = torch.rand(2, 3, 6, 6, generator=drawn())
    before = made.u.clone()
    made.eval()
    made(images)
    assert torch.equal(made.u, before)
    made.train()
    twin = copy.deepcopy(made)
    assert torch.equal(made(images), twin(images))
    assert not torch.equal(made.u, before)
    # Two looks before one backward pass, as a discriminator with a penalty has them.
    (made(images).sum() + made(images).square().sum()).backward()
    penalty = r1_penalty(lambda x: made(x).tanh().flatten(1).sum(1), images, 1.0)
    penalty.backward()


def test_average_has_the_value_of_its_closed_form():
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(0.0)
    average = Average(module, decay=0.9)
    module.weight.data.fill_(1.0)
    for step in range(1000, 1010):
        average.update(module, step)
    assert average.module.weight.item() == pytest.approx(1 - 0.9**10, abs=1e-6)
    assert not average.module.weight.requires_grad


def test_average_forgets_its_first_weights_quickly_and_copies_counters():
    module = nn.BatchNorm1d(2)
    average = Average(module, decay=0.999)
    module.train()
    for step in range(20):
        module(torch.randn(8, 2, generator=drawn(step)) + 5)
        average.update(module, step)
    assert average.module.num_batches_tracked == 20
    assert (average.module.running_mean > 2).all()


def test_augmentation_of_no_strength_changes_nothing():
    images = torch.rand(3, 1, 8, 8, generator=drawn())
    assert torch.equal(diffaugment(images, POLICIES, drawn(), strength=0), images)


@pytest.mark.parametrize("policy", POLICIES)
def test_augmentation_repeats_with_its_generator_and_lets_gradients_through(policy):
    images = torch.rand(16, 3, 9, 11, generator=drawn()).requires_grad_(True)
    first = diffaugment(images, [policy], drawn(1))
    assert first.shape == images.shape
    assert torch.equal(first, diffaugment(images, [policy], drawn(1)))
    assert not torch.equal(first, images)
    first.square().sum().backward()
    assert (images.grad.flatten(1).abs().sum(dim=1) > 0).all()


def test_unknown_augmentation_is_named():
    with pytest.raises(
        InputError, match=r"no augmentation 'mirror'; choose from color"
    ):
        diffaugment(torch.zeros(1, 1, 8, 8), ["mirror"], drawn())
