"""Label images with labeling functions: write a few rules, label the whole data set.

The words for writing and applying labeling functions. Importing them loads no torch.
"""

import sys
from itertools import pairwise
from typing import Any

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    # `python -m lfkit`: a numpy.py in the current folder would be imported in place of
    # the real one. What is found nowhere else is still found there.
    started = (name for m, name in pairwise(sys.orig_argv) if m == "-m")
    if next(started, "").partition(".")[0] == "lfkit":
        sys.path.append(sys.path.pop(0))

from lfkit.data.votes import ABSTAIN as ABSTAIN
from lfkit.data.votes import Votes as Votes
from lfkit.features.feature import extract as extract
from lfkit.features.feature import feature as feature
from lfkit.features.feature import image as image
from lfkit.labeling import metadata as metadata
from lfkit.labeling.analysis import LFAnalysis as LFAnalysis
from lfkit.labeling.applier import LFApplier as LFApplier
from lfkit.labeling.labeling_function import labeling_function as labeling_function
from lfkit.labeling.network_names import names_of as names_of
from lfkit.labeling.network_names import network_classes as network_classes
from lfkit.labeling.one_of import OneOf as OneOf
from lfkit.labeling.prompts import prompts as prompts
from lfkit.labeling.thresholds.cuts import Gate as Gate
from lfkit.labeling.thresholds.cuts import OneVsRest as OneVsRest
from lfkit.labeling.thresholds.likelihood import CountLikelihood as CountLikelihood
from lfkit.labeling.thresholds.likelihood import Likelihood as Likelihood
from lfkit.labeling.thresholds.nearest_mean import NearestMean as NearestMean
from lfkit.labeling.thresholds.nearest_mean import NearestNorm as NearestNorm
from lfkit.labeling.thresholds.threshold import BestPrecision as BestPrecision
from lfkit.labeling.thresholds.threshold import Quantile as Quantile
from lfkit.labeling.thresholds.threshold import Threshold as Threshold

_LATER = {
    "LFClassifier": "lfkit.commands.lf_classifier",
    "LabeledImages": "lfkit.commands.labeled_images",
    "load_labeler": "lfkit.commands.labeler",
}


def __getattr__(name: str) -> Any:
    """Import when they are asked for: `lfkit.studio(run)`, `lfkit.load_labeler`."""
    from importlib import import_module

    if name == "studio":
        return import_module("lfkit.studio")
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'lfkit' has no attribute {name!r}")
