"""One step of ADP: pairs of images and labels, and weights of functions (Θ, Φ)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lfkit.generators.adp.lf_weights import FEWEST_SEEDS, LFWeights
from lfkit.generators.adp.settings import AdpSettings
from lfkit.generators.adp.structure import same_structure
from lfkit.generators.adp.surrogate_training import SurrogateStep
from lfkit.generators.gan import PairGan, RealImages, StepHooks
from lfkit.generators.gan.optimizers import backward
from lfkit.generators.lf_votes.batch_votes import BatchVotes
from lfkit.generators.lf_votes.vote_tensors import VoteTensors
from lfkit.generators.training_set import TrainingSet, most_confident
from lfkit.nn import StepContext
from lfkit.nn.sending import sent
from lfkit.nn.state_tensors import begin_state, named_tensors

_TRUST_RATE = 0.01


class AdpStep:
    """A `PairGan` whose pairs the Labeling Function Block chooses.

    Parameters
    ----------
    twin : of another domain, whose generator's common block is shared; it takes its
        steps first, with the same draws.

    Attributes
    ----------
    block : votes on generated images; None without functions.
    lf_weights : Θ̄ and Φ̄.
    """

    gan: PairGan

    def __init__(
        self,
        task: TrainingSet,
        settings: AdpSettings,
        twin: AdpStep | None = None,
    ) -> None:
        self.task, self.settings, self.twin = task, settings, twin
        device, k = settings.device, task.n_classes
        # Seeds judge what Θ and Φ add: these must not have learned from them, neither
        # where they begin nor in training.
        seeds = task.votes.seed_rows
        rows = np.arange(len(task.images))
        others = rows if seeds is None else np.setdiff1d(rows, seeds)
        self.seeds_can_judge = (
            len(others) > 0
            and task.seed_proba is not None
            and task.votes.seed_out_of_fold is not None
            and len(task.votes.seed_out_of_fold) >= FEWEST_SEEDS
        )
        self.learns_trust = bool(settings.trust)
        if settings.trust == "auto":
            self.learns_trust = self.seeds_can_judge or settings.surrogate
        self.others = others if len(others) else rows
        self.lf_weights = LFWeights(
            task.votes.rows(self.others), task.proba[self.others]
        ).to(device)
        self.optimizer = torch.optim.Adam(
            self.lf_weights.parameters(), lr=_TRUST_RATE, fused=True
        )
        begin_state(self.optimizer)
        self.block = (
            BatchVotes(task.lfs, k, device) if task.lfs and self.learns_trust else None
        )
        self.real = RealImages(task.images, k, device)
        self._choose_pairs()
        if self.block is not None:
            self.votes = VoteTensors(task.votes, device)
        self.surrogate: SurrogateStep | None = None
        if self.block is not None and settings.surrogate:
            self.surrogate = SurrogateStep(
                task, settings, self.real, self.votes, self.lf_weights
            )
        self.gan = PairGan(
            self.real,
            task.shape,
            settings.plan,
            settings.random_state,
            device,
            StepHooks(
                self._regularize,
                common=None if twin is None else twin.gan.maker.images.common,
            ),
        )

    def step(self, now: StepContext) -> dict[str, torch.Tensor]:
        """Take one step of the pair of networks; now and then one of Θ and Φ."""
        settings, first = self.settings, self.settings.plan.first_pair
        figures = self.gan.step(now)
        if self.surrogate is not None and self.surrogate.is_due(now):
            figures |= self.surrogate.learn(now)
        if now.step < first:
            return figures
        if self.block is not None and now.step % settings.votes_every == 0:
            figures |= self._trust_step(self.block, now)
        if (
            self.learns_trust
            and now.step > first
            and now.step % settings.refresh_every == 0
        ):
            self.choose_mixture()
            self._choose_pairs()
            self.gan.pairs_changed()
        return figures

    def show(
        self, classes: torch.Tensor, generator: torch.Generator, *, paired: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Make images of classes (n,) as the averaged generator does by now."""
        return self.gan.show(classes, generator, paired=paired)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Give all that the next step depends on."""
        found = self.gan.tensors() | named_tensors(
            {"trust": self.lf_weights}, {"trust_optimizer": self.optimizer}
        )
        return found if self.surrogate is None else found | self.surrogate.tensors()

    def choose_mixture(self) -> None:
        """Choose on held-out seeds how much Θ and Φ add to the label model."""
        if not (self.learns_trust and self.seeds_can_judge):
            return
        votes, seeds = self.task.votes.seed_out_of_fold, self.task.votes.seed_labels
        assert votes is not None
        assert seeds is not None
        assert self.task.seed_proba is not None
        self.lf_weights.choose_mixture(
            votes, self.task.seed_proba, np.asarray(seeds, np.int64)
        )

    def mixed_task(self) -> TrainingSet:
        """Give the task with the labels of the block."""
        return replace(self.task, proba=self._posteriors()[0])

    def _regularize(
        self, images: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Price images that functions would name otherwise, or unlike the twin's."""
        loss = images.new_zeros(())
        figures: dict[str, torch.Tensor] = {}
        if self.surrogate is not None and self.settings.consistency:
            loss, figures = self.surrogate.disagreement(images, target)
        if self.twin is not None and self.settings.hold:
            kept = same_structure(self.twin.gan.fake.images, images).mean()
            loss = loss + self.settings.hold * (1 - kept)
            figures = figures | {"structure_kept": kept}
        return loss, figures

    def _trust_step(
        self, block: BatchVotes, now: StepContext
    ) -> dict[str, torch.Tensor]:
        """Learn from votes on images of known class, generated and real."""
        n = self.settings.lf_batch
        fake, target = self.gan.fake.images[:n], self.gan.fake.target
        assert target is not None
        target = target[:n]
        votes = block(fake)
        figures = {}
        if self.surrogate is not None:
            figures = self.surrogate.check(fake, votes, now)
        rng = np.random.default_rng([self.settings.random_state, 6, now.step])
        rows = np.sort(rng.choice(self.others, size=4 * n))
        real_votes = self.votes.rows(sent(rows, fake.device))
        known = sent(self.task.proba[rows].astype(np.float32), fake.device)
        loss = self.lf_weights.loss(votes, target, self.settings.anchor)
        loss = loss + self.lf_weights.loss(real_votes, known, self.settings.anchor)
        self.optimizer.zero_grad(set_to_none=True)
        backward(loss, self.lf_weights)
        for group in self.optimizer.param_groups:
            group["lr"] = _TRUST_RATE * now.lr_scale
        self.optimizer.step()
        with torch.no_grad():
            voted = self.lf_weights(votes).argmax(dim=1)
            agrees = (voted == target.argmax(dim=1)).float().mean()
            classes = F.one_hot(voted, target.shape[1]).float().mean(dim=0)
        return figures | {
            "trust_loss": loss,
            "theta_perplexity": self.lf_weights.perplexity,
            "lfs_agree_with_label": agrees,
            "largest_share_by_vote": classes.max(),
        }

    def _posteriors(self) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Give the label model's posteriors with the block's vote, and that vote."""
        if not self.learns_trust:
            return self.task.proba, None
        voted = self.lf_weights.evidence(self.task.votes)
        mixed = self.lf_weights.mixed(self.task.proba, voted)
        mixed[~self.task.is_labeled] = 0
        return mixed, voted

    def _choose_pairs(self) -> None:
        proba, voted = self._posteriors()
        labels = proba.argmax(axis=1)
        sure = proba[np.arange(len(labels)), labels]
        if voted is not None:
            # Seen twice: a label that the block names too is the surer one.
            sure = sure * voted[np.arange(len(labels)), labels]
        known = self.task.is_labeled
        named = np.eye(proba.shape[1])[labels] * known[:, None]
        weights, noise = known * 1.0, None
        if self.settings.noise == "gate":
            weights = most_confident(sure, labels, known, self.settings.gate)
        elif self.settings.noise == "confusion":
            noise = confusion(proba[known])
        if self.task.has_common_prior:
            weights = weights * balance(named, weights, self.task.prior, noise)[labels]
        self.real.set_pairs(named, weights, noise)


def balance(
    named: NDArray[np.floating],
    weights: NDArray[np.floating],
    prior: NDArray[np.float64],
    noise: NDArray[np.floating] | None,
) -> NDArray[np.float64]:
    """Give the weight of each class's pairs, (k,), that makes their shares the prior's.

    Parameters
    ----------
    named, weights : (n, k) labels and (n,) weights of pairs.
    noise : (k, k), P(label named | class), or None.
    """
    wanted = prior if noise is None else prior @ noise
    shares = (named * weights[:, None]).sum(axis=0)
    shares = shares / max(shares.sum(), 1e-12)
    return np.where(shares > 0, wanted / np.maximum(shares, 1e-12), 0.0)


def confusion(proba: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give P(the label named | class), (k, k), from calibrated posteriors (n, k)."""
    k = proba.shape[1]
    named = np.eye(k)[proba.argmax(axis=1)]
    joint: NDArray[Any] = proba.T @ named  # class, label
    total = joint.sum(axis=1, keepdims=True)
    return np.where(total > 0, joint / np.maximum(total, 1e-12), np.eye(k))
