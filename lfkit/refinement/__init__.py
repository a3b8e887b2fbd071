"""Refinement: labels improved by looking at the images, in stages."""

from lfkit.refinement.feature_sets import ArrayViews as ArrayViews
from lfkit.refinement.feature_sets import PixelViews as PixelViews
from lfkit.refinement.feature_sets import StoredViews as StoredViews
from lfkit.refinement.feature_sets import Views as Views
from lfkit.refinement.pretrained_features import PretrainedViews as PretrainedViews
from lfkit.refinement.refiner import Refiner as Refiner
from lfkit.refinement.refiner import compacted as compacted
from lfkit.refinement.refiner import refine as refine
from lfkit.refinement.result import Refined as Refined
from lfkit.refinement.stages.all_stages import STAGES as STAGES
from lfkit.runs.run_summary import StageReport as StageReport
