"""What a plan's settings do, one by one, by hand; and together, on digits."""

import functools
import itertools
import math

import numpy as np
import pytest
import torch

from lfkit import Votes
from lfkit.errors import InputError
from lfkit.generators import GENERATORS
from lfkit.generators.gan import PairGan, RealImages, StepHooks
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan.cutmix import cutmix_penalty, mixing_mask
from lfkit.generators.gan.discriminator import Discriminator, DiscriminatorScores
from lfkit.generators.gan.label_losses import (
    d_pair_loss,
    g_pair_loss,
    information,
    multi_hinge,
)
from lfkit.generators.gan.losses import d_loss, g_loss
from lfkit.generators.gan.networks import GAN_NETWORKS
from lfkit.generators.gan.penalties import weighted_penalties
from lfkit.generators.gan.top_samples import top_scoring
from lfkit.generators.training_set import Domain
from lfkit.nn.randaugment import randaugment
from lfkit.nn.spectral_norm import Spectral, without_spectral
from lfkit.nn.training_loop import StepContext


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_critic_loses_the_difference_of_its_scores():
    real, fake = torch.tensor([3.0, 1.0]), torch.tensor([0.5])
    assert d_loss(real, fake, "wasserstein").item() == -1.5
    assert g_loss(fake, "wasserstein").item() == -0.5


def test_multi_hinge_by_hand():
    scores = torch.tensor([[2.0, 0.5, -1.0], [0.0, 3.0, 2.5]])
    named = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    assert multi_hinge(scores, named).tolist() == [0.0, 0.5]
    wrong = torch.tensor([[0.0, 1, 0], [0.5, 0.5, 0]])
    # 1 + 2 - .5; and half of 1 + 3 - 0, half of 1 + 2.5 - 3.
    assert multi_hinge(scores, wrong).tolist() == [2.5, 2.25]


def test_multi_hinge_pairs_keep_real_and_generated_classes_apart():
    real = torch.tensor([[2.0, 0, 0, 0]])  # surely a real image of class 0
    fake = torch.tensor([[0.0, 0, 0, 2]])  # surely a generated one of class 1
    zero, one = torch.tensor([[1.0, 0]]), torch.tensor([[0.0, 1]])
    told = {"conditioning": "multi-hinge", "kind": "hinge"}
    weight = torch.ones(1)
    assert d_pair_loss(real, fake, zero, one, weight, **told) == 0
    assert g_pair_loss(fake, one, **told).item() == 3  # it should look real
    # Without a label the real image costs nothing, whatever it is taken for.
    assert d_pair_loss(fake, fake, zero, one, 0 * weight, **told) == 0


def test_a_classifier_learns_from_real_images_unless_nobody_else_can_teach_it():
    scores, labels = torch.zeros(1, 2), torch.tensor([[1.0, 0]])
    for both, expected in ((False, math.log(2)), (True, 2 * math.log(2))):
        found = d_pair_loss(
            scores, scores, labels, labels, torch.ones(1),
            conditioning="classifier", kind="hinge", learns_from_fake=both,
        )  # fmt: skip
        assert found.item() == pytest.approx(expected)


def test_information_of_a_noisy_channel_is_what_the_best_classifier_finds():
    # A bit that arrives wrongly in one of four: log 2 - H(1/4) nats.
    labels = torch.eye(2)[[0, 0, 0, 0, 1, 1, 1, 1]]
    arrived = torch.tensor([0, 0, 0, 1, 1, 1, 1, 0])
    quarter = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    best = torch.tensor([[0.75, 0.25], [0.25, 0.75]]).log()[arrived]
    assert information(best, labels).item() == pytest.approx(
        math.log(2) - quarter, abs=1e-6
    )
    for other in (0.6, 0.9, 0.5):
        scores = torch.tensor([[other, 1 - other], [1 - other, other]]).log()[arrived]
        assert information(scores, labels) < information(best, labels)


def test_the_most_convincing_are_chosen_within_their_class():
    scores = torch.tensor([5.0, 4, 9, 1, 8, 7, 2, 3])
    classes = torch.tensor([0, 0, 1, 0, 1, 1, 0, 1])
    assert top_scoring(scores, 2).tolist() == [0, 2, 4, 5]
    assert top_scoring(scores, 2, classes).tolist() == [0, 1, 2, 4]
    # Three of one class keep one; the place that is left goes to the best of all.
    odd = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])
    assert top_scoring(scores, 2, odd).tolist() == [0, 2, 4, 5]
    assert top_scoring(scores, 1).tolist() == [*range(8)]


def test_a_mixed_image_is_judged_as_the_images_it_is_made_of():
    mask = torch.tensor([[[1.0, 1], [0, 1]]])
    real, fake = torch.full((1, 1, 2, 2), 0.8), torch.full((1, 1, 2, 2), 0.2)
    of_real, of_fake = torch.full((1, 2, 2), 3.0), torch.full((1, 2, 2), -1.0)
    seen = []

    def discriminator(images):
        seen.append(images)
        return torch.tensor([[[3.0, 3], [1, 3]]])  # wrong by 2 in one of four pixels

    found = cutmix_penalty(discriminator, real, fake, of_real, of_fake, mask)
    torch.testing.assert_close(seen[0][0, 0], torch.tensor([[0.8, 0.8], [0.2, 0.8]]))
    assert found.item() == pytest.approx(1.0)


def test_penalties_have_their_weights():
    discriminator = Linear()  # its slope has norm 5
    real, made = torch.full((4, 1, 2, 2), 0.5), torch.zeros(4, 1, 2, 2)
    sides = {
        name: (images, images, discriminator(images).alone)
        for name, images in (("real", real), ("fake", made))
    }

    def found(step, **settings):
        now = StepContext(step, drawn())
        given = weighted_penalties(discriminator, GanConfig(**settings), now, **sides)
        return {name: value.item() for name, value in given.items()}

    assert found(0) == {}
    # Every fourth step four times as strong: 2 / 2 * 25 * 4.
    lazy = {"r1_gamma": 2.0, "r1_every": 4}
    assert found(4, **lazy) == {"r1": pytest.approx(100)}
    assert found(5, **lazy) == {}
    # Of a generated image's slope, which is the same, half as much: 1 / 2 * 25.
    both = {"r1_gamma": 2.0, "r2_gamma": 1.0, "r1_every": 1}
    assert found(5, **both) == {"r1": pytest.approx(25), "r2": pytest.approx(12.5)}
    assert found(5, gp_weight=10.0) == {"gradient_penalty": pytest.approx(160)}


def test_slopes_are_of_what_the_loss_judges():
    # Alone the slope is 3 4 0 0; with its label, which is 2 everywhere, 5 6 2 2.
    images, labels = torch.full((4, 1, 2, 2), 0.5), torch.full((4, 1), 2.0)
    side = (images, images, torch.zeros(4))
    now = StepContext(0, drawn())

    def found(weight):
        plan = GanConfig(r2_gamma=2.0, r1_every=1, pair_weight=weight)
        given = weighted_penalties(
            LinearPairs(), plan, now, real=side, fake=side, labels=(labels, labels)
        )
        return given["r2"].item()

    assert found(1.0) == pytest.approx(25 + 36 + 4 + 4)
    assert found(0.5) == pytest.approx(16 + 25 + 1 + 1)


class Linear:
    """A discriminator whose slope is the same everywhere."""

    weights = torch.tensor([3.0, 4.0, 0.0, 0.0])

    def __call__(self, images):
        alone = self.score(images)
        return DiscriminatorScores(alone, alone, images.flatten(1))

    def score(self, images):
        return images.flatten(1) @ self.weights


class LinearPairs(Linear):
    """Adds the label to the slope."""

    def __call__(self, images, labels):
        alone = self.score(images)
        pairs = alone + (images.flatten(1) * labels).sum(dim=1)
        return DiscriminatorScores(alone, pairs, images.flatten(1))


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_cutmix_costs_its_weight(weight):
    # Its judgement of each pixel is the pixel: that of a mixed image is the mixture.
    discriminator = Pixels()
    real, made = torch.full((4, 1, 6, 6), 0.5), torch.zeros(4, 1, 6, 6)
    plan = GanConfig(network="biggan", cutmix=weight)

    def cost(of_real, of_fake):
        sides = {"real": (real, real, of_real), "fake": (made, made, of_fake)}
        now = StepContext(0, drawn())
        return weighted_penalties(discriminator, plan, now, **sides)["cutmix"].item()

    assert cost(real[:, 0], made[:, 0]) == pytest.approx(0)
    assert cost(real[:, 0] + 2, made[:, 0] + 2) == pytest.approx(4 * weight)


class Pixels:
    """A discriminator that says of a pixel what it is."""

    def __call__(self, images):
        return DiscriminatorScores(
            images[:, 0], images.mean(dim=(1, 2, 3)), images.flatten(1)
        )


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        ({"r1_gamma": 10.0, "r1_every": 1}, "discriminator"),
        ({"gp_weight": 10.0}, "discriminator"),
        ({"network": "biggan", "cutmix": 10.0}, "discriminator"),
        ({"augment": ("cutout",)}, "discriminator"),
        ({"draw_factor": 2}, "maker"),
        ({"label_mode": "head", "rate_head": 0.01}, "maker"),
    ],
)
def test_a_setting_changes_what_a_step_learns(settings, changed):
    def learned(settings):
        rng = np.random.default_rng(0)
        pixels = rng.integers(256, size=(16, 8, 8, 1)).astype(np.uint8)
        real = RealImages(pixels, 2, "cpu")
        real.set_pairs(np.eye(2)[rng.integers(2, size=16)], np.ones(16))
        kept = {
            key: settings[key] for key in ("network", "label_mode") if key in settings
        }
        small = {"batch": 8, "width": 8, "z_dim": 4, "unconditional_fraction": 0.0}
        plans = (small | each for each in (settings, kept))
        for plan in plans:
            gan = PairGan(real, (8, 8, 1), GanConfig(**plan), 0, "cpu")
            gan.step(StepContext(0, drawn()))
            yield torch.cat([w.flatten() for w in getattr(gan, changed).parameters()])

    with_it, without = learned(settings)
    assert not torch.equal(with_it, without)


def test_the_generated_images_that_are_kept_convince_more():
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(16, 8, 8, 1)).astype(np.uint8)
    real = RealImages(pixels, 2, "cpu")
    plan = {"batch": 32, "width": 8, "z_dim": 4, "label_mode": "none"}
    means = []
    for factor in (1, 8):
        gan = PairGan(real, (8, 8, 1), GanConfig(**plan, draw_factor=factor), 0, "cpu")
        gan.step(StepContext(0, drawn()))
        gan.discriminator.eval()
        means.append(gan.discriminator.score(gan.fake.images).mean().item())
    assert means[1] > means[0]


def test_masks_are_rectangles_of_any_share():
    mask = mixing_mask(400, (10, 12), drawn())
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    share = mask.mean(dim=(1, 2))
    assert share.min() < 0.3
    assert share.max() > 0.95
    for one in 1 - mask[:20]:  # outside of it rows and columns are whole
        assert torch.equal(one, one.amax(1)[:, None] * one.amax(0)[None, :])


@pytest.mark.parametrize("shape", [(5, 1, 8, 8), (5, 3, 20, 13)], ids=str)
def test_randaugment_changes_images_only_when_told_to(shape):
    images = torch.rand(shape, generator=drawn())
    same = randaugment(images, drawn(1), strength=0)
    torch.testing.assert_close(same, images, atol=1 / 255, rtol=0)
    state = torch.get_rng_state()
    changed = randaugment(images, drawn(1))
    assert changed.shape == images.shape
    assert ((changed >= 0) & (changed <= 1)).all()
    assert not torch.equal(changed, images)
    assert torch.equal(changed, randaugment(images, drawn(1)))
    assert torch.equal(torch.get_rng_state(), state)


def test_without_spectral_norm_the_same_weights_are_as_large_as_they_were():
    body = GAN_NETWORKS["dcgan"].make_body((8, 8, 1), width=24, generator=drawn())
    discriminator = Discriminator(body, 3, conditioning="projection", generator=drawn())
    n_layers = sum(isinstance(part, Spectral) for part in discriminator.modules())
    without_spectral(discriminator)
    assert n_layers > 3
    assert not any(isinstance(part, Spectral) for part in discriminator.modules())
    alone, pairs, _ = discriminator(torch.rand(2, 1, 8, 8), torch.eye(3)[:2])
    assert (alone.shape, pairs.shape) == ((2,), (2,))


def toy(plan, n=20, **extras):
    rng = np.random.default_rng(0)
    real = RealImages(rng.integers(256, size=(n, 8, 8, 1)).astype(np.uint8), 2, "cpu")
    real.set_pairs(np.eye(2)[rng.integers(2, size=n)], np.ones(n))
    return PairGan(real, (8, 8, 1), plan, 0, "cpu", StepHooks(**extras))


def test_real_images_are_new_in_every_turn_of_the_discriminator():
    shown = []

    def rows(number, batch):
        shown.append(number)
        return torch.arange(batch)

    plan = GanConfig(
        batch=8, width=24, n_steps=4, n_discriminator=3, unconditional_fraction=0.0
    )
    gan = toy(plan, rows=rows)
    for step in range(2):
        gan.step(StepContext(step, drawn()))
    assert shown == [*range(6)]


def test_adversarial_sampling_draws_more_and_keeps_the_batch():
    plan = GanConfig(
        batch=8, width=24, n_steps=4, draw_factor=4, unconditional_fraction=0.0
    )
    gan = toy(plan)
    seen = []
    gan.maker.register_forward_hook(lambda *told: seen.append(len(told[1][0])))
    gan.step(StepContext(0, drawn()))
    assert seen == [32]
    assert len(gan.fake.images) == 8
    assert gan.fake.target.shape == (8, 2)


def test_codes_are_found_again_and_move_the_image():
    plan = GanConfig(
        batch=16,
        width=24,
        n_steps=150,
        n_codes=1,
        unconditional_fraction=0.0,
        code_weight=5.0,
    )
    gan = toy(plan)
    lost = [
        gan.step(StepContext(step, drawn(step)))["code_loss"] for step in range(150)
    ]
    assert torch.stack(lost[-20:]).mean() < 0.15  # 1/3 is what knowing nothing costs
    z, classes = torch.randn(1, 64, generator=drawn()), torch.eye(2)[:1]
    maker = gan.maker.eval()
    one, other = (maker(z, classes, torch.full((1, 1), c))[0] for c in (-1.0, 1.0))
    assert (one - other).abs().mean() > 0.01


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"loss": "wasserstein"},
            "loss is 'wasserstein' and gp_weight 0: without a penalty nothing bounds "
            "the critic's scores. Set gp_weight, to 10 as a rule.",
        ),
        (
            {"loss": "wasserstein", "gp_weight": 10.0, "conditioning": "multi-hinge"},
            "loss is 'wasserstein' and conditioning 'multi-hinge': a critic has no "
            "margin to keep. Set conditioning to 'classifier', or loss to 'hinge'.",
        ),
        (
            {"cutmix": 1.0},
            "cutmix is 1 and network 'dcgan', whose discriminator does not judge "
            "pixels. Set network to 'biggan', or cutmix to 0.",
        ),
        (
            {"loss": "wasserstein", "gp_weight": 10.0, "conditioning": "concat"},
            "loss is 'wasserstein' and conditioning 'concat': the penalty bounds the "
            "critic of images, not that of labels. Set conditioning to 'classifier'.",
        ),
        (
            {"unconditional_fraction": 1.0},
            "unconditional_fraction is 1: no pair would ever be judged. Set it lower, "
            "or label_mode to 'none'.",
        ),
        ({"head_on": "top"}, "head_on is 'top'; choose from common, maps."),
        ({"draw_factor": 0}, "draw_factor is 0; give 1 or more."),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_the_reason(settings, message):
    with pytest.raises(InputError) as caught:
        GanConfig(**settings)
    assert str(caught.value) == message


# Every setting that is a matter of choice; what a generator cannot do, it refuses.
AXES = {
    "generator": [n for n, kind in GENERATORS.items() if kind.plan_kind is GanConfig],
    "loss": ["non-saturating", "saturating", "hinge", "wasserstein", "relativistic"],
    "label_mode": ["condition", "head", "none"],
    "head_on": ["common", "maps"],
    "conditioning": ["projection", "concat", "classifier", "multi-hinge", "coupled"],
    "network": [*GAN_NETWORKS],
    "r1_gamma": [0.0, 1.0],
    "r2_gamma": [0.0, 1.0],
    "gp_weight": [0.0, 10.0],
    "cutmix": [0.0, 1.0],
    "spectral_norm": [True, False],
    "augment": [(), ("color", "translation", "cutout")],
    "draw_factor": [1, 2],
    "n_discriminator": [1, 2],
    "n_codes": [0, 2],
}


def made(combination):
    """Make a generator of a combination, or None if it is refused."""
    settings = dict(zip(AXES, combination, strict=True))
    name = settings.pop("generator")
    try:
        plan = GanConfig(
            **settings, n_steps=3, unconditional_fraction=0.34, batch=8, z_dim=4,
            reader_steps=2, width=8,
        )  # fmt: skip
        generator = GENERATORS[name](plan)
        if name == "adp-multi" and plan.draw_factor > 1:
            generator.set_params(hold=0.0)  # else refused: see test_domains
        generator.check(has_functions=True)
    except InputError:
        return None
    return generator


@functools.cache
def pairwise():
    """Choose legal combinations until every legal pair of settings is in one."""
    rng = np.random.default_rng(0)
    names = [*AXES]
    missing = {
        (a, x, b, y)
        for a, b in itertools.combinations(range(len(names)), 2)
        for x in range(len(AXES[names[a]]))
        for y in range(len(AXES[names[b]]))
    }
    chosen, fruitless = [], 0
    while missing and fruitless < 400:
        a, x, b, y = sorted(missing)[rng.integers(len(missing))]
        best, gain = None, 0
        for _ in range(25):
            places = [rng.integers(len(values)) for values in AXES.values()]
            places[a], places[b] = x, y
            covered = {
                (i, places[i], j, places[j])
                for i, j in itertools.combinations(range(len(places)), 2)
            } & missing
            values = [AXES[n][p] for n, p in zip(names, places, strict=True)]
            if len(covered) > gain and made(values) is not None:
                best, gain = (values, covered), len(covered)
        if best is None:
            fruitless += 1
            continue
        chosen.append(best[0])
        missing -= best[1]
    return chosen


def test_pairs_cover_every_generator_and_every_value():
    for axis, values in AXES.items():
        place = [*AXES].index(axis)
        assert {c[place] for c in pairwise()} == set(values), axis


@pytest.mark.parametrize("name", AXES["generator"])
def test_every_legal_pair_of_settings_trains(name, digits):
    from lf_library.digits import LFS

    images, truth = digits
    images, truth = images[:40], truth[:40]
    lfs = [lf for lf in LFS if not lf.thresholds][:2]
    votes = Votes(
        np.stack([truth, truth], 1).astype(np.int16), [f.name for f in lfs], 10
    )
    given = {"proba": np.eye(10)[truth], "lfs": lfs}
    place = [*AXES].index("generator")
    for combination in (c for c in pairwise() if c[place] == name):
        generator = made(combination)
        second = Domain(images, votes, **given) if generator.n_domains == 2 else None
        try:
            generator.fit(images, votes, **given, second=second)
            found = generator.sample(3)
            assert found.images.shape == (3, 8, 8, 1)
            np.testing.assert_allclose(found.proba.sum(axis=1), 1, atol=1e-4)
            assert np.isfinite(generator.predict_proba(images[:5])).all()
        except Exception as error:
            error.add_note(f"with {dict(zip(AXES, combination, strict=True))}")
            raise
