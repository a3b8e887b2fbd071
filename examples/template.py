"""Draw a template of a digit and let twenty seeds per class say how alike is alike.

The rule slides a hand-drawn four over the image and takes the best normalised
cross-correlation. Where to cut is not ours to guess: BestPrecision finds the cut above
which the seeds are most surely fours. The votes on the seeds themselves, by cuts fitted
without them, foretell how right the rule will be.
"""

import cv2
import numpy as np

from lfkit import ABSTAIN, BestPrecision, LFApplier, feature, labeling_function
from lfkit.data.datasets import open_images

FOUR = 4
N_PER_CLASS = 20
SHIFT_PX = 2
DRAWING = """
    . . . . # . . .
    . . . # # . . .
    . . # # . . . .
    . # # . . # . .
    . # # . # # . .
    . # # # # # # .
    . . . . # # . .
    . . . . # . . .
"""
TEMPLATE = np.array([row.split() for row in DRAWING.split("\n")[1:-1]]) == "#"


@feature
def likeness_to_a_four(image):
    """Correlate the drawn four, moved by up to two pixels: from -1 to 1."""
    padded = np.pad(image[:, :, 0], SHIFT_PX).astype(np.float32)
    template = TEMPLATE.astype(np.float32)
    return cv2.matchTemplate(padded, template, cv2.TM_CCOEFF_NORMED).max()


@labeling_function(
    classes=[FOUR],
    features=[likeness_to_a_four],
    thresholds={"cut": BestPrecision(likeness_to_a_four, min_recall=0.5)},
)
def looks_drawn_like_a_four(likeness, *, cut):
    """Call what resembles the drawing more than most other digits a four."""
    return FOUR if likeness > cut else ABSTAIN


def draw_seeds(labels):
    """Draw twenty images of each class, whose labels may be used."""
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero(labels == c)) for c in range(10)]
    return np.sort(np.concatenate([each[:N_PER_CLASS] for each in rows]))


def report(where, column, truth):
    """Print how many votes are right, and how many fours have one."""
    voted = column == FOUR
    precision = (truth[voted] == FOUR).mean()
    recall = voted[truth == FOUR].mean()
    print(f"{where}: {precision:.1%} of {voted.sum()} votes right, {recall:.1%} found")


def main():
    """Fit the cut, apply the rule, compare what was foretold with what came."""
    source = open_images("digits")
    truth = np.asarray(source.labels)
    seeds = draw_seeds(truth)
    applier = LFApplier([looks_drawn_like_a_four], n_classes=10)
    votes = applier.apply(source, seed_rows=seeds, seed_labels=truth[seeds])
    print(f"fitted cut: {applier.lfs_[0].keywords['cut']:.3f}")
    report("seeds, out of fold", votes.seed_out_of_fold.hard[:, 0], truth[seeds])
    others = np.setdiff1d(np.arange(len(truth)), seeds)
    report("other digits", votes.hard[others, 0], truth[others])


if __name__ == "__main__":
    main()
