"""Adversarial Data Programming as printed, to see what it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.data.votes import Votes
from lfkit.errors import InputError
from lfkit.generators.adp_paper.paper_step import (
    PaperAdpStep,
    PaperGenerator,
    PaperSettings,
)
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan_generator import GanGenerator
from lfkit.generators.lf_votes.dependency_matrix import row_stochastic
from lfkit.generators.lf_votes.vote_tensors import weights_of
from lfkit.generators.lf_votes.weighted_vote import aggregated
from lfkit.generators.plan import check_choice, check_number
from lfkit.generators.training_set import Progress, TrainingSet

# Section 4.3: Adam with rate 1e-4 and β₁ .5, batches of 128, two steps of D for one
# of G.
_PLAN = GanConfig(
    label_mode="none",
    network="cogan",
    z_dim=100,
    batch=128,
    conditioning="concat",
    rate_g=1e-4,
    rate_d=1e-4,
    n_discriminator=2,
)


class AdpPaper(GanGenerator):
    """Learns Θ and Φ per image by fooling two discriminators, word for word.

    Pal & Balasubramanian, Adversarial Data Programming, CVPR 2018, Algorithms 1 and 2.
    Its Θ collapses onto a few functions, and its labels lose to a plain vote: `adp` is
    what works. Each switch undoes one of the causes; the defaults are as printed but
    for the loss, which is non-saturating, and Θ, a softmax, since θ / Σθ is undefined
    for mixed signs.

    Parameters
    ----------
    real_labels : whose labels `lfkit train` pairs real images with: "true", as in the
        paper, of a data set that has them; "seeds", only theirs; "model", the run's.
    fresh_batch : G is scored on a batch of its own, for which functions vote again.
    soft_labels : real labels as the label model's posteriors, not one-hot: the labels
        of both sides are then of one kind.
    image_term : D also judges images alone.
    judge_dependencies : D_LFB takes part (equation 8).
    dependencies : how Φ_real is counted, "algorithm-1" or "agreement", which the
        order of the functions does not change.
    dependencies_of : "fake" images, as printed, or "real" ones.
    equation : 7 or 9, the label in training; at the end it is 9.
    theta_anchor : price of Θ's distance from even trust.
    prior_weight : price of class shares unlike those of the real labels.
    """

    paper = "ADP (Pal & Balasubramanian 2018), as printed"
    needs = "labels, functions"
    gives = "images labeled by the functions, Θ and Φ"
    conditionings = ("projection", "concat")
    unused = (
        *("augment", "r1_gamma", "r2_gamma", "gp_weight"),
        *("cutmix", "draw_factor", "n_codes", "precision", "compile"),
    )
    # The functions' votes are the label: the networks are conditioned on none.
    label_modes: ClassVar[tuple[str, ...]] = ("none",)
    functions: ClassVar[Literal["never", "may", "must"]] = "must"

    def __init__(
        self,
        plan: GanConfig = _PLAN,
        *,
        real_labels: str = "model",
        fresh_batch: bool = True,
        soft_labels: bool = False,
        image_term: bool = False,
        judge_dependencies: bool = True,
        dependencies: str = "algorithm-1",
        dependencies_of: str = "fake",
        equation: int = 7,
        theta_anchor: float = 0.0,
        prior_weight: float = 0.0,
        random_state: int = 0,
        device: str = "cpu",
    ) -> None:
        self.plan = plan
        self.real_labels = real_labels
        self.fresh_batch = fresh_batch
        self.soft_labels = soft_labels
        self.image_term = image_term
        self.judge_dependencies = judge_dependencies
        self.dependencies = dependencies
        self.dependencies_of = dependencies_of
        self.equation = equation
        self.theta_anchor = theta_anchor
        self.prior_weight = prior_weight
        self.random_state = random_state
        self.device = device

    def faults(self) -> Mapping[str, tuple[int, str]]:
        """Give function → generated images on which it failed in `fit`, and why."""
        return self._faults

    def _check_settings(self, has_functions: bool) -> None:
        check_choice("dependencies", self.dependencies, ("algorithm-1", "agreement"))
        check_choice("dependencies_of", self.dependencies_of, ("fake", "real"))
        check_choice("equation", self.equation, (7, 9))
        check_choice("real_labels", self.real_labels, ("model", "true", "seeds"))
        for name in ("theta_anchor", "prior_weight"):
            check_number(name, getattr(self, name), 0)
        if self.plan.loss == "relativistic":
            raise InputError(
                "loss is 'relativistic', which compares a generated image with a real "
                "one: in the paper's steps a generator sees none. Set loss to "
                "'non-saturating'."
            )

    def _begin(self, task: TrainingSet) -> PaperAdpStep:
        return PaperAdpStep(task, PaperSettings(**self.get_params(deep=False)))

    def _finish(
        self, trained: PaperAdpStep, task: TrainingSet, progress: Progress | None
    ) -> None:
        averaged = trained.average.module
        assert isinstance(averaged, PaperGenerator)
        self.maker_: PaperGenerator = averaged
        self.gan_ = self._new_gan(task.shape, task.n_classes)
        self.gan_.maker.images.load_state_dict(self.maker_.images.state_dict())
        self.gan_.fit_label_classifier(task, self.random_state, progress)
        self.lf_names_ = task.votes.names
        self.theta_ = trained.mean_theta.double().cpu().numpy()
        self.phi_ = trained.mean_phi.double().cpu().numpy()
        self._faults = trained.block.failures()
        self.bind(task.lfs, task.votes)

    def _draw(
        self, classes: NDArray[np.int64], generator: torch.Generator
    ) -> tuple[torch.Tensor, NDArray[np.float64], NDArray[np.float64]]:
        block = self.bound
        z = torch.randn(
            len(classes), self.plan.z_dim, generator=generator, device=self.device
        )
        self.maker_.eval()
        with torch.no_grad():
            images, theta, phi = self.maker_(z)
            prior = torch.from_numpy(self.prior_.astype(np.float32)).to(z.device)
            label = aggregated(block(images), theta, row_stochastic(phi), prior)
        proba = label.double().cpu().numpy()
        return images, proba, proba.max(axis=1)

    def _predict_proba(
        self, images: NDArray[np.uint8], votes: Votes | None
    ) -> NDArray[np.float64]:
        if votes is None:
            return self.gan_.read(images)
        theta, phi, prior = (
            torch.from_numpy(np.asarray(part, np.float32))
            for part in (self.theta_, self.phi_, self.prior_)
        )
        parts = [
            aggregated(part, theta, row_stochastic(phi), prior)
            for part in weights_of(votes)
        ]
        return torch.cat(parts).double().numpy()

    def _modules(self) -> Mapping[str, torch.nn.Module]:
        return {"literal": self.maker_, "reader": self.gan_.label_classifier}

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {
            "lfs": list(self.lf_names_),
            "theta": self.theta_.tolist(),
            "phi": self.phi_.tolist(),
        }

    def _restore(self, settings: Mapping[str, Any]) -> None:
        super()._restore(settings)
        self.lf_names_ = tuple(settings["lfs"])
        self.theta_ = np.asarray(settings["theta"])
        self.phi_ = np.asarray(settings["phi"])
        m = len(self.lf_names_)
        if self.theta_.shape != (m,) or self.phi_.shape != (m, m):
            raise ValueError(f"theta and phi are not those of {m} functions")
        nothing = torch.Generator().manual_seed(0)
        self.maker_ = PaperGenerator(self.shape_, m, self.plan, nothing).to(self.device)
