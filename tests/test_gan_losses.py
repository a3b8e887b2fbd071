"""Losses, penalties, spectral norm, averages: against values known in closed form."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from lfkit.errors import InputError
from lfkit.generators.gan.config import LOSSES, POLICIES
from lfkit.generators.gan.diffaugment import diffaugment
from lfkit.generators.gan.losses import d_loss, g_loss, gradient_penalty, r1_penalty
from lfkit.nn.ema import Average
from lfkit.nn.spectral_norm import spectral


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


def test_a_relativistic_loss_is_of_differences_alone():
    real, fake = torch.tensor([0.3, -1.0, 2.0]), torch.tensor([0.5, 2.0, -1.0])
    kind = "relativistic"
    nobody = torch.zeros(3)
    for loss in (d_loss(nobody, nobody, kind), g_loss(nobody, kind, real=nobody)):
        assert loss.item() == pytest.approx(np.log(2))
    found = d_loss(real, fake, kind)
    # Softplus of .2, 3 and -3.
    assert found.item() == pytest.approx((0.7981389 + 3.0485873 + 0.0485873) / 3)
    torch.testing.assert_close(d_loss(real + 7, fake + 7, kind), found)
    torch.testing.assert_close(g_loss(fake, kind, real=real), d_loss(fake, real, kind))
    first = torch.tensor([1.0, 0.0, 0.0])
    of_first = g_loss(fake, kind, real=real, weight=first)
    assert of_first.item() == pytest.approx(0.5981389)


@pytest.mark.parametrize("kind", LOSSES)
def test_weights_choose_the_real_ones_and_may_all_be_zero(kind):
    real, fake = torch.tensor([0.3, -5.0]), torch.tensor([0.5])
    chosen = d_loss(real, fake, kind, weight=torch.tensor([2.0, 0.0]))
    torch.testing.assert_close(chosen, d_loss(real[:1], fake, kind))
    none = d_loss(real, fake, kind, weight=torch.zeros(2))
    assert torch.isfinite(none)
    free = torch.full((1,), 0.0 if kind == "wasserstein" else 1e9)
    torch.testing.assert_close(none, d_loss(free, fake, kind), atol=1e-6, rtol=0)


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
        InputError, match=r"augment is 'mirror'; choose from color, translation"
    ):
        diffaugment(torch.zeros(1, 1, 8, 8), ["mirror"], drawn())


@pytest.mark.parametrize(
    "loss",
    [
        lambda: d_loss(torch.zeros(1), torch.zeros(1), "hnge"),
        lambda: g_loss(torch.zeros(1), "hnge"),
    ],
)
def test_unknown_loss_is_refused(loss):
    with pytest.raises(InputError) as caught:
        loss()
    assert str(caught.value) == (
        "loss is 'hnge'; choose from non-saturating, saturating, hinge, wasserstein, "
        "relativistic."
    )


@pytest.mark.parametrize("kind", LOSSES)
def test_scores_far_out_give_finite_losses(kind):
    far = torch.tensor([1e4, -1e4])
    assert torch.isfinite(d_loss(far, far, kind))
    assert torch.isfinite(g_loss(far, kind, real=-far))


@pytest.mark.parametrize("kind", LOSSES)
def test_real_ones_whose_weights_are_all_zero_teach_nothing(kind):
    real = torch.tensor([0.5, -1.0], requires_grad=True)
    d_loss(real, torch.tensor([-1.0]), kind, weight=torch.zeros(2)).backward()
    assert real.grad.tolist() == [0, 0]


def test_gradient_penalty_looks_at_a_place_of_its_own_for_each_image():
    looked = []

    def discriminate(images):
        looked.append(images.detach())
        return linear([3.0, 4.0, 0.0, 0.0])(images)

    shape = (50, 1, 2, 2)
    gradient_penalty(discriminate, torch.ones(shape), torch.zeros(shape), drawn())
    places = looked[0].flatten(1)
    assert (places == places[:, :1]).all()
    assert len(places[:, 0].unique()) == 50
    assert 0 <= places.min() < 0.2 < 0.8 < places.max() <= 1


def test_penalty_of_a_flat_discriminator_gives_no_nan():
    weight = torch.zeros(4, requires_grad=True)
    images = torch.rand(2, 4, generator=drawn())
    gradient_penalty(lambda x: x @ weight, images, images, drawn()).backward()
    assert torch.isfinite(weight.grad).all()


def test_spectral_layer_is_the_layer_with_its_weight_divided():
    inner = nn.Conv2d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2)
    nn.init.normal_(inner.weight, generator=drawn(1))
    layer = spectral(inner, drawn()).eval()
    x = torch.rand(2, 4, 9, 9, generator=drawn())
    divided = copy.deepcopy(inner)
    divided.weight.data /= layer.norm().detach()
    torch.testing.assert_close(layer(x), divided(x))


def test_spectral_gradient_is_that_of_the_divided_weight_with_both_vectors_held():
    inner = nn.Linear(2, 2, bias=False)
    inner.weight.data = torch.tensor([[2.0, 1.0], [0.5, -1.0]])
    layer = spectral(inner, drawn()).eval()
    weight, u = inner.weight, layer.u.clone()
    v = (weight.T @ u / (weight.T @ u).norm()).detach()
    x, toward = torch.tensor([[1.0, -2.0]]), torch.tensor([[1.0, 3.0]])
    (layer(x) * toward).sum().backward()
    free = weight.detach().clone().requires_grad_(True)
    (x @ (free / (u @ free @ v)).T * toward).sum().backward()
    torch.testing.assert_close(weight.grad, free.grad)


@pytest.mark.parametrize("training", [True, False])
def test_spectral_norm_keeps_its_precision_where_layers_run_in_half(training):
    inner = nn.Linear(8, 8)
    nn.init.normal_(inner.weight, generator=drawn(1))
    layer = spectral(inner, drawn()).train(training)
    exact = copy.deepcopy(layer)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(torch.ones(1, 8))
        norm = layer.norm()
    exact(torch.ones(1, 8))
    assert found.dtype == torch.bfloat16
    assert norm.dtype == torch.float32
    assert norm == exact.norm()
    assert torch.equal(layer.u, exact.u)


def test_average_without_warmup_remembers_alike_from_the_first_step():
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(1.0)
    average = Average(module, 0.9, warmup=False)
    module.weight.data.fill_(0.0)
    for step in range(5):
        average.update(module, step)
    assert average.module.weight.item() == pytest.approx(0.9**5)


def test_average_has_a_short_memory_at_first():
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(0.0)
    average, expected = Average(module, 0.2), 0.0
    for memory, weight in [(1 / 10, 1.0), (2 / 11, 2.0), (0.2, 3.0)]:
        module.weight.data.fill_(weight)
        average.update(module, int(weight) - 1)
        expected = memory * expected + (1 - memory) * weight
    assert average.module.weight.item() == pytest.approx(expected)


@pytest.mark.parametrize("policy", POLICIES)
def test_augmentation_changes_each_image_in_its_own_way(policy):
    images = torch.rand(1, 3, 16, 16, generator=drawn()).expand(12, 3, 16, 16)
    changed = diffaugment(images, [policy], drawn(1))
    assert len({image.numpy().tobytes() for image in changed}) >= 8


def test_translation_moves_a_point_by_an_eighth_of_the_side_at_most():
    images = torch.zeros(300, 1, 16, 24)
    images[:, :, 8, 12] = 1
    _, _, rows, columns = diffaugment(images, ["translation"], drawn()).nonzero().T
    assert len(rows) == 300
    assert rows.unique().tolist() == [6, 7, 8, 9, 10]
    assert columns.unique().tolist() == [9, 10, 11, 12, 13, 14, 15]


def test_cutout_blanks_half_of_each_side_or_less_at_the_border():
    blank = diffaugment(torch.ones(200, 2, 16, 8), ["cutout"], drawn()) == 0
    assert torch.equal(blank[:, 0], blank[:, 1])
    heights = blank[:, 0].any(dim=2).sum(dim=1)
    widths = blank[:, 0].any(dim=1).sum(dim=1)
    assert (heights.max(), widths.max()) == (8, 4)
    assert heights.min() >= 4
    assert widths.min() >= 2


def test_color_moves_brightness_contrast_and_saturation_within_their_bounds():
    n, few = 400, 1e-6
    flat = torch.full((n, 3, 4, 4), 0.5)
    level = diffaugment(flat, ["color"], drawn()).mean(dim=(1, 2, 3))
    assert -few <= level.min() < 0.05 < 0.95 < level.max() <= 1 + few

    gray = torch.tensor([0.0, 1.0]).repeat(n, 1, 4, 2)
    spread = np.ptp(diffaugment(gray, ["color"], drawn()).flatten(1).numpy(), axis=1)
    assert 0.5 - few <= spread.min() < 0.55 < 1.45 < spread.max() <= 1.5 + few

    # One colour all over: its channels differ by saturation times contrast.
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(n, 3, 4, 4)
    changed = diffaugment(red, ["color"], drawn())
    apart = (changed[:, 0] - changed[:, 1]).mean(dim=(1, 2))
    assert -few <= apart.min() < 0.1
    assert 2 < apart.max() <= 3 + few
