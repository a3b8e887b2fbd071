"""Triple-GAN: a generator, a classifier, and a discriminator of what both pair."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from lfkit.errors import InputError
from lfkit.generators.classifier_gan import ClassifiedGenerator
from lfkit.generators.classifier_step import ClassifierStep
from lfkit.generators.gan import PairGan, RealImages, StepHooks
from lfkit.generators.gan.config import OF_PAIRS, GanConfig
from lfkit.generators.gan.diffaugment import diffaugment
from lfkit.generators.gan.optimizers import adam
from lfkit.generators.plan import check_number
from lfkit.generators.training_set import TrainingSet, most_confident
from lfkit.nn import StepContext
from lfkit.nn.distributed import distributed
from lfkit.nn.sending import sent

_PLAN = GanConfig(unconditional_fraction=0.0, conditioning="concat", pair_weight=1.0)
_RAMP = 0.3  # of the steps with pairs, until consistency has its full price
_AVERAGE = 0.99


class TripleGan(ClassifiedGenerator):
    """Learns classes from some labels, and from what a discriminator takes for real.

    Chongxuan Li et al. 2017, arXiv:1703.02291: the discriminator tells real pairs from
    images of a requested class and from unlabeled images with the classifier's label.
    The classifier is taught by labels, by being consistent (Laine & Aila 2017,
    arXiv:1610.02242: the same answer for an image moved twice), by the discriminator,
    and later by generated images of known class. Its labels of unlabeled images then
    count as real. The expectation over its labels is taken at the likeliest one, as in
    the authors' code.

    Parameters
    ----------
    real_labels : "model": the run's, of the most confident images of each class, a
        share of `gate`; others are unlabeled. "seeds": only theirs; "true".
    alpha : share of the classifier's pairs among those that are not real.
    generated_weight : of generated images in the classifier's loss.
    late_from : share of the steps with pairs after which these teach it, and its own
        labels of unlabeled images count as real.
    consistency : its price, times the share of labeled images.
    adversary_weight : of the discriminator in the classifier's loss, times alpha; .01
        as in the authors' code.
    classifier_rate : of Adam.
    """

    paper = "Triple-GAN (Chongxuan Li et al. 2017)"
    needs = "labels of a few images, or more"
    gives = "images of the class asked for, labels of real images"
    conditionings: ClassVar[tuple[str, ...]] = OF_PAIRS
    real_label_kinds: ClassVar[tuple[str, ...]] = ("model", "true", "seeds")

    def __init__(
        self,
        plan: GanConfig = _PLAN,
        *,
        real_labels: str = "model",
        gate: float = 0.6,
        alpha: float = 0.5,
        generated_weight: float = 0.1,
        late_from: float = 0.2,
        consistency: float = 100.0,
        adversary_weight: float = 0.01,
        classifier_rate: float = 1e-3,
        random_state: int = 0,
        device: str = "cpu",
    ) -> None:
        self.plan = plan
        self.real_labels = real_labels
        self.gate = gate
        self.alpha = alpha
        self.generated_weight = generated_weight
        self.late_from = late_from
        self.consistency = consistency
        self.adversary_weight = adversary_weight
        self.classifier_rate = classifier_rate
        self.random_state = random_state
        self.device = device

    def _check_settings(self, has_functions: bool) -> None:
        super()._check_settings(has_functions)
        for name in ("gate", "alpha", "late_from", "classifier_rate"):
            check_number(name, getattr(self, name), 0, 1)
        for name in ("generated_weight", "consistency", "adversary_weight"):
            check_number(name, getattr(self, name), 0)
        for name in ("gate", "classifier_rate"):
            if not getattr(self, name):
                raise InputError(
                    f"{name} is 0: the classifier would learn nothing. Give a number "
                    "above 0."
                )
        if self.plan.loss == "relativistic" and self.adversary_weight:
            raise InputError(
                "loss is 'relativistic', so a score says nothing by itself, and the "
                "classifier learns from scores of its own pairs. Set loss to "
                "'non-saturating', or adversary_weight to 0."
            )

    def _real(self, task: TrainingSet) -> RealImages:
        k = task.n_classes
        real = RealImages(task.images, k, self.device, fixed=True)
        labels, used = task.proba.argmax(axis=1), task.is_labeled.astype(np.float64)
        if self.real_labels == "model":
            sure = task.proba.max(axis=1)
            used = most_confident(sure, labels, task.is_labeled, self.gate)
        real.set_pairs(np.eye(k)[labels] * used[:, None], used)
        return real

    def _begin(self, task: TrainingSet) -> TripleStep:
        return TripleStep(self._real(task), task.shape, self)


class TripleStep(ClassifierStep):
    """One step: a `PairGan` that is shown the classifier's pairs, then the classifier.

    Parameters
    ----------
    real : its labels teach where their weight is 1; other images are unlabeled.
    """

    def __init__(
        self, real: RealImages, shape: tuple[int, int, int], settings: TripleGan
    ) -> None:
        super().__init__(
            shape,
            real.labels.shape[1],
            average=_AVERAGE,
            random_state=settings.random_state,
            device=settings.device,
        )
        self.real, self.settings = real, settings
        plan, device = settings.plan, settings.device
        is_labeled = real.weights > 0
        self.labeled = torch.nonzero(is_labeled)[:, 0]
        others = torch.nonzero(~is_labeled)[:, 0]
        # The classifier labels all images where none is without a label.
        self.others = others if len(others) else self.labeled
        weights = self.classifier.parameters()
        self.optimizer = adam(weights, settings.classifier_rate, plan)
        # Steps on images alone teach the classifier nothing.
        n_paired = plan.n_steps - plan.first_pair
        self.first_late = plan.first_pair + round(n_paired * settings.late_from)
        self.gan = PairGan(
            real,
            shape,
            plan,
            settings.random_state,
            device,
            StepHooks(rows=self.rows, labels=self.labels, counterfeits=self.classified),
        )

    def rows(self, number: int, batch: int) -> torch.Tensor:
        """Draw real images of a batch's number: labeled ones; later, half of them."""
        settings = self.settings
        rng = np.random.default_rng([settings.random_state, 2, number])
        n_others = 0
        if number // settings.plan.n_discriminator >= self.first_late:
            n_others = batch // 2
        places = rng.integers(len(self.labeled), size=batch - n_others)
        others = rng.integers(len(self.others), size=n_others)
        device = self.labeled.device
        known = self.labeled[sent(places, device)]
        found = torch.cat([known, self.others[sent(others, device)]])
        # Each of several processes takes a part of both.
        return found[sent(rng.permutation(batch), device)]

    def labels(
        self, rows: torch.Tensor, images: torch.Tensor, now: StepContext
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """Give the labels of real pairs: those that are known; later, the others, too.

        Parameters
        ----------
        rows : (n,) of `real`.
        images : (n, c, h, w).

        Returns
        -------
        (n, k) labels, (n,) weights of 0 and 1, and no figures.
        """
        labels, weights = self.real.labels[rows], self.real.weights[rows]
        if now.step < self.first_late:
            return labels, weights, {}
        named = self._named(images)
        labels = torch.where(weights[:, None] > 0, labels, named)
        return labels, torch.ones_like(weights), {}

    def classified(self, now: StepContext) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Pair unlabeled images with the classifier's labels."""
        images = self._drawn(self.others, now)
        return images, self._named(images), self.settings.alpha

    @torch.no_grad()
    def _named(self, images: torch.Tensor) -> torch.Tensor:
        self.classifier.eval()
        scores = self.classifier(images)
        return F.one_hot(scores.argmax(dim=1), scores.shape[1]).float()

    def _drawn(self, rows: torch.Tensor, now: StepContext) -> torch.Tensor:
        return self._pixels(rows[self._places(rows, now)])

    def _places(self, rows: torch.Tensor, now: StepContext) -> torch.Tensor:
        size, device = (self.settings.plan.batch,), rows.device
        found = torch.randint(len(rows), size, generator=now.generator, device=device)
        return distributed().part(found)

    def _pixels(self, rows: torch.Tensor) -> torch.Tensor:
        return self.real.pixels[rows].float().div_(255)

    def _classify(self, now: StepContext) -> dict[str, torch.Tensor]:
        """Let the classifier learn from all four of its teachers."""
        settings, gan = self.settings, self.gan
        if gan.fake.target is None:  # images alone are scored so far
            return {}
        known = self.labeled[self._places(self.labeled, now)]
        labels, n = self.real.labels[known], len(known)
        unlabeled = self._drawn(self.others, now)
        images = torch.cat([self._pixels(known), unlabeled, unlabeled])
        images = diffaugment(images, ("translation",), now.generator)
        self.classifier.train()
        scores = self.classifier(torch.cat([images, gan.fake.images]))
        of_known, one, other, of_fake = torch.split(scores, n)
        loss = _entropy(of_known, labels)
        right = (of_known.argmax(dim=1) == labels.argmax(dim=1)).float().mean()
        figures = {"classifier_accuracy": right}
        share = len(self.labeled) / len(self.real.pixels)
        loss = loss + self._price(now) * share * disagreement(one, other)
        if settings.adversary_weight:
            found = F.softmax(one, dim=1)
            named = F.one_hot(found.argmax(dim=1), found.shape[1]).float()
            with torch.no_grad():
                gan.discriminator.eval()
                judged = gan.discriminator(unlabeled, named).pairs.float()
            fooled = adversary(found, judged, settings.plan.loss)
            loss = loss + settings.alpha * settings.adversary_weight * fooled
            figures["classifier_adversary"] = fooled
        if now.step >= self.first_late:
            taught = _entropy(of_fake, gan.fake.target)
            loss = loss + settings.generated_weight * taught
        self._learn(loss, settings.classifier_rate * now.lr_scale, now)
        return figures | {"classifier_loss": loss}

    def _price(self, now: StepContext) -> float:
        plan = self.settings.plan
        n_paired = plan.n_steps - plan.first_pair
        done = min(1.0, (now.step - plan.first_pair) / max(1, _RAMP * n_paired))
        return self.settings.consistency * math.exp(-5 * (1 - done) ** 2)


def disagreement(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Give the mean squared difference of two answers, (), of scores (n, k)."""
    return (F.softmax(one, dim=1) - F.softmax(other, dim=1)).square().mean()


def adversary(proba: torch.Tensor, scores: torch.Tensor, loss: str) -> torch.Tensor:
    """Give the classifier's loss by the discriminator's scores of its pairs, ().

    The mean of p_c(y|x) log(1 - D(x, y)) at its likeliest label; no gradient passes by
    the label itself.

    Parameters
    ----------
    proba : (n, k) of the classifier.
    scores : (n,) logits of D; of a hinge loss, scores.
    """
    gained = scores if loss == "hinge" else F.softplus(scores)
    return -(proba.amax(dim=1) * gained).mean()


def _entropy(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return -(labels * F.log_softmax(scores, dim=1)).sum(dim=1).mean()
