"""Metrics: how good generated images and their labels are."""

from lfkit.metrics.augmentation import AugmentationGain as AugmentationGain
from lfkit.metrics.cross_entropy import CrossEntropy as CrossEntropy
from lfkit.metrics.fidelity import LabelFidelity as LabelFidelity
from lfkit.metrics.frechet import FrechetDistance as FrechetDistance
from lfkit.metrics.gan_test import GanTest as GanTest
from lfkit.metrics.gan_train import GanTrain as GanTrain
from lfkit.metrics.image_set import ImageSet as ImageSet
from lfkit.metrics.inception_score import InceptionScore as InceptionScore
from lfkit.metrics.kernel import KernelDistance as KernelDistance
from lfkit.metrics.membership import Membership as Membership
from lfkit.metrics.memorisation import Memorisation as Memorisation
from lfkit.metrics.metric import Metric as Metric
from lfkit.metrics.metric import MetricContext as MetricContext
from lfkit.metrics.metric import Protocol as Protocol
from lfkit.metrics.metric import Score as Score
from lfkit.metrics.oversampling import SmoteGain as SmoteGain
from lfkit.metrics.parzen import ParzenWindow as ParzenWindow
from lfkit.metrics.prdc import Neighborhoods as Neighborhoods

METRICS: dict[str, type[Metric]] = {
    metric.name: metric
    for metric in (
        FrechetDistance,
        KernelDistance,
        InceptionScore,
        Neighborhoods,
        ParzenWindow,
        LabelFidelity,
        CrossEntropy,
        Memorisation,
        Membership,
        GanTrain,
        GanTest,
        AugmentationGain,
        SmoteGain,
    )
}
