"""Real images on the device, and the labels that pairs are made of."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


class RealImages(nn.Module):
    """Real images on the device, with the labels that pairs are made of.

    Labels and weights may change while training goes on; they are then part of its
    state.

    Parameters
    ----------
    pixels : (n, h, w, c) uint8.
    n_labels : width of a label, k for classes.
    group : so many numbers of a label sum to 1, 0: none do; None: all of them.
    fixed : labels never change, and are no part of the training's state.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    noise: torch.Tensor

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        n_labels: int,
        device: str,
        group: int | None = None,
        *,
        fixed: bool = False,
    ) -> None:
        super().__init__()
        self.group = n_labels if group is None else group
        images = torch.from_numpy(np.ascontiguousarray(pixels)).to(device)
        images = images.permute(0, 3, 1, 2).contiguous()
        self.register_buffer("pixels", images, persistent=False)
        n = len(pixels)
        for name, value in (
            ("labels", torch.zeros(n, n_labels)),
            ("weights", torch.zeros(n)),
            ("noise", torch.eye(n_labels)),
        ):
            self.register_buffer(name, value.to(device), persistent=not fixed)

    @property
    def are_classes(self) -> bool:
        """True if a label is one distribution over classes."""
        return self.group == self.labels.shape[1]

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
        if not bool(total.any()):  # no pair has a label: any class is as good
            return torch.full_like(total, 1 / len(total))
        return total / total.sum().clamp_min(1e-12)
