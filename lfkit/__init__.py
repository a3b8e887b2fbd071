"""Label images with labeling functions: write a few rules, label the whole data set.

The words for writing and applying labeling functions. Importing them loads no torch.
"""

from lfkit.analysis import LFAnalysis as LFAnalysis
from lfkit.features.feature import extract as extract
from lfkit.features.feature import feature as feature
from lfkit.features.feature import image as image
from lfkit.labeling.applier import LFApplier as LFApplier
from lfkit.labeling.cuts import OneOf as OneOf
from lfkit.labeling.cuts import OneVsRest as OneVsRest
from lfkit.labeling.labeling_function import labeling_function as labeling_function
from lfkit.labeling.likelihood import CountLikelihood as CountLikelihood
from lfkit.labeling.likelihood import Likelihood as Likelihood
from lfkit.labeling.nearest import NearestMean as NearestMean
from lfkit.labeling.nearest import NearestNorm as NearestNorm
from lfkit.labeling.thresholds import BestPrecision as BestPrecision
from lfkit.labeling.thresholds import Quantile as Quantile
from lfkit.labeling.thresholds import Threshold as Threshold
from lfkit.votes import ABSTAIN as ABSTAIN
from lfkit.votes import Votes as Votes
