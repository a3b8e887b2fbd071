"""Generators of labeled images, by name."""

from lfkit.generators.adp import Adp as Adp
from lfkit.generators.adp_paper import AdpPaper as AdpPaper
from lfkit.generators.generator import JointGenerator as JointGenerator
from lfkit.generators.samples import Samples as Samples
from lfkit.generators.two_stage import TwoStage as TwoStage
from lfkit.generators.vote import Vote as Vote

GENERATORS: dict[str, type[JointGenerator]] = {
    "adp": Adp,
    "adp-paper": AdpPaper,
    "two-stage": TwoStage,
    "vote": Vote,
}
