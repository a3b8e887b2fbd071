"""Algorithms as published against cheap stand-ins: what they cost and how good."""

from collections import defaultdict

import numpy as np

from benchmarks.common import N_SEEDS, markdown, one_thread
from benchmarks.costs import Costs
from lf_library.rules import claim, resembles
from lfkit import LFApplier
from lfkit.data.seed_labels import draw_seeds
from lfkit.features.compressive import sparse_residuals, subspace_residuals
from lfkit.features.patchmatch import patchmatch_distances, window_patch_distances
from lfkit.features.sift import sift_grid
from lfkit.features.textons import texton_grid
from lfkit.features.texture import lbp_grid
from lfkit.features.visual_words import visual_words

PAIRS = (
    (patchmatch_distances, window_patch_distances),
    (sparse_residuals, subspace_residuals),
    (texton_grid, lbp_grid),
    (visual_words, sift_grid),
)


def stand_in_table(source, *, n_draws=3, n_per_class=N_SEEDS):
    """Compare each pair by NearestMean on the images that are no seeds: Markdown."""
    lfs = [
        claim(
            f"{node.name}_resembles", node.doc, resembles(node, kind="deep", abstain=0)
        )
        for pair in PAIRS
        for node in pair
    ]
    truth = np.asarray(source.labels)
    right = defaultdict(list)
    for seed in range(n_draws):
        drawn = draw_seeds(source, truth, source.class_names, n_per_class, seed)
        applier = LFApplier(lfs, n_classes=len(source.class_names), device="cpu")
        votes = applier.apply(
            source, seed_rows=drawn.rows, seed_labels=drawn.labels, random_state=seed
        )
        scored = np.setdiff1d(np.arange(len(source)), drawn.rows)
        for lf, column in zip(applier.lfs_, votes.hard[scored].T, strict=True):
            right[lf.features[0].name].append((column == truth[scored]).mean())
    fitted = {node.name: node for lf in applier.lfs_ for node in lf.features}
    pixels = source.read(np.arange(min(len(source), 1024))).pixels
    with one_thread():
        costs = Costs(list(fitted.values()), pixels, 1)
    rows = []
    for pair in PAIRS:
        cells = []
        for node in pair:
            found = right[node.name]
            spread = f"{np.mean(found):.3f} ({min(found):.3f}-{max(found):.3f})"
            ms = f"{1e3 * costs.whole(fitted[node.name]):.3f}"
            cells.append((node.name, ms, spread))
        gain = np.mean(right[pair[0].name]) - np.mean(right[pair[1].name])
        rows.append((*cells[0], *cells[1], f"{gain:+.3f}"))
    titles = (
        *("algorithm", "core-ms", "accuracy"),
        *("stand-in", "core-ms", "accuracy", "gain"),
    )
    return markdown(titles, rows)
