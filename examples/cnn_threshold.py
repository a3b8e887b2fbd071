"""Make a labeling function of a network's features, by norm and by direction.

LeNet is trained on twenty labeled digits per class, and the ADP paper (Pal &
Balasubramanian, CVPR 2018) gives the rule: the class whose alpha-trimmed mean norm of
the features is nearest. The norm says how strongly the kernels fire, but not which of
them do; digits differ in the latter. The same features, compared as vectors, show it.
"""

from itertools import combinations

import numpy as np

from lfkit import LFApplier, NearestMean, NearestNorm, labeling_function
from lfkit.data.datasets import open_images
from lfkit.features.lenet import lenet_features


def votes_by(rule, name):
    """Declare a function that votes as a rule fitted on the seeds says."""

    def vote(values, *, rule):
        return rule(values)

    return labeling_function(
        name=name,
        classes=range(10),
        features=[lenet_features],
        thresholds={"rule": rule},
        kind="deep",
        soft=True,
        batched=True,
    )(vote)


norm_is_nearest = votes_by(NearestNorm(lenet_features, trim=0.1), "norm_is_nearest")
mean_is_nearest = votes_by(
    NearestMean(lenet_features, trim=0.1, abstain=0), "mean_is_nearest"
)


def gap(a, b):
    """Measure how far two classes' means are apart, in standard deviations there."""
    line = b.mean(axis=0) - a.mean(axis=0)
    along_a, along_b = a @ line, b @ line
    spread = np.sqrt((along_a.var() + along_b.var()) / 2)
    return (along_b.mean() - along_a.mean()) / spread


def main():
    """Apply both rules to the digits; the network is trained on the way."""
    source = open_images("digits")
    truth = np.asarray(source.labels)
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero(truth == c))[:20] for c in range(10)]
    seeds = np.concatenate(rows)
    applier = LFApplier([norm_is_nearest, mean_is_nearest], n_classes=10)
    votes = applier.apply(source, seed_rows=seeds, seed_labels=truth[seeds])

    others = np.setdiff1d(np.arange(len(truth)), seeds)
    for name, column in zip(votes.names, votes.hard.T, strict=True):
        right = (column[others] == truth[others]).mean()
        print(f"{name}: right on {right:.1%} of the other {len(others)} digits")

    network = applier.lfs_[0].features[0]  # as it was trained
    rows = [others[truth[others] == c][:50] for c in range(10)]
    vectors = [network(source.read(each).pixels) for each in rows]
    norms = [np.linalg.norm(each, axis=1, keepdims=True) for each in vectors]
    for what, values in (("norms", norms), ("vectors", vectors)):
        gaps = [gap(a, b) for a, b in combinations(values, 2)]
        n_far = sum(each > 2 for each in gaps)
        print(f"{what}: {n_far} of {len(gaps)} pairs of classes are 2 deviations apart")


if __name__ == "__main__":
    main()
