"""Adversarial Data Programming: images, labels and trust in functions, learned at once.

Pal & Balasubramanian, CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.data.votes import Votes
from lfkit.errors import InputError
from lfkit.generators.adp.adp_step import AdpStep
from lfkit.generators.adp.lf_weights import LFWeights
from lfkit.generators.adp.settings import AdpSettings
from lfkit.generators.adp.tuned_gan import TunedGan
from lfkit.generators.gan import RealImages
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan.networks import GAN_NETWORKS
from lfkit.generators.gan_generator import GanGenerator
from lfkit.generators.lf_votes.batch_votes import BatchVotes
from lfkit.generators.lf_votes.same_functions import check_same_functions
from lfkit.generators.plan import check_choice, check_number
from lfkit.generators.training.watched_training import Training
from lfkit.generators.training_set import Progress, TrainingSet
from lfkit.generators.tuning import check_same_network
from lfkit.labeling.labeling_function import LabelingFunction

_PLAN = GanConfig()
NOISE = ("gate", "confusion", "none")


class Adp(GanGenerator):
    """Learns pairs of images and labels from weak labels alone, in two stages.

    First images, without labels; then pairs, of a class-conditional generator
    and a projection discriminator that also goes on scoring images alone, so that
    images without a confident label are never lost. The Labeling Function Block (Θ, Φ)
    begins at the label model, learns from the functions' votes on generated images,
    whose class is known, chooses which real pairs are used, and gives the confidence
    of a generated label. As printed the method does not work: `docs/adp.md`.

    Parameters
    ----------
    plan : how generator and discriminator are trained.
    noise : what is done about wrong labels of real images. "gate": of each class only
        the most confident pairs are used, a share of `gate`; "confusion": the
        discriminator sees the generated class through the same noise; "none".
    trust : whether Θ and Φ learn, and choose pairs. "auto": where held-out seeds can
        tell what they add to the labels of real images, or a surrogate needs them;
        elsewhere they cost a third of the time and were not seen to help.
    lf_every, lf_batch : the functions vote on so many of the generated images, every
        so many steps.
    surrogate : distil the functions into a small network while training: they then
        vote only every `surrogate_every` steps, and the votes it predicts for an image,
        `consistency` times, add to the generator's loss.
    image_gradient : that loss reaches the image, not the label head alone.
    anchor : the price of moving Θ and Φ away from the label model.
    refresh_every : steps after which the real pairs are chosen anew.
    hold : in another domain, the price of an image without the structure of the first
        domain's image for the same noise and class, once classes are learned; 0: none,
        as in the paper.
    """

    paper = "ADP (Pal & Balasubramanian 2018), as it works"
    needs = "labels, functions or their votes"
    gives = "labeled images, trust in functions (Θ, Φ), labels of real images"
    label_modes: ClassVar[tuple[str, ...]] = ("condition", "head")
    functions: ClassVar[Literal["never", "may", "must"]] = "may"
    is_tunable: ClassVar[bool] = True

    def __init__(
        self,
        plan: GanConfig = _PLAN,
        *,
        noise: str = "gate",
        gate: float = 0.6,
        trust: bool | str = "auto",
        lf_every: int = 8,
        lf_batch: int = 64,
        surrogate: bool = False,
        surrogate_every: int = 64,
        consistency: float = 0.5,
        image_gradient: bool = True,
        anchor: float = 0.3,
        refresh_every: int = 1000,
        hold: float = 8.0,
        random_state: int = 0,
        device: str = "cpu",
    ) -> None:
        self.plan = plan
        self.noise = noise
        self.gate = gate
        self.trust = trust
        self.lf_every = lf_every
        self.lf_batch = lf_batch
        self.surrogate = surrogate
        self.surrogate_every = surrogate_every
        self.consistency = consistency
        self.image_gradient = image_gradient
        self.anchor = anchor
        self.refresh_every = refresh_every
        self.hold = hold
        self.random_state = random_state
        self.device = device

    def faults(self) -> Mapping[str, tuple[int, str]]:
        """Give function → generated images on which it failed in `fit`, and why."""
        return self._faults

    def _check_settings(self, has_functions: bool) -> None:
        check_choice("noise", self.noise, NOISE)
        check_choice("trust", self.trust, (True, False, "auto"))
        if not 0 < self.gate <= 1:
            raise InputError(f"gate is {self.gate:g}; give a share above 0, at most 1.")
        for name in ("lf_every", "lf_batch", "surrogate_every", "refresh_every"):
            check_number(name, getattr(self, name), 1)
        for name in ("anchor", "consistency", "hold"):
            check_number(name, getattr(self, name), 0)
        if self.surrogate and not has_functions:
            raise InputError(
                "surrogate is true, and there are no functions to distil: their votes "
                "came from a file. Set surrogate to false."
            )
        if self.surrogate and not self.trust:
            raise InputError(
                "surrogate is true and trust false: without Θ and Φ nobody asks what "
                "the functions would say. Set trust to true, or surrogate to false."
            )
        useless = self.consistency and not self.image_gradient
        if self.surrogate and useless and self.is_conditional:
            raise InputError(
                "image_gradient is false and the generator knows the class, so the "
                "consistency loss changes nothing; set consistency to 0, or "
                "image_gradient to true, or plan.label_mode to 'head'."
            )

    @property
    def _period(self) -> int:
        return AdpSettings(**self.get_params(deep=False)).votes_every

    def _begin(self, task: TrainingSet) -> AdpStep:
        return AdpStep(task, AdpSettings(**self.get_params(deep=False)))

    def _finish(
        self, trained: AdpStep, task: TrainingSet, progress: Progress | None
    ) -> None:
        gan = self._new_gan(task.shape, task.n_classes)
        gan.maker.load_state_dict(trained.gan.average.module.state_dict())
        trained.choose_mixture()
        gan.fit_label_classifier(trained.mixed_task(), self.random_state, progress)
        self._faults: dict[str, tuple[int, str]] = {}
        if task.lfs:
            block = trained.block or BatchVotes(task.lfs, task.n_classes, self.device)
            gan.check_agreement(block, trained.lf_weights, task, self.random_state)
            self._faults = block.failures()
        self.gan_ = gan
        self.lf_weights_: LFWeights = trained.lf_weights
        self.lf_names_ = task.votes.names

    def _check_common(self, use: str) -> None:
        """Refuse a network without a common block, for what uses it."""
        if not GAN_NETWORKS[self.plan.network].has_common:
            known = [name for name, each in GAN_NETWORKS.items() if each.has_common]
            raise InputError(
                f"network {self.plan.network!r} has no common block, which {use}; "
                f"train with network {', '.join(known[:-1])} or {known[-1]}."
            )

    def _tuning(self, source: Any) -> Training:
        check_same_network(self.plan, source.plan)
        self._check_common("tuning keeps of the source")
        if self.plan.label_mode == "head" and self.plan.head_on == "maps":
            raise InputError(
                "the label head of the source sees the last maps of the image "
                "(head_on is 'maps'), so its labels change with the image branch; "
                "train the source with head_on='common', or label_mode='condition'."
            )
        if self.plan.draw_factor > 1:
            raise InputError(
                f"draw_factor is {self.plan.draw_factor}, as set or as in the source; "
                "tuning makes no use of it: `--set draw_factor=1`."
            )
        return Training(
            partial(self._begin_tuned, source), partial(self._finish_tuned, source)
        )

    def _begin_tuned(self, source: Adp, task: TrainingSet) -> TunedGan:
        return TunedGan(
            RealImages(task.images, task.n_classes, self.device, fixed=True),
            task.shape,
            source.gan_.maker,
            torch.from_numpy(source.prior_),
            self.plan,
            self.random_state,
            self.device,
            self.hold,
        )

    def _finish_tuned(
        self,
        source: Adp,
        trained: TunedGan,
        task: TrainingSet,
        progress: Progress | None,
    ) -> None:
        gan = self._new_gan(task.shape, task.n_classes)
        gan.maker.load_state_dict(trained.average.module.state_dict())
        gan.fit_label_classifier(task, self.random_state, progress)
        # How often functions agree is known of the source's images only.
        self.gan_, self._faults = gan, {}
        self.lf_weights_, self.lf_names_ = source.lf_weights_, source.lf_names_

    def bind(self, lfs: Sequence[LabelingFunction], votes: Votes) -> None:
        """Give it the functions, and their votes on the real images.

        Code is not saved: after `load` a generator knows no function.
        """
        if hasattr(self, "lf_names_") and votes.names != self.lf_names_:
            raise InputError(
                f"Θ and Φ were learned of {len(self.lf_names_)} functions, "
                f"{', '.join(self.lf_names_[:3])}, …, and these are others; no "
                "confidence can be given by them."
            )
        super().bind(lfs, votes)

    @property
    def has_learned_trust(self) -> bool:
        """Whether Θ and Φ are other than the label model says."""
        return self.lf_weights_.has_moved

    @property
    def theta_(self) -> NDArray[np.float64]:
        """(m,) Θ̄: the trust in each function, summing to 1."""
        return self.lf_weights_.theta.detach().double().cpu().numpy()

    @property
    def phi_(self) -> NDArray[np.float64]:
        """(m, m) Φ̄: how far functions vary together."""
        return self.lf_weights_.phi.detach().double().cpu().numpy()

    def relabel(
        self,
        read: Callable[[], NDArray[np.uint8]],
        votes: Votes,
        proba: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], str]:
        """Mix the vote of Θ and Φ into the labels; held-out seeds chose its weight."""
        check_same_functions(votes, self.lf_names_)
        share = float(self.lf_weights_.mixture)
        # A tuned one learned Θ and Φ, and their weight, on the source's run.
        if not share:
            return proba, (
                "the run's labels, unchanged: no held-out seeds bear out what Θ and Φ, "
                "as they were learned, would add"
            )
        mixed = self.lf_weights_.mixed(proba, self.lf_weights_.evidence(votes))
        return mixed, (
            f"Θ and Φ, with a weight of {share:g} that held-out seeds of the run that "
            "they were learned on chose"
        )

    def _draw(
        self, classes: NDArray[np.int64], generator: torch.Generator
    ) -> tuple[torch.Tensor, NDArray[np.float64], NDArray[np.float64]]:
        images, proba = self.gan_.draw(classes, generator)
        labels = proba.argmax(axis=1)
        if self._block is None:
            return images, proba, self.gan_.confidence(labels)
        with torch.no_grad():
            voted = self.lf_weights_(self._block(images)).double().cpu().numpy()
        return images, proba, voted[np.arange(len(labels)), labels]

    def _predict_proba(
        self, images: NDArray[np.uint8], votes: Votes | None
    ) -> NDArray[np.float64]:
        if votes is None:
            return self.gan_.read(images)
        check_same_functions(votes, self.lf_names_)
        return self.lf_weights_.labels(votes)

    def _modules(self) -> Mapping[str, torch.nn.Module]:
        return {**super()._modules(), "trust": self.lf_weights_}

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"lfs": list(self.lf_names_)}

    def _restore(self, settings: Mapping[str, Any]) -> None:
        super()._restore(settings)
        self.lf_names_ = tuple(settings["lfs"])
        k, m = len(self.prior_), len(self.lf_names_)
        silent = np.full((1, m), -1, np.int16)
        self.lf_weights_ = LFWeights(
            Votes(silent, self.lf_names_, k), np.full((1, k), 1 / k)
        ).to(self.device)
