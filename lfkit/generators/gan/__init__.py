"""GANs of images and labels: config, networks, losses, one step of training."""

from lfkit.generators.gan.batches import Extras as Extras
from lfkit.generators.gan.gan_step import PairGan as PairGan
from lfkit.generators.gan.generator_network import Maker as Maker
from lfkit.generators.gan.generator_network import make_images as make_images
from lfkit.generators.gan.label_classifier import Reader as Reader
from lfkit.generators.gan.real_images import Real as Real
