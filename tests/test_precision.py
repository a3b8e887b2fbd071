"""Half precision, order in memory and compiled networks: what they may change."""

import shutil

import numpy as np
import pytest
import torch
from assertions import assert_refused
from test_generators import LFS, make, toys

from lfkit.generators.gan import GeneratorNetwork
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.training_set import checked_task
from lfkit.nn import Compute, SmallConvNet, StepContext, TrainingPlan, look, train


def begun(name="two-stage", **plan):
    images, truth, votes = toys()
    made = make(name, n_steps=100, **plan)
    task = checked_task(images, votes, np.eye(2)[truth], LFS, None, None)
    return made._begin(task)


def figures_of(trained, n_steps=4):
    """Take steps on pairs; returns the figures of each."""
    steps = [
        trained.step(StepContext(step, torch.Generator().manual_seed(step)))
        for step in range(80, 80 + n_steps)
    ]
    return [{name: value.item() for name, value in step.items()} for step in steps]


@pytest.mark.parametrize("name", ["two-stage", "jgan"])
def test_half_precision_computes_in_bfloat16_and_keeps_weights_of_float32(name):
    found = {}
    for precision in ("float32", "bfloat16"):
        trained, kinds = begun(name, precision=precision), set()
        trained.discriminator.body.register_forward_hook(
            lambda module, given, out, kinds=kinds: kinds.add(out.dtype)
        )
        found[precision] = figures_of(trained)
        assert kinds == {getattr(torch, precision)}
        networks = (trained.maker, trained.discriminator, trained.average.module)
        weights = [w for network in networks for w in network.state_dict().values()]
        assert {w.dtype for w in weights if w.is_floating_point()} == {torch.float32}
        assert all(torch.isfinite(w).all() for w in weights)
    for half, whole in zip(*found.values(), strict=True):
        assert half == pytest.approx(whole, abs=0.05)
        assert half != whole


def test_a_generator_of_half_precision_makes_images_of_float32():
    images, truth, votes = toys()
    found = {}
    for precision in ("float32", "bfloat16"):
        made = make("two-stage", n_steps=10, reader_steps=2, precision=precision)
        made.fit(images, votes, proba=np.eye(2)[truth], say=lambda text: None)
        found[precision] = made.sample(20)
    assert np.isfinite(found["bfloat16"].proba).all()
    assert (found["float32"].images != found["bfloat16"].images).any()
    assert {a.dtype.name for a in made.arrays().values()} <= {"float32", "int64"}


def test_the_order_in_memory_changes_images_by_rounding_only():
    maker = GeneratorNetwork(
        (16, 16, 3), 2, GanConfig(width=24), torch.Generator().manual_seed(0), group=2
    ).eval()
    z = torch.randn(8, 64, generator=torch.Generator().manual_seed(1))
    classes = torch.eye(2)[torch.arange(8) % 2]
    with torch.no_grad():
        first = maker(z, classes)[0]
        last = maker.to(memory_format=torch.channels_last)(z, classes)[0]
    torch.testing.assert_close(first, last, atol=1e-5, rtol=0)


def test_the_order_in_memory_changes_a_classifier_by_rounding_only():
    images, truth, _ = toys()
    images = np.repeat(images, 3, axis=3)
    plan = TrainingPlan(n_steps=5, batch=16, width=8)
    found = []
    for is_last in (True, False):
        network = train(
            images, np.eye(2)[truth], plan=plan, compute=Compute(channels_last=is_last)
        )
        assert isinstance(network, SmallConvNet)
        found.append(np.concatenate([logs for _, logs, _ in look(network, images)]))
    # Adam makes a whole step, of its rate, of a gradient that is nearly 0.
    np.testing.assert_allclose(*found, atol=0.01)


def test_what_cannot_be_computed_so_is_refused():
    with assert_refused(names="float64"):
        GanConfig(precision="float64")
    with assert_refused(names="r1_gamma"):
        GanConfig(compile=True, r1_gamma=1.0)
    for setting in ({"precision": "bfloat16"}, {"compile": True}):
        with assert_refused(names=next(iter(setting))):
            make("adp-paper", **setting).check(has_functions=True)


def test_without_a_compiler_compiling_is_refused_with_its_reason(monkeypatch):
    def compile_nothing(function):
        raise RuntimeError("no working C++ compiler\nand a page of more")

    monkeypatch.setattr(torch, "compile", compile_nothing)
    with assert_refused(names="no working C++ compiler") as told:
        begun(compile=True)
    assert "page" not in str(told.value)


@pytest.mark.slow
@pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler"
)
@pytest.mark.filterwarnings("ignore")  # torch warns of what it does itself
def test_compiled_networks_learn_as_others_do_and_are_named_alike():
    found, names = [], []
    for is_compiled in (True, False):
        trained = begun(compile=is_compiled)
        found.append(figures_of(trained, 2))
        names.append([*trained.tensors()])
    assert names[0] == names[1]
    for one, other in zip(*found, strict=True):
        assert one == pytest.approx(other, abs=0.01)
