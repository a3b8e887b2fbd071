"""Refinement: labels improved by looking at the images, in stages."""

from lfkit.refinement.encoded_images import EncodedFeatures as EncodedFeatures
from lfkit.refinement.feature_sets import ArrayFeatures as ArrayFeatures
from lfkit.refinement.feature_sets import FeatureSet as FeatureSet
from lfkit.refinement.feature_sets import PixelFeatures as PixelFeatures
from lfkit.refinement.feature_sets import StoredFeatures as StoredFeatures
from lfkit.refinement.pretrained_features import (
    PretrainedFeatures as PretrainedFeatures,
)
from lfkit.refinement.refiner import Refiner as Refiner
from lfkit.refinement.refiner import compacted as compacted
from lfkit.refinement.refiner import refine as refine
from lfkit.refinement.result import Refined as Refined
from lfkit.refinement.stages.all_stages import STAGES as STAGES
from lfkit.refinement.stages.all_stages import cheap_stages as cheap_stages
from lfkit.runs.run_summary import StageReport as StageReport
