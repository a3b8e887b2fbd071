"""LeNet, trained on the seed images in a second: what its last convolution sees."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lfkit.features.feature import feature
from lfkit.features.gray import SIDE, gray28

# Batches of 64 take twice the time and 300 steps half as long again, neither gains
# (Fashion-MNIST and digits, 20 seeds per class).
_N_STEPS = 200
_BATCH = 32
_PEAK_RATE = 5e-3
_LABEL_SMOOTHING = 0.1
_DROPOUT = 0.3
_SHIFT_PX = 2
_MAP_SIDE = 8  # of the last convolution's output
_POOLED_SIDE = 4

_Weights = Mapping[str, torch.Tensor]


def train_lenet(
    gray: torch.Tensor,
    *,
    labels: NDArray[np.int64],
    rng: np.random.Generator,
) -> dict[str, NDArray[np.float32]]:
    """Train LeNet-5's two convolutions and a small head to tell the seeds' classes.

    A fixed number of steps of Adam, its rate rising and falling, on images shifted by
    up to 2 pixels. All randomness comes from `rng`.

    Parameters
    ----------
    gray : (s, 28, 28) the seeds' `gray28`.
    labels : (s,) their classes.

    Returns
    -------
    The convolutions' weights and biases; the head is not kept.
    """
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    classes, targets = np.unique(labels, return_inverse=True)
    target = torch.from_numpy(targets.astype(np.int64))
    weights = _initial_weights(len(classes), generator)
    padded = F.pad(gray, [_SHIFT_PX] * 4)
    optimizer = _Adam(list(weights.values()))
    with torch.enable_grad():
        for step in range(_N_STEPS):
            rows = torch.randint(len(gray), (_BATCH,), generator=generator)
            batch = _shifted(padded[rows], generator)
            scores = _head(_pooled(_maps(batch, weights)), weights, generator)
            loss = F.cross_entropy(
                scores, target[rows], label_smoothing=_LABEL_SMOOTHING
            )
            gradients = torch.autograd.grad(loss, optimizer.weights)
            done = step / _N_STEPS
            optimizer.step(gradients, _PEAK_RATE * min(4 * done + 0.1, 1 - done))
    return {
        name: value.detach().numpy()
        for name, value in weights.items()
        if name.startswith("conv")
    }


@feature(batched=True, of=[gray28], fit=train_lenet)
def lenet_maps(gray: torch.Tensor, **weights: torch.Tensor) -> torch.Tensor:
    """Activations of LeNet's last convolution: (n, 16, 8, 8).

    Working size 28x28. LeNet-5 (LeCun et al., 1998, https://doi.org/10.1109/5.726791)
    with rectifiers, trained on the seed images alone.
    """
    return _maps(gray, weights)


@feature(batched=True, of=[lenet_maps])
def lenet_features(maps: torch.Tensor) -> torch.Tensor:
    """Each kernel's activation, pooled to 4x4: (n, 256).

    ADP (Pal & Balasubramanian, CVPR 2018), tables 1 and 2: "convolution kernels from
    last conv layer (before fully connected layers) of LeNet".
    """
    return _pooled(maps)


@feature(batched=True, of=[lenet_maps])
def lenet_kernel_norms(maps: torch.Tensor) -> torch.Tensor:
    """Frobenius norm of each kernel's activation map: (n, 16).

    ADP (Pal & Balasubramanian, CVPR 2018), appendix C, labeling function 4, with the
    seeds' LeNet in the place of AlexNet.
    """
    return torch.linalg.vector_norm(maps, dim=(2, 3))


def _maps(gray: torch.Tensor, weights: _Weights) -> torch.Tensor:
    hidden = F.conv2d(gray[:, None], weights["conv1"], weights["conv1_bias"])
    hidden = F.max_pool2d(F.relu(hidden), 2)  # (n, 6, 12, 12)
    return F.relu(F.conv2d(hidden, weights["conv2"], weights["conv2_bias"]))


def _pooled(maps: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(maps, _MAP_SIDE // _POOLED_SIDE).flatten(1)  # (n, 256)


def _head(
    pooled: torch.Tensor, weights: _Weights, generator: torch.Generator
) -> torch.Tensor:
    kept = torch.rand(pooled.shape, generator=generator) >= _DROPOUT
    hidden = pooled * kept / (1 - _DROPOUT)
    return F.linear(hidden, weights["head"], weights["head_bias"])


def _initial_weights(
    n_classes: int, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """He's normal weights for the convolutions, zeros for biases and head."""

    def normal(*shape: int) -> torch.Tensor:
        spread = math.sqrt(2 / math.prod(shape[1:]))
        return torch.randn(*shape, generator=generator) * spread

    n_pooled = 16 * _POOLED_SIDE**2
    weights = {
        "conv1": normal(6, 1, 5, 5),
        "conv1_bias": torch.zeros(6),
        "conv2": normal(16, 6, 5, 5),
        "conv2_bias": torch.zeros(16),
        "head": torch.zeros(n_classes, n_pooled),
        "head_bias": torch.zeros(n_classes),
    }
    return {name: value.requires_grad_() for name, value in weights.items()}


class _Adam:
    """Kingma & Ba (2015), https://arxiv.org/abs/1412.6980, algorithm 1.

    torch.optim takes two seconds to import, which is longer than the training.
    """

    def __init__(self, weights: list[torch.Tensor]) -> None:
        self.weights = weights
        self._mean = [torch.zeros_like(w) for w in weights]
        self._square = [torch.zeros_like(w) for w in weights]
        self._n_steps = 0

    @torch.no_grad()
    def step(self, gradients: Sequence[torch.Tensor], rate: float) -> None:
        self._n_steps += 1
        correction = math.sqrt(1 - 0.999**self._n_steps) / (1 - 0.9**self._n_steps)
        for weight, gradient, mean, square in zip(
            self.weights, gradients, self._mean, self._square, strict=True
        ):
            mean.lerp_(gradient, 1 - 0.9)
            square.lerp_(gradient.square(), 1 - 0.999)
            weight.addcdiv_(mean, square.sqrt().add_(1e-8), value=-rate * correction)


def _shifted(padded: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Cut a 28x28 window at a random place out of each padded image."""
    n = len(padded)
    top, left = torch.randint(2 * _SHIFT_PX + 1, (2, n, 1), generator=generator)
    window = torch.arange(SIDE)
    rows, columns = (top + window)[:, :, None], (left + window)[:, None, :]
    return padded[torch.arange(n)[:, None, None], rows, columns]  # (n, 28, 28)
