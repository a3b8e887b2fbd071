"""A teacher that learns from generated images labels the real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lfkit.errors import InputError
from lfkit.generators.classifier_gan import ClassifiedGenerator
from lfkit.generators.gan.config import GanConfig, check_number
from lfkit.generators.training_set import Progress, TrainingSet

if TYPE_CHECKING:
    from lfkit.generators.self_labeling_step import SelfLabelingStep

# R1 costs a step of the discriminator: every sixteenth, 16 times as strong.
_PLAN = GanConfig(
    images_first=0.0,
    network="biggan",
    join="multi-hinge",
    loss="hinge",
    r1_gamma=10.0,
    cutmix=1.0,
)


class SelfLabeling(ClassifiedGenerator):
    """Learns with any share of labels: what is missing, it makes itself.

    Watanabe & Favaro 2021, arXiv:2106.09914. A teacher learns classes from generated
    images only, whose class is known, and labels real ones. What it is sure of, and
    what weak labels and it agree on, the discriminator learns from. Without labels
    (`real_labels=none`) classes are whatever the generator finds easy to tell apart.

    Parameters
    ----------
    plan : `width` 96, `batch` 128 and `augment=translation,cutout` are the paper's, for
        a GPU and many more steps: in 600 on digits it cost 70 points of fidelity.
    real_labels : "model": the run's, soft; "seeds": only theirs; "true"; "none".
    self_label : whether the teacher's labels are used at all.
    threshold : how sure a label must be, of the teacher or of both; 0 = any is used.
    artificial_on_labeled : the teacher's label is shown beside one that is certain.
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
        from lfkit.generators.self_labeling_step import SelfLabelingStep

        return SelfLabelingStep(task, self, self._real(task))

    def _finish(
        self, trained: Any, task: TrainingSet, progress: Progress | None
    ) -> None:
        self.made_ = self._new_made(task.shape, task.n_classes)
        self.made_.maker.load_state_dict(trained.gan.average.module.state_dict())
        self.made_.reader.load_state_dict(trained.average.module.state_dict())
        self._name_codes(task)
