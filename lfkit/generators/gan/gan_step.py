"""A generator and a discriminator of images, alone or paired with labels."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F

from lfkit.generators.gan.batches import FakeBatch, RealBatch, StepHooks
from lfkit.generators.gan.config import OF_PAIRS, GanConfig
from lfkit.generators.gan.diffaugment import diffaugment
from lfkit.generators.gan.discriminator import Discriminator, DiscriminatorScores
from lfkit.generators.gan.generator_network import (
    GeneratorNetwork,
    autocast,
    make_images,
)
from lfkit.generators.gan.label_losses import d_pair_loss, g_pair_loss, information
from lfkit.generators.gan.losses import d_loss, g_loss
from lfkit.generators.gan.networks import GAN_NETWORKS
from lfkit.generators.gan.optimizers import adam, backward, check_batch
from lfkit.generators.gan.penalties import weighted_penalties
from lfkit.generators.gan.real_images import RealImages
from lfkit.generators.gan.top_samples import top_scoring
from lfkit.nn.compute import check_compiler
from lfkit.nn.distributed import distributed
from lfkit.nn.ema import Average
from lfkit.nn.sending import sent
from lfkit.nn.spectral_norm import without_spectral
from lfkit.nn.state_tensors import named_tensors
from lfkit.nn.training_loop import StepContext, mixed_seed


class PairGan:
    """One step: the discriminator, then the generator on the same generated batch.

    Attributes
    ----------
    fake : the generated batch of the last step, detached.
    discriminator_average : the averaged discriminator, if it is kept.
    """

    fake: FakeBatch

    def __init__(
        self,
        real: RealImages,
        shape: tuple[int, int, int],
        plan: GanConfig,
        random_state: int,
        device: str,
        extras: StepHooks | None = None,
    ) -> None:
        self.extras = extras = extras or StepHooks()
        check_batch(plan.batch)
        self.real, self.plan, self.device = real, plan, device
        self.random_state = random_state
        n_labels = real.labels.shape[1]
        drawn = torch.Generator().manual_seed(mixed_seed(random_state, 0))
        self.maker = self._new_maker(shape, drawn)
        body = GAN_NETWORKS[plan.network].make_body(
            shape, width=plan.width, generator=drawn
        )
        conditioning = "none" if plan.label_mode == "none" else plan.conditioning
        self.discriminator = Discriminator(
            body,
            n_labels,
            conditioning=conditioning,
            generator=drawn,
            n_codes=plan.n_codes,
            is_bounded=plan.spectral_norm,
        )
        if not plan.spectral_norm:
            without_spectral(self.discriminator)
        for network in (self.maker, self.discriminator):
            # mypy knows no overload of `to` with a memory format.
            network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = Average(self.maker, plan.average)
        self.discriminator_average: Average | None = None
        if extras.keeps_discriminator:
            self.discriminator_average = Average(self.discriminator, plan.average)
        self.g_optimizer = adam(self._groups(), plan.rate_g, plan)
        self.d_optimizer = adam(self.discriminator.parameters(), plan.rate_d, plan)
        if plan.compile:
            check_compiler(device)
            # In place, after the copies that are averaged: names of weights stay.
            self.maker.compile()
            self.discriminator.compile()
        self.shares = real.shares()
        self.fake_shares = self.shares.clone()
        self._epoch, self._order = -1, torch.zeros(0, dtype=torch.int64)

    def _new_maker(
        self, shape: tuple[int, int, int], drawn: torch.Generator
    ) -> GeneratorNetwork:
        """Make the generator that is trained."""
        n_labels, group = self.real.labels.shape[1], self.real.group
        maker = GeneratorNetwork(shape, n_labels, self.plan, drawn, group=group)
        if self.extras.common is not None:
            maker.images.common = self.extras.common
        return maker

    def _groups(self) -> list[dict[str, Any]]:
        """Give the generator's weights that are trained, with their rates."""
        plan, maker = self.plan, self.maker
        groups = [{"params": [*maker.images.parameters()], "rate": plan.rate_g}]
        if maker.head is not None:
            groups.append(
                {"params": [*maker.head.parameters()], "rate": plan.rate_head}
            )
        return groups

    def pairs_changed(self) -> None:
        """Take note of new labels of real images."""
        self.shares.copy_(self.real.shares())

    def step(self, now: StepContext) -> dict[str, torch.Tensor]:
        """Take one step; returns losses and what the discriminator believed."""
        plan, of_all = self.plan, distributed()
        paired = plan.label_mode != "none" and now.step >= plan.first_pair
        self._set_rates(now)
        self.maker.train()
        for turn in range(plan.n_discriminator):
            # The generator learns from the last batch only.
            with torch.set_grad_enabled(turn == plan.n_discriminator - 1):
                fake = self._make(now, paired)
            real, figures = self._show(now, turn, paired)
            figures |= self._discriminator_step(real, fake.detached(), paired, now)
        figures |= self._generator_step(real, fake, paired, now)
        figures |= self._looks(real, fake.detached())
        of_all.average_statistics(self.maker)
        self.average.update(self.maker, now.step)
        if self.discriminator_average is not None:
            self.discriminator_average.update(self.discriminator, now.step)
        self.fake = fake.detached()
        return figures

    def _make(self, now: StepContext, paired: bool) -> FakeBatch:
        """Generate a batch: drawn anew, of the classes that real pairs have."""
        plan, of_all = self.plan, distributed()
        z = of_all.part(self._normal(plan.batch * plan.draw_factor, now.generator))
        classes = None
        if paired and plan.label_mode == "condition":
            classes = of_all.part(self._classes(now))
        if classes is not None and plan.draw_factor > 1:
            classes = classes.repeat_interleave(plan.draw_factor, dim=0)
        codes = None
        if plan.n_codes:
            drawn = torch.rand(
                plan.batch * plan.draw_factor,
                plan.n_codes,
                generator=now.generator,
                device=self.device,
            )
            codes = of_all.part(drawn * 2 - 1)
        with autocast(self.device, plan.precision):
            images, fake = self.maker(z, classes, codes, now.generator)
        images = images.float()
        batch = FakeBatch(images, None, None, codes)
        if paired:
            if self.maker.head is None:
                assert classes is not None
                visible_labels = self._seen(classes, now)
                batch = FakeBatch(images, classes, visible_labels, codes)
            else:
                assert fake is not None
                batch = FakeBatch(images, fake.float(), fake.float(), codes)
        return batch if plan.draw_factor == 1 else self._best(batch)

    def _best(self, batch: FakeBatch) -> FakeBatch:
        """Keep what fools the discriminator best, one in `draw_factor`."""
        self.discriminator.eval()
        with torch.no_grad(), autocast(self.device, self.plan.precision):
            scores = self.discriminator.score(batch.images.detach()).float()
        classes = None
        if self.plan.stratify and batch.target is not None:
            classes = batch.target.argmax(dim=1)
        return batch.rows(top_scoring(scores, self.plan.draw_factor, classes))

    def _show(
        self, now: StepContext, turn: int, paired: bool
    ) -> tuple[RealBatch, dict[str, torch.Tensor]]:
        """Take the next real images, and their labels."""
        number = now.step * self.plan.n_discriminator + turn
        draw = self.extras.rows or self._rows
        rows = distributed().part(draw(number, self.plan.batch))
        images = self.real.pixels[rows].float().div_(255)
        images = images.contiguous(memory_format=torch.channels_last)
        figures: dict[str, torch.Tensor] = {}
        if paired and self.extras.labels is not None:
            labels, weights, figures = self.extras.labels(rows, images, now)
        else:
            labels, weights = self.real.labels[rows], self.real.weights[rows]
        return RealBatch(images, labels * (weights > 0)[:, None], weights), figures

    def show(
        self, classes: torch.Tensor, generator: torch.Generator, *, paired: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Make images of classes (n,) as the averaged generator does by now.

        Labels are None where there are none, or before pairs are judged.
        """
        z = self._normal(len(classes), generator)
        asked = None
        if paired and self.plan.label_mode == "condition":
            asked = F.one_hot(classes, self.maker.n_labels).float()
        codes = z.new_zeros(len(z), self.plan.n_codes) if self.plan.n_codes else None
        maker = cast(GeneratorNetwork, self.average.module)
        images, fake = make_images(maker, z, asked, codes)
        return images, fake if paired else None

    def tensors(self) -> dict[str, torch.Tensor]:
        """Give all that the next step depends on."""
        shares = {"shares": self.shares, "made_shares": self.fake_shares}
        modules = {
            "maker": self.maker,
            "judge": self.discriminator,
            "average": self.average.module,
            "real": self.real,
        }
        if self.discriminator_average is not None:
            modules["judge_average"] = self.discriminator_average.module
        return shares | named_tensors(
            modules, {"g_optimizer": self.g_optimizer, "d_optimizer": self.d_optimizer}
        )

    def _discriminator_step(
        self, real: RealBatch, fake: FakeBatch, paired: bool, now: StepContext
    ) -> dict[str, torch.Tensor]:
        plan, n = self.plan, len(real.images)
        self.discriminator.train().requires_grad_(True)
        images = torch.cat([real.images, fake.images])
        labels = None
        if paired:
            assert fake.visible_labels is not None
            labels = torch.cat([real.labels, fake.visible_labels])
        share = 0.0
        if labels is not None and self.extras.counterfeits is not None:
            others, their_labels, share = self.extras.counterfeits(now)
            images = torch.cat([images, others])
            labels = torch.cat([labels, their_labels])
        if plan.augment:
            images = diffaugment(images, plan.augment, now.generator)
        with autocast(self.device, plan.precision):
            scores = self.discriminator(images, labels)
        alone, pairs = scores.alone[: 2 * n].float(), scores.pairs.float()
        loss = d_loss(alone[:n], alone[n:], plan.loss)
        only_pairs = paired and plan.pair_weight == 1 and plan.conditioning in OF_PAIRS
        believed = pairs[: 2 * n] if only_pairs else alone
        figures = _beliefs(believed, n, plan.loss)
        if paired:
            assert fake.visible_labels is not None
            assert labels is not None
            of_pairs = self._loss_of_pairs(real, pairs, labels, slice(n, 2 * n))
            if share:
                of_others = self._loss_of_pairs(real, pairs, labels, slice(2 * n, None))
                of_pairs = (1 - share) * of_pairs + share * of_others
            loss = (1 - plan.pair_weight) * loss + plan.pair_weight * of_pairs
            figures["pair_loss"] = of_pairs
        if plan.n_codes:
            lost = self._lost_codes(scores.seen[n : 2 * n], fake)
            loss = loss + plan.code_weight * lost
            figures["code_loss"] = lost
        penalties = weighted_penalties(
            self.discriminator,
            plan,
            now,
            real=(real.images, images[:n], alone[:n]),
            fake=(fake.images, images[n : 2 * n], alone[n:]),
            labels=None if labels is None else (labels[:n], labels[n : 2 * n]),
        )
        loss = loss + sum(penalties.values())
        self.d_optimizer.zero_grad(set_to_none=True)
        backward(loss, self.discriminator)
        self.d_optimizer.step()
        return {"d_loss": loss, **figures, **penalties}

    def _loss_of_pairs(
        self,
        real: RealBatch,
        scores: torch.Tensor,
        labels: torch.Tensor,
        fake: slice,
    ) -> torch.Tensor:
        """Give the discriminator's loss by labels, (), of real pairs and others."""
        return d_pair_loss(
            scores[: len(real.images)],
            scores[fake],
            real.labels,
            labels[fake],
            real.weights,
            conditioning=self.plan.conditioning,
            kind=self.plan.loss,
            learns_from_fake=self.extras.learns_from_fake,
        )

    def _generator_step(
        self, real: RealBatch, fake: FakeBatch, paired: bool, now: StepContext
    ) -> dict[str, torch.Tensor]:
        plan = self.plan
        # No weight of the discriminator needs a gradient here, nor its vectors a turn.
        self.discriminator.eval().requires_grad_(False)
        images = fake.images
        if plan.augment:
            images = diffaugment(images, plan.augment, now.generator)
        with autocast(self.device, plan.precision):
            scores: DiscriminatorScores = self.discriminator(
                images, fake.visible_labels
            )
        than: dict[str, torch.Tensor] = {}  # a relativistic loss asks: more real than?
        with_labels = than
        if plan.loss == "relativistic":
            of_real = self._look_at_real(real, paired, now)
            than = {"real": of_real.alone.float()}
            with_labels = {"real": of_real.pairs.float(), "weight": real.weights}
        loss = g_loss(scores.alone.float(), plan.loss, **than)
        if paired:
            assert fake.visible_labels is not None
            of_pairs = g_pair_loss(
                scores.pairs.float(),
                fake.visible_labels,
                conditioning=plan.conditioning,
                kind=plan.loss,
                **with_labels,
            )
            loss = (1 - plan.pair_weight) * loss + plan.pair_weight * of_pairs
        if plan.n_codes:
            loss = loss + plan.code_weight * self._lost_codes(scores.seen, fake)
        figures = {"g_loss": loss}
        if paired and plan.conditioning == "classifier":
            assert fake.visible_labels is not None
            figures["class_information"] = information(
                scores.pairs.detach().float(), fake.visible_labels.detach()
            )
        if self.extras.regularizer is not None and fake.target is not None:
            term, others = self.extras.regularizer(fake.images, fake.target)
            loss = loss + term
            figures |= others
        self.g_optimizer.zero_grad(set_to_none=True)
        backward(loss, self.maker)
        self.g_optimizer.step()
        return figures

    @torch.no_grad()
    def _look_at_real(
        self, real: RealBatch, paired: bool, now: StepContext
    ) -> DiscriminatorScores:
        """Score real images as the generator's loss compares its own with them."""
        images = real.images
        if self.plan.augment:
            images = diffaugment(images, self.plan.augment, now.generator)
        with autocast(self.device, self.plan.precision):
            scores: DiscriminatorScores = self.discriminator(
                images, real.labels if paired else None
            )
        return scores

    def _lost_codes(self, seen: torch.Tensor, fake: FakeBatch) -> torch.Tensor:
        """Give the mean squared error of codes found in generated images, ()."""
        assert self.discriminator.of_codes is not None
        assert fake.codes is not None
        found: torch.Tensor = self.discriminator.of_codes(seen.float())
        return (found - fake.codes).square().mean()

    @torch.no_grad()
    def _looks(self, real: RealBatch, fake: FakeBatch) -> dict[str, torch.Tensor]:
        """Give figures for the monitor: variety, and what labels alone tell."""
        figures = {
            "real_spread": real.images.std(dim=0).mean(),
            "made_spread": fake.images.std(dim=0).mean(),
        }
        label = fake.visible_labels
        if label is None or not self.real.are_classes:
            return figures
        mean = label.mean(dim=0)
        distributed().average([mean])
        self.fake_shares.lerp_(mean, 0.02)
        # Half of the total variation above chance is what labels alone can tell.
        far = (self.fake_shares - self.shares @ self.real.noise).abs().sum() / 2
        weights = real.weights
        peaks = (real.labels.amax(dim=1) * weights).sum()
        of_fake = label.amax(dim=1).mean()
        # A batch in which no real image has a label tells of no difference.
        of_real = torch.where(
            weights.sum() > 0,
            peaks / weights.sum().clamp_min(1e-6),
            of_fake,
        )
        return figures | {
            "labels_only_accuracy": 0.5 + far / 2,
            "real_label_peak": of_real,
            "made_label_peak": of_fake,
        }

    def _classes(self, now: StepContext) -> torch.Tensor:
        """Draw classes as real pairs have them, one-hot: labels alone tell nothing."""
        drawn = torch.multinomial(
            self.shares, self.plan.batch, replacement=True, generator=now.generator
        )
        return F.one_hot(drawn, len(self.shares)).float()

    def _seen(self, classes: torch.Tensor, now: StepContext) -> torch.Tensor:
        """Show classes as noisily as the real labels are."""
        shares = classes @ self.real.noise
        # What `multinomial` draws, without its look at the sums, which waits for a GPU.
        chance = torch.empty_like(shares).exponential_(generator=now.generator)
        drawn = (shares / chance).argmax(dim=1)
        return F.one_hot(drawn, classes.shape[1]).float()

    def _normal(self, n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(n, self.plan.z_dim, generator=generator, device=self.device)

    def _rows(self, step: int, batch: int) -> torch.Tensor:
        """Take the next rows of a new order of all images every epoch."""
        n = len(self.real.pixels)
        per_epoch = max(1, n // batch)
        epoch, place = divmod(step, per_epoch)
        if epoch != self._epoch:
            shuffle = np.random.default_rng([self.random_state, 2, epoch])
            order = shuffle.permutation(n)
            # Fewer images than a batch holds come again.
            order = np.resize(order, max(n, batch))
            self._order = sent(order, self.device)
            self._epoch = epoch
        return self._order[place * batch : (place + 1) * batch]

    def _set_rates(self, now: StepContext) -> None:
        done = now.step / max(self.plan.n_steps, 1)
        late = max(0.0, done - self.plan.decay_from) / max(
            1 - self.plan.decay_from, 1e-9
        )
        for optimizer in (self.g_optimizer, self.d_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * now.lr_scale * (1 - 0.9 * late)


def _beliefs(scores: torch.Tensor, n: int, kind: str) -> dict[str, torch.Tensor]:
    """Give how likely n images that are real, and the others, are held to be real."""
    if kind == "relativistic":  # which of two it holds for the real one
        right = torch.sigmoid(scores[:n] - scores[n:]).mean()
        return {"real_score": right, "fake_score": 1 - right}
    return {
        "real_score": torch.sigmoid(scores[:n]).mean(),
        "fake_score": torch.sigmoid(scores[n:]).mean(),
    }
