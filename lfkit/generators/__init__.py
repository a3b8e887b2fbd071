"""Generators: images and labels generated together."""

from lfkit.generators.acgan import Acgan as Acgan
from lfkit.generators.adp.adp import Adp as Adp
from lfkit.generators.adp_paper.adp_paper import AdpPaper as AdpPaper
from lfkit.generators.generator import JointGenerator as JointGenerator
from lfkit.generators.jgan import JGan as JGan
from lfkit.generators.samples import Samples as Samples
from lfkit.generators.self_labeling import SelfLabeling as SelfLabeling
from lfkit.generators.ss_infogan import SsInfoGan as SsInfoGan
from lfkit.generators.two_stage import TwoStage as TwoStage
from lfkit.generators.vote import Vote as Vote

GENERATORS: dict[str, type[JointGenerator]] = {
    "adp": Adp,
    "adp-paper": AdpPaper,
    "two-stage": TwoStage,
    "vote": Vote,
    "jgan": JGan,
    "ss-infogan": SsInfoGan,
    "self-labeling": SelfLabeling,
    "acgan": Acgan,
}
