"""The result of an adversarial training: a generator network and a label classifier."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lfkit.generators.gan import GeneratorNetwork, LabelClassifier, make_images
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.trained_maker import TrainedMaker


class TrainedGan(TrainedMaker):
    """The averaged generator, in evaluation mode, and what is known of its labels.

    Parameters
    ----------
    shape : (h, w, c).
    n_labels, group : width and kind of a label, of `GeneratorNetwork`; None: classes.
    label_classifier : names the class of real images; None: a network of its own.

    Attributes
    ----------
    decoded : turns labels that it makes, (n, n_labels), into classes, (n, k).
    """

    maker: GeneratorNetwork

    def __init__(
        self,
        shape: tuple[int, int, int],
        n_classes: int,
        plan: GanConfig,
        device: str,
        *,
        n_labels: int | None = None,
        group: int | None = None,
        label_classifier: LabelClassifier | None = None,
    ) -> None:
        self.plan = plan
        self.n_labels = n_classes if n_labels is None else n_labels
        maker = GeneratorNetwork(
            shape,
            self.n_labels,
            plan,
            torch.Generator().manual_seed(0),
            group=self.n_labels if group is None else group,
        )
        super().__init__(maker, shape, n_classes, plan, device, label_classifier)
        self.decoded: Callable[[torch.Tensor], torch.Tensor] = lambda labels: labels

    def draw(
        self, classes: NDArray[np.int64], generator: torch.Generator
    ) -> tuple[torch.Tensor, NDArray[np.float64]]:
        """Make images of these classes, (b, c, h, w) in [0, 1], and labels (b, k)."""
        n, plan = len(classes), self.plan
        z = torch.randn(n, plan.z_dim, generator=generator, device=self.device)
        codes = None
        if plan.n_codes:
            drawn = torch.rand(n, plan.n_codes, generator=generator, device=self.device)
            codes = drawn * 2 - 1
        return self.make(classes, z, codes)

    def make(
        self, classes: NDArray[np.int64], z: torch.Tensor, codes: torch.Tensor | None
    ) -> tuple[torch.Tensor, NDArray[np.float64]]:
        """Make images of classes (b,), noise (b, z_dim) and codes (b, n_codes)."""
        condition = None
        if self.plan.label_mode == "condition":
            rows = torch.from_numpy(classes).to(self.device)
            condition = F.one_hot(rows, self.n_classes).float()
        images, labels = make_images(self.maker, z, condition, codes)
        if labels is None:
            return images, np.zeros((len(classes), self.n_classes))
        return images, self.decoded(labels).double().cpu().numpy()
