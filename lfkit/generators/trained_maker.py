"""What a training of any generator leaves: a maker of images, and who names theirs."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.data.image_tensors import to_pixels
from lfkit.generators.gan.label_classifier import LabelClassifier
from lfkit.generators.plan import GeneratorPlan
from lfkit.generators.sampling import BLOCK
from lfkit.generators.training_set import Progress, TrainingSet
from lfkit.nn import SmallConvNet, TrainingPlan, look, train
from lfkit.nn.training_loop import mixed_seed

CLASSIFIER_WIDTH = 24
# Images that the label classifier learns from; as many real ones as generated ones.
_MOST_READ = 20_000
_MOST_BYTES = 500_000_000


class TrainedMaker(ABC):
    """An averaged network that makes images, and what is known of their labels.

    Parameters
    ----------
    maker : makes images; in evaluation mode.
    shape : (h, w, c).
    label_classifier : names the class of real images; None: a network of its own.
    """

    def __init__(
        self,
        maker: torch.nn.Module,
        shape: tuple[int, int, int],
        n_classes: int,
        plan: GeneratorPlan,
        device: str,
        label_classifier: LabelClassifier | None = None,
    ) -> None:
        self.shape, self.n_classes = shape, n_classes
        self.n_reader_steps, self.device = plan.reader_steps, device
        self.maker = maker.to(device)
        nothing = torch.Generator().manual_seed(0)
        own = SmallConvNet(shape, n_classes, width=CLASSIFIER_WIDTH, generator=nothing)
        self.label_classifier: SmallConvNet | LabelClassifier = (
            own if label_classifier is None else label_classifier
        )
        self.label_classifier.to(device)

    @abstractmethod
    def draw(
        self, classes: NDArray[np.int64], generator: torch.Generator
    ) -> tuple[torch.Tensor, NDArray[np.float64]]:
        """Make images of these classes, (b, c, h, w) in [0, 1], and labels (b, k)."""

    def fit_label_classifier(
        self,
        task: TrainingSet,
        random_state: int,
        progress: Progress | None = None,
        *,
        learns_from_fake: bool = True,
    ) -> None:
        """Train a network on real images with their labels and on generated pairs.

        Parameters
        ----------
        learns_from_fake : False: on real images alone.
        """
        rng = np.random.default_rng([random_state, 3])
        labeled = np.flatnonzero(task.proba.any(axis=1))
        most = max(BLOCK, min(_MOST_READ, _MOST_BYTES // task.images[0].size))
        rows = np.sort(rng.permutation(labeled)[:most])
        # Where no real image has a label, as many generated pairs as there are images.
        n_pairs = len(rows) or min(most, max(BLOCK, len(task.images)))
        blocks = range(-(-n_pairs // BLOCK))
        pixels, proba = [task.images[rows]], [task.proba[rows]]
        for number in blocks if learns_from_fake else ():
            images, labels = self._drawn(task, random_state, 4, number)
            if labels.any():
                pixels.append(to_pixels(images))
                proba.append(labels)
        found = train(
            np.concatenate(pixels),
            np.concatenate(proba),
            plan=TrainingPlan(n_steps=self.n_reader_steps, width=CLASSIFIER_WIDTH),
            random_state=random_state,
            device=self.device,
            progress=progress,
        )
        # Into a network that lies in memory as a loaded one does: it answers the same.
        self.label_classifier.load_state_dict(found.state_dict())

    def read(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Label real images, (n, h, w, c) → (n, k)."""
        parts = [np.exp(logs) for _, logs, _ in look(self.label_classifier, images)]
        return np.concatenate(parts) if parts else np.zeros((0, self.n_classes))

    def _drawn(
        self, task: TrainingSet, random_state: int, purpose: int, number: int
    ) -> tuple[torch.Tensor, NDArray[np.float64]]:
        seed = mixed_seed(random_state, purpose, number)
        classes = np.random.default_rng(seed).choice(
            self.n_classes, BLOCK, p=task.prior
        )
        return self.draw(classes, torch.Generator(self.device).manual_seed(seed))

    def modules(self) -> dict[str, torch.nn.Module]:
        """Name what has weights."""
        return {"maker": self.maker, "reader": self.label_classifier}
