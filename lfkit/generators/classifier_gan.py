"""Class-conditional generators that also learn to classify images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from lfkit.data.image_tensors import to_pixels
from lfkit.data.votes import Votes
from lfkit.generators.gan import LabelClassifier, RealImages
from lfkit.generators.gan_generator import GanGenerator
from lfkit.generators.plan import check_choice
from lfkit.generators.trained_gan import TrainedGan
from lfkit.generators.training_set import Progress, TrainingSet

_MATCHED = 10_000  # images


class ClassifiedGenerator(GanGenerator):
    """A `GanGenerator` with a network that learned to name classes beside it.

    As a rule a `ClassifierStep` trains it. It labels real images, and its probability
    of a generated image's class is the confidence.

    Attributes
    ----------
    code_of_class_ : (k,) what the generator is conditioned on for each class: its
        number, or, where it learned without labels, the code that the run's labels fit
        best.
    """

    label_modes: ClassVar[tuple[str, ...]] = ("condition",)
    real_label_kinds: ClassVar[tuple[str, ...]] = ("model", "true", "seeds", "none")
    has_sample_confidence: ClassVar[bool] = True
    real_labels: str

    def _check_settings(self, has_functions: bool) -> None:
        check_choice("real_labels", self.real_labels, self.real_label_kinds)

    def _real(self, task: TrainingSet) -> RealImages:
        """Put real images, and the labels it may learn from, on the device."""
        real = RealImages(task.images, task.n_classes, self.device, fixed=True)
        used = task.is_labeled & (self.real_labels != "none")
        real.set_pairs(task.proba * used[:, None], used.astype(np.float64))
        return real

    def _finish(
        self, trained: Any, task: TrainingSet, progress: Progress | None
    ) -> None:
        self.gan_ = self._new_gan(task.shape, task.n_classes)
        self.gan_.maker.load_state_dict(trained.gan.average.module.state_dict())
        self.gan_.label_classifier.load_state_dict(trained.average.module.state_dict())
        self._name_codes(task)

    def _name_codes(self, task: TrainingSet) -> None:
        """Match codes of the generator to classes."""
        self.code_of_class_ = np.arange(task.n_classes)
        if self.real_labels != "none":
            return
        labeled = np.flatnonzero(task.is_labeled)
        rng = np.random.default_rng([self.random_state, 6])
        rows = np.sort(rng.permutation(labeled)[:_MATCHED])
        both = task.proba[rows].T @ self.gan_.read(task.images[rows])  # class, code
        _, self.code_of_class_ = linear_sum_assignment(-both)

    def _draw(
        self, classes: NDArray[np.int64], generator: torch.Generator
    ) -> tuple[torch.Tensor, NDArray[np.float64], NDArray[np.float64]]:
        images, _ = self.gan_.draw(self._condition(classes), generator)
        sure = self._predict_proba(to_pixels(images), None)
        each = np.arange(len(classes))
        return images, np.eye(len(self.prior_))[classes], sure[each, classes]

    def _condition(self, classes: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(self.code_of_class_[classes])

    def _predict_proba(
        self, images: NDArray[np.uint8], votes: Votes | None
    ) -> NDArray[np.float64]:
        return self.gan_.read(images)[:, self.code_of_class_]

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"code_of_class": self.code_of_class_.tolist()}

    def _restore(self, settings: Mapping[str, Any]) -> None:
        super()._restore(settings)
        self.code_of_class_ = np.asarray(settings["code_of_class"], np.int64)
        if sorted(self.code_of_class_.tolist()) != [*range(len(self.prior_))]:
            raise ValueError(f"code_of_class is {settings['code_of_class']}")


class ClassifierGan(ClassifiedGenerator):
    """A `ClassifiedGenerator` whose discriminator names the classes."""

    conditionings: ClassVar[tuple[str, ...]] = ("classifier", "multi-hinge")

    def _new_gan(self, shape: tuple[int, int, int], n_classes: int) -> Any:
        label_classifier = LabelClassifier(shape, n_classes, self.plan)
        return TrainedGan(
            shape, n_classes, self.plan, self.device, label_classifier=label_classifier
        )

    def _finish(
        self, trained: Any, task: TrainingSet, progress: Progress | None
    ) -> None:
        self.gan_ = self._new_gan(task.shape, task.n_classes)
        self.gan_.maker.load_state_dict(trained.average.module.state_dict())
        assert isinstance(self.gan_.label_classifier, LabelClassifier)
        self.gan_.label_classifier.take(trained.discriminator_average.module)
        self._name_codes(task)
