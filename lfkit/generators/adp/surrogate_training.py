"""The surrogate of the functions while a generator learns."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.generators.adp.lf_weights import LFWeights
from lfkit.generators.adp.settings import AdpSettings
from lfkit.generators.adp.surrogate import Surrogate
from lfkit.generators.gan import RealImages
from lfkit.generators.gan.optimizers import backward
from lfkit.generators.lf_votes.vote_tensors import VoteTensors
from lfkit.generators.training_set import TrainingSet
from lfkit.nn import StepContext
from lfkit.nn.distributed import distributed
from lfkit.nn.sending import sent
from lfkit.nn.state_tensors import begin_state, named_tensors
from lfkit.nn.training_loop import mixed_seed

_RATE = 2e-3
_BATCH = 32  # real images, and as many generated ones
_TAUGHT_EVERY = 2  # steps at first, and on images alone; then every `_TAUGHT_LATER`
_TAUGHT_LATER = 8
_REMEMBERED = 8  # batches of generated images that the functions voted on
_HELD_OUT = 0.05  # of the real images, held out: how well it does is measured there


class SurrogateStep:
    """Learns the functions' votes beside a generator, and predicts them."""

    def __init__(
        self,
        task: TrainingSet,
        settings: AdpSettings,
        real: RealImages,
        votes: VoteTensors,
        trust: LFWeights,
    ) -> None:
        self.settings, self.real, self.votes = settings, real, votes
        self.lf_weights = trust
        drawn = torch.Generator().manual_seed(mixed_seed(settings.random_state, 7))
        self.network = Surrogate(
            task.shape,
            len(task.lfs),
            task.n_classes,
            n_memory=_REMEMBERED * settings.lf_batch,
            generator=drawn,
        ).to(settings.device)
        self.optimizer = torch.optim.AdamW(
            self.network.network.parameters(), lr=_RATE, fused=True
        )
        begin_state(self.optimizer)
        order = np.random.default_rng([settings.random_state, 8]).permutation(
            len(task.images)
        )
        n_held = max(1, round(_HELD_OUT * len(order)))
        self._held, self._shown = order[:n_held], order[n_held:]
        # Nothing is generated yet: real images stand in.
        first = np.resize(self._shown, len(self.network.images))
        self.network.remember(*self._votes_on(first))

    def tensors(self) -> dict[str, torch.Tensor]:
        """Give all that the next step depends on."""
        return named_tensors(
            {"surrogate": self.network}, {"surrogate_optimizer": self.optimizer}
        )

    def is_due(self, now: StepContext) -> bool:
        """Whether it learns in this step."""
        plan = self.settings.plan
        is_early = now.step < max(plan.first_pair, plan.n_steps // 4)
        return now.step % (_TAUGHT_EVERY if is_early else _TAUGHT_LATER) == 0

    def learn(self, now: StepContext) -> dict[str, torch.Tensor]:
        """Take one step on real images, and on generated ones that were voted on."""
        images, votes = self._real(self._shown, _BATCH, now)
        fake, said = self.network.remembered(_BATCH, now.generator)
        self.network.train()
        loss = self.network.loss(torch.cat([images, fake]), torch.cat([votes, said]))
        self.optimizer.zero_grad(set_to_none=True)
        backward(loss, self.network)
        for group in self.optimizer.param_groups:
            group["lr"] = _RATE * now.lr_scale
        self.optimizer.step()
        distributed().average_statistics(self.network.network)
        return {"surrogate_loss": loss}

    def check(
        self, fake: torch.Tensor, votes: torch.Tensor, now: StepContext
    ) -> dict[str, torch.Tensor]:
        """Compare with the functions' own votes, and remember these."""
        images, said = self._real(self._held, len(fake), now)
        figures = {
            "surrogate_agrees_on_real": self.network.agreement(images, said),
            "surrogate_agrees_on_made": self.network.agreement(fake, votes),
        }
        self.network.remember(distributed().whole(fake), distributed().whole(votes))
        return figures

    def disagreement(
        self, images: torch.Tensor, label: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Give how unlikely the labels are by the votes foreseen, ().

        The gradient reaches the label, and the images too if that was settings for.

        Parameters
        ----------
        label : (n, k) of each generated image.
        """
        self.network.eval().requires_grad_(False)
        seen = images if self.settings.image_gradient else images.detach()
        voted = self.lf_weights(self.network(seen), fixed=True)
        self.network.requires_grad_(True)
        # A label head learns what the votes say; a class that was settings for is made
        # so that the votes say it.
        says, heard = (voted, label) if label.requires_grad else (label, voted)
        loss = -(says * heard.clamp_min(1e-4).log()).sum(dim=1).mean()
        return self.settings.consistency * loss, {"consistency_loss": loss}

    def _real(
        self, rows: NDArray[np.int64], n: int, now: StepContext
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw real images and the votes on them."""
        rng = np.random.default_rng([self.settings.random_state, 9, now.step])
        return self._votes_on(np.sort(rng.choice(rows, size=n)))

    def _votes_on(self, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = sent(rows, self.real.pixels.device)
        return self.real.pixels[chosen].float().div(255), self.votes.rows(chosen)
