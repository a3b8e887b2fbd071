"""Tune thresholds on twenty labels per class, and see which figures to believe.

Three rules claim sevens, by the weight of a digit's top or by its whole profile; each
finds its cut in another way. On the seeds they were fitted on, they look better than
they are; out of fold, fitted without the seed that is asked, they do not. A rule that
may keep silent trades how often it speaks for how often it is right.
"""

import numpy as np

import lfkit
from lfkit.data.datasets import open_images

SEVEN = 7


@lfkit.feature(batched=True)
def profile(images):
    """Measure the ink in every row: (n, 8)."""
    return images.mean(dim=(1, 3))


@lfkit.feature(batched=True, of=[profile])
def top_heaviness(ink):
    """Compare the ink in the two top rows with that in the two bottom rows: (n,)."""
    return (ink[:, :2].sum(dim=1) - ink[:, 6:].sum(dim=1)) / ink.sum(dim=1)


def seven_above(heaviness, *, rule):
    """Call a digit whose top is heavier than the cut a seven."""
    return SEVEN if heaviness > rule else lfkit.ABSTAIN


def declare(name, rule, vote=lambda values, *, rule: rule(values), **settings):
    """Make a labeling function; if not told how to vote, it does as the rule says."""
    return lfkit.labeling_function(
        name=name, features=[rule.feature], thresholds={"rule": rule}, **settings
    )(vote)


FEW_FALSE = lfkit.Quantile(top_heaviness, 0.95, among="others")
PUREST = lfkit.BestPrecision(top_heaviness, min_recall=0.3)
SHARES = lfkit.OneVsRest(profile, [SEVEN], min_recall=0.3)
SOFT = {"classes": range(10), "soft": True, "batched": True}
LFS = [
    declare("false alarms 5 %", FEW_FALSE, seven_above, classes=[SEVEN]),
    declare("purest seeds", PUREST, seven_above, classes=[SEVEN]),
    declare("seven or not", SHARES, **SOFT),
]
for share in (0.0, 0.2, 0.4, 0.6):
    name, nearest = f"silent {share:.0%}", lfkit.NearestMean(profile, abstain=share)
    LFS.append(declare(name, nearest, **SOFT))


def precision(column, labels):
    """Give the share of votes that are right."""
    return (column == labels)[column != lfkit.ABSTAIN].mean()


def main():
    """Fit all rules on 200 seeds; print one line for each."""
    source = open_images("digits")
    truth = np.asarray(source.labels)
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero(truth == c))[:20] for c in range(10)]
    seeds = np.concatenate(rows)
    others = np.setdiff1d(np.arange(len(truth)), seeds)
    applier = lfkit.LFApplier(LFS)
    votes = applier.apply(source, seed_rows=seeds, seed_labels=truth[seeds])
    print("right on            seeds  out of fold  others  covers")
    for j, name in enumerate(votes.names):
        seen = precision(votes.hard[seeds, j], truth[seeds])
        unseen = precision(votes.seed_out_of_fold.hard[:, j], truth[seeds])
        right = precision(votes.hard[others, j], truth[others])
        covers = (votes.hard[others, j] != lfkit.ABSTAIN).mean()
        print(f"{name:18}{seen:7.1%}{unseen:13.1%}{right:8.1%}{covers:8.1%}")


if __name__ == "__main__":
    main()
