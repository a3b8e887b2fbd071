"""HOG, gist, patterns, wavelets, SIFT and textons' filters, one image at a time.

Functions of one (28, 28) image, uint8 or gray in [0, 1], with the quantities of
`lfkit.features`. Those named skimage_ use scikit-image, the others OpenCV and NumPy,
whichever took least time.
"""

import math

import cv2
import numpy as np
import skimage.feature
import skimage.filters
import torch

from benchmarks.peers_shape import SIDE, gray01, once
from lfkit.features.compressive import projection_matrix
from lfkit.features.sift import BLUR_PX, CELL_PX, KEYPOINTS_PX

_REPLICATE = cv2.BORDER_REPLICATE


def skimage_hog(image):
    """HOG of 4x4 cells, each normalised by itself."""
    return skimage.feature.hog(
        gray01(image), 9, pixels_per_cell=(4, 4), cells_per_block=(1, 1)
    )


_CELL_OF_PIXEL = (np.arange(SIDE)[:, None] // 4 * 7 + np.arange(SIDE) // 4) * 9


def numpy_hog(image):
    """HOG in NumPy: one bincount instead of a loop over cells."""
    gray = gray01(image)
    right, down = np.zeros_like(gray), np.zeros_like(gray)
    right[:, 1:-1] = gray[:, 2:] - gray[:, :-2]
    down[1:-1] = gray[2:] - gray[:-2]
    length, angle = cv2.cartToPolar(right, down)
    bins = (angle * np.float32(9 / np.pi)).astype(np.intp) % 9 + _CELL_OF_PIXEL
    sums = np.bincount(bins.ravel(), length.ravel(), 441).reshape(49, 9) / 16
    sums /= np.sqrt((sums**2).sum(axis=1, keepdims=True) + 1e-10)
    sums = np.minimum(sums, 0.2)
    return (sums / np.sqrt((sums**2).sum(axis=1, keepdims=True) + 1e-10)).ravel()


def gabor_taps():
    """Give row and column taps, cosine and sine: wavelengths 3, 5 and 8 px.

    A round envelope makes a Gabor filter the product of a row and a column.
    """
    taps = []
    for wavelength in (3.0, 5.0, 8.0):
        sigma = wavelength / 2
        radius = math.ceil(2.5 * sigma)
        offsets = np.arange(-radius, radius + 1)
        envelope = np.exp(-(offsets**2) / (2 * sigma**2))
        envelope /= envelope.sum()
        for k in range(4):
            angle = math.pi * k / 4
            lines = []
            for share in (math.cos(angle), math.sin(angle)):
                phase = 2 * math.pi / wavelength * share * offsets
                lines += [envelope * np.cos(phase), envelope * np.sin(phase)]
            taps.append(lines)
    return taps


_TAPS = gabor_taps()


def pooled_4x4(magnitude):
    """Average 4x4 windows of 4x4 samples, over every second pixel."""
    sampled = np.cumsum(np.cumsum(magnitude[::2, ::2], axis=0), axis=1)
    sums = np.pad(sampled, ((1, 0), (1, 0)))
    first = np.array([0, 3, 7, 10])
    top, left = first[:, None], first
    total = sums[top + 4, left + 4] - sums[top, left + 4]
    return (total - sums[top + 4, left] + sums[top, left]).ravel() / 16


def gist(image):
    """Gabor magnitudes on 4x4, with cv2.sepFilter2D: faster than cv2.filter2D."""
    gray = gray01(image)

    def filtered(row, column):
        return cv2.sepFilter2D(gray, cv2.CV_32F, row, column, borderType=_REPLICATE)

    parts = []
    for across, across_sine, down, down_sine in _TAPS:
        real = filtered(across, down) - filtered(across_sine, down_sine)
        imaginary = filtered(across_sine, down) + filtered(across, down_sine)
        parts.append(pooled_4x4(cv2.magnitude(real, imaginary)))
    return np.concatenate(parts)


def skimage_gist(image):
    """Gabor magnitudes on 4x4, with skimage.filters.gabor."""
    gray = gray01(image)
    parts = []
    for wavelength in (3.0, 5.0, 8.0):
        for k in range(4):
            real, imaginary = skimage.filters.gabor(
                gray,
                1 / wavelength,
                theta=math.pi * k / 4,
                sigma_x=wavelength / 2,
                sigma_y=wavelength / 2,
                n_stds=2.5,
                mode="nearest",
            )
            parts.append(pooled_4x4(np.hypot(real, imaginary)))
    return np.concatenate(parts)


def pattern_shares(codes):
    """Share of 10 patterns in each of 4x4 squares of 7."""
    line = np.arange(SIDE) // 7
    bins = codes.astype(np.intp) + (line[:, None] * 4 + line) * 10
    return np.bincount(bins.ravel(), minlength=160) / 49


@once
def skimage_lbp_codes(image):
    """Uniform pattern of every pixel, by scikit-image."""
    return skimage.feature.local_binary_pattern(image, 8, 1, method="uniform")


def skimage_lbp(image):
    """Shares of uniform patterns, by scikit-image."""
    return pattern_shares(skimage_lbp_codes(image))


def uniform_table():
    """Uniform code of each of the 256 patterns."""
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    changes = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    return np.where(changes <= 2, bits.sum(axis=1), 9)


_UNIFORM = uniform_table()
_CIRCLE = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))


@once
def lbp_codes(image):
    """Uniform pattern of every pixel, with shifted views and a table."""
    gray = gray01(image)
    padded = np.pad(gray, 1)
    baseline = gray - np.float32(1e-5)
    inner = baseline - np.float32(1.5 - math.sqrt(2)) * gray
    beside = np.float32(math.sqrt(0.5) - 0.5)

    def at(down, right):
        return padded[1 + down : 29 + down, 1 + right : 29 + right]

    code = np.zeros(gray.shape, np.uint8)
    for bit, (down, right) in enumerate(_CIRCLE):
        if down and right:
            value = 0.5 * at(down, right) + beside * (at(down, 0) + at(0, right))
            code |= (value >= inner).view(np.uint8) << np.uint8(bit)
        else:
            code |= (at(down, right) >= baseline).view(np.uint8) << np.uint8(bit)
    return _UNIFORM[code]


def numpy_lbp(image):
    """Shares of uniform patterns."""
    return pattern_shares(lbp_codes(image))


def split(maps):
    """One Haar level."""
    top, bottom = maps[::2], maps[1::2]
    both, change = (top + bottom) / 2, (top - bottom) / 2
    return (
        both[:, ::2] + both[:, 1::2],
        both[:, ::2] - both[:, 1::2],
        change[:, ::2] + change[:, 1::2],
        change[:, ::2] - change[:, 1::2],
    )


def haar(image):
    """Two Haar levels, the finer as amounts."""
    average, *fine = split(gray01(image))
    amounts = [
        np.abs(detail).reshape(7, 2, 7, 2).sum(axis=(1, 3)).ravel() / 4
        for detail in fine
    ]
    return np.concatenate([part.ravel() for part in split(average)] + amounts)


_PROJECTION = projection_matrix(torch.device("cpu")).numpy()


def random_projections(image):
    """Random sums of pixels."""
    return gray01(image).ravel() @ _PROJECTION


# OpenCV assumes that images are blurred by .5 px already; its cells are 1.5 keypoint
# sizes wide.
_SIFT = cv2.SIFT_create(sigma=math.hypot(BLUR_PX, 0.5))
_KEYPOINTS = [
    cv2.KeyPoint(x, y, 2 * CELL_PX / 3, 0, 1, 0)
    for y in KEYPOINTS_PX
    for x in KEYPOINTS_PX
]


def _sift(image, keypoints):
    if image.dtype != np.uint8:
        image = np.rint(image * 255).astype(np.uint8)
    found = _SIFT.compute(image, keypoints)[1]
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return found / np.maximum(length, 1)


@once
def sift_descriptors(image):
    """SIFT at 7x7 keypoints, by OpenCV."""
    return _sift(image, _KEYPOINTS)


def sift_grid(image):
    """SIFT at four keypoints, by OpenCV."""
    places = [KEYPOINTS_PX.index(place) for place in (10, 18)]
    per_side = len(KEYPOINTS_PX)
    rows = [row * per_side + column for row in places for column in places]
    return _sift(image, [_KEYPOINTS[row] for row in rows]).ravel()


def texton_kernels():
    """Ten filters: five derivatives of Gaussians of 1 and 2 px, cut at 3 sigmas."""
    kernels = []
    for sigma in (1.0, 2.0):
        radius = math.ceil(3 * sigma)
        along = np.arange(-radius, radius + 1) / sigma
        smooth = np.exp(-(along**2) / 2)
        smooth /= smooth.sum()
        slope, curve = along * smooth, (along**2 - 1) * smooth
        curve -= curve.sum() * smooth
        across, down = np.outer(smooth, curve), np.outer(curve, smooth)
        first = [np.outer(smooth, slope), np.outer(slope, smooth)]
        second = [across + down, across - down, np.outer(slope, slope)]
        kernels += [kernel / np.abs(kernel).sum() for kernel in first + second]
    return kernels


_TEXTON_KERNELS = texton_kernels()


@once
def texton_responses(image):
    """Answers of ten filters at every second pixel, lengths compressed."""
    gray = gray01(image)
    maps = np.stack(
        [
            cv2.filter2D(gray, cv2.CV_32F, kernel, borderType=_REPLICATE)[::2, ::2]
            for kernel in _TEXTON_KERNELS
        ],
        axis=2,
    )
    length = np.linalg.norm(maps, axis=2, keepdims=True)
    return maps * (np.log1p(length / 0.01) / np.maximum(length, 1e-6))


OPENCV = {
    "gist": gist,
    "sift_descriptors": sift_descriptors,
    "sift_grid": sift_grid,
    "texton_responses": texton_responses,
}
NUMPY = {
    "hog4": numpy_hog,
    "lbp_codes": lbp_codes,
    "lbp_grid": numpy_lbp,
    "haar": haar,
    "random_projections": random_projections,
}
SKIMAGE = {
    "hog4": skimage_hog,
    "gist": skimage_gist,
    "lbp_codes": skimage_lbp_codes,
    "lbp_grid": skimage_lbp,
}
