"""One step of the self-labeling GAN: a `PairGan`, and its teacher."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from lfkit.generators.gan import PairGan, RealImages, StepHooks
from lfkit.generators.gan.diffaugment import diffaugment
from lfkit.generators.gan.optimizers import backward
from lfkit.generators.trained_gan import READER_WIDTH
from lfkit.generators.training_set import TrainingSet
from lfkit.nn import SmallConvNet, StepContext
from lfkit.nn.distributed import distributed
from lfkit.nn.ema import Average
from lfkit.nn.randaugment import randaugment
from lfkit.nn.state_tensors import begin_state, named_tensors
from lfkit.nn.training_loop import mixed_seed

if TYPE_CHECKING:
    from lfkit.generators.self_labeling import SelfLabeling

_CERTAIN = 0.999


class SelfLabelingStep:
    """A `PairGan` whose real labels a teacher completes.

    Attributes
    ----------
    teacher, average : the network, which sees generated images only, and its moving
        average, which labels real ones.
    """

    def __init__(
        self, task: TrainingSet, asked: SelfLabeling, real: RealImages
    ) -> None:
        self.real, self.asked = real, asked
        drawn = torch.Generator().manual_seed(mixed_seed(asked.random_state, 7))
        self.teacher = SmallConvNet(
            task.shape, task.n_classes, width=READER_WIDTH, generator=drawn
        ).to(asked.device)
        self.average = Average(self.teacher, asked.teacher_average)
        self.optimizer = torch.optim.SGD(
            self.teacher.parameters(),
            lr=asked.teacher_rate,
            momentum=0.9,
            nesterov=True,
        )
        begin_state(self.optimizer)
        self.gan = PairGan(
            real,
            task.shape,
            asked.plan,
            asked.random_state,
            asked.device,
            StepHooks(labels=self.labels),
        )

    def step(self, now: StepContext) -> dict[str, torch.Tensor]:
        """Take a step of the pair of networks, then one of the teacher."""
        return self.gan.step(now) | self._teach(now)

    def show(
        self, classes: torch.Tensor, generator: torch.Generator, *, paired: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Make images of classes (n,) as the averaged generator does by now."""
        return self.gan.show(classes, generator, paired=paired)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Give all that the next step depends on."""
        return self.gan.tensors() | named_tensors(
            {"teacher": self.teacher, "teacher_average": self.average.module},
            {"teacher_optimizer": self.optimizer},
        )

    @torch.no_grad()
    def labels(
        self, rows: torch.Tensor, images: torch.Tensor, now: StepContext
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """Label real images (section 3.2, equation 6): given, agreed on, or foreseen.

        Parameters
        ----------
        rows : (n,) of `real`.
        images : (n, c, h, w).

        Returns
        -------
        (n, k) labels, (n,) weights of 0 and 1, and figures.
        """
        given, asked = self.real.labels[rows], self.asked
        is_given = self.real.weights[rows] > 0
        if not asked.self_label:
            return given, is_given.float(), {}
        k = given.shape[1]
        moved = diffaugment(images, ("translation",), now.generator)
        foreseen = F.softmax(self.average.module(moved), dim=1)
        known = torch.where(is_given[:, None], given, torch.full_like(given, 1 / k))
        both = foreseen * known
        both = both / both.sum(dim=1, keepdim=True).clamp_min(1e-12)
        named = both.argmax(dim=1)
        agreed = ~is_given | (given.argmax(dim=1) == named)
        used = agreed & (both.amax(dim=1) >= asked.threshold)
        labels = F.one_hot(named, k).float()
        certain = is_given & (given.amax(dim=1) > _CERTAIN)
        labels = torch.where(certain[:, None], given, labels)
        if asked.artificial_on_labeled:
            is_sure = certain & (foreseen.amax(dim=1) >= asked.threshold)
            own = F.one_hot(foreseen.argmax(dim=1), k).float()
            labels = torch.where(is_sure[:, None], (given + own) / 2, labels)
        used = used | certain
        return labels, used.float(), {"share_labeled": used.float().mean()}

    def _teach(self, now: StepContext) -> dict[str, torch.Tensor]:
        """Let the teacher learn from what was just generated."""
        made, asked = self.gan.made, self.asked
        if made.meant is None:  # images alone are judged so far
            return {}
        done = now.step / max(asked.plan.n_steps, 1)
        for group in self.optimizer.param_groups:
            group["lr"] = (
                asked.teacher_rate * now.lr_scale * (1 + math.cos(math.pi * done)) / 2
            )
        self.teacher.train()
        scores = self.teacher(randaugment(made.images, now.generator))
        loss = -(made.meant * F.log_softmax(scores, dim=1)).sum(dim=1).mean()
        self.optimizer.zero_grad(set_to_none=True)
        backward(loss, self.teacher)
        self.optimizer.step()
        distributed().average_statistics(self.teacher)
        self.average.update(self.teacher, now.step)
        right = scores.argmax(dim=1) == made.meant.argmax(dim=1)
        return {"teacher_loss": loss, "teacher_accuracy": right.float().mean()}
