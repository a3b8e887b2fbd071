"""Networks that make and judge images: every size, drawn from one generator."""

import numpy as np
import pytest
import torch

from lfkit.errors import InputError
from lfkit.generators.gan import PairGan, RealImages
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan.discriminator import CONDITIONINGS, Discriminator
from lfkit.generators.gan.networks import GAN_NETWORKS
from lfkit.nn.training_loop import StepContext

SHAPES = [(8, 8, 1), (8, 8, 3), (28, 28, 1), (32, 32, 3), (17, 30, 3), (64, 64, 3)]
WIDTHS = {"dcgan": 24, "cogan": 64, "sngan": 16, "r3gan": 16}


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", GAN_NETWORKS)
def test_networks_make_and_look_at_images_of_any_size(name, shape):
    network, width = GAN_NETWORKS[name], WIDTHS.get(name, 8)
    state = torch.get_rng_state()
    maker = network.make_generator(shape, n_classes=3, width=width, generator=drawn())
    body = network.make_body(shape, width=width, generator=drawn())
    z = torch.randn(4, maker.z_dim, generator=drawn())
    classes = torch.eye(3)[[0, 1, 2, 0]]
    images, common = maker(z, classes)
    assert images.shape == (4, shape[2], *shape[:2])
    assert common.shape == (4, maker.n_common)
    assert 0 <= images.min() <= images.max() <= 1
    assert body(images).shape == (4, body.n_features)
    again = network.make_generator(shape, n_classes=3, width=width, generator=drawn())
    for name, value in maker.state_dict().items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(value, again.state_dict()[name]), name
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", GAN_NETWORKS)
def test_class_changes_the_image(name):
    maker = GAN_NETWORKS[name].make_generator(
        (8, 8, 1), n_classes=2, width=WIDTHS.get(name, 8), generator=drawn()
    )
    z = torch.randn(4, maker.z_dim, generator=drawn())
    one, _ = maker(z, torch.eye(2)[[0] * 4])
    other, _ = maker(z, torch.eye(2)[[0, 0, 0, 1]])
    assert not torch.equal(one[3], other[3])


@pytest.mark.parametrize("name", GAN_NETWORKS)
@pytest.mark.parametrize("conditioning", ["projection", "concat", "none"])
def test_without_a_label_a_pair_is_judged_as_its_image(name, conditioning):
    body = GAN_NETWORKS[name].make_body(
        (8, 8, 1), width=WIDTHS.get(name, 8), generator=drawn()
    )
    discriminator = Discriminator(
        body, 3, conditioning=conditioning, generator=drawn()
    ).eval()
    images = torch.rand(3, 1, 8, 8, generator=drawn())
    labels = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0.2, 0.5, 0.3]])
    pairs, alone = discriminator(images, labels).pairs, discriminator.score(images)
    assert torch.equal(alone[0], pairs[0])
    assert torch.equal(alone[1:], pairs[1:]) == (conditioning == "none")
    assert torch.equal(discriminator(images).pairs, alone)


@pytest.mark.parametrize("in_half", [False, True])
@pytest.mark.parametrize("conditioning", CONDITIONINGS)
@pytest.mark.parametrize("name", GAN_NETWORKS)
def test_gradients_reach_every_weight_also_where_layers_run_in_half(
    name, conditioning, in_half
):
    network, width = GAN_NETWORKS[name], WIDTHS.get(name, 8)
    maker = network.make_generator(
        (17, 30, 3), n_classes=2, width=width, generator=drawn()
    )
    body = network.make_body((17, 30, 3), width=width, generator=drawn())
    discriminator = Discriminator(body, 2, conditioning=conditioning, generator=drawn())
    for weight in [*maker.parameters(), *discriminator.parameters()]:
        if weight.ndim > 1 and not weight.any():  # a branch that begins at 0
            torch.nn.init.normal_(weight, 0, 0.1, generator=drawn())
    labels = torch.tensor([[1.0, 0.0], [0.3, 0.7], [0.0, 1.0], [0.5, 0.5]])
    z = torch.randn(4, maker.z_dim, generator=drawn())
    with torch.autocast("cpu", torch.bfloat16, enabled=in_half):
        alone, pairs, _ = discriminator(maker(z, labels)[0], labels)
    (alone.float().square().sum() + pairs.float().square().sum()).backward()
    for part in (maker, discriminator):
        for of, weight in part.named_parameters():
            assert weight.grad is not None, of
            assert torch.isfinite(weight.grad).all(), of
            # A bias before batch normalisation is taken away again, but for rounding.
            assert weight.grad.abs().sum() > 0 or of.endswith("bias"), of


@pytest.mark.parametrize("labels", ["condition", "head", "none"])
def test_one_step_moves_every_weight(labels):
    rng = np.random.default_rng(0)
    real = RealImages(rng.integers(256, size=(20, 8, 8, 1)).astype(np.uint8), 2, "cpu")
    real.set_pairs(np.eye(2)[rng.integers(2, size=20)], np.ones(20))
    plan = GanConfig(
        label_mode=labels, unconditional_fraction=0.0, batch=8, width=24, n_steps=3
    )
    gan = PairGan(real, (8, 8, 1), plan, 0, "cpu")
    before = {k: v.clone() for k, v in gan.tensors().items()}
    figures = gan.step(StepContext(0, drawn()))
    assert all(torch.isfinite(value) for value in figures.values())
    for name, value in gan.tensors().items():
        if name.startswith(("maker", "judge")) and not name.endswith((".u", "tracked")):
            assert not torch.equal(value, before[name]), name


@pytest.mark.parametrize("shape", [(7, 28, 1), (28, 28, 0), (28, 28, 2), (28, 28)])
def test_images_too_small_or_of_other_channels_are_refused(shape):
    network = GAN_NETWORKS["dcgan"]
    for make in (network.make_generator, network.make_body):
        with pytest.raises(InputError) as caught:
            make(shape, generator=drawn())
        assert str(caught.value) == (
            f"images have the shape {shape}; a generator needs (h, w, c) with "
            "8 pixels a side or more, and 1, 3 or 4 channels."
        )


def test_unknown_conditioning_is_named():
    body = GAN_NETWORKS["dcgan"].make_body((8, 8, 1), generator=drawn())
    with pytest.raises(InputError, match=r"conditioning is 'sum'; choose from"):
        Discriminator(body, 3, conditioning="sum", generator=drawn())
