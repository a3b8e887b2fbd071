"""Pairs of generator and discriminator, by name."""

from lfkit.generators.gan.networks.biggan import BIGGAN
from lfkit.generators.gan.networks.cogan import COGAN
from lfkit.generators.gan.networks.dcgan import DCGAN
from lfkit.generators.gan.networks.gan_network import GanNetwork as GanNetwork
from lfkit.generators.gan.networks.r3gan import R3GAN
from lfkit.generators.gan.networks.sngan import SNGAN

GAN_NETWORKS: dict[str, GanNetwork] = {
    "dcgan": DCGAN,
    "cogan": COGAN,
    "sngan": SNGAN,
    "biggan": BIGGAN,
    "r3gan": R3GAN,
}
