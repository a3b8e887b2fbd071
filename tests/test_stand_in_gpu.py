"""Trainings on a device that is not the host: nothing is left behind, nothing waits."""

import numpy as np
import pytest
import torch
from stand_in_gpu import DEVICE, StandInGpu
from test_generators import LFS, make, second_of, toys

from lfkit.generators import GENERATORS
from lfkit.generators.gan.top_samples import top_scoring
from lfkit.generators.training_set import checked_pair, checked_task
from lfkit.nn import StepContext, TrainingPlan, compute_of, training_step
from lfkit.nn.augment import Augmentation
from lfkit.nn.randaugment import randaugment
from lfkit.nn.sending import sent

# How often the host waits in a step in which functions vote: a user's own code. For a
# function of one image a call the images must come over, and which of them are numbers;
# of each input of a user's batched feature it is asked whether it was written to.
OF_A_VOTE = 3
VOTES = {"adp": 1, "adp-multi": 2, "adp-paper": 3}  # batches, in such a step
PAIRED, VOTED = 81, 80  # steps: `adp` asks the functions every eighth


@pytest.fixture
def gpu():
    with StandInGpu() as device:
        yield device


WAITS = {
    "item": lambda x: x.sum().item(),
    "bool": lambda x: bool((x > 0).any()),
    "float": lambda x: float(x[0]),
    "list": lambda x: x.tolist(),
    "copy to the host": lambda x: x.cpu(),
    "copy from the host": lambda x: torch.ones(3).to(DEVICE),
    "copy of numbers": lambda x: torch.tensor([1.0, 2.0], device=DEVICE),
    "copy of numbers like others": lambda x: x.new_tensor([1.0, 2.0]) + x[:2],
    "copy into": lambda x: x.copy_(torch.ones(3)),
    "mask": lambda x: x[x > 1],
    "list as an index": lambda x: x[[0, 2]],
    "write through a list": lambda x: x.__setitem__([0, 2], 1.0),
    "nonzero": lambda x: x.nonzero(),
    "unique": lambda x: x.unique(),
    "bincount": lambda x: torch.bincount(x.long()),
    "equal": lambda x: torch.equal(x, x),
    "one draw": lambda x: torch.multinomial(x, 1, generator=torch.Generator(DEVICE)),
}


@pytest.mark.parametrize("call", WAITS.values(), ids=WAITS)
def test_what_waits_for_a_gpu_is_counted(gpu, call):
    x = sent(np.array([0.0, 1.0, 2.0], np.float32), DEVICE)
    assert not gpu.waits
    call(x)
    assert sum(gpu.waits.values()) == 1


def test_what_nobody_may_write_to_is_copied():
    fixed = np.arange(3)
    fixed.flags.writeable = False
    sent(fixed, "cpu")[0] = 7
    own = np.arange(3)
    sent(own, "cpu")[0] = 7
    assert (fixed[0], own[0]) == (0, 7)


def test_what_does_not_wait_is_not_counted(gpu):
    x = sent(np.array([0.0, 1.0, 2.0], np.float32), DEVICE)
    x[sent(np.array([2, 0]), DEVICE)] += 1
    torch.nn.functional.one_hot(x.long(), 4)
    torch.where(x > 0, x, 0.0).sort()
    torch.zeros(3, device=DEVICE).copy_(x)
    assert not gpu.waits
    np.testing.assert_array_equal(x.cpu(), [1, 1, 3])
    with pytest.raises(RuntimeError, match="two devices"):
        x + torch.ones(3)


def begun(made):
    images, truth, votes = toys()
    second = second_of(made).get("second")
    task = checked_task(images, votes, np.eye(2)[truth], LFS, None, None)
    return made._begin(task if second is None else checked_pair(task, second))


def figures_of(trained, step, device):
    drawn = torch.Generator(device).manual_seed(step)
    found = trained.step(StepContext(step, drawn))
    return {name: value.detach() for name, value in found.items()}


MORE = [
    ("two-stage", {"draw_factor": 2, "stratify": True, "r1_gamma": 1.0}, {}),
    ("two-stage", {"loss": "relativistic", "augment": ("color", "cutout")}, {}),
    ("adp", {}, {"surrogate": True, "surrogate_every": 8}),
    ("adp-paper", {}, {"dependencies_of": "real"}),
    ("flow", {}, {"noise": "drawn"}),
]
# Without seeds that judge it, Θ and Φ learn only if they are asked to.
ASKED = {"adp": {"trust": True}, "adp-multi": {"trust": True}}


@pytest.mark.parametrize(
    ("name", "plan", "params"),
    [*((name, {}, ASKED.get(name, {})) for name in GENERATORS), *MORE],
)
def test_no_step_waits_for_the_device_but_for_votes_of_user_code(name, plan, params):
    made = make(name, n_steps=100, **plan).set_params(**params)
    expected = figures_of(begun(made), VOTED, "cpu")
    waits = {}
    with StandInGpu() as gpu:
        trained = begun(made.set_params(device=DEVICE))
        for step in (VOTED, PAIRED):
            gpu.waits.clear()
            figures = figures_of(trained, step, DEVICE)
            waits[step] = sum(gpu.waits.values())
            if step == VOTED:
                found = {name: float(value) for name, value in figures.items()}
    assert waits[VOTED] == OF_A_VOTE * VOTES.get(name, 0)
    assert waits[PAIRED] == (waits[VOTED] if name == "adp-paper" else 0)
    # Adam makes a whole step of a gradient that is nearly 0.
    assert found == pytest.approx({k: float(v) for k, v in expected.items()}, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_is_trained_and_used_on_another_device(name, gpu):
    images, truth, votes = toys()
    made = make(name, n_steps=2, reader_steps=1).set_params(device=DEVICE)
    given = {"proba": np.eye(2)[truth], "lfs": LFS, **second_of(made)}
    made.fit(images, votes, say=lambda text: None, **given)
    assert made.sample(5).images.shape == (5, 8, 8, 1)
    assert made.predict_proba(images[:3]).shape == (3, 2)


@pytest.mark.parametrize("flip", [False, True])
def test_no_step_of_a_classifier_waits_for_the_device(gpu, flip):
    images, truth, _ = toys()
    plan = TrainingPlan(batch=16, width=8, augmentation=Augmentation(flip=flip))
    step = training_step(
        images, np.eye(2)[truth], plan=plan, device=DEVICE,
        compute=compute_of(plan, DEVICE),
    )  # fmt: skip
    gpu.waits.clear()
    step()
    step()
    assert not gpu.waits


def test_images_are_changed_at_random_alike_on_every_device(gpu):
    images = np.random.default_rng(0).random((64, 3, 8, 8), np.float32)
    found = [
        randaugment(sent(images, device), torch.Generator(device).manual_seed(1))
        for device in ("cpu", DEVICE)
    ]
    assert torch.equal(found[0], found[1].cpu())


def test_of_each_class_the_best_scores_are_kept():
    scores = torch.tensor([0.1, 0.9, 0.5, 0.7, 0.3, 0.2])
    classes = torch.tensor([3, 3, 3, 3, 0, 0])
    assert top_scoring(scores, 2, classes).tolist() == [1, 3, 4]
