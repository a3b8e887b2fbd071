"""What the generators share whose result is a `TrainedGan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.data.image_tensors import to_pixels
from lfkit.data.votes import Votes
from lfkit.errors import InputError
from lfkit.generators.gan import PairGan, RealImages, StepHooks
from lfkit.generators.gan.config import CONDITIONINGS, GanConfig
from lfkit.generators.generator import JointGenerator
from lfkit.generators.lf_votes.batch_votes import BatchVotes
from lfkit.generators.plan import GeneratorPlan, check_choice
from lfkit.generators.samples import Samples
from lfkit.generators.trained_gan import TrainedGan
from lfkit.generators.training_set import Progress, TrainingSet
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.nn import Trainable
from lfkit.nn.training_loop import mixed_seed

_SHOWN = 12  # images of each class


class GanGenerator(JointGenerator):
    """A `JointGenerator` around a `TrainedGan`; members train it."""

    plan_kind: ClassVar[type[GeneratorPlan]] = GanConfig
    # The values of `plan.label_mode` and `plan.conditioning` that it can use.
    label_modes: ClassVar[tuple[str, ...]]
    conditionings: ClassVar[tuple[str, ...]] = CONDITIONINGS
    unused: ClassVar[tuple[str, ...]] = ()  # settings of the plan that change nothing

    plan: GanConfig
    gan_: TrainedGan
    _block: BatchVotes | None = None

    @property
    def is_conditional(self) -> bool:
        """Whether a class can be requested; else images are drawn until it comes up."""
        return self.plan.label_mode == "condition"

    def bind(self, lfs: Sequence[LabelingFunction], votes: Votes) -> None:
        """Give it the functions, and their votes on the real images.

        Code is not saved: after `load` a generator knows no function.
        """
        if self.functions == "never":
            raise InputError(
                f"{type(self).__name__} lets no labeling function vote on its images."
            )
        self._block = BatchVotes(lfs, votes.n_classes, self.device)

    @property
    def bound(self) -> BatchVotes:
        """The functions that `bind` gave."""
        if self._block is None:
            raise InputError(
                f"this {type(self).__name__} was loaded without its labeling "
                "functions; call bind first."
            )
        return self._block

    def traverse(self, code: int, *, random_state: int = 0) -> Samples:
        """Make images that differ in one continuous code only, -1 to 1.

        Parameters
        ----------
        code : its number, from 0; images have it where the plan has `n_codes`.

        Returns
        -------
        Twelve images of each class, of the same noise; the other codes are 0. Where
        classes cannot be requested, as many rows without a label.
        """
        self._check_fitted()
        n = self.plan.n_codes
        if not n:
            raise InputError(
                f"{type(self).__name__} was trained without continuous codes; train "
                "`ss-infogan`, or any generator with --set n_codes=2."
            )
        if not 0 <= code < n:
            raise InputError(
                f"code {code + 1} was asked for, and there are {n}; give 1 to {n}."
            )
        known = np.flatnonzero(self.prior_ > 0)
        classes = np.repeat(known, _SHOWN)
        drawn = torch.Generator(self.device).manual_seed(random_state)
        z = torch.randn(
            len(known), self.plan.z_dim, generator=drawn, device=self.device
        ).repeat_interleave(_SHOWN, dim=0)
        codes = z.new_zeros(len(z), n)
        codes[:, code] = torch.linspace(-1, 1, _SHOWN).repeat(len(known)).to(z)
        images, _ = self.gan_.make(self._condition(classes), z, codes)
        nobody = np.full(len(classes), np.nan, np.float32)
        labels = np.eye(len(self.prior_), dtype=np.float32)[classes]
        if not self.is_conditional:
            labels[:] = 0
        return Samples(to_pixels(images), labels, nobody)

    def _check_plan(self) -> None:
        name = type(self).__name__
        check_choice(
            f"plan.label_mode of {name}", self.plan.label_mode, self.label_modes
        )
        check_choice(
            f"plan.conditioning of {name}", self.plan.conditioning, self.conditionings
        )
        for setting in self.unused:
            if getattr(self.plan, setting) != getattr(GanConfig(), setting):
                raise InputError(f"{name} makes no use of {setting}; leave it out.")

    def _condition(self, classes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give what the generator is conditioned on for classes, (b,)."""
        return classes

    def _new_gan(self, shape: tuple[int, int, int], n_classes: int) -> TrainedGan:
        return TrainedGan(shape, n_classes, self.plan, self.device)

    def _preview(self, trained: Any, task: TrainingSet, step: int) -> Samples:
        # The same noise each time: one sees the same images become better.
        seed = mixed_seed(self.random_state, 10)
        drawn = torch.Generator(self.device).manual_seed(seed)
        known = np.repeat(np.flatnonzero(task.prior > 0), _SHOWN)
        classes = torch.from_numpy(known).to(self.device)
        images, labels = trained.show(
            classes, drawn, paired=step > self.plan.first_pair
        )
        proba = np.zeros((len(known), task.n_classes), np.float32)
        if labels is not None:
            proba = self._named(labels).float().cpu().numpy()
        nobody = np.full(len(known), np.nan, np.float32)
        return Samples(to_pixels(images), proba, nobody)

    def _real(self, task: TrainingSet) -> RealImages:
        """Put real images on the device, each with its likeliest class, one-hot."""
        real = RealImages(task.images, task.n_classes, self.device)
        named = np.eye(task.n_classes)[task.proba.argmax(axis=1)]
        real.set_pairs(named, task.is_labeled.astype(np.float64))
        return real

    def _hooks(self, real: RealImages) -> StepHooks:
        """Give what a step does besides."""
        return StepHooks()

    def _begin(self, task: TrainingSet) -> Trainable:
        real = self._real(task)
        return PairGan(
            real,
            task.shape,
            self.plan,
            self.random_state,
            self.device,
            self._hooks(real),
        )

    def _finish(
        self, trained: Any, task: TrainingSet, progress: Progress | None
    ) -> None:
        self.gan_ = self._new_gan(task.shape, task.n_classes)
        self.gan_.maker.load_state_dict(trained.average.module.state_dict())
        self.gan_.fit_label_classifier(task, self.random_state, progress)

    def _draw(
        self, classes: NDArray[np.int64], generator: torch.Generator
    ) -> tuple[torch.Tensor, NDArray[np.float64], NDArray[np.float64]]:
        images, labels = self.gan_.draw(classes, generator)
        if self.has_sample_confidence:
            return images, labels, labels.max(axis=1)
        return images, labels, self.gan_.confidence(classes)

    def _named(self, labels: torch.Tensor) -> torch.Tensor:
        """Turn the generator's labels, (n, d), into classes, (n, k)."""
        return labels

    def _predict_proba(
        self, images: NDArray[np.uint8], votes: Votes | None
    ) -> NDArray[np.float64]:
        return self.gan_.read(images)

    def _modules(self) -> Mapping[str, torch.nn.Module]:
        return self.gan_.modules()

    def _settings(self) -> dict[str, Any]:
        return self.gan_.settings()

    def _restore(self, settings: Mapping[str, Any]) -> None:
        self.gan_ = self._new_gan(self.shape_, len(self.prior_))
        self.gan_.restore(settings)
