"""The sections of the report, in their order on the page."""

from lfkit.report.sections.confidence import Confidence
from lfkit.report.sections.data import Data
from lfkit.report.sections.errors import Errors
from lfkit.report.sections.function_weights import FunctionWeights
from lfkit.report.sections.functions import Functions
from lfkit.report.sections.generators import Generators
from lfkit.report.sections.human import HumanTest
from lfkit.report.sections.label_models import LabelModels
from lfkit.report.sections.labels import LabelExamples
from lfkit.report.sections.overview import Overview
from lfkit.report.sections.refinement import RefinementStages
from lfkit.report.sections.scores import Scores
from lfkit.report.sections.section import ReportData as ReportData
from lfkit.report.sections.section import Section as Section
from lfkit.report.sections.strange_images import StrangeImages

SECTIONS: tuple[type[Section], ...] = (
    Overview,
    Data,
    LabelExamples,
    Errors,
    Confidence,
    StrangeImages,
    RefinementStages,
    LabelModels,
    Functions,
    FunctionWeights,
    Generators,
    Scores,
    HumanTest,
)
