"""Written digits: claims with fixed conditions, and the ADP paper's two tables."""

import numpy as np
import torch

from lf_library._digit_features import dot_matrix, segments
from lfkit import ABSTAIN, BestPrecision, feature, labeling_function
from lfkit.features.shape import band_width, second_moments
from lfkit.features.topology import hole_count, hole_diameter, hole_sizes, stem_count

# ADP (Pal & Balasubramanian, CVPR 2018), appendix C, labeling functions 1 and 2, prints
# these weights. Only the first has ten entries; the others have nine, and each sums to
# one. We read them as leaving out class 7, which has no loop: the first seven entries
# are classes 0 to 6, the last two 8 and 9.
_TWO_SMALL_BLOBS = (0.2, 0, 0, 0, 0, 0.1, 0, 0, 0.6, 0.1)
_ONE_SMALL_BLOB = (0.6, 0, 0.2, 0, 0.1, 0, 0, 0, 0, 0.1)
_LARGE_BLOB = (0.4, 0, 0, 0, 0.1, 0, 0.3, 0, 0.1, 0.1)
_STEMS = (
    (0.8, 0, 0, 0, 0.1, 0, 0, 0, 0, 0.1),
    (0.1, 0, 0, 0, 0.4, 0, 0.4, 0, 0, 0.1),
    (0, 0, 0, 0, 0.8, 0, 0, 0, 0, 0.2),
)
# The paper's 0.5 cm means nothing without a ruler: a share of the image's side instead.
_SMALL_BLOB_DIAMETER = 0.25

top_width = band_width("top_width", 0.0, 0.2)
waist_width = band_width("waist_width", 0.4, 0.6)
base_width = band_width("base_width", 0.8, 1.0)


@feature(batched=True, of=[hole_sizes])
def loop_height(sizes):
    """Where the holes lie, from 0 (top) to 1 (bottom), .5 without holes: (n,)."""
    rows = (sizes > 0).to(sizes.dtype).sum(dim=2)  # (n, 28)
    along = torch.linspace(-0.5, 0.5, rows.shape[1], device=rows.device)
    return 0.5 + rows @ along / rows.sum(dim=1).clamp(min=1)


@feature(batched=True, of=[top_width, waist_width, base_width])
def widths(*bands):
    """Widths of the top, the middle and the base: (n, 3)."""
    return torch.stack(bands, dim=1)


@feature(batched=True, of=[top_width, base_width])
def top_heaviness(top, base):
    """How much wider the digit is at the top than at its base: (n,)."""
    return top - base


@feature(batched=True, of=[base_width, waist_width])
def base_heaviness(base, waist):
    """How much wider the digit is at its base than in its middle: (n,)."""
    return base - waist


@feature(batched=True, of=[second_moments])
def spread_across(moments):
    """How far the ink spreads across: standard deviation in half image sides, (n,)."""
    return moments[:, 1]


@labeling_function(
    features=[hole_count, hole_diameter], classes=range(10), soft=True, batched=True
)
def blobs_tell_digit(count, diameter):
    """ADP's function 1: number and size of the loops weigh the digits."""
    small = (count > 0) & (diameter <= _SMALL_BLOB_DIAMETER)
    cases = torch.stack(
        [small & (count == 2), small & (count == 1), diameter > _SMALL_BLOB_DIAMETER],
        dim=1,
    )
    weights = [_TWO_SMALL_BLOBS, _ONE_SMALL_BLOB, _LARGE_BLOB]
    return cases.to(diameter.dtype) @ diameter.new_tensor(weights)


@labeling_function(
    features=[hole_count, stem_count], classes=range(10), soft=True, batched=True
)
def stems_tell_digit(count, stems):
    """ADP's function 2: the number of stems on the loop weighs the digits."""
    n_stems = torch.arange(len(_STEMS), device=stems.device)
    cases = (count[:, None] > 0) & (stems[:, None] == n_stems)
    return cases.to(stems.dtype) @ stems.new_tensor(_STEMS)


@labeling_function(features=[hole_count], classes=[8], batched=True)
def two_holes_is_eight(count):
    """Two loops make an eight."""
    return torch.where(count == 2, 8, ABSTAIN)


@labeling_function(
    features=[hole_diameter],
    classes=[0],
    thresholds={"large": BestPrecision(hole_diameter, min_recall=0.5)},
    batched=True,
)
def large_hole_is_zero(diameter, *, large=0.27):
    """A loop around most of the digit makes a zero."""
    return torch.where(diameter > large, 0, ABSTAIN)


@labeling_function(
    features=[loop_height, hole_count],
    classes=[6],
    thresholds={"low": BestPrecision(loop_height, min_recall=0.5)},
    batched=True,
)
def low_loop_is_six(place, count, *, low=0.6):
    """One loop, at the bottom, makes a six."""
    return torch.where((place > low) & (count == 1), 6, ABSTAIN)


@labeling_function(
    features=[loop_height, hole_count],
    classes=[9],
    thresholds={"high": BestPrecision(loop_height, side="below", min_recall=0.4)},
    batched=True,
)
def high_loop_is_nine(place, count, *, high=0.4):
    """One loop, at the top, makes a nine."""
    return torch.where((place < high) & (count == 1), 9, ABSTAIN)


@labeling_function(
    features=[spread_across],
    classes=[1],
    thresholds={"narrow": BestPrecision(spread_across, side="below", min_recall=0.4)},
    batched=True,
)
def narrow_is_one(spread, *, narrow=0.28):
    """Ink in one upright stroke makes a one."""
    return torch.where(spread < narrow, 1, ABSTAIN)


@labeling_function(
    features=[top_heaviness, hole_count],
    classes=[7],
    thresholds={"heavy": BestPrecision(top_heaviness, min_recall=0.4)},
    batched=True,
)
def bar_over_foot_is_seven(top, count, *, heavy=0.3):
    """Without a loop, a wide bar over a narrow foot makes a seven."""
    return torch.where((top > heavy) & (count == 0), 7, ABSTAIN)


@labeling_function(
    features=[base_heaviness, hole_count],
    classes=[2],
    thresholds={"heavy": BestPrecision(base_heaviness, min_recall=0.4)},
    batched=True,
)
def wide_base_is_two(base, count, *, heavy=0.3):
    """Without a loop, a base wider than what stands on it makes a two."""
    return torch.where((base > heavy) & (count == 0), 2, ABSTAIN)


@labeling_function(
    features=[base_heaviness],
    classes=[4],
    thresholds={"light": BestPrecision(base_heaviness, side="below", min_recall=0.4)},
    batched=True,
)
def crossbar_over_foot_is_four(base, *, light=-0.35):
    """Much wider in the middle than at the foot makes a four."""
    return torch.where(base < light, 4, ABSTAIN)


@labeling_function(classes=[3])
def open_on_the_left_is_three(image):
    """Twice open to the left makes a three (plain NumPy, one image at a time)."""
    gray = image.mean(axis=2)
    ink = gray > 0.4 * gray.max()
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if len(rows) < 5 or len(columns) < 4:
        return ABSTAIN
    box = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    tall, wide = box.shape
    start = box.argmax(axis=1) / wide  # of each row's ink
    upper = start[round(0.2 * tall) : round(0.45 * tall)]
    lower = start[round(0.6 * tall) : round(0.85 * tall)]
    is_open = upper.max() >= 0.5 and lower.max() >= 0.5
    return 3 if is_open and start[0] < 0.45 and start[-1] < 0.45 else ABSTAIN


# Top, upper left, upper right, middle, lower left, lower right, bottom: what a display
# of seven segments lights up. A handwritten one is a single stroke down the middle,
# which lies across a third of each lying segment.
_SEGMENTS = (
    (1, 1, 1, 0, 1, 1, 1),
    (0.3, 0, 0, 0.3, 0, 0, 0.3),
    (1, 0, 1, 1, 1, 0, 1),
    (1, 0, 1, 1, 0, 1, 1),
    (0, 1, 1, 1, 0, 1, 0),
    (1, 1, 0, 1, 0, 1, 1),
    (1, 1, 0, 1, 1, 1, 1),
    (1, 0, 1, 0, 0, 1, 0),
    (1, 1, 1, 1, 1, 1, 1),
    (1, 1, 1, 1, 0, 1, 1),
)
# The digits of a dot matrix printer, five dots wide and seven high, row by row.
_DOTS = (
    ".###. #...# #..## #.#.# ##..# #...# .###.",
    "..#.. .##.. ..#.. ..#.. ..#.. ..#.. .###.",
    ".###. #...# ....# ...#. ..#.. .#... #####",
    ".###. #...# ....# ..##. ....# #...# .###.",
    "...#. ..##. .#.#. #..#. ##### ...#. ...#.",
    "##### #.... ####. ....# ....# #...# .###.",
    "..##. .#... #.... ####. #...# #...# .###.",
    "##### ....# ...#. ..#.. ..#.. .#... .#...",
    ".###. #...# #...# .###. #...# #...# .###.",
    ".###. #...# #...# .#### ....# ...#. .##..",
)
# How sure a fixed picture is of itself: chosen once, not fitted.
_SEGMENT_SHARPNESS, _DOT_SHARPNESS = 2.0, 3.0


@labeling_function(features=[segments], classes=range(10), soft=True, batched=True)
def display_shows_digit(lit):
    """Of the ten pictures on a seven-segment display it is closest to this one's."""
    low, high = lit.amin(dim=1, keepdim=True), lit.amax(dim=1, keepdim=True)
    scaled = (lit - low) / (high - low).clamp(min=0.1)
    gap = scaled[:, None] - lit.new_tensor(_SEGMENTS)  # (n, 10, 7)
    return torch.softmax(-_SEGMENT_SHARPNESS * gap.square().sum(dim=2), dim=1)


@labeling_function(features=[dot_matrix], classes=range(10), soft=True, batched=True)
def printer_prints_digit(dots):
    """Of the ten digits of a dot matrix printer it is most like this one."""
    font = [[dot == "#" for dot in rows.replace(" ", "")] for rows in _DOTS]
    printed = dots.new_tensor(font)  # (10, 35)
    printed = printed - printed.mean(dim=1, keepdim=True)
    printed = printed / torch.linalg.vector_norm(printed, dim=1, keepdim=True)
    return torch.softmax(_DOT_SHARPNESS * (dots @ printed.T), dim=1)


CLAIMS = [
    blobs_tell_digit,
    stems_tell_digit,
    two_holes_is_eight,
    large_hole_is_zero,
    low_loop_is_six,
    high_loop_is_nine,
    narrow_is_one,
    bar_over_foot_is_seven,
    wide_base_is_two,
    crossbar_over_foot_is_four,
    display_shows_digit,
    printer_prints_digit,
]
