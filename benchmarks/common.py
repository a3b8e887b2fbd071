"""What the benchmarks share: seeds, a fitted library, clocks, Markdown."""

import contextlib
import platform
import time

import cv2
import numpy as np
import torch
from threadpoolctl import threadpool_limits

from lfkit import LFApplier
from lfkit.data.datasets import ArraySource
from lfkit.labeling.engine.function_evaluator import cpu_count

N_SEEDS = 20
_N_UNLABELED = 2048


def draw_rows(labels, n_per_class=N_SEEDS, random_state=0):
    """Draw rows of seeds, so many of each class, ascending; -1 is no class."""
    rng = np.random.default_rng(random_state)
    rows = [
        rng.permutation(np.flatnonzero(labels == label))[:n_per_class]
        for label in range(int(labels.max()) + 1)
    ]
    return np.sort(np.concatenate(rows))


def fit(lfs, source, n_per_class=N_SEEDS):
    """Fit functions on a few seeds per class and 2,048 images without labels."""
    labels = np.asarray(source.labels)
    seeds = draw_rows(labels, n_per_class)
    others = np.random.default_rng(1).permutation(len(source))[:_N_UNLABELED]
    rows = np.concatenate([seeds, np.setdiff1d(others, seeds)])
    applier = LFApplier(lfs, device="cpu", strict=True)
    applier.apply(
        ArraySource(source.read(rows).pixels),
        seed_rows=np.arange(len(seeds)),
        seed_labels=labels[seeds],
    )
    return applier.lfs_


def timed(work):
    """Call something: its result and the seconds it took."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


@contextlib.contextmanager
def one_thread():
    """Have torch, OpenCV and NumPy's matrix products use one core."""
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])


def machine():
    """Say what the figures were measured on."""
    return (
        f"{cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__}"
    )


def markdown(titles, rows):
    """Write a table whose first column is text and whose others are numbers."""
    lines = [
        "| " + " | ".join(titles) + " |",
        "|---" + "|--:" * (len(titles) - 1) + "|",
    ]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def over_seeds(rows, name, digits):
    """Give the mean over seeds and, of several, its range; nothing if not measured."""
    values = [row.get(name) for row in rows if row.get(name) is not None]
    if not values:
        return ""
    mean = f"{np.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ({min(values):.{digits}f}-{max(values):.{digits}f})"
