"""Outline, moments and symmetry, as written for one image at a time.

Functions of one (28, 28) image, uint8 or gray in [0, 1], with the quantities of
`lfkit.features.shape` and `lfkit.features.moments`.
"""

import functools
import math

import cv2
import numpy as np
import skimage.measure

SIDE = 28
_LINE = np.arange(SIDE)
_FROM_MIDDLE = np.linspace(-1, 1, SIDE, dtype=np.float32)


def once(function):
    """Compute a quantity that several functions read once per image."""
    last = [None, None]

    @functools.wraps(function)
    def remembered(image):
        if image is not last[0]:
            last[:] = image, function(image)
        return last[1]

    return remembered


@once
def gray01(image):
    """Brightness in [0, 1]."""
    return image / np.float32(255) if image.dtype == np.uint8 else image


@once
def silhouette(image):
    """Mask of what is not background."""
    return image > 0.15 * image.max()


@once
def cv2_box(image):
    """Top, left, bottom, right of the silhouette, by OpenCV."""
    left, top, wide, high = cv2.boundingRect(silhouette(image).view(np.uint8))
    return np.array([top, left, top + high, left + wide])


@once
def _regions(image):
    return skimage.measure.regionprops(silhouette(image).astype(np.uint8))


def skimage_box(image):
    """Top, left, bottom, right of the silhouette, by regionprops."""
    regions = _regions(image)
    return np.array(regions[0].bbox if regions else (0, 0, 0, 0))


def band(image, start, stop):
    """Rows whose centre lies in a band of the box, as a slice."""
    box = cv2_box(image)
    top, tall = box[0], box[2] - box[0]
    first = math.ceil(top + start * tall - 0.5)
    return slice(first, math.ceil(top + stop * tall - 0.5))


def mean(values):
    """Average, 0 if there is nothing."""
    return float(values.mean()) if values.size else 0.0


def band_width(start, stop):
    """Make the mean extent of the silhouette's rows in a band of its height."""

    def extent(image):
        rows = silhouette(image)[band(image, start, stop)]
        reach = SIDE - rows.argmax(axis=1) - rows[:, ::-1].argmax(axis=1)
        return mean(np.where(rows.any(axis=1), reach, 0) / SIDE)

    return extent


def height(image):
    """Share of the image's height."""
    box = cv2_box(image)
    return (box[2] - box[0]) / SIDE


def width(image):
    """Share of the image's width."""
    box = cv2_box(image)
    return (box[3] - box[1]) / SIDE


def aspect(image):
    """Width over height."""
    return width(image) / max(height(image), 1 / SIDE)


def fill(image):
    """Share of the box that is covered."""
    top, left, bottom, right = cv2_box(image)
    area = (bottom - top) * (right - left)
    return cv2.countNonZero(silhouette(image).view(np.uint8)) / max(area, 1)


def skimage_height(image):
    """Share of the image's height, by regionprops."""
    box = skimage_box(image)
    return (box[2] - box[0]) / SIDE


def skimage_width(image):
    """Share of the image's width, by regionprops."""
    box = skimage_box(image)
    return (box[3] - box[1]) / SIDE


def skimage_aspect(image):
    """Width over height, by regionprops."""
    return skimage_width(image) / max(skimage_height(image), 1 / SIDE)


def skimage_fill(image):
    """Share of the box that is covered: regionprops' extent."""
    regions = _regions(image)
    return regions[0].extent if regions else 0.0


def unmatched(*flips):
    """Make the share of brightness without a mirror image, for OpenCV's flip codes."""

    def share(image):
        moved = image
        for code in flips:
            moved = cv2.flip(moved, code)
        total = float(cv2.sumElems(image)[0])
        return cv2.norm(image, moved, cv2.NORM_L1) / max(2 * total, 1e-6)

    return share


asymmetry = unmatched(1)
top_bottom_asymmetry = unmatched(0)
point_asymmetry = unmatched(-1)


@once
def _cv2_moments(image):
    return cv2.moments(image)


def centre_of_mass(image):
    """Mean row and column from the image's middle, in half sides."""
    found = _cv2_moments(image)
    if not found["m00"]:
        return np.zeros(2)
    pixels = np.array([found["m01"], found["m10"]]) / found["m00"]
    return pixels / ((SIDE - 1) / 2) - 1


def skimage_centre_of_mass(image):
    """Mean row and column from the image's middle, by scikit-image."""
    if not image.any():
        return np.zeros(2)
    return skimage.measure.centroid(image) / ((SIDE - 1) / 2) - 1


def second_moments(image):
    """Spreads and slant, from OpenCV's moments."""
    found = _cv2_moments(image)
    unit = max(found["m00"], 1e-6) * ((SIDE - 1) / 2) ** 2
    down, across = max(found["mu02"], 0) / unit, max(found["mu20"], 0) / unit
    return np.array([math.sqrt(down), math.sqrt(across), found["mu11"] / unit])


def skimage_moments(image):
    """Spreads and slant, from scikit-image's moments."""
    found = skimage.measure.moments_central(gray01(image), order=2)
    unit = max(found[0, 0], 1e-6) * ((SIDE - 1) / 2) ** 2
    down, across = max(found[2, 0], 0) / unit, max(found[0, 2], 0) / unit
    return np.array([math.sqrt(down), math.sqrt(across), found[1, 1] / unit])


def orientation_angle(image):
    """Degrees from upright to the long axis, from OpenCV's moments."""
    found = _cv2_moments(image)
    return (
        math.degrees(math.atan2(2 * found["mu11"], found["mu02"] - found["mu20"])) / 2
    )


def skimage_orientation_angle(image):
    """Degrees from upright to the long axis, from scikit-image's moments."""
    found = skimage.measure.moments_central(gray01(image), order=2)
    return math.degrees(math.atan2(2 * found[1, 1], found[2, 0] - found[0, 2])) / 2


def hu_moments(image):
    """Hu's invariants, by OpenCV."""
    return _logarithmic(cv2.HuMoments(cv2.moments(gray01(image)))[:, 0])


def skimage_hu_moments(image):
    """Hu's invariants, by scikit-image."""
    central = skimage.measure.moments_central(gray01(image))
    if not central[0, 0]:
        return np.zeros(7)
    normalized = skimage.measure.moments_normalized(central)
    # Rows before columns is a reflection: only the seventh changes its sign.
    found = skimage.measure.moments_hu(normalized) * (1, 1, 1, 1, 1, 1, -1)
    return _logarithmic(found)


def _logarithmic(invariants):
    return np.sign(invariants) * np.log10(1 + np.abs(invariants) / 1e-8)


def radial_profile(image):
    """Mean brightness in rings of 2 pixels around the centre."""
    row, column = (centre_of_mass(image) + 1) * ((SIDE - 1) / 2)
    squared = ((_LINE - row) ** 2)[:, None] + (_LINE - column) ** 2
    ring = np.minimum(np.sqrt(squared).astype(np.intp) // 2, 7).ravel()
    sums = np.bincount(ring, gray01(image).ravel(), minlength=8)
    return sums / np.maximum(np.bincount(ring, minlength=8), 1)


def row_profile(image):
    """Mean brightness of each row."""
    return gray01(image).mean(axis=1)


def outline(image):
    """Widths, heights, left and top contours."""
    mask = silhouette(image)
    rows, columns = mask.sum(axis=1), mask.sum(axis=0)
    left = np.where(rows > 0, mask.argmax(axis=1), SIDE)
    top = np.where(columns > 0, mask.argmax(axis=0), SIDE)
    return np.concatenate([rows, columns, left, top]) / SIDE


def intensity_histogram(image):
    """Shares of 16 shades."""
    if image.dtype == np.uint8:
        bins = image.ravel().astype(np.intp) * 16 // 255
    else:
        bins = (image.ravel() * 16).astype(np.intp)
    return np.bincount(np.minimum(bins, 15), minlength=16) / image.size


def numpy_histogram(image):
    """Shares of 16 shades, by np.histogram."""
    return np.histogram(gray01(image), bins=16, range=(0, 1))[0] / image.size


NUMPY = {
    "gray28": gray01,
    "silhouette": silhouette,
    "outline": outline,
    "intensity_histogram": intensity_histogram,
    "radial_profile": radial_profile,
    "row_profile": row_profile,
}
OPENCV = {
    "bounding_box": cv2_box,
    "height": height,
    "width": width,
    "aspect": aspect,
    "fill": fill,
    "asymmetry": asymmetry,
    "top_bottom_asymmetry": top_bottom_asymmetry,
    "point_asymmetry": point_asymmetry,
    "centre_of_mass": centre_of_mass,
    "second_moments": second_moments,
    "orientation_angle": orientation_angle,
    "hu_moments": hu_moments,
}
SKIMAGE = {
    "bounding_box": skimage_box,
    "height": skimage_height,
    "width": skimage_width,
    "aspect": skimage_aspect,
    "fill": skimage_fill,
    "intensity_histogram": numpy_histogram,
    "centre_of_mass": skimage_centre_of_mass,
    "second_moments": skimage_moments,
    "orientation_angle": skimage_orientation_angle,
    "hu_moments": skimage_hu_moments,
}
