"""One step of flow matching: where an image lies, seen from noise."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from lfkit.generators.flow.flow_plan import FlowPlan
from lfkit.generators.flow.velocity_network import VelocityNetwork
from lfkit.generators.gan import RealImages
from lfkit.generators.gan.generator_network import autocast
from lfkit.generators.gan.optimizers import backward, check_batch
from lfkit.nn.compute import check_compiler
from lfkit.nn.distributed import distributed
from lfkit.nn.ema import Average
from lfkit.nn.state_tensors import begin_state, named_tensors
from lfkit.nn.training_loop import StepContext, mixed_seed

_RISES = 200  # steps in which the rate does
_LARGEST_GRADIENT = 1.0
_NEW = 0.1  # share of a step in the mean of the last losses


class FlowStep:
    """Learns the straight way from noise to an image (Liu et al. 2022).

    At a time t between noise z, 0, and an image x, 1, the network sees (1 - t) z + t x
    and learns x - z: equation 1 of arXiv:2209.03003. Times near the middle are drawn
    more often (Esser et al. 2024, arXiv:2403.03206, section 3.1).

    Parameters
    ----------
    real : images, with labels where their weight is above 0; of a soft one a class is
        drawn, anew each time.

    Attributes
    ----------
    lost : mean loss of the last steps, ().
    """

    def __init__(
        self,
        real: RealImages,
        shape: tuple[int, int, int],
        plan: FlowPlan,
        random_state: int,
        device: str,
    ) -> None:
        check_batch(plan.batch)
        self.real, self.plan, self.device = real, plan, device
        self.n_classes = real.labels.shape[1]
        drawn = torch.Generator().manual_seed(mixed_seed(random_state, 0))
        self.network = VelocityNetwork(
            shape, self.n_classes, width=plan.width, generator=drawn
        )
        # mypy knows no overload of `to` with a memory format.
        self.network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = Average(self.network, plan.average)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            plan.rate,
            betas=(0.9, 0.99),
            weight_decay=0.01,
            fused=True,
        )
        begin_state(self.optimizer)
        self.lost = torch.zeros((), device=device)
        if plan.compile:
            check_compiler(device)
            self.network.compile()

    def step(self, now: StepContext) -> dict[str, torch.Tensor]:
        """Take one step; returns its loss."""
        images, classes = self._batch(now)
        noise = torch.randn(
            (self.plan.batch, *images.shape[1:]),
            generator=now.generator,
            device=self.device,
        )
        drawn = torch.randn(
            self.plan.batch, generator=now.generator, device=self.device
        )
        of_all = distributed()
        noise, time = of_all.part(noise), of_all.part(torch.sigmoid(drawn))
        at = time[:, None, None, None]
        mixed = torch.lerp(noise, images, at)
        self.network.train()
        with autocast(self.device, self.plan.precision):
            velocity = self.network(
                mixed.contiguous(memory_format=torch.channels_last), time, classes
            )
        loss = F.mse_loss(velocity.float(), images - noise)
        self.optimizer.zero_grad(set_to_none=True)
        backward(loss, self.network)
        length = nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate * now.lr_scale * self._share(now.step)
        self.optimizer.step()
        self.average.update(self.network, now.step)
        self.lost.lerp_(loss.detach(), _NEW if now.step else 1.0)
        return {"flow_loss": loss.detach(), "gradient": length}

    def tensors(self) -> dict[str, torch.Tensor]:
        """Give all that the next step depends on."""
        return {"lost": self.lost} | named_tensors(
            {"network": self.network, "average": self.average.module},
            {"optimizer": self.optimizer},
        )

    def _batch(self, now: StepContext) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw real images, (b, c, h, w) in [-1, 1], and classes, (b,); k: unknown."""
        size, drawn = self.plan.batch, now.generator
        of_all, n = distributed(), len(self.real.pixels)
        rows = torch.randint(n, (size,), generator=drawn, device=self.device)
        hidden = torch.rand(size, generator=drawn, device=self.device)
        rows, hidden = of_all.part(rows), of_all.part(hidden)
        known = (self.real.weights[rows] > 0) & (hidden >= self.plan.unlabeled)
        # What `multinomial` draws, without its look at the sums, which waits for a GPU.
        chance = torch.empty((size, self.n_classes), device=self.device)
        chance = of_all.part(chance.exponential_(generator=drawn))
        named = (self.real.labels[rows] / chance).argmax(dim=1)
        classes = torch.where(known, named, torch.full_like(named, self.n_classes))
        return self.real.pixels[rows].float().div_(127.5).sub_(1), classes

    def _share(self, step: int) -> float:
        """Give the share of the rate that a step has."""
        plan = self.plan
        rises = min(1.0, (step + 1) / min(_RISES, max(1, plan.n_steps // 10)))
        late = (step / plan.n_steps - plan.decay_from) / max(1 - plan.decay_from, 1e-9)
        return rises * (1 + math.cos(math.pi * max(0.0, late))) / 2
