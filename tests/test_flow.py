"""The flow: its path, its integrator, guidance, and what it learns, by hand."""

import numpy as np
import pytest
import torch
from assertions import assert_refused
from test_generators import toys

from lfkit.data.votes import Votes
from lfkit.errors import InputError
from lfkit.generators import Flow, TwoStage
from lfkit.generators.flow.flow_plan import FlowPlan
from lfkit.generators.flow.flow_step import FlowStep
from lfkit.generators.flow.trained_flow import led
from lfkit.generators.flow.velocity_network import VelocityNetwork
from lfkit.generators.gan import RealImages
from lfkit.generators.gan.config import GanConfig
from lfkit.nn.training_loop import StepContext

SMALL = FlowPlan(n_steps=30, batch=8, width=8, reader_steps=10)


class Field(torch.nn.Module):
    """A velocity that is known: of class c, `slope` · time + c + 1; of nobody 0."""

    n_classes = 2

    def __init__(self, slope=0.0):
        super().__init__()
        self.slope, self.asked = slope, []

    def forward(self, images, time, classes):
        self.asked.append(float(time[0]))
        speed = torch.where(classes == 2, 0.0, self.slope * time + classes + 1)
        return speed[:, None, None, None].expand_as(images)


def place(field, steps, guidance=1.0, classes=(0, 1)):
    """Tell where noise of -1 is led, in [0, 1]."""
    noise = torch.full((len(classes), 1, 2, 2), -1.0)
    images = led(field, noise, torch.tensor(classes), steps, guidance)
    assert torch.equal(images.amin(dim=(1, 2, 3)), images.amax(dim=(1, 2, 3)))
    return images[:, 0, 0, 0].tolist()


def test_noise_is_led_along_the_velocity_by_its_class():
    assert place(Field(), 1) == [0.5, 1.0]  # -1 + 1 and -1 + 2, in [-1, 1]
    assert place(Field(), 4) == pytest.approx([0.5, 1.0])


def test_a_step_carries_on_how_the_velocity_has_changed():
    field = Field(slope=1.0)
    found = place(field, 2, classes=[0])
    # Velocities are 1 at 0, and 1.5 at .5: the second step takes 1.5 + .5 / 2.
    assert found == pytest.approx([(-1 + 1 / 2 + 1.75 / 2 + 1) / 2])
    assert field.asked == [0.0, 0.5]


def test_guidance_multiplies_what_the_class_adds():
    assert place(Field(), 1, guidance=0.5) == [0.25, 0.5]
    assert place(Field(), 1, guidance=0.0) == [0.0, 0.0]


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (17, 30, 3), (64, 48, 3)])
def test_images_of_any_size_keep_it(shape):
    drawn = torch.Generator().manual_seed(0)
    network = VelocityNetwork(shape, 3, width=8, generator=drawn)
    h, w, c = shape
    images = torch.randn(2, c, h, w, generator=drawn)
    found = network(images, torch.tensor([0.1, 0.9]), torch.tensor([0, 3]))
    assert found.shape == images.shape
    assert (found == 0).all()  # before it has learned anything it leads nowhere


def step_of(plan, pixels, labels, weights):
    real = RealImages(pixels, labels.shape[1], "cpu", fixed=True)
    real.set_pairs(labels, weights)
    return FlowStep(real, pixels.shape[1:], plan, 0, "cpu")


def test_an_untrained_network_loses_what_noise_and_images_have():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (64, 8, 8, 1)).astype(np.uint8)
    step = step_of(
        FlowPlan(batch=512, width=8), pixels, np.eye(2)[[0] * 64], np.ones(64)
    )
    now = StepContext(0, torch.Generator().manual_seed(1))
    loss = float(step.step(now)["flow_loss"])
    # E |x - z|² = E x² + 1, as z has mean 0 and variance 1.
    wanted = np.square(pixels / 127.5 - 1).mean() + 1
    assert loss == pytest.approx(wanted, rel=0.03)


@pytest.mark.parametrize(("unlabeled", "told"), [(0.0, 0.5), (0.5, 0.25)])
def test_labels_are_hidden_as_often_as_asked_and_where_there_is_none(unlabeled, told):
    pixels = np.zeros((100, 8, 8, 1), np.uint8)
    labels = np.eye(3)[np.arange(100) % 3]
    weights = (np.arange(100) < 50).astype(float)
    plan = FlowPlan(batch=4000, width=8, unlabeled=unlabeled)
    step = step_of(plan, pixels, labels, weights)
    _, classes = step._batch(StepContext(0, torch.Generator().manual_seed(1)))
    shares = np.bincount(classes.numpy(), minlength=4) / 4000
    np.testing.assert_allclose(shares[:3], told / 3, atol=0.02)
    assert shares[3] == pytest.approx(1 - told, abs=0.03)


def test_of_a_soft_label_a_class_is_drawn_anew_each_time():
    pixels = np.zeros((3, 8, 8, 1), np.uint8)
    labels = np.array([[0.7, 0.3, 0], [0, 1, 0], [0.2, 0.2, 0.6]])
    plan = FlowPlan(batch=6000, width=8, unlabeled=0.0)
    step = step_of(plan, pixels, labels, np.ones(3))
    _, classes = step._batch(StepContext(0, torch.Generator().manual_seed(1)))
    shares = np.bincount(classes.numpy(), minlength=4) / 6000
    np.testing.assert_allclose(shares, [0.3, 0.5, 0.2, 0], atol=0.02)


def test_the_rate_rises_and_falls_to_nothing():
    pixels = np.zeros((10, 8, 8, 1), np.uint8)
    plan = FlowPlan(n_steps=4000, width=8)
    step = step_of(plan, pixels, np.eye(2)[[0] * 10], np.ones(10))
    assert step._share(0) == pytest.approx(1 / 200)
    assert step._share(199) == step._share(2000) == 1
    assert step._share(3000) == pytest.approx(0.5)
    assert step._share(3999) < 1e-5


def test_two_classes_are_learned_with_all_their_variety():
    images, truth, votes = toys(n=200)
    made = Flow(FlowPlan(n_steps=400, batch=32, width=16, reader_steps=20))
    made.fit(images, votes, proba=np.eye(2)[truth])
    drawn = made.sample(200)
    left = drawn.images[:, :, :4].mean(axis=(1, 2, 3))
    right = drawn.images[:, :, 4:].mean(axis=(1, 2, 3))
    assert np.mean((left < right) == drawn.labels) > 0.95
    spread = images.std(axis=0).mean()
    assert drawn.images.std(axis=0).mean() == pytest.approx(spread, rel=0.2)


def test_of_each_class_the_most_confident_share_is_told():
    images, truth, votes = toys()
    sure = np.linspace(0.6, 1, 64)[:, None]
    proba = np.where(np.eye(2)[truth] > 0, sure, 1 - sure)
    told = {}
    for gate in (0.25, 1.0):
        begun = Flow(SMALL, gate=gate)
        task = _task(images, votes, proba)
        told[gate] = begun._begin(task).real.weights.numpy()
    assert told[1.0].all()
    for label in (0, 1):
        rows = np.flatnonzero(truth == label)
        assert told[0.25][rows].sum() == round(len(rows) / 4)
        assert told[0.25][rows[-1]]
        assert not told[0.25][rows[0]]


@pytest.mark.parametrize("noise", ["drawn", "none"])
def test_other_kinds_of_noise_tell_every_label(noise):
    images, truth, votes = toys()
    proba = 0.8 * np.eye(2)[truth] + 0.1
    real = Flow(SMALL, noise=noise)._begin(_task(images, votes, proba)).real
    assert real.weights.all()
    wanted = proba if noise == "drawn" else np.eye(2)[truth]
    np.testing.assert_allclose(real.labels.numpy(), wanted, atol=1e-6)


def _task(images, votes, proba):
    from lfkit.generators.training_set import checked_task

    return checked_task(images, votes, proba, (), None, None)


def test_guidance_makes_images_more_typical_and_changes_no_weight():
    images, truth, votes = toys()
    made = Flow(SMALL).fit(images, votes, proba=np.eye(2)[truth])
    plain = made.sample(20)
    weights = made.arrays()
    guided = made.set_params(guidance=3.0).sample(200)
    assert not np.array_equal(guided.images[:20], plain.images)
    assert (
        guided.confidence.mean()
        > made.set_params(guidance=1.0).sample(200).confidence.mean()
    )
    few = made.set_params(sampling_steps=2).sample(20)
    assert not np.array_equal(few.images, plain.images)
    made.set_params(sampling_steps=8)
    assert np.array_equal(made.sample(20).images, plain.images)
    assert all(np.array_equal(made.arrays()[k], v) for k, v in weights.items())


def test_images_without_a_label_are_learned_without_one():
    images, truth, votes = toys()
    proba = np.eye(2)[truth]
    proba[4:] = 0
    begun = Flow(SMALL, gate=1.0)._begin(_task(images, votes, proba))
    np.testing.assert_array_equal(begun.real.weights, np.arange(64) < 4)
    made = Flow(SMALL).fit(images, votes, proba=proba)
    assert len(made.sample(10)) == 10


def test_the_same_training_ends_in_the_same_bits_on_two_threads():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (300, 8, 8, 1)).astype(np.uint8)
    labels = np.eye(10)[rng.integers(10, size=300)]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        ends = []
        for _ in range(3):
            step = step_of(FlowPlan(batch=256, width=40), pixels, labels, np.ones(300))
            for number in range(6):
                drawn = torch.Generator().manual_seed(number)
                step.step(StepContext(number, drawn))
            ends.append(step.network.label.detach().clone())
    finally:
        torch.set_num_threads(before)
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ({"unlabeled": 1.0}, ["unlabeled", "1"]),
        ({"rate": 0.0}, ["rate", "0"]),
        ({"width": 4}, ["width", "4"]),
        ({"batch": 1}, ["batch", "1"]),
        ({"precision": "float16"}, ["precision", "float16"]),
    ],
)
def test_plans_that_make_no_sense_are_refused(settings, facts):
    with pytest.raises(InputError) as told:
        FlowPlan(**settings)
    assert all(fact in str(told.value) for fact in facts)


@pytest.mark.parametrize(
    ("made", "facts"),
    [
        (Flow(SMALL, gate=0.0), ["gate", "0"]),
        (Flow(SMALL, noise="loud"), ["noise", "loud"]),
        (Flow(SMALL, sampling_steps=0), ["sampling_steps", "0"]),
        (
            Flow(FlowPlan(unlabeled=0.0), gate=1.0, guidance=2.0),
            ["guidance", "unlabeled"],
        ),
        (Flow(SMALL, guidance=0.5), ["guidance", "0.5"]),
        (Flow(GanConfig()), ["Flow", "GanConfig", "FlowPlan"]),
        (TwoStage(SMALL), ["TwoStage", "FlowPlan", "GanConfig"]),
    ],
)
def test_settings_that_make_no_sense_are_refused(made, facts):
    with assert_refused(names=facts):
        made.check(has_functions=False)


def test_a_flow_that_leads_away_from_images_is_called_broken():
    images, truth, votes = toys()
    said = []
    plan = FlowPlan(n_steps=20, batch=8, width=8, reader_steps=10, rate=1.0)
    made = Flow(plan).fit(images, votes, proba=np.eye(2)[truth], say=said.append)
    assert made.broken_ == said[0]
    assert "leads away from images" in said[0]


def test_a_label_is_as_sure_as_who_learned_the_real_images_is():
    images, truth, _ = toys()
    nobody = Votes(np.full((64, 0), -1, np.int16), [], 2)
    made = Flow(SMALL).fit(images, nobody, proba=np.eye(2)[truth])
    drawn = made.sample(60)
    seen = made.predict_proba(drawn.images)[np.arange(60), drawn.labels]
    np.testing.assert_allclose(drawn.confidence, seen, atol=1e-6)
    bar = float(np.median(drawn.confidence))
    assert (made.sample(60, min_confidence=bar).confidence >= bar).all()
