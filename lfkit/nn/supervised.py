"""Training on soft labels: steps, not minutes, and the same answer after any stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lfkit.nn.augment import Augmentation, augment
from lfkit.nn.ema import Average
from lfkit.nn.loop import (
    Checkpoints,
    Moment,
    mixed_seed,
    run_steps,
    seconds_per_step,
)
from lfkit.nn.networks import as_images
from lfkit.nn.pretrained import Network, make_network
from lfkit.nn.state import begin_state, named_tensors

_HASTE_OF_NEW = 5.0


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
    checkpoints: Checkpoints | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Network:
    """Train a network to predict distributions; returns the averaged weights.

    Every step draws from a generator of its own, made of `random_state` and the step's
    number: a training that goes on from a checkpoint ends in the same bits. On a GPU,
    and in a network that knows ImageNet, it computes in bfloat16.

    Parameters
    ----------
    pixels : (n, h, w, c).
    targets : (n, k); rows of zeros teach nothing.
    seed_rows, seed_labels : (s,) images whose class is certain.
    """
    batches = _Batches(pixels, targets, seed_rows, seed_labels, plan, random_state)
    learner = _Learner(pixels.shape[1:], batches, device)
    run_steps(
        learner,
        plan.n_steps,
        random_state=random_state,
        device=device,
        checkpoints=checkpoints,
        progress=progress,
    )
    return cast(Network, learner.average.module)


def seconds_per_training_step(
    pixels: NDArray[np.uint8],
    targets: NDArray[np.floating],
    *,
    plan: TrainingPlan,
    device: str = "cpu",
) -> float:
    """Time a few steps of a training that is then thrown away."""
    batches = _Batches(pixels, targets, None, None, plan, 0)
    learner = _Learner(pixels.shape[1:], batches, device)
    return seconds_per_step(learner, device=device)


class _Batches:
    """The images and targets of each step: a new order of all images every epoch."""

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        targets: NDArray[np.floating],
        seed_rows: NDArray[np.int64] | None,
        seed_labels: NDArray[np.int64] | None,
        plan: TrainingPlan,
        random_state: int,
    ) -> None:
        self.pixels, self.targets = pixels, targets
        self.seeds, self.labels = seed_rows, seed_labels
        self.rows = np.flatnonzero(targets.any(axis=1))
        self.plan, self.random_state = plan, random_state
        self._epoch, self._order = -1, self.rows

    def __call__(self, step: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
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
        return self.pixels[rows], targets


class _Learner:
    """The weights, their average, the optimizer and where the images come from."""

    def __init__(self, shape: Any, batches: _Batches, device: str) -> None:
        self.batches, self.plan, self.device = batches, batches.plan, device
        plan = batches.plan
        generator = torch.Generator().manual_seed(mixed_seed(batches.random_state, 0))
        network = make_network(
            tuple(shape),
            batches.targets.shape[1],
            width=plan.width,
            pretrained=plan.pretrained,
            generator=generator,
        )
        # mypy knows no overload of `to` with a memory format.
        self.network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
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
                "haste": _HASTE_OF_NEW if is_new else 1.0,
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

    def step(self, now: Moment) -> dict[str, torch.Tensor]:
        """Take one step; returns the loss."""
        pixels, targets = self.batches(now.step)
        images = as_images(pixels, self.device)
        images = augment(images, self.plan.augmentation, now.generator)
        images = images.contiguous(memory_format=torch.channels_last)
        target = torch.from_numpy(targets).to(self.device)
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = _rate(self.plan, now.step) * now.haste * group["haste"]
        half = self.device != "cpu" or self.plan.pretrained
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, half):
            scores = self.network(images, now.generator)
        logs = F.log_softmax(scores.float(), dim=1)
        # Per soft image: a seed counts as much as any other image of its batch.
        loss = -(target * logs).sum() / max(min(self.plan.batch, len(target)), 1)
        self.optimizer.zero_grad(set_to_none=True)
        # The quickest kernels add up in any order.
        with torch.backends.cudnn.flags(benchmark=False, deterministic=True):
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
