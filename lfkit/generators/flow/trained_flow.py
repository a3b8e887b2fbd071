"""The result of flow matching: a network that leads noise to images."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.generators.flow.flow_plan import FlowPlan
from lfkit.generators.flow.velocity_network import VelocityNetwork
from lfkit.generators.trained_maker import TrainedMaker


class TrainedFlow(TrainedMaker):
    """The averaged network, and how far apart its steps to an image are.

    Parameters
    ----------
    n_sampling_steps : from noise to an image.
    guidance : 1: images as the network has learned them; above: more of what tells
        their class from others.
    """

    maker: VelocityNetwork

    def __init__(
        self,
        shape: tuple[int, int, int],
        n_classes: int,
        plan: FlowPlan,
        device: str,
        *,
        n_sampling_steps: int,
        guidance: float,
    ) -> None:
        nothing = torch.Generator().manual_seed(0)
        maker = VelocityNetwork(shape, n_classes, width=plan.width, generator=nothing)
        super().__init__(maker.eval(), shape, n_classes, plan, device)
        self.n_sampling_steps, self.guidance = n_sampling_steps, guidance

    def draw(
        self, classes: NDArray[np.int64], generator: torch.Generator
    ) -> tuple[torch.Tensor, NDArray[np.float64]]:
        """Make images of these classes, (b, c, h, w) in [0, 1], and labels (b, k)."""
        images = led(
            self.maker,
            noise_of(len(classes), self.shape, generator, self.device),
            torch.from_numpy(classes).to(self.device),
            self.n_sampling_steps,
            self.guidance,
        )
        return images, np.eye(self.n_classes)[classes]


def noise_of(
    n: int, shape: tuple[int, int, int], generator: torch.Generator, device: str
) -> torch.Tensor:
    """Draw where n images begin, (n, c, h, w)."""
    h, w, c = shape
    return torch.randn(n, c, h, w, generator=generator, device=device)


@torch.no_grad()
def led(
    network: VelocityNetwork,
    noise: torch.Tensor,
    classes: torch.Tensor,
    n_steps: int,
    guidance: float,
) -> torch.Tensor:
    """Lead noise to images in [0, 1], both (n, c, h, w), by Adams and Bashforth.

    The velocity is asked once a step, and carried on as it has changed since the step
    before: 8 steps are as near to 40 of Heun's as 8 of those, which ask 15 times. With
    guidance it is that without a class, and so many times what the class adds (Ho &
    Salimans 2022, arXiv:2207.12598, equation 6).
    """
    nobody = torch.full_like(classes, network.n_classes)
    images = noise.contiguous(memory_format=torch.channels_last)
    before: torch.Tensor | None = None
    for number in range(n_steps):
        at = torch.full((len(images),), number / n_steps, device=images.device)
        velocity = network(images, at, classes)
        if guidance != 1:
            velocity = torch.lerp(network(images, at, nobody), velocity, guidance)
        ahead = velocity if before is None else velocity + (velocity - before) / 2
        images, before = images + ahead / n_steps, velocity
    return images.add(1).div_(2).clamp_(0, 1).contiguous()
