"""The generator network: images, and perhaps their labels, from noise."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan.networks import GAN_NETWORKS
from lfkit.nn.compute import Compute, has_bfloat16
from lfkit.nn.layers import drawn_linear

_DROPPED = 0.5


class GeneratorNetwork(nn.Module):
    """The generator with its label head, if it has one.

    Parameters
    ----------
    n_labels : width of a label, k for classes.
    group : so many numbers of a label sum to 1; 0: they are any numbers.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        n_labels: int,
        plan: GanConfig,
        generator: torch.Generator,
        *,
        group: int,
    ) -> None:
        super().__init__()
        self.n_labels, self.group, self.head_on = n_labels, group, plan.head_on
        self.precision = plan.precision
        self.n_inputs = n_labels if plan.label_mode == "condition" else 0
        self.images = GAN_NETWORKS[plan.network].make_generator(
            shape,
            n_classes=self.n_inputs + plan.n_codes,
            z_dim=plan.z_dim,
            width=plan.width,
            generator=generator,
        )
        self.head: Head | None = None
        if plan.label_mode == "head":
            inside = self.images.n_common
            if plan.head_on == "maps":
                inside = self.images.n_maps * _SIDE**2
            deep = plan.head_on == "maps"
            self.head = Head(inside, n_labels, generator, deep=deep)

    def forward(
        self,
        z: torch.Tensor,
        condition: torch.Tensor | None,
        codes: torch.Tensor | None = None,
        dropped: torch.Generator | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Make images (n, c, h, w) in [0, 1] and, with a head, their labels.

        Parameters
        ----------
        z : (n, z_dim).
        condition : (n, k) requested classes, or None.
        codes : (n, n_codes) in [-1, 1], if it is conditioned on any.
        dropped : draws the inputs that dropout hides from the head, in training.
        """
        inputs = condition
        if codes is not None:
            if inputs is None:
                inputs = codes.new_zeros(len(codes), self.n_inputs)
            inputs = torch.cat([inputs, codes], dim=1)
        maps, common = self.images.maps(z, inputs)
        images = self.images.paint(maps)
        if self.head is None:
            return images, condition
        seen = common
        if self.head_on == "maps":
            seen = F.adaptive_avg_pool2d(maps, _SIDE).flatten(1)
        labels: torch.Tensor = self.head(seen, dropped)
        if self.group:
            shape = labels.shape
            labels = F.softmax(labels.view(len(labels), -1, self.group), dim=2).view(
                shape
            )
        return images, labels


_SIDE = 4  # px: what the label head sees of the last maps


class Head(nn.Module):
    """Layers from the generator's features of an image to its label.

    Parameters
    ----------
    deep : two layers with dropout, as in JGAN; else one without.
    """

    def __init__(
        self, inside: int, n_labels: int, generator: torch.Generator, *, deep: bool
    ) -> None:
        super().__init__()
        self.first = drawn_linear(inside, 128, generator)
        self.second = drawn_linear(128, 128, generator) if deep else None
        self.last = drawn_linear(128, n_labels, generator, scale=0.02)

    def forward(
        self, seen: torch.Tensor, dropped: torch.Generator | None
    ) -> torch.Tensor:
        """Score labels, (n, inside) → (n, n_labels)."""
        found = F.leaky_relu(self.first(seen), 0.2)
        if self.second is None:
            return self.last(found)
        found = _dropped(found, dropped)
        found = F.leaky_relu(self.second(found), 0.2)
        return self.last(_dropped(found, dropped))


def _dropped(found: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    if generator is None:
        return found
    kept = torch.rand(found.shape, generator=generator, device=found.device)
    return found * (kept >= _DROPPED) / (1 - _DROPPED)


def make_images(
    maker: GeneratorNetwork,
    z: torch.Tensor,
    condition: torch.Tensor | None,
    codes: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Make images without learning from it: (n, c, h, w) in [0, 1] and labels."""
    maker.eval()
    with torch.no_grad(), autocast(z.device.type, maker.precision):
        images, labels = maker(z, condition, codes)
    return images.float(), labels


def autocast(device: str, precision: str) -> torch.autocast:
    """Compute in the precision of a plan.

    "auto" is half on a GPU that computes in it, and does not imitate it.
    """
    half = precision == "bfloat16"
    if precision == "auto":
        half = torch.device(device).type != "cpu" and has_bfloat16(device)
    return Compute(half=half).autocast(device)
