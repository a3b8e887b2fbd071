"""Training on soft labels: steps, not minutes, and the same answer after any stop."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lfkit.errors import InputError, TrainingError
from lfkit.nn.augment import Augmentation, augment
from lfkit.nn.compute import Compute, repeatable, tried_out, usual
from lfkit.nn.ema import Average
from lfkit.nn.networks import as_images, look
from lfkit.nn.pretrained import Network, Tuned, make_network
from lfkit.nn.sending import sent
from lfkit.nn.state_tensors import begin_state, named_tensors
from lfkit.nn.training_loop import (
    Checkpoints,
    StepContext,
    mixed_seed,
    run_steps,
    seconds_per_step,
)

_RATE_OF_NEW = 5.0
_LEARNED = 100  # steps after which a network must be better than guessing
_LOOKED_AT = 256  # images that tell
_WORSE = 1.5  # times the loss of a guess, and one more
# Standard deviations of a class's probability: of dead networks 1e-15, of networks that
# learn noise .05.
_DEAD, _TOLD_APART = 1e-6, 0.05


@dataclass(frozen=True)
class TrainingPlan:
    """What a training does.

    Attributes
    ----------
    n_steps : updates of the weights.
    batch, seed_batch : images and seeds per step; seeds are drawn with replacement.
    peak_rate : of AdamW, after `warmup` steps; a cosine takes it to a twentieth.
    weight_decay : of kernels and matrices only.
    average : decay of the exponential moving average of the weights, which is what
        the training returns.
    width : channels of the first layer.
    pretrained : go on training a network that knows ImageNet, `FineTuned`.
    """

    n_steps: int = 1300
    batch: int = 128
    seed_batch: int = 32
    peak_rate: float = 2e-3
    warmup: int = 50
    weight_decay: float = 0.05
    average: float = 0.995
    width: int = 24
    pretrained: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        """Refuse what no network can be trained with."""
        for name, least, most in (
            ("n_steps", 1, math.inf),
            ("batch", 1, math.inf),
            ("seed_batch", 0, math.inf),
            ("peak_rate", 0, 1),
            ("warmup", 0, math.inf),
            ("weight_decay", 0, math.inf),
            ("average", 0, 0.99999),
            ("width", 1, math.inf),
        ):
            value = getattr(self, name)
            if not least <= value <= most or (name == "peak_rate" and not value):
                bounds = (
                    f"{least:g} or more"
                    if most == math.inf
                    else (f"{'above ' * (name == 'peak_rate')}{least:g} to {most:g}")
                )
                raise InputError(
                    f"{name} of a TrainingPlan is {value:g}; give {bounds}."
                )


# Five minutes on two cores. On Fashion-MNIST it was then as good as the labels it had
# learned from, .852; a network from scratch reached .827.
FINE_TUNING = TrainingPlan(
    n_steps=500,
    batch=96,
    seed_batch=24,
    peak_rate=4e-4,
    warmup=30,
    weight_decay=0.02,
    average=0.99,
    pretrained=True,
)


def train(
    pixels: NDArray[np.uint8],
    targets: NDArray[np.floating],
    *,
    seed_rows: NDArray[np.int64] | None = None,
    seed_labels: NDArray[np.int64] | None = None,
    plan: TrainingPlan,
    random_state: int = 0,
    device: str = "cpu",
    compute: Compute | None = None,
    checkpoints: Checkpoints | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Network:
    """Train a network to predict distributions; returns the averaged weights.

    Every step draws from a generator of its own, made of `random_state` and the step's
    number: a training that goes on from a checkpoint ends in the same bits.

    Parameters
    ----------
    pixels : (n, h, w, c).
    targets : (n, k); rows of zeros teach nothing.
    seed_rows, seed_labels : (s,) images whose class is certain.
    compute : another gives other bits; None: `compute_of` the plan.

    Raises
    ------
    TrainingError : losses or weights are not finite, or the network is worse than
        guessing on the images that it has learned from.
    """
    compute = compute or compute_of(plan, device)
    batches = _Batches(pixels, targets, seed_rows, seed_labels, plan, random_state)
    with compute.on_its_threads():
        learner = _Learner(_new_network(batches), batches, _changed, device, compute)
        run_steps(
            learner,
            plan.n_steps,
            random_state=random_state,
            device=device,
            checkpoints=checkpoints,
            progress=progress,
        )
        network = cast(Network, learner.average.module)
        if plan.n_steps >= _LEARNED:
            _check_it_learned(network, batches)
    return network


def train_on_maps(
    network: Tuned,
    maps: NDArray[np.float16],
    targets: NDArray[np.floating],
    *,
    seed_rows: NDArray[np.int64],
    seed_labels: NDArray[np.int64],
    plan: TrainingPlan,
    random_state: int = 0,
    device: str = "cpu",
    compute: Compute,
    checkpoints: Checkpoints | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tuned:
    """Train the end of a network on what its frozen beginning sees.

    Parameters
    ----------
    network : whose weights training begins with; it stays as it is.
    maps : (n, v, c, h, w) of v views of each image; each step draws one.
    targets, seed_rows, seed_labels : as `train` takes them.

    Returns
    -------
    The averaged weights.
    """
    batches = _Batches(maps, targets, seed_rows, seed_labels, plan, random_state)
    with compute.on_its_threads():
        learner = _Learner(copy.deepcopy(network), batches, _a_view, device, compute)
        run_steps(
            learner,
            plan.n_steps,
            random_state=random_state,
            device=device,
            checkpoints=checkpoints,
            progress=progress,
        )
    return cast(Tuned, learner.average.module)


def seconds_per_step_on_maps(
    network: Tuned,
    maps: NDArray[np.float16],
    targets: NDArray[np.floating],
    *,
    plan: TrainingPlan,
    device: str,
    compute: Compute,
    progress: Callable[[int, int], None] | None = None,
) -> float:
    """Time a few steps of a training that is then thrown away."""
    batches = _Batches(maps, targets, None, None, plan, 0)
    with compute.on_its_threads():
        learner = _Learner(copy.deepcopy(network), batches, _a_view, device, compute)
        return seconds_per_step(learner, device=device, progress=progress)


# What the network is shown of a batch: its rows of the arrays, on a device.
_Shown = Callable[[NDArray[Any], TrainingPlan, torch.Generator], torch.Tensor]


def _changed(
    pixels: NDArray[Any], plan: TrainingPlan, generator: torch.Generator
) -> torch.Tensor:
    images = as_images(pixels, generator.device)
    return augment(images, plan.augmentation, generator)


def _a_view(
    maps: NDArray[Any], plan: TrainingPlan, generator: torch.Generator
) -> torch.Tensor:
    device = generator.device
    views = torch.randint(
        maps.shape[1], (len(maps),), generator=generator, device=device
    )
    given = sent(maps, device)
    return given[torch.arange(len(maps), device=device), views].float()


def _new_network(batches: _Batches) -> Network:
    return make_network(
        tuple(batches.images.shape[1:]),
        batches.targets.shape[1],
        width=batches.plan.width,
        pretrained=batches.plan.pretrained,
        generator=torch.Generator().manual_seed(mixed_seed(batches.random_state, 0)),
    )


def compute_of(plan: TrainingPlan, device: str) -> Compute:
    """Give the way to compute that a plan asks for, by what the machine can do.

    A GPU computes in bfloat16, and so does a CPU in a network that knows ImageNet:
    where they multiply in it. In small networks on a CPU it gains nothing.
    """
    return usual(device, half=device != "cpu" or plan.pretrained)


def compute_tried_out(
    pixels: NDArray[np.uint8],
    targets: NDArray[np.floating],
    *,
    plan: TrainingPlan,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Compute:
    """Give the way to compute, after some steps on these images if it takes minutes.

    The same each time, but where another way is twice as fast, see `tried_out`.
    """

    def step_of(compute: Compute) -> Callable[[], None]:
        return training_step(pixels, targets, plan=plan, device=device, compute=compute)

    return tried_out(
        compute_of(plan, device), step_of, plan.n_steps, device, progress=progress
    )


def training_step(
    pixels: NDArray[np.uint8],
    targets: NDArray[np.floating],
    *,
    plan: TrainingPlan,
    device: str,
    compute: Compute,
) -> Callable[[], None]:
    """Give a function that takes a step of a training that is then thrown away."""
    batches = _Batches(pixels, targets, None, None, plan, 0)
    learner = _Learner(_new_network(batches), batches, _changed, device, compute)
    drawn = torch.Generator(device).manual_seed(0)

    def step() -> None:
        learner.step(StepContext(0, drawn))

    return step


def _check_it_learned(network: Network, batches: _Batches) -> None:
    """Refuse a network that is dead, or whose answers are far worse than a guess."""
    rows = batches.rows[:: max(1, len(batches.rows) // _LOOKED_AT)][:_LOOKED_AT]
    if not len(rows):
        return
    targets = batches.targets[rows].astype(np.float64)
    pixels = batches.images[rows]
    logs = np.concatenate([log for _, log, _ in look(network, pixels)])
    # Rows of 0 times -inf are no loss.
    lost = -np.where(targets > 0, targets * logs, 0).sum() / targets.sum()
    guess = math.log(targets.shape[1])
    same = np.exp(logs).std(axis=0).max() < _DEAD
    differ = pixels.std(axis=0).mean() > 255 * _TOLD_APART / 2
    differ &= targets.std(axis=0).max() > _TOLD_APART
    why = ""
    if not lost < _WORSE * guess + 1:
        why = (
            f"its loss on what it was trained on is {lost:.3g}, of a guess {guess:.3g}"
        )
    elif same and differ:
        why = "it says the same of every image"
    if why:
        raise TrainingError(
            f"the network has learned nothing: {why}. Train with a smaller peak_rate "
            f"than {batches.plan.peak_rate:g}."
        )


def seconds_per_training_step(
    pixels: NDArray[np.uint8],
    targets: NDArray[np.floating],
    *,
    plan: TrainingPlan,
    device: str = "cpu",
    compute: Compute | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> float:
    """Time a few steps of a training that is then thrown away."""
    compute = compute or compute_of(plan, device)
    batches = _Batches(pixels, targets, None, None, plan, 0)
    with compute.on_its_threads():
        learner = _Learner(_new_network(batches), batches, _changed, device, compute)
        return seconds_per_step(learner, device=device, progress=progress)


class _Batches:
    """The images and targets of each step: a new order of all images every epoch."""

    def __init__(
        self,
        images: NDArray[Any],
        targets: NDArray[np.floating],
        seed_rows: NDArray[np.int64] | None,
        seed_labels: NDArray[np.int64] | None,
        plan: TrainingPlan,
        random_state: int,
    ) -> None:
        self.images, self.targets = images, targets
        self.seeds, self.labels = seed_rows, seed_labels
        self.rows = np.flatnonzero(targets.any(axis=1))
        self.plan, self.random_state = plan, random_state
        self._epoch, self._order = -1, self.rows

    def __call__(self, step: int) -> tuple[NDArray[Any], NDArray[np.float32]]:
        rng = np.random.default_rng([self.random_state, 1, step])
        size = min(self.plan.batch, len(self.rows))
        per_epoch = max(1, len(self.rows) // max(size, 1))
        epoch, place = divmod(step, per_epoch)
        if epoch != self._epoch:
            shuffle = np.random.default_rng([self.random_state, 2, epoch])
            self._epoch, self._order = epoch, shuffle.permutation(self.rows)
        rows = self._order[place * size : (place + 1) * size]
        targets = self.targets[rows].astype(np.float32)
        if self.seeds is not None and self.labels is not None and len(self.seeds):
            drawn = rng.integers(len(self.seeds), size=self.plan.seed_batch)
            certain = np.eye(targets.shape[1], dtype=np.float32)[self.labels[drawn]]
            rows = np.concatenate([rows, self.seeds[drawn]])
            targets = np.concatenate([targets, certain])
        return self.images[rows], targets


class _Learner:
    """The weights, their average, the optimizer and where the images come from."""

    def __init__(
        self,
        network: Network | Tuned,
        batches: _Batches,
        shown: _Shown,
        device: str,
        compute: Compute,
    ) -> None:
        self.batches, self.plan, self.device = batches, batches.plan, device
        self.compute, self.shown = compute, shown
        plan = batches.plan
        # mypy knows no overload of `to` with a memory format.
        self.network = network.to(device).to(memory_format=compute.memory_format)  # type: ignore[call-overload]
        self.average = Average(self.network, plan.average)
        # What is new learns faster than what knows ImageNet.
        new = set(self.network.head.parameters()) if plan.pretrained else set()
        groups = [
            {
                "params": [
                    weight
                    for weight in self.network.parameters()
                    if (weight.ndim > 1) == decays and (weight in new) == is_new
                ],
                "weight_decay": plan.weight_decay if decays else 0.0,
                "lr_scale": _RATE_OF_NEW if is_new else 1.0,
            }
            for decays in (True, False)
            for is_new in (False, True)
        ]
        self.optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=plan.peak_rate,
            fused=True,
        )
        begin_state(self.optimizer)

    def step(self, now: StepContext) -> dict[str, torch.Tensor]:
        """Take one step; returns the loss."""
        rows, targets = self.batches(now.step)
        images = self.shown(rows, self.plan, now.generator)
        images = images.contiguous(memory_format=self.compute.memory_format)
        target = sent(targets, self.device)
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = _rate(self.plan, now.step) * now.lr_scale * group["lr_scale"]
        with self.compute.autocast(self.device):
            scores = self.network(images, now.generator)
        logs = F.log_softmax(scores.float(), dim=1)
        # Per soft image: a seed counts as much as any other image of its batch.
        loss = -(target * logs).sum() / max(min(self.plan.batch, len(target)), 1)
        self.optimizer.zero_grad(set_to_none=True)
        with repeatable():
            loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        # From the second step on: the first weights are noise.
        self.average.update(self.network, now.step - 1)
        return {"loss": loss}

    def tensors(self) -> dict[str, torch.Tensor]:
        """Give all that the next step depends on."""
        return named_tensors(
            {"network": self.network, "averaged": self.average.module},
            {"optimizer": self.optimizer},
        )


def steps_within(plan: TrainingPlan, seconds: float, per_step: float) -> TrainingPlan:
    """Cut a plan's steps to those that fit in some seconds; at least 50."""
    fitting = int(seconds / max(per_step, 1e-9))
    return replace(plan, n_steps=max(50, min(plan.n_steps, fitting)))


def _rate(plan: TrainingPlan, step: int) -> float:
    if step < plan.warmup:
        return plan.peak_rate * (step + 1) / plan.warmup
    done = (step - plan.warmup) / max(plan.n_steps - plan.warmup, 1)
    return plan.peak_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))
