"""The result of flow matching: a network that leads noise to images."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.generators.flow.flow_plan import FlowPlan
from lfkit.generators.flow.velocity_network import VelocityNetwork
from lfkit.generators.trained_maker import TrainedMaker


class TrainedFlow(TrainedMaker):
    """The averaged network, and who names the class of real images."""

    maker: VelocityNetwork

    def __init__(
        self, shape: tuple[int, int, int], n_classes: int, plan: FlowPlan, device: str
    ) -> None:
        nothing = torch.Generator().manual_seed(0)
        maker = VelocityNetwork(shape, n_classes, width=plan.width, generator=nothing)
        super().__init__(maker.eval(), shape, n_classes, plan, device)

    def draw(
        self,
        classes: NDArray[np.int64],
        generator: torch.Generator,
        n_steps: int = 8,
        guidance: float = 1.0,
    ) -> tuple[torch.Tensor, NDArray[np.float64]]:
        """Make images of these classes, (b, c, h, w) in [0, 1], and labels (b, k)."""
        noise = noise_of(len(classes), self.shape, generator, self.device)
        asked = torch.from_numpy(classes).to(self.device)
        images = led(self.maker, noise, asked, n_steps, guidance)
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
    before: of methods with 8 looks that were tried on one network, the nearest to where
    40 steps of Heun's method lead. With guidance it is that without a class, and so
    many times what the class adds (Ho & Salimans 2022, arXiv:2207.12598, equation 6).
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
