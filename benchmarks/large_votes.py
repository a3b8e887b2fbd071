"""A million images, each model in a process of its own; and how many times faster.

Seconds are those of the processor, on one thread. Memory is what the process grows by,
at its peak, while it fits: the votes themselves are there before.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import markdown
from benchmarks.label_model_peers import SNORKEL, ours_without_seeds, peers, warm_up
from benchmarks.vote_sets import (
    Cell,
    any_class_vote,
    class_prior,
    draw,
    named,
    unipolar_vote,
)
from lfkit.aggregators import AGGREGATORS

N_FUNCTIONS = 20
_LIMIT = 300  # seconds of a model
# k, how a function votes, how often it finds its class or votes at all.
KINDS = {
    "unipolar": (10, unipolar_vote, (0.3, 0.8)),
    "pattern-rich": (2, any_class_vote, (0.05, 0.2)),
    "hardly a pattern twice": (3, any_class_vote, (0.5, 0.9)),
}


def print_large(names, n=1_000_000):
    """Print seconds and memory of fits to a million images."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            path = Path(folder) / f"{kind}.npz"
            votes = large_votes(kind, n)
            np.savez(path, votes=votes.hard.astype(np.int8), k=votes.n_classes)
            n_patterns = len(votes.patterns().counts)
            del votes
            for name in names:
                if name == SNORKEL or name in AGGREGATORS:
                    rows.append([kind, f"{n_patterns:,}", name, *_fresh(name, path)])
                    print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    print(
        f"### Fits to {n:,} images by {N_FUNCTIONS} functions, each in a new process\n"
    )
    titles = ["votes", "patterns", "model", "fit, s", "predict, s", "peak growth, MB"]
    print(markdown(titles, rows))


def large_votes(kind, n):
    """Draw votes of twenty functions."""
    k, vote, often = KINDS[kind]
    rng = np.random.default_rng(0)
    prior = class_prior(k, "balanced")
    truth = rng.choice(k, p=prior, size=n)
    columns = [
        vote(rng, prior, truth, j % k, often).astype(np.int16)
        for j in range(N_FUNCTIONS)
    ]
    return named(np.stack(columns, axis=1), k)


def print_ratios(n=20_000, classes=(2, 10)):
    """Print how many times faster ours fit than Snorkel."""
    warm_up([SNORKEL] if SNORKEL in peers() else [])
    rows = []
    for k in classes:
        found = draw(Cell(k, "balanced", "multi-class", "independent", n), 0)
        covered = found.votes.voted.any(axis=1)
        seconds, lines = {}, []
        for name, work in _contestants(found.votes).items():
            start = time.process_time()
            proba = work()
            seconds[name] = time.process_time() - start
            right = (proba.argmax(axis=1) == found.truth)[covered].mean()
            lines.append([f"k={k}", name, f"{seconds[name]:.3f}", f"{100 * right:.1f}"])
        for line in lines:
            rows.append([*line, _times(seconds, line[1])])
    print(f"### Ratios: {n:,} images, seconds to fit and predict\n")
    print(
        markdown(
            ["classes", "model", "seconds", "accuracy", "times faster than Snorkel"],
            rows,
        )
    )  # fmt: skip


def _contestants(votes):
    """Give what is timed: ours and Snorkel's model."""
    found = {
        name: (lambda made=made: made().fit_predict_proba(votes))
        for name, made in ours_without_seeds().items()
    }
    if SNORKEL in peers():
        found[SNORKEL] = peers()[SNORKEL](votes)
    return found


def _times(seconds, name):
    if SNORKEL not in seconds or name == SNORKEL:
        return "-"
    return f"{seconds[SNORKEL] / seconds[name]:.1f}"


def _fresh(name, path):
    """Fit in a new process: seconds to fit, to predict, peak growth in MB."""
    command = [sys.executable, "-m", "benchmarks.one_fit", name, str(path)]
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=_LIMIT,
            env=os.environ | one,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ["-", "-", f"not done in {_LIMIT} s"]
    if done.returncode:
        return ["-", "-", done.stderr.decode().strip().splitlines()[-1][:80]]
    found = json.loads(done.stdout.splitlines()[-1])
    return [
        f"{found['fit']:.2f}", f"{found['predict']:.2f}", f"{found['growth']:.0f}",
    ]  # fmt: skip
