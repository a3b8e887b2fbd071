"""Generators: images and labels generated together."""

from lfkit.generators.acgan import Acgan as Acgan
from lfkit.generators.adp.adp import Adp as Adp
from lfkit.generators.adp.adp_multi import AdpMulti as AdpMulti
from lfkit.generators.adp_paper.adp_paper import AdpPaper as AdpPaper
from lfkit.generators.cgan import Cgan as Cgan
from lfkit.generators.coupled_gan import CoGan as CoGan
from lfkit.generators.flow.flow import Flow as Flow
from lfkit.generators.generator import JointGenerator as JointGenerator
from lfkit.generators.jgan import JGan as JGan
from lfkit.generators.samples import Samples as Samples
from lfkit.generators.self_labeling import SelfLabeling as SelfLabeling
from lfkit.generators.ss_infogan import SsInfoGan as SsInfoGan
from lfkit.generators.stream import GeneratedStream as GeneratedStream
from lfkit.generators.triple_gan import TripleGan as TripleGan
from lfkit.generators.two_stage import TwoStage as TwoStage
from lfkit.generators.vote import Vote as Vote
from lfkit.generators.wsgan.wsgan import WsGan as WsGan

GENERATORS: dict[str, type[JointGenerator]] = {
    "adp": Adp,
    "adp-multi": AdpMulti,
    "adp-paper": AdpPaper,
    "two-stage": TwoStage,
    "vote": Vote,
    "flow": Flow,
    "jgan": JGan,
    "ss-infogan": SsInfoGan,
    "self-labeling": SelfLabeling,
    "acgan": Acgan,
    "cgan": Cgan,
    "cogan": CoGan,
    "triple-gan": TripleGan,
    "wsgan": WsGan,
}
