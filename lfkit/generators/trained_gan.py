"""The result of an adversarial training: a generator network and a label classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lfkit.generators.gan import GeneratorNetwork, LabelClassifier, make_images
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.lf_votes.batch_votes import BatchVotes
from lfkit.generators.trained_maker import TrainedMaker
from lfkit.generators.training_set import TrainingSet

_CHECKED_BLOCKS = 8  # of 256 images: how sure a label of each class is


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
    agreement : (k,) how often the functions vote for the class that an image was
        generated for.
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
        self.agreement = np.full(n_classes, np.nan)
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

    def check_agreement(
        self, block: BatchVotes, label: Any, task: TrainingSet, random_state: int
    ) -> None:
        """Compare the functions' votes on some generated images with their labels.

        Parameters
        ----------
        label : turns votes (n, m, k) into labels (n, k).
        """
        right, seen = np.zeros(self.n_classes), np.zeros(self.n_classes)
        for number in range(_CHECKED_BLOCKS):
            images, labels = self._drawn(task, random_state, 5, number)
            with torch.no_grad():
                voted = label(block(images)).argmax(dim=1).cpu().numpy()
            target = labels.argmax(axis=1)
            np.add.at(seen, target, 1)
            np.add.at(right, target, voted == target)
        # A class that was seen never or once has the agreement of all.
        overall = right.sum() / max(seen.sum(), 1)
        self.agreement = (right + overall) / (seen + 1)

    def settings(self) -> dict[str, Any]:
        """Give what is no weight, JSON-ready."""
        known = [None if np.isnan(share) else share for share in self.agreement]
        return {"agreement": known}

    def restore(self, settings: Mapping[str, Any]) -> None:
        """Take up `settings`."""
        self.agreement = np.asarray(settings["agreement"], np.float64)
        if self.agreement.shape != (self.n_classes,):
            raise ValueError(f"agreement has the shape {self.agreement.shape}")

    def confidence(self, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Give the agreement of these classes, (n,); NaN where no function voted."""
        return self.agreement[labels]
