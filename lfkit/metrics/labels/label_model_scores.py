"""Label models side by side: what each makes of the votes of one run."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators import AGGREGATORS
from lfkit.aggregators.aggregate import aggregate_with, make_aggregator
from lfkit.aggregators.calibration import log_losses, measure
from lfkit.data.progress import Progress, Unlike
from lfkit.errors import LfkitError
from lfkit.runs.run import Run

OF_THE_RUN = "labels of the run"
_MOST_IMAGES = 20_000
_MODELS = Unlike("label models")


@dataclass(frozen=True)
class LabelScores:
    """How right labels are, and how far their confidence can be believed.

    All but the last two are of images of known class that were not given as seeds; None
    without any, and where there is no confidence.

    Attributes
    ----------
    name : the label model's.
    accuracy : share of right labels; no label counts as wrong.
    macro_accuracy : mean of the classes' shares of right labels.
    ece, brier, nll : calibration error, Brier score and mean log loss of the posterior.
    n : images behind these.
    labeled : share of all images that get a label.
    seconds : to fit and label.
    note : why there is nothing, or "".
    """

    name: str
    accuracy: float | None
    macro_accuracy: float | None
    ece: float | None
    brier: float | None
    nll: float | None
    n: int
    labeled: float
    seconds: float | None
    note: str = ""


def score_label_models(run: Run, progress: Progress | None = None) -> list[LabelScores]:
    """Fit every aggregator to the run's votes, and score it beside the run's labels.

    All are calibrated on the seeds as the run's labels are, if there are any.

    Of more than 20,000 images a draw of 20,000 is taken, the same for all, and the
    seeds.
    """
    seeds = run.votes.seed_rows
    rows = np.random.default_rng(0).permutation(len(run.votes))[:_MOST_IMAGES]
    rows = np.unique(rows if seeds is None else np.concatenate([rows, seeds]))
    votes = replace(
        run.votes.rows(rows),
        seed_rows=None if seeds is None else np.searchsorted(rows, seeds),
        seed_labels=run.votes.seed_labels,
        seed_out_of_fold=run.votes.seed_out_of_fold,
    )
    truth = run.scored[rows]
    labels, proba = run.labels.labels[rows], run.labels.proba[rows]
    found = [_scored(OF_THE_RUN, truth, proba, labels, None)]
    names = [name for name in AGGREGATORS if _is_usable(name, run)]
    for place, name in enumerate(names):
        if progress is not None:
            progress(_MODELS, place, len(names))
        start = time.perf_counter()
        config = run.config
        model = make_aggregator(name, config.options.class_balance, config.options.seed)
        try:
            made = aggregate_with(model, votes, name)
        except LfkitError as error:
            nothing = (None, None, None, None, None)
            found.append(LabelScores(name, *nothing, 0, 0.0, None, str(error)))
            continue
        seconds = time.perf_counter() - start
        found.append(_scored(name, truth, made.proba, made.labels, seconds))
    if progress is not None:
        progress(_MODELS, len(names), len(names))
    return found


def _is_usable(name: str, run: Run) -> bool:
    needs_seeds = AGGREGATORS[name].learns_from_seeds and name != "auto"
    return run.votes.seed_out_of_fold is not None or not needs_seeds


def _scored(
    name: str,
    truth: NDArray[np.int64],
    proba: NDArray[np.float64],
    labels: NDArray[np.int64],
    seconds: float | None,
) -> LabelScores:
    known = truth >= 0
    labeled = float((labels >= 0).mean()) if len(labels) else 0.0
    if not known.any():
        nothing = (None, None, None, None, None)
        return LabelScores(name, *nothing, 0, labeled, seconds)
    right = labels[known] == truth[known]
    of_class = np.bincount(truth[known], minlength=proba.shape[1])
    per_class = np.bincount(truth[known], right, minlength=proba.shape[1])
    calibration = measure(proba[known], truth[known])
    assert calibration is not None, "some are known"
    return LabelScores(
        name,
        accuracy=float(right.mean()),
        macro_accuracy=float(
            (per_class / np.maximum(of_class, 1))[of_class > 0].mean()
        ),
        ece=calibration.ece,
        brier=calibration.brier,
        nll=float(log_losses(proba[known], truth[known]).mean()),
        n=int(known.sum()),
        labeled=labeled,
        seconds=seconds,
    )
