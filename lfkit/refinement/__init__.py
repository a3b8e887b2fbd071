"""Labels from votes, made better by looking at the images: a pipeline of stages."""

from lfkit.refinement.pretrained import PretrainedViews as PretrainedViews
from lfkit.refinement.refined import Refined as Refined
from lfkit.refinement.refined import StageReport as StageReport
from lfkit.refinement.refiner import Refiner as Refiner
from lfkit.refinement.refiner import compacted as compacted
from lfkit.refinement.refiner import refine as refine
from lfkit.refinement.stages import STAGES as STAGES
from lfkit.refinement.views import ArrayViews as ArrayViews
from lfkit.refinement.views import PixelViews as PixelViews
from lfkit.refinement.views import StoredViews as StoredViews
from lfkit.refinement.views import Views as Views
