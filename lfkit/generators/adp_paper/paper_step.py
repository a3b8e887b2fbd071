"""One step of ADP as printed: Algorithms 1 and 2, with a switch for each repair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lfkit.generators.adp_paper.heads import DependencyDiscriminator, ParameterHeads
from lfkit.generators.gan import RealImages
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan.discriminator import Discriminator
from lfkit.generators.gan.losses import d_loss, g_loss
from lfkit.generators.gan.networks import GAN_NETWORKS
from lfkit.generators.gan.optimizers import adam, backward, check_batch
from lfkit.generators.lf_votes.batch_votes import BatchVotes
from lfkit.generators.lf_votes.dependency_matrix import (
    agreement,
    algorithm_1,
    row_stochastic,
)
from lfkit.generators.lf_votes.vote_tensors import VoteTensors
from lfkit.generators.lf_votes.weighted_vote import aggregated, perplexity
from lfkit.generators.training_set import TrainingSet
from lfkit.nn import StepContext
from lfkit.nn.distributed import distributed
from lfkit.nn.ema import Average
from lfkit.nn.sending import sent
from lfkit.nn.spectral_norm import without_spectral
from lfkit.nn.state_tensors import named_tensors
from lfkit.nn.training_loop import mixed_seed

# One matrix per batch, as printed, is one real example a step: D_LFB learns nothing.
_GROUPS = 8


@dataclass(frozen=True)
class PaperSettings:
    """The parameters of `AdpPaper`, which documents them."""

    plan: GanConfig
    real_labels: str
    fresh_batch: bool
    soft_labels: bool
    image_term: bool
    judge_dependencies: bool
    dependencies: str
    dependencies_of: str
    equation: int
    theta_anchor: float
    prior_weight: float
    random_state: int
    device: str


class PaperGenerator(nn.Module):
    """G: the common block, G_image and G_parameter (figure 2a)."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        n_lfs: int,
        plan: GanConfig,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.images = GAN_NETWORKS[plan.network].make_generator(
            shape, z_dim=plan.z_dim, width=plan.width, generator=generator
        )
        self.heads = ParameterHeads(self.images.n_common, n_lfs, generator)

    def forward(
        self, z: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Make images (n, c, h, w), Θ̃ (n, m) and Φ (n, m, m)."""
        images, common = self.images(z)
        theta, phi = self.heads(common)
        return images.float(), theta, phi


class PaperAdpStep:
    """Discriminators of pairs and of dependencies, then the generator (Algorithm 2)."""

    def __init__(self, task: TrainingSet, settings: PaperSettings) -> None:
        self.task, self.settings = task, settings
        plan, device, k = settings.plan, settings.device, task.n_classes
        check_batch(plan.batch)
        drawn = torch.Generator().manual_seed(mixed_seed(settings.random_state, 0))
        m = len(task.lfs)
        self.maker = PaperGenerator(task.shape, m, plan, drawn).to(device)
        body = GAN_NETWORKS[plan.network].make_body(
            task.shape, width=plan.width, generator=drawn
        )
        self.discriminator = Discriminator(
            body, k, conditioning=plan.conditioning, generator=drawn
        ).to(device)
        if not plan.spectral_norm:
            without_spectral(self.discriminator)
        literal = settings.dependencies == "algorithm-1"
        self.dependency_discriminator = DependencyDiscriminator(
            m, drawn, literal=literal
        ).to(device)
        self.average = Average(self.maker, plan.average)
        self.g_optimizer = adam(self.maker.parameters(), plan.rate_g, plan)
        self.d_optimizer = adam(self.discriminator.parameters(), plan.rate_d, plan)
        self.phi_optimizer = adam(
            self.dependency_discriminator.parameters(), plan.rate_d, plan
        )
        self.block = BatchVotes(task.lfs, k, device)
        if settings.dependencies_of == "real":
            self.votes = VoteTensors(task.votes, device)
        self.real = RealImages(task.images, k, device)
        known = task.is_labeled
        labels = task.proba
        if not settings.soft_labels:
            labels = np.eye(k)[labels.argmax(axis=1)] * known[:, None]
        self.real.set_pairs(labels, known * 1.0)
        self.prior = torch.from_numpy(task.prior.astype(np.float32)).to(device)
        # What real images and their labels lack of randomness, Θ̄ and Φ̄ are for.
        self.mean_theta = torch.full((m,), 1 / m, device=device)
        self.mean_phi = torch.eye(m, device=device)

    def step(self, now: StepContext) -> dict[str, torch.Tensor]:
        """Take k discriminator steps and one of the generator."""
        settings = self.settings
        for optimizer in (self.g_optimizer, self.d_optimizer, self.phi_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * now.lr_scale
        self.maker.train()
        figures: dict[str, torch.Tensor] = {}
        fake = None
        for turn in range(settings.plan.n_discriminator):
            fake = self._fake(now)
            figures = self._discriminator_step(now, turn, fake)
        if settings.fresh_batch or fake is None:
            fake = self._fake(now)
        figures |= self._generator_step(fake)
        distributed().average_statistics(self.maker)
        self.average.update(self.maker, now.step)
        images, theta, phi, votes, label = fake
        with torch.no_grad():
            means = theta.mean(dim=0), phi.mean(dim=0)
            distributed().average(means)
            self.mean_theta.lerp_(means[0], 0.02)
            self.mean_phi.lerp_(means[1], 0.02)
            voted = votes.sum(dim=1).argmax(dim=1)
            shares = F.one_hot(voted, len(self.prior)).sum(dim=0) / len(voted)
        rows = self._rows(now, 0)
        return figures | {
            "theta_perplexity": perplexity(theta),
            "real_label_peak": self.real.labels[rows].amax(dim=1).mean(),
            "made_label_peak": label.amax(dim=1).mean(),
            "largest_share_by_vote": shares.max(),
            "real_spread": self.real.pixels[rows].float().div(255).std(dim=0).mean(),
            "made_spread": images.std(dim=0).mean(),
            "lfs_agree_with_label": (voted == label.argmax(dim=1)).float().mean(),
        }

    @torch.no_grad()
    def show(
        self, classes: torch.Tensor, generator: torch.Generator, *, paired: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Make as many images as classes, with the labels they get, by equation 9."""
        z = torch.randn(
            len(classes),
            self.settings.plan.z_dim,
            generator=generator,
            device=self.settings.device,
        )
        images, theta, phi = self.average.module(z)
        votes = self.block(images)
        return images, aggregated(votes, theta, row_stochastic(phi), self.prior)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Give all that the next step depends on."""
        return {
            "mean_theta": self.mean_theta,
            "mean_phi": self.mean_phi,
        } | named_tensors(
            {
                "maker": self.maker,
                "judge": self.discriminator,
                "dependency_judge": self.dependency_discriminator,
                "average": self.average.module,
            },
            {
                "g_optimizer": self.g_optimizer,
                "d_optimizer": self.d_optimizer,
                "phi_optimizer": self.phi_optimizer,
            },
        )

    def _fake(self, now: StepContext) -> tuple[torch.Tensor, ...]:
        """Generate a batch: images, Θ, Φ, votes Λ, label ỹ."""
        plan = self.settings.plan
        z = torch.randn(
            plan.batch, plan.z_dim, generator=now.generator, device=self.settings.device
        )
        images, theta, phi = self.maker(distributed().part(z))
        votes = self.block(images)  # no gradient passes a labeling function
        used = row_stochastic(phi) if self.settings.equation == 9 else None
        return images, theta, phi, votes, aggregated(votes, theta, used, self.prior)

    def _discriminator_step(
        self, now: StepContext, turn: int, fake: tuple[torch.Tensor, ...]
    ) -> dict[str, torch.Tensor]:
        images, _, phi, votes, label = (part.detach() for part in fake)
        plan, settings = self.settings.plan, self.settings
        self.discriminator.train().requires_grad_(True)
        rows = self._rows(now, turn)
        real = self.real.pixels[rows].float().div_(255)
        weights = self.real.weights[rows]
        alone, pairs, _ = self.discriminator(
            torch.cat([real, images]), torch.cat([self.real.labels[rows], label])
        )
        n = len(rows)
        loss = d_loss(pairs[:n], pairs[n:], plan.loss, weight=weights)
        if settings.image_term:
            loss = (loss + d_loss(alone[:n], alone[n:], plan.loss)) / 2
        self.d_optimizer.zero_grad(set_to_none=True)
        backward(loss, self.discriminator)
        self.d_optimizer.step()
        figures = {
            "d_loss": loss,
            "real_score": torch.sigmoid(pairs[:n]).mean(),
            "fake_score": torch.sigmoid(pairs[n:]).mean(),
        }
        if settings.judge_dependencies:
            if settings.dependencies_of == "real":
                votes = self.votes.rows(rows)
            seen = self._matrices(votes)
            fake_phi = _grouped(phi)
            scores = self.dependency_discriminator(torch.cat([seen, fake_phi]))
            loss = d_loss(scores[: len(seen)], scores[len(seen) :], plan.loss)
            self.phi_optimizer.zero_grad(set_to_none=True)
            backward(loss, self.dependency_discriminator)
            self.phi_optimizer.step()
            figures["dependency_loss"] = loss
        return figures

    def _generator_step(
        self, fake: tuple[torch.Tensor, ...]
    ) -> dict[str, torch.Tensor]:
        images, theta, phi, _, label = fake
        plan, settings = self.settings.plan, self.settings
        self.discriminator.eval().requires_grad_(False)
        self.dependency_discriminator.requires_grad_(False)
        alone, pairs, _ = self.discriminator(images, label)
        loss = g_loss(pairs, plan.loss)
        if settings.image_term:
            loss = (loss + g_loss(alone, plan.loss)) / 2
        if settings.judge_dependencies:
            scores = self.dependency_discriminator(_grouped(phi))
            loss = loss + g_loss(scores, plan.loss)
        if settings.theta_anchor:
            even = torch.full_like(theta, 1 / theta.shape[1])
            moved = (theta * (theta / even).clamp_min(1e-12).log()).sum(dim=1).mean()
            loss = loss + settings.theta_anchor * moved
        if settings.prior_weight:
            mean = label.mean(dim=0).clamp_min(1e-6)
            away = (mean * (mean / self.prior.clamp_min(1e-6)).log()).sum()
            loss = loss + settings.prior_weight * away
        self.g_optimizer.zero_grad(set_to_none=True)
        backward(loss, self.maker)
        self.g_optimizer.step()
        self.dependency_discriminator.requires_grad_(True)
        return {"g_loss": loss}

    def _matrices(self, votes: torch.Tensor) -> torch.Tensor:
        """Count the dependencies in groups of the batch, (g, m, m)."""
        parts = votes.chunk(_GROUPS)
        if self.settings.dependencies == "algorithm-1":
            return torch.stack([algorithm_1(part) for part in parts])
        return torch.stack([agreement(part) for part in parts])

    def _rows(self, now: StepContext, turn: int) -> torch.Tensor:
        n, batch = len(self.real.pixels), self.settings.plan.batch
        rng = np.random.default_rng([self.settings.random_state, 2, now.step, turn])
        rows = sent(rng.integers(n, size=batch), self.settings.device)
        return distributed().part(rows)


def _grouped(phi: torch.Tensor) -> torch.Tensor:
    """Average matrices in groups, (n, m, m) → (g, m, m)."""
    return torch.stack([part.mean(dim=0) for part in phi.chunk(_GROUPS)])
