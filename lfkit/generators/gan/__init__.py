"""GANs of images and labels: config, networks, losses, one step of training."""

from lfkit.generators.gan.batches import StepHooks as StepHooks
from lfkit.generators.gan.gan_step import PairGan as PairGan
from lfkit.generators.gan.generator_network import GeneratorNetwork as GeneratorNetwork
from lfkit.generators.gan.generator_network import make_images as make_images
from lfkit.generators.gan.label_classifier import LabelClassifier as LabelClassifier
from lfkit.generators.gan.real_images import RealImages as RealImages
