"""Fit one label model in a process of its own: seconds of work, growth of memory.

    python -m benchmarks.one_fit MODEL VOTES.npz

Imports little, since all of it is memory. Linux only: the peak is read from /proc.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from lfkit.aggregators import AGGREGATORS
from lfkit.data.votes import Votes


def measure(name, path):
    """Fit one model in this process: seconds and peak growth in MB."""
    stored = np.load(path)
    matrix, k = stored["votes"].astype(np.int16), int(stored["k"])
    votes = Votes(matrix, tuple(map(str, range(matrix.shape[1]))), k)
    fit, predict = _fit_and_predict(name)
    fit(votes.rows(slice(100)))  # what is imported for it is no growth
    before = _reset_peak()
    start = time.process_time()
    model = fit(votes)
    fitted, growth = time.process_time(), _status("VmHWM") - before
    predict(model, votes)
    done = time.process_time()
    return {"fit": fitted - start, "predict": done - fitted, "growth": growth}


def _fit_and_predict(name):
    """Return what fits a model to votes, and what predicts with it."""
    if name in AGGREGATORS:
        return AGGREGATORS[name]().fit, lambda model, votes: model.predict_proba(votes)
    from snorkel.labeling.model import LabelModel

    def fit(votes):
        model = LabelModel(cardinality=votes.n_classes, verbose=False)
        model.fit(votes.hard, progress_bar=False, seed=0)
        return model

    return fit, lambda model, votes: model.predict_proba(votes.hard)


def _reset_peak():
    """Forget the peak of memory so far; return what is held now, in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
