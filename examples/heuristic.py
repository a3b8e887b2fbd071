"""Write a rule by hand, look at how often it speaks and errs, doubt it, improve it.

A zero is a ring: dark in the middle. That is a rule, but other digits are dark in the
middle too, so the second rule also wants ink on all four sides. Nothing is learned and
no label is used, except to look at how good the rules are.
"""

import numpy as np

from lfkit import ABSTAIN, LFAnalysis, LFApplier, feature, labeling_function
from lfkit.data.datasets import open_images

ZERO = 0


@feature
def middle(image):
    """Brightness of the middle 2x2 pixels, of an 8x8 image."""
    return image[3:5, 3:5].mean()


@feature
def weakest_side(image):
    """Brightness beside the middle, on the side where there is least."""
    left, right = image[3:5, 1:3].max(), image[3:5, 5:7].max()
    top, bottom = image[0:2, 3:5].max(), image[6:8, 3:5].max()
    return min(left, right, top, bottom)


@labeling_function(classes=[ZERO], features=[middle])
def dark_middle_is_zero(middle):
    """Call a digit without ink in the middle a zero."""
    return ZERO if middle < 20 else ABSTAIN


@labeling_function(classes=[ZERO], features=[middle, weakest_side])
def ring_is_zero(middle, weakest_side):
    """Call a digit with ink on all four sides of an empty middle a zero."""
    return ZERO if middle < 20 and weakest_side > 80 else ABSTAIN


def main():
    """Apply both rules to 1,797 digits and compare them."""
    source = open_images("digits")
    truth = np.asarray(source.labels)
    one_zero = source.read(np.flatnonzero(truth == ZERO)[:1]).pixels[0]
    print(f"a zero: middle {middle(one_zero):.0f}, vote {ring_is_zero(one_zero)}")

    votes = LFApplier([dark_middle_is_zero, ring_is_zero]).apply(source)
    print(LFAnalysis(votes).lf_summary(truth).round(3).to_string())

    for name, column in zip(votes.names, votes.hard.T, strict=True):
        wrong = truth[(column == ZERO) & (truth != ZERO)]
        found = (column[truth == ZERO] == ZERO).mean()
        taken = ", ".join(map(str, np.unique(wrong))) or "none"
        print(f"{name}: finds {found:.0%} of the zeros; errs on digits {taken}")


if __name__ == "__main__":
    main()
