"""Labeling functions for house numbers: SVHN-like digits in color, 32x32.

A digit may be lighter or darker than the wall, and others stand beside it. Ink is first
told from ground by color; then the functions for written digits read the ink. Others
read the gray image, turned over where ink is dark. By the kinds of the ADP paper's
tables 1 and 3 (Pal & Balasubramanian, CVPR 2018): at least 43 heuristics, 10 by image
processing, 2 deep. Tried on composed images only; real house numbers are untested.
"""

from lf_library import digits
from lf_library._street_features import bright_ink, middle_strokes
from lf_library.rules import claim, resembles, through
from lfkit.features.gist import gist
from lfkit.features.hog import hog
from lfkit.features.image_parts import seen_in
from lfkit.features.label_propagation import transductive
from lfkit.features.lenet import lenet_features
from lfkit.features.sift import sift_grid
from lfkit.features.visual_words import patch_words

DATA = "street-digits"
CLASSES = digits.CLASSES

hog4 = hog(cell=4, block=1)
ink_hog, ink_gist, ink_sift, ink_words = (
    seen_in(feature, bright_ink) for feature in (hog4, gist, sift_grid, patch_words)
)
ink_transduced = transductive(
    ink_words, ink_sift, ink_gist, ink_hog, name="ink_transduced"
)

# One reads the gray image itself, the other trusts loops, which close too often here.
_OF_CLEAN_INK = ("open_on_the_left_is_three", "large_hole_is_zero")

LFS = [
    *(through(lf, middle_strokes) for lf in digits.LFS if lf.name not in _OF_CLEAN_INK),
    claim(
        "gray_hog_resembles_class",
        "With light ink, gray gradients point the way they do in the class.",
        resembles(ink_hog, kind="image-processing", abstain=0.05),
    ),
    claim(
        "gray_gist_resembles_class",
        "With light ink, gray strokes run in the directions of the class.",
        resembles(ink_gist, kind="image-processing", abstain=0.05),
    ),
    claim(
        "gray_sift_resembles_class",
        "With light ink, gray SIFT descriptors are those of the class.",
        resembles(ink_sift, kind="image-processing", abstain=0.05),
    ),
    claim(
        "gray_patch_words_are_those_of_class",
        "With light ink, it is made of the same small gray patches as the class.",
        resembles(ink_words, kind="image-processing", abstain=0.05),
    ),
    claim(
        "alike_gray_images_make_it_class",
        "Discrete-continuous ADMM: gray images that look alike share a label.",
        resembles(ink_transduced, kind="image-processing", abstain=0.05),
    ),
    claim(
        "lenet_sees_class_in_gray",
        "LeNet, trained on gray seeds with light ink, fires as it does for the class.",
        resembles(seen_in(lenet_features, bright_ink), kind="deep", abstain=0.05),
    ),
]
