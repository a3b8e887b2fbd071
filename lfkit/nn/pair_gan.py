"""A generator and a discriminator of images, alone or paired with labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from lfkit.errors import InputError
from lfkit.gan_plan import GanPlan
from lfkit.nn.diffaugment import diffaugment
from lfkit.nn.discriminator import Discriminator
from lfkit.nn.ema import Average
from lfkit.nn.gan_networks import GAN_NETWORKS
from lfkit.nn.layers import drawn_linear
from lfkit.nn.loop import Moment, mixed_seed
from lfkit.nn.losses import d_loss, g_loss, r1_penalty
from lfkit.nn.ranks import ranks
from lfkit.nn.state import begin_state, named_tensors


class Maker(nn.Module):
    """The generator with its label head, if it has one."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        n_classes: int,
        plan: GanPlan,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.images = GAN_NETWORKS[plan.network].make_generator(
            shape,
            n_classes=n_classes if plan.labels == "condition" else 0,
            z_dim=plan.z_dim,
            width=plan.width,
            generator=generator,
        )
        self.head = None
        if plan.labels == "head":
            self.head = nn.Sequential(
                drawn_linear(self.images.n_common, 128, generator),
                nn.LeakyReLU(0.2),
                drawn_linear(128, n_classes, generator, scale=0.02),
            )

    def forward(
        self, z: torch.Tensor, condition: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Make images (n, c, h, w) in [0, 1] and, with a head, their labels (n, k)."""
        images, common = self.images(z, condition)
        if self.head is None:
            return images, condition
        return images, F.softmax(self.head(common), dim=1)


class Real(nn.Module):
    """Real images on the device, with the labels that pairs are made of.

    Labels and weights may change while training goes on, and are part of its state.

    Parameters
    ----------
    pixels : (n, h, w, c) uint8.
    n_classes : k.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    noise: torch.Tensor

    def __init__(self, pixels: NDArray[np.uint8], n_classes: int, device: str) -> None:
        super().__init__()
        images = torch.from_numpy(np.ascontiguousarray(pixels)).to(device)
        images = images.permute(0, 3, 1, 2).contiguous()
        self.register_buffer("pixels", images, persistent=False)
        n = len(pixels)
        self.register_buffer("labels", torch.zeros(n, n_classes, device=device))
        self.register_buffer("weights", torch.zeros(n, device=device))
        self.register_buffer("noise", torch.eye(n_classes, device=device))

    def set_pairs(
        self,
        labels: NDArray[np.floating],
        weights: NDArray[np.floating],
        noise: NDArray[np.floating] | None = None,
    ) -> None:
        """Say how real images are paired.

        Parameters
        ----------
        labels : (n, k), one-hot or soft.
        weights : (n,); 0 = the image is judged without a label.
        noise : (k, k), P(label of a pair | class), rows summing to 1: the class of a
            generated image is shown to the discriminator through it, as the label of
            a real one is (Thekumparampil et al. 2018, arXiv:1811.03205).
        """
        self.labels.copy_(torch.from_numpy(np.asarray(labels, np.float32)))
        self.weights.copy_(torch.from_numpy(np.asarray(weights, np.float32)))
        if noise is not None:
            self.noise.copy_(torch.from_numpy(np.asarray(noise, np.float32)))

    def shares(self) -> torch.Tensor:
        """Give the classes' shares of the pairs, (k,); 0 where no pair names one."""
        total = (self.labels * self.weights[:, None]).sum(dim=0)
        if not bool((self.noise == torch.eye(len(total), device=total.device)).all()):
            # On the CPU: a class without images makes the matrix singular.
            inverse = torch.linalg.pinv(self.noise.T.double().cpu()).to(total)
            total = (inverse @ total).clamp_min(0)
        return total / total.sum().clamp_min(1e-12)


# (images, labels) of a generated batch → what is added to the generator's loss.
Regularizer = Callable[
    [torch.Tensor, torch.Tensor], tuple[torch.Tensor, dict[str, torch.Tensor]]
]


class PairGan:
    """One step: the discriminator, then the generator on the same generated batch.

    Parameters
    ----------
    regularizer : adds to the generator's loss where pairs are judged.
    """

    def __init__(
        self,
        real: Real,
        shape: tuple[int, int, int],
        plan: GanPlan,
        random_state: int,
        device: str,
        regularizer: Regularizer | None = None,
    ) -> None:
        self.regularizer = regularizer
        check_batch(plan.batch)
        self.real, self.plan, self.device = real, plan, device
        self.random_state = random_state
        k = real.labels.shape[1]
        drawn = torch.Generator().manual_seed(mixed_seed(random_state, 0))
        self.maker = Maker(shape, k, plan, drawn)
        body = GAN_NETWORKS[plan.network].make_body(
            shape, width=plan.width, generator=drawn
        )
        join = "none" if plan.labels == "none" else plan.join
        self.judge = Discriminator(body, k, join=join, generator=drawn)
        for network in (self.maker, self.judge):
            # mypy knows no overload of `to` with a memory format.
            network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = Average(self.maker, plan.average)
        groups = [{"params": [*self.maker.images.parameters()], "rate": plan.rate_g}]
        if self.maker.head is not None:
            heads = [*self.maker.head.parameters()]
            groups.append({"params": heads, "rate": plan.rate_head})
        self.g_optimizer = adam(groups, plan.rate_g, plan)
        self.d_optimizer = adam(self.judge.parameters(), plan.rate_d, plan)
        self.shares = real.shares()
        self.made_shares = self.shares.clone()
        self._epoch, self._order = -1, torch.zeros(0, dtype=torch.int64)

    def pairs_changed(self) -> None:
        """Take note of new labels of real images."""
        self.shares.copy_(self.real.shares())

    def step(self, now: Moment) -> dict[str, torch.Tensor]:
        """Take one step; returns losses and what the discriminator believed."""
        plan = self.plan
        paired = plan.labels != "none" and now.step >= plan.first_pair
        self._set_rates(now)
        self.maker.train()
        of_all = ranks()
        rows = of_all.part(self._rows(now.step))
        real = self.real.pixels[rows].float().div_(255)
        real = real.contiguous(memory_format=torch.channels_last)
        z = of_all.part(
            torch.randn(
                plan.batch, plan.z_dim, generator=now.generator, device=self.device
            )
        )
        classes = of_all.part(self._classes(now)) if paired else None
        with _autocast(self.device):
            fake, made = self.maker(z, self._condition(classes))
        fake = fake.float()
        label = None
        if paired:
            assert classes is not None
            label = self._seen(classes, now) if self.maker.head is None else made
        figures = self._judge_step(real, fake.detach(), label, rows, paired, now)
        meant = classes if self.maker.head is None else made
        figures |= self._maker_step(fake, label, meant, paired, now)
        figures |= self._looks(real, fake.detach(), label, rows)
        of_all.average_statistics(self.maker)
        self.average.update(self.maker, now.step)
        self.made = fake.detach()
        self.made_classes = meant
        return figures

    def show(
        self, classes: torch.Tensor, generator: torch.Generator, *, paired: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Make images of classes (n,) as the averaged generator does by now.

        Labels are None where there are none, or before pairs are judged.
        """
        z = torch.randn(
            len(classes), self.plan.z_dim, generator=generator, device=self.device
        )
        k = self.maker.n_classes
        asked = F.one_hot(classes, k).float() if paired else None
        maker = cast(Maker, self.average.module)
        images, made = make_images(maker, z, self._condition(asked))
        return images, made if paired else None

    def tensors(self) -> dict[str, torch.Tensor]:
        """Give all that the next step depends on."""
        shares = {"shares": self.shares, "made_shares": self.made_shares}
        return shares | named_tensors(
            {
                "maker": self.maker,
                "judge": self.judge,
                "average": self.average.module,
                "real": self.real,
            },
            {"g_optimizer": self.g_optimizer, "d_optimizer": self.d_optimizer},
        )

    def _judge_step(
        self,
        real: torch.Tensor,
        fake: torch.Tensor,
        label: torch.Tensor | None,
        rows: torch.Tensor,
        paired: bool,
        now: Moment,
    ) -> dict[str, torch.Tensor]:
        plan = self.plan
        self.judge.train().requires_grad_(True)
        images = torch.cat([real, fake])
        if plan.augment:
            images = diffaugment(images, plan.augment, now.generator)
        labels, weights = None, None
        if paired:
            assert label is not None
            weights = self.real.weights[rows]
            known = self.real.labels[rows] * (weights > 0)[:, None]
            labels = torch.cat([known, label.detach()])
        with _autocast(self.device):
            alone, pairs = self.judge(images, labels)
        n = len(real)
        alone, pairs = alone.float(), pairs.float()
        loss = d_loss(alone[:n], alone[n:], plan.loss)
        figures = {
            "real_score": torch.sigmoid(alone[:n]).mean(),
            "fake_score": torch.sigmoid(alone[n:]).mean(),
        }
        if paired:
            of_pairs = d_loss(pairs[:n], pairs[n:], plan.loss, weight=weights)
            loss = (1 - plan.pair_weight) * loss + plan.pair_weight * of_pairs
            figures["pair_loss"] = of_pairs
        if plan.r1_gamma and now.step % plan.r1_every == 0:
            penalty = r1_penalty(lambda x: self.judge(x)[0], real, plan.r1_gamma)
            loss = loss + penalty * plan.r1_every
            figures["r1"] = penalty
        self.d_optimizer.zero_grad(set_to_none=True)
        backward(loss, self.judge)
        self.d_optimizer.step()
        return {"d_loss": loss, **figures}

    def _maker_step(
        self,
        fake: torch.Tensor,
        label: torch.Tensor | None,
        meant: torch.Tensor | None,
        paired: bool,
        now: Moment,
    ) -> dict[str, torch.Tensor]:
        plan = self.plan
        # No weight of the discriminator needs a gradient here, nor its vectors a turn.
        self.judge.eval().requires_grad_(False)
        images = fake
        if plan.augment:
            images = diffaugment(fake, plan.augment, now.generator)
        with _autocast(self.device):
            alone, pairs = self.judge(images, label)
        loss = g_loss(alone.float(), plan.loss)
        if paired:
            of_pairs = g_loss(pairs.float(), plan.loss)
            loss = (1 - plan.pair_weight) * loss + plan.pair_weight * of_pairs
        figures = {"g_loss": loss}
        if paired and self.regularizer is not None:
            assert meant is not None
            term, told = self.regularizer(fake, meant)
            loss = loss + term
            figures |= told
        self.g_optimizer.zero_grad(set_to_none=True)
        backward(loss, self.maker)
        self.g_optimizer.step()
        return figures

    @torch.no_grad()
    def _looks(
        self,
        real: torch.Tensor,
        fake: torch.Tensor,
        label: torch.Tensor | None,
        rows: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Tell what a doctor wants to know: variety, and labels on their own."""
        figures = {
            "real_spread": real.std(dim=0).mean(),
            "made_spread": fake.std(dim=0).mean(),
        }
        if label is None:
            return figures
        mean = label.mean(dim=0)
        ranks().average([mean])
        self.made_shares.lerp_(mean, 0.02)
        # Half of the total variation above chance is what labels alone can tell.
        far = (self.made_shares - self.shares @ self.real.noise).abs().sum() / 2
        shown = self.real.weights[rows]
        peaks = (self.real.labels[rows].amax(dim=1) * shown).sum()
        of_made = label.amax(dim=1).mean()
        # A batch in which no real image has a label tells of no difference.
        of_real = torch.where(
            shown.sum() > 0, peaks / shown.sum().clamp_min(1e-6), of_made
        )
        return figures | {
            "labels_only_accuracy": 0.5 + far / 2,
            "real_label_peak": of_real,
            "made_label_peak": of_made,
        }

    def _condition(self, classes: torch.Tensor | None) -> torch.Tensor | None:
        return None if self.plan.labels != "condition" else classes

    def _classes(self, now: Moment) -> torch.Tensor:
        """Draw classes as real pairs have them, one-hot: labels alone tell nothing."""
        drawn = torch.multinomial(
            self.shares, self.plan.batch, replacement=True, generator=now.generator
        )
        return F.one_hot(drawn, len(self.shares)).float()

    def _seen(self, classes: torch.Tensor, now: Moment) -> torch.Tensor:
        """Show classes as noisily as the real labels are."""
        drawn = torch.multinomial(classes @ self.real.noise, 1, generator=now.generator)
        return F.one_hot(drawn[:, 0], classes.shape[1]).float()

    def _rows(self, step: int) -> torch.Tensor:
        n, batch = len(self.real.pixels), self.plan.batch
        per_epoch = max(1, n // batch)
        epoch, place = divmod(step, per_epoch)
        if epoch != self._epoch:
            shuffle = np.random.default_rng([self.random_state, 2, epoch])
            order = shuffle.permutation(n)
            # Fewer images than a batch holds come again.
            order = np.resize(order, max(n, batch))
            self._order = torch.from_numpy(order).to(self.device)
            self._epoch = epoch
        return self._order[place * batch : (place + 1) * batch]

    def _set_rates(self, now: Moment) -> None:
        done = now.step / max(self.plan.n_steps, 1)
        late = max(0.0, done - self.plan.decay_from) / max(
            1 - self.plan.decay_from, 1e-9
        )
        for optimizer in (self.g_optimizer, self.d_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * now.haste * (1 - 0.9 * late)


def check_batch(batch: int) -> None:
    """Refuse a batch that the processes cannot share."""
    count = ranks().count
    if batch % count or batch < 2 * count:
        raise InputError(
            f"batch is {batch} and there are {count} processes; give a multiple of "
            f"{count}, {2 * count} or more."
        )


def make_images(
    maker: Maker, z: torch.Tensor, condition: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Make images without learning from it: (n, c, h, w) in [0, 1] and labels."""
    maker.eval()
    with torch.no_grad(), _autocast(z.device.type):
        images, made = maker(z, condition)
    return images.float(), made


def adam(
    weights: Iterable[torch.Tensor] | list[dict[str, Any]], rate: float, plan: GanPlan
) -> torch.optim.Adam:
    """Make an optimizer whose state can be written over; groups hold their `rate`."""
    groups = [*weights]
    if not isinstance(groups[0], dict):
        groups = [{"params": groups, "rate": rate}]
    optimizer = torch.optim.Adam(groups, lr=rate, betas=(plan.beta1, 0.999), fused=True)
    begin_state(optimizer)
    return optimizer


def _autocast(device: str) -> torch.autocast:
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=kind != "cpu")


def backward(loss: torch.Tensor, module: nn.Module) -> None:
    """Find a module's gradients, the same each time, over all processes."""
    # The quickest kernels add up in any order.
    with torch.backends.cudnn.flags(benchmark=False, deterministic=True):
        loss.backward()  # type: ignore[no-untyped-call]
    ranks().average_gradients(module.parameters())
