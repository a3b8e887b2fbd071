"""Measures of clothes, as written for one image at a time, in NumPy and OpenCV.

Functions of one (28, 28) image, uint8 or gray in [0, 1], with the quantities of
`lf_library._fashion_features`.
"""

import cv2
import numpy as np

from benchmarks.peers_maps import cv2_sobel
from benchmarks.peers_shape import (
    SIDE,
    band,
    band_width,
    cv2_box,
    gray01,
    mean,
    once,
    silhouette,
)

_WINDOW = np.ones((3, 3), np.uint8)


def leg_gap(image):
    """How dark the middle is between two bright sides, in the lower half."""
    rows = gray01(image)[band(image, 0.5, 1.0)]
    sides = np.minimum(rows[:, :14].max(axis=1), rows[:, 14:].max(axis=1))
    return mean(np.maximum(sides - rows[:, 11:17].min(axis=1), 0))


@once
def pieces(image):
    """Pieces of the silhouette in each row, then in each column."""
    mask = silhouette(image)
    across = (mask[:, 1:] > mask[:, :-1]).sum(axis=1) + mask[:, 0]
    down = (mask[1:] > mask[:-1]).sum(axis=0) + mask[0]
    return np.concatenate([across, down])


def sleeve_gaps(image):
    """Share of the lower rows in three pieces or more."""
    mask = silhouette(image)[band(image, 0.5, 0.95)]
    across = (mask[:, 1:] > mask[:, :-1]).sum(axis=1) + mask[:, 0]
    return mean(across >= 3)


def pieces_by_quarter(image):
    """Mean number of pieces in each quarter of the rows and columns."""
    return pieces(image).reshape(8, 7).mean(axis=1)


_WIDTHS = {
    "top_width": band_width(0.0, 0.1),
    "shoulder_width": band_width(0.1, 0.3),
    "waist_width": band_width(0.4, 0.6),
    "hem_width": band_width(0.6, 0.8),
    "foot_width": band_width(0.9, 1.0),
}


def sleeve_flare(image):
    """Shoulders' width beyond the hem's."""
    return _WIDTHS["shoulder_width"](image) - _WIDTHS["hem_width"](image)


def widths(image):
    """Widths from the top to the foot."""
    return np.array([width(image) for width in _WIDTHS.values()])


@once
def reach(image):
    """Share of each column below its highest silhouette pixel."""
    return np.logical_or.accumulate(silhouette(image), axis=0).mean(axis=0)


@once
def underside(image):
    """Share of each column above its lowest silhouette pixel."""
    return np.logical_or.accumulate(silhouette(image)[::-1], axis=0).mean(axis=0)


def shaft(image):
    """How much higher one side stands."""
    found = reach(image)
    return abs(found[:9].mean() - found[19:].mean())


def top_line(image):
    """Height of the top in seven places from left to right."""
    return reach(image).reshape(7, 4).mean(axis=1)


def neck(image):
    """How much deeper the top's middle lies than the shoulders beside it."""
    found = reach(image)
    return min(found[7:11].max(), found[17:21].max()) - found[12:16].mean()


def flat_bottom(image):
    """Share of the object's columns that stand on its lowest row."""
    _, left, bottom, right = cv2_box(image)
    if not bottom:
        return 0.0
    return (underside(image) > bottom / SIDE - 0.05).sum() / max(right - left, 1)


def flat_top(image):
    """Share of the object's columns that reach its highest row."""
    top, left, _, right = cv2_box(image)
    found = reach(image)
    return ((found > 0.95 - top / SIDE) & (found > 0)).sum() / max(right - left, 1)


def arch(image):
    """How high the sole's middle stands over its lowest point."""
    return cv2_box(image)[2] / SIDE - underside(image)[9:19].mean()


def collar(image):
    """How much brighter the middle of the top is than the sides beside it."""
    rows = gray01(image)[band(image, 0.0, 0.15)]
    beside = np.minimum(rows[:, 6:10].max(axis=1), rows[:, 18:22].max(axis=1))
    return mean(rows[:, 12:16].mean(axis=1) - beside)


def front_opening(image):
    """Upright edges down the middle against those beside it."""
    upright = np.abs(cv2_sobel(image)[0][band(image, 0.2, 0.95)])
    beside = (upright[:, 8:12].mean(axis=1) + upright[:, 16:20].mean(axis=1)) / 2
    return mean(upright[:, 12:16].mean(axis=1) - beside)


@once
def inside(image):
    """Pixels whose neighbors are all of the silhouette."""
    mask = silhouette(image).view(np.uint8)
    border = cv2.BORDER_CONSTANT
    return cv2.erode(mask, _WINDOW, borderType=border, borderValue=0).view(bool)


def shade(image):
    """Mean and deviation of the brightness inside."""
    pixels = gray01(image)[inside(image)]
    return np.array([pixels.mean(), pixels.std()]) if pixels.size else np.zeros(2)


@once
def weave(image):
    """Mean edge across and down inside, outlines not counted."""
    mask = inside(image)
    return np.array([mean(np.abs(strength[mask])) for strength in cv2_sobel(image)])


def stripes(image):
    """How much more the stripes lie than stand."""
    upright, lying = weave(image)
    return (lying - upright) / (lying + upright + 0.02)


def shading_down(image):
    """Brightness inside of the upper, middle and lower third."""
    gray, mask = gray01(image), inside(image)
    return np.array([mean(gray[k : k + 9][mask[k : k + 9]]) for k in (0, 9, 18)])


def shading_across(image):
    """Brightness of the left, middle and right of the silhouette."""
    gray, mask = gray01(image), silhouette(image)
    return np.array([mean(gray[:, k : k + 9][mask[:, k : k + 9]]) for k in (0, 9, 18)])


def sole(image):
    """Brightness of the lowest tenth against the fifth above it."""
    gray = gray01(image)
    return mean(gray[band(image, 0.9, 1.0)]) - mean(gray[band(image, 0.7, 0.9)])


def outer_ink(image):
    """Amount and height of what lies in the outer six columns."""
    mask = silhouette(image)
    sides = mask[:, :6].sum(axis=1) + mask[:, 22:].sum(axis=1)
    amount = sides.sum()
    place = sides @ np.linspace(-0.5, 0.5, SIDE) / max(amount, 1)
    return np.array([amount / 336, 0.5 + place])


def handle_gap(image):
    """Empty part of the upper middle, under a handle or between straps."""
    mask = silhouette(image)
    under = np.logical_or.accumulate(mask, axis=0) & ~mask
    return under[2:14, 7:21].mean()


def gaps(image):
    """Background with ink above and below it, and left and right of it."""
    mask = silhouette(image)
    shares = []
    for axis in (0, 1):
        before = np.logical_or.accumulate(mask, axis=axis)
        flipped = np.flip(mask, axis)
        after = np.flip(np.logical_or.accumulate(flipped, axis=axis), axis)
        shares.append((before & after & ~mask).mean())
    return np.array(shares)


def outline_asymmetry(image):
    """Share of the silhouette without a mirror image left to right."""
    mask = silhouette(image)
    return (mask ^ mask[:, ::-1]).sum() / max(2 * mask.sum(), 1)


def widest_row(image):
    """Where half of the silhouette lies above, and where its widest rows are."""
    ink = silhouette(image).sum(axis=1)
    total = max(ink.sum(), 1)
    broad = (ink / total * SIDE) ** 2
    median = (ink.cumsum() < total / 2).sum() / SIDE
    return np.array([median, broad @ np.linspace(0, 1, SIDE) / max(broad.sum(), 1e-6)])


def straight_sides(image):
    """How much the left and the right side run in and out."""
    rows = silhouette(image)[band(image, 0.3, 0.95)]
    if not rows.size:
        return np.zeros(2)
    sides = (rows, rows[:, ::-1])
    lengths = [np.logical_or.accumulate(side, axis=1).sum(axis=1) for side in sides]
    return np.std(lengths, axis=1) / SIDE


OPENCV = {"inside": inside, "front_opening": front_opening, "weave": weave}
OPENCV |= {"stripes": stripes, "shade": shade, "shading_down": shading_down}
NUMPY = _WIDTHS | {
    function.__name__: function
    for function in (
        *(leg_gap, pieces, sleeve_gaps, pieces_by_quarter, sleeve_flare, widths),
        *(reach, underside, shaft, top_line, neck, flat_bottom, flat_top, arch),
        *(collar, shading_across, sole, outer_ink, handle_gap, gaps),
        *(outline_asymmetry, widest_row, straight_sides),
    )
}
