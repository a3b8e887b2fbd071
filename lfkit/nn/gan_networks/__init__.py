"""Pairs of generator and discriminator, by name."""

from lfkit.nn.gan_networks.biggan import BIGGAN
from lfkit.nn.gan_networks.cogan import COGAN
from lfkit.nn.gan_networks.dcgan import DCGAN
from lfkit.nn.gan_networks.gan_network import GanNetwork as GanNetwork
from lfkit.nn.gan_networks.sngan import SNGAN

GAN_NETWORKS: dict[str, GanNetwork] = {
    "dcgan": DCGAN,
    "cogan": COGAN,
    "sngan": SNGAN,
    "biggan": BIGGAN,
}
