"""A class-conditional flow: images from noise, without a discriminator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.data.image_tensors import to_pixels
from lfkit.data.votes import Votes
from lfkit.errors import InputError
from lfkit.generators.flow.flow_plan import FlowPlan
from lfkit.generators.flow.flow_step import FlowStep
from lfkit.generators.flow.trained_flow import TrainedFlow, led, noise_of
from lfkit.generators.flow.velocity_network import VelocityNetwork
from lfkit.generators.gan import RealImages
from lfkit.generators.generator import JointGenerator
from lfkit.generators.plan import GeneratorPlan, check_choice, check_number
from lfkit.generators.samples import Samples
from lfkit.generators.training.final_check import advice
from lfkit.generators.training_set import Progress, TrainingSet, most_confident
from lfkit.nn import distributed
from lfkit.nn.training_loop import mixed_seed

_SHOWN = 12  # images of each class
_LOOKED_THROUGH = 256  # images that tell what a network loses which knows nothing
_WORSE = 1.05  # times the loss of a network that has learned nothing
_PLAN = FlowPlan()


class Flow(JointGenerator):
    """Learns the way from noise to images of a class: rectified flow.

    Liu et al. 2022, arXiv:2209.03003; Lipman et al. 2022, arXiv:2210.02747. There is no
    adversary to win; at 28 pixels a step costs a little over twice one of an
    adversarial generator, and an image eight looks of the network. Images without a
    sure label teach what images look like. A label is as sure as a network is of it
    that has learned the labels of the real images, and no generated one.

    Parameters
    ----------
    plan : how it is trained.
    noise : what is done about wrong labels. "gate": of each class only the most
        confident are told, a share of `gate`, so images are typical of their class,
        and what is not is never made;
        "drawn": every image has a label drawn from its posterior, anew each time, so
        classes are as various as posteriors are calibrated; "none": the likeliest.
    sampling_steps : from noise to an image, each a look of the network at it; more
        are slower and finer.
    guidance : 1: images as they were learned; above 1 they are more typical of their
        class, and less various.
    """

    paper = "rectified flow (Liu et al. 2022)"
    needs = "labels"
    gives = "images of the class asked for, how sure each label is"
    has_sample_confidence: ClassVar[bool] = True
    plan_kind: ClassVar[type[GeneratorPlan]] = FlowPlan

    plan: FlowPlan

    def __init__(
        self,
        plan: FlowPlan = _PLAN,
        *,
        noise: str = "gate",
        gate: float = 0.6,
        sampling_steps: int = 8,
        guidance: float = 1.0,
        random_state: int = 0,
        device: str = "cpu",
    ) -> None:
        self.plan = plan
        self.noise = noise
        self.gate = gate
        self.sampling_steps = sampling_steps
        self.guidance = guidance
        self.random_state = random_state
        self.device = device

    @property
    def is_conditional(self) -> bool:
        """Whether a class can be requested."""
        return True

    def _check_settings(self, has_functions: bool) -> None:
        check_choice("noise", self.noise, ("gate", "drawn", "none"))
        if not 0 < self.gate <= 1:
            raise InputError(f"gate is {self.gate:g}; give a share above 0, at most 1.")
        check_number("sampling_steps", self.sampling_steps, 1)
        check_number("guidance", self.guidance, 1, 20)
        is_told = self.noise != "gate" or self.gate == 1
        if self.guidance > 1 and is_told and not self.plan.unlabeled:
            raise InputError(
                f"guidance is {self.guidance:g} and unlabeled 0: what images look like "
                "without a label is then not learned. Set unlabeled to 0.1, or "
                "guidance to 1."
            )

    def _begin(self, task: TrainingSet) -> FlowStep:
        k, labels = task.n_classes, task.proba.argmax(axis=1)
        real = RealImages(task.images, k, self.device, fixed=True)
        named, told = np.eye(k)[labels], task.is_labeled * 1.0
        if self.noise == "drawn":
            named = task.proba
        elif self.noise == "gate":
            sure = task.proba.max(axis=1)
            told = most_confident(sure, labels, task.is_labeled, self.gate)
        real.set_pairs(named * told[:, None], told)
        return FlowStep(real, task.shape, self.plan, self.random_state, self.device)

    def _finish(
        self, trained: FlowStep, task: TrainingSet, progress: Progress | None
    ) -> None:
        self.flow_ = TrainedFlow(task.shape, task.n_classes, self.plan, self.device)
        self.flow_.maker.load_state_dict(trained.average.module.state_dict())
        distributed().average([trained.lost])
        self._lost = float(trained.lost)
        # Real images alone: to make as many takes longer than to learn from them.
        self.flow_.fit_label_classifier(
            task,
            self.random_state,
            progress,
            learns_from_fake=False,
        )

    def _preview(self, trained: FlowStep, task: TrainingSet, step: int) -> Samples:
        # The same noise each time: one sees the same images become better.
        drawn = torch.Generator(self.device).manual_seed(
            mixed_seed(self.random_state, 10)
        )
        known = np.repeat(np.flatnonzero(task.prior > 0), _SHOWN)
        images = led(
            cast(VelocityNetwork, trained.average.module),
            noise_of(len(known), task.shape, drawn, self.device),
            torch.from_numpy(known).to(self.device),
            self.sampling_steps,
            self.guidance,
        )
        nobody = np.full(len(known), np.nan, np.float32)
        named = np.eye(task.n_classes, dtype=np.float32)[known]
        return Samples(to_pixels(images), named, nobody)

    def _draw(
        self, classes: NDArray[np.int64], generator: torch.Generator
    ) -> tuple[torch.Tensor, NDArray[np.float64], NDArray[np.float64]]:
        images, labels = self.flow_.draw(
            classes, generator, self.sampling_steps, self.guidance
        )
        seen = self.flow_.read(to_pixels(images))
        return images, labels, seen[np.arange(len(classes)), classes]

    def _predict_proba(
        self, images: NDArray[np.uint8], votes: Votes | None
    ) -> NDArray[np.float64]:
        return self.flow_.read(images)

    def _modules(self) -> Mapping[str, torch.nn.Module]:
        return self.flow_.modules()

    def _settings(self) -> dict[str, Any]:
        return {}

    def _restore(self, settings: Mapping[str, Any]) -> None:
        k = len(self.prior_)
        self.flow_ = TrainedFlow(self.shape_, k, self.plan, self.device)

    def _what_is_broken(self, task: TrainingSet) -> str | None:
        # Where no velocity at all would be nearer, images are noise, which differs as
        # much as images do.
        rows = np.linspace(0, len(task.images) - 1, _LOOKED_THROUGH).astype(np.int64)
        pixels = task.images[rows].astype(np.float32) / 127.5 - 1
        of_none = 1 + float(np.square(pixels).mean())
        if self._lost > _WORSE * of_none:
            return (
                "the training is broken: its network leads away from images (loss "
                f"{self._lost:.3g}, and {of_none:.3g} of one that leads nowhere); "
                f"{advice(self.plan)}."
            )
        return super()._what_is_broken(task)
