"""A teacher that learns from generated images labels the real ones."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from lfkit.errors import InputError
from lfkit.generators.classifier_gan import ClassifiedGenerator
from lfkit.generators.classifier_step import ClassifierStep
from lfkit.generators.gan import PairGan, RealImages, StepHooks
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan.diffaugment import diffaugment
from lfkit.generators.plan import check_number
from lfkit.generators.training_set import TrainingSet
from lfkit.nn import StepContext
from lfkit.nn.randaugment import randaugment
from lfkit.nn.state_tensors import begin_state

_CERTAIN = 0.999
# R1 costs a step of the discriminator: every sixteenth, 16 times as strong.
_PLAN = GanConfig(
    unconditional_fraction=0.0,
    network="biggan",
    conditioning="multi-hinge",
    loss="hinge",
    r1_gamma=10.0,
    cutmix=1.0,
)


class SelfLabeling(ClassifiedGenerator):
    """Learns with any share of labels: what is missing, it predicts itself.

    Watanabe & Favaro 2021, arXiv:2106.09914. A teacher learns classes from generated
    images only, whose class is known, and labels real ones. The discriminator learns
    from its confident predictions and from those that weak labels agree with. Without
    labels (`real_labels=none`) classes are whatever the generator separates easily.

    Parameters
    ----------
    plan : `width` 96, `batch` 128 and `augment=translation,cutout` are the paper's, for
        a GPU and many more steps: in 600 on digits it cost 70 points of fidelity.
    real_labels : "model": the run's, soft; "seeds": only theirs; "true"; "none".
    self_label : whether the teacher's labels are used at all.
    threshold : least probability of a label, of the teacher or of both; 0: any is used.
    artificial_on_labeled : the teacher's label is used beside one that is certain.
    teacher_rate, teacher_average : of its gradient descent, and of its moving average.
    """

    paper = "self-labeling (Watanabe & Favaro 2021)"
    needs = "labels of any share of the images, or none"
    gives = "images of the class asked for, labels of real images"

    def __init__(
        self,
        plan: GanConfig = _PLAN,
        *,
        real_labels: str = "model",
        self_label: bool = True,
        threshold: float = 0.95,
        artificial_on_labeled: bool = False,
        teacher_rate: float = 0.03,
        teacher_average: float = 0.999,
        random_state: int = 0,
        device: str = "cpu",
    ) -> None:
        self.plan = plan
        self.real_labels = real_labels
        self.self_label = self_label
        self.threshold = threshold
        self.artificial_on_labeled = artificial_on_labeled
        self.teacher_rate = teacher_rate
        self.teacher_average = teacher_average
        self.random_state = random_state
        self.device = device

    def _check_settings(self, has_functions: bool) -> None:
        super()._check_settings(has_functions)
        check_number("threshold", self.threshold, 0, 1)
        check_number("teacher_rate", self.teacher_rate, 0, 1)
        if not self.teacher_rate:
            raise InputError(
                "teacher_rate is 0: the teacher would learn nothing. Give a number "
                "above 0."
            )
        check_number("teacher_average", self.teacher_average, 0, 0.99999)

    def _begin(self, task: TrainingSet) -> SelfLabelingStep:
        return SelfLabelingStep(task, self, self._real(task))


class SelfLabelingStep(ClassifierStep):
    """One step: a `PairGan` whose real labels a teacher completes, then its teacher.

    The classifier is the teacher: it sees generated images only, and its moving average
    labels real ones.
    """

    name = "teacher"

    def __init__(
        self, task: TrainingSet, settings: SelfLabeling, real: RealImages
    ) -> None:
        super().__init__(
            task.shape,
            task.n_classes,
            average=settings.teacher_average,
            random_state=settings.random_state,
            device=settings.device,
        )
        self.real, self.settings = real, settings
        self.optimizer = torch.optim.SGD(
            self.classifier.parameters(),
            lr=settings.teacher_rate,
            momentum=0.9,
            nesterov=True,
        )
        begin_state(self.optimizer)
        self.gan = PairGan(
            real,
            task.shape,
            settings.plan,
            settings.random_state,
            settings.device,
            StepHooks(labels=self.labels),
        )

    @torch.no_grad()
    def labels(
        self, rows: torch.Tensor, images: torch.Tensor, now: StepContext
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """Label real images (section 3.2, equation 6): given, agreed on, or foreseen.

        Parameters
        ----------
        rows : (n,) of `real`.
        images : (n, c, h, w).

        Returns
        -------
        (n, k) labels, (n,) weights of 0 and 1, and figures.
        """
        given, settings = self.real.labels[rows], self.settings
        is_given = self.real.weights[rows] > 0
        if not settings.self_label:
            return given, is_given.float(), {}
        k = given.shape[1]
        moved = diffaugment(images, ("translation",), now.generator)
        foreseen = F.softmax(self.average.module(moved), dim=1)
        known = torch.where(is_given[:, None], given, torch.full_like(given, 1 / k))
        both = foreseen * known
        both = both / both.sum(dim=1, keepdim=True).clamp_min(1e-12)
        named = both.argmax(dim=1)
        agreed = ~is_given | (given.argmax(dim=1) == named)
        used = agreed & (both.amax(dim=1) >= settings.threshold)
        labels = F.one_hot(named, k).float()
        certain = is_given & (given.amax(dim=1) > _CERTAIN)
        labels = torch.where(certain[:, None], given, labels)
        if settings.artificial_on_labeled:
            is_sure = certain & (foreseen.amax(dim=1) >= settings.threshold)
            own = F.one_hot(foreseen.argmax(dim=1), k).float()
            labels = torch.where(is_sure[:, None], (given + own) / 2, labels)
        used = used | certain
        return labels, used.float(), {"share_labeled": used.float().mean()}

    def _classify(self, now: StepContext) -> dict[str, torch.Tensor]:
        """Let the teacher learn from what was just generated."""
        fake, settings = self.gan.fake, self.settings
        if fake.target is None:  # images alone are scored so far
            return {}
        self.classifier.train()
        scores = self.classifier(randaugment(fake.images, now.generator))
        loss = -(fake.target * F.log_softmax(scores, dim=1)).sum(dim=1).mean()
        done = now.step / max(settings.plan.n_steps, 1)
        rate = settings.teacher_rate * now.lr_scale * (1 + math.cos(math.pi * done)) / 2
        self._learn(loss, rate, now)
        right = scores.argmax(dim=1) == fake.target.argmax(dim=1)
        return {"teacher_loss": loss, "teacher_accuracy": right.float().mean()}
