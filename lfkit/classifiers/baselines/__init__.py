"""Plain classifiers trained on the seeds alone: the baseline labels have to beat."""

from lfkit.classifiers.baselines.baseline import Baseline as Baseline
from lfkit.classifiers.baselines.baseline import best_baseline as best_baseline
from lfkit.classifiers.baselines.baseline import check_seeds as check_seeds
from lfkit.classifiers.baselines.baseline_labels import BaselineLabels as BaselineLabels
from lfkit.classifiers.baselines.baseline_labels import (
    baseline_labels as baseline_labels,
)
from lfkit.classifiers.baselines.find_baselines import find_baselines as find_baselines
from lfkit.classifiers.baselines.scoring import score_baselines as score_baselines
